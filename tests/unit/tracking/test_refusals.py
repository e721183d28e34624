"""The lines in place of what MLflow's client raises, and the addresses that are refused before it is asked."""

from __future__ import annotations

import http.client
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest
from command import run_here
from faulty_server import address, faulty
from mlflow_runs import free_port

from runner.errors import RunnerError
from runner.tracking.database import check_database, revisions
from runner.tracking.mlflow_tracker import MlflowTracker
from runner.tracking.new_store import create_store
from runner.tracking.publisher import describe_error
from runner.tracking.refusals import REFUSALS, refused
from runner.tracking.server_address import ledger_name
from runner.tracking.store_address import artifact_root, store_uri


def raised(uri: str, folder: Path) -> str:
    """The line for what the client raises at its first request."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        MlflowTracker(uri, folder).client.get_experiment_by_name("study")
    return describe_error(caught.value)


def test_a_server_that_is_not_there_or_is_none_is_said_with_the_cure(tmp_path: Path) -> None:
    assert raised(f"http://127.0.0.1:{free_port()}", tmp_path) == (
        "nothing answers at this address; start the server, or check the port"
    )
    with faulty("not MLflow") as page:
        assert raised(address(page), tmp_path).startswith("the answer is a web page ('It works!'), not MLflow's; give")
        assert raised(address(page).replace("http:", "https:"), tmp_path) == (
            "this port does not speak https; is it http://?"
        )
    with faulty("redirects") as redirecting:
        assert raised(address(redirecting), tmp_path).startswith("the server seems to redirect")
    with faulty("closes at once") as closing_at_once:
        assert raised(address(closing_at_once), tmp_path) == "the server closed the connection; its log says why"
    with faulty("500") as failing:
        assert raised(address(failing), tmp_path) == "the server failed (500); its log says why"
    kinds = "expected http://, https://, sqlite:///, postgresql://, mysql:// or mssql://"
    for uri in ("htp://host", "postgres://host/store", "mysql+nosuch://host/store"):
        assert raised(uri, tmp_path) == f"there is no such kind of store; {kinds}"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ModuleNotFoundError("No module named 'boto3'"), "this store needs a package; `pip install boto3`"),
        (ModuleNotFoundError("No module named 'MySQLdb'"), "this store needs a package; `pip install mysqlclient`"),
        (ModuleNotFoundError("No module named 'google.cloud'"), "`pip install google-cloud-storage`"),
        (OSError("[Errno -2] Name or service not known"), "there is no host of this name"),
        (OSError("(Caused by ReadTimeoutError: Read timed out. (read timeout=10)"), "no answer in time; $MLFLOW_HTTP"),
        (
            OSError("request to endpoint /api/2.0/mlflow/logged-models failed with error code 404 != 200"),
            "the server does not know /api/2.0/mlflow/logged-models (404): its MLflow is older than 3.0; upgrade it",
        ),
        (
            OSError("request to endpoint /api/3.0/mlflow/new failed with error code 404 != 200"),
            f"its MLflow is older than the one here, {version('mlflow')}; upgrade it",
        ),
        (OSError("403 Client Error: Forbidden for url: http://h/report.html"), "this user may not write here (403)"),
        (OSError("503 Server Error: Unavailable for url: http://h/"), "the server failed (503); its log says why"),
        (OSError("An error occurred (NoSuchBucket) when calling"), "the object store of the artifacts refuses (NoSuch"),
        (RunnerError("deleted; restore it"), "deleted; restore it"),
        (http.client.BadStatusLine("<b>"), "BadStatusLine: <b>"),
        (ValueError("http://me:pw@host said:\n no"), "ValueError: http://***@host said: no"),
    ],
)
def test_an_error_becomes_one_line(error: Exception, line: str) -> None:
    assert line in describe_error(error)


def test_every_line_leaves_room_for_the_address() -> None:
    assert all(len(line) < 250 for _, line in REFUSALS)
    assert refused(ValueError("403 apples")) == ""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store as an older MLflow leaves it: with the revision before the last, and without a newer table."""
    file = tmp_path / "old.db"
    create_store(file)
    with closing(sqlite3.connect(file)) as store:
        (last,) = store.execute("SELECT version_num FROM alembic_version").fetchone()
        (before,) = (name for name in revisions() if name in revisions()[last])
        store.execute("UPDATE alembic_version SET version_num = ?", (before,))
        store.execute("DROP TABLE trace_info")
        store.commit()
    return file


def test_a_store_of_an_older_mlflow_is_refused_and_not_upgraded(old: Path, tmp_path: Path) -> None:
    uri, content = f"sqlite:///{old}", old.read_bytes()
    line = raised(uri, tmp_path)
    assert line.startswith("the store is from an older MLflow (revision ") and f"`mlflow db upgrade {uri}`" in line
    done = run_here(tmp_path, "ui", "--tracking-uri", uri)
    assert (done.returncode, done.stderr) == (2, f"{uri}: {line}\n")
    assert old.read_bytes() == content


def test_a_store_of_a_newer_mlflow_is_refused_as_such(tmp_path: Path) -> None:
    """MLflow calls it out of date and recommends an upgrade of the store, which then fails."""
    create_store(tmp_path / "own.db")
    check_database(f"sqlite:///{tmp_path / 'own.db'}")
    with closing(sqlite3.connect(tmp_path / "own.db")) as store:
        store.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        store.commit()
    line = raised(f"sqlite:///{tmp_path / 'own.db'}", tmp_path)
    assert line.startswith("the store is from a newer MLflow (revision ffffffffffff) than the installed ")


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("text\n" * 1000)
    assert raised(f"sqlite:///{tmp_path / 'text.db'}", tmp_path) == "the data base refuses: file is not a database"
    check_database(f"sqlite:///{tmp_path / 'new.db'}")
    check_database("http://host")
    assert not (tmp_path / "new.db").exists()


FOLDER = "MLflow no longer writes to folders of files, but `mlflow migrate-filestore --source "
ADDRESSES = {
    "file:./mlruns": f"{FOLDER}mlruns --target sqlite:///FILE` converts one; expected an address, such as sqlite",
    "file:///srv/mlruns": f"{FOLDER}/srv/mlruns --target",
    "./mlruns": f"{FOLDER}mlruns --target",
    "runs": f"{FOLDER}runs --target",
    "localhost:5000": "expected an address, such as http://localhost:5000, or none",
    "reports/mlflow.db": "expected an address, such as sqlite:///reports/mlflow.db, or none",
    "other": "expected an address, such as http://HOST:PORT or sqlite:///FILE, or none",
    "me:secret@host:5000": "found '***@host:5000'; expected an address, such as http://HOST:PORT or",
}


@pytest.mark.parametrize("uri", ADDRESSES)
def test_a_folder_of_files_and_what_is_no_address_are_refused_with_the_nearest_one(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(RunnerError) as caught:
        store_uri(None, tmp_path)
    message = str(caught.value)
    assert message.startswith("$MLFLOW_TRACKING_URI: found '") and ADDRESSES[uri] in message
    assert "secret" not in message


def test_a_folder_of_files_is_given_to_mlflow_if_the_user_tells_mlflow_to_allow_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert store_uri("file:///srv/mlruns", tmp_path) == "file:///srv/mlruns"


def test_the_ledger_tells_workspaces_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_WORKSPACE", raising=False)
    assert ledger_name("http://host") == "http://host"
    monkeypatch.setenv("MLFLOW_WORKSPACE", "vision")
    assert ledger_name("http://host") == "http://host (workspace vision)"
    assert ledger_name("sqlite:///a.db") == "sqlite:///a.db"


def test_artifacts_of_a_data_base_are_in_the_reports(tmp_path: Path) -> None:
    assert artifact_root("postgresql+psycopg://host/store", tmp_path) == str(tmp_path / "mlartifacts")
    assert artifact_root("sqlite:////srv/mlflow.db", tmp_path) == "/srv/mlartifacts"
    assert artifact_root("http://host", tmp_path) is None
