"""A team's set-ups with real parts: PostgreSQL, a password, a path prefix, S3, workspaces. All get everything once.

What they refuse is said in one line with the cure.
"""

from __future__ import annotations

import base64
import json
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from command import QUICK, journal_lines, run_here
from mlflow import MlflowClient
from mlflow_runs import kinds, runs_of, sqlite
from team_server import KEYS, behind, bucket, client, mlflow_server, postgresql, skip_without

from runner.journal.index import index
from runner.planning import plan_file
from runner.tracking.mlflow_tracker import MlflowTracker
from runner.tracking.mlflow_values import rounded
from runner.tracking.new_store import create_store
from runner.tracking.publisher import Publisher

ADMIN, WRITER, READER = ("admin", "admin-password-1"), ("ada", "ada-password-1"), ("bob", "bob-password-1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpublished report of an experiment with two cells."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(QUICK)
    assert run_here(folder, "run", "tiny.yaml", "--set", "grid={architecture.convs: [1, 2]}").returncode == 0
    return folder / "reports" / "tiny"


@pytest.fixture
def report(trained: Path, tmp_path: Path) -> Path:
    """A copy whose study has the name of the test's folder, so that tests that share a server do not share runs."""
    report = Path(shutil.copytree(trained, tmp_path / "reports" / "tiny"))
    plan = report / "plan.yaml"
    plan.write_text(plan.read_text().replace("name: tiny\n", f"name: {study(report)}\n", 1))
    return report


def study(report: Path) -> str:
    return report.parents[1].name.replace("_", "-")


class Team(NamedTuple):
    """Addresses: of a server on PostgreSQL with a password and a prefix, and of the PostgreSQL server itself."""

    server: str
    databases: str


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """The set-up of docs/how-to/team-server.md: artifacts are served, the data base holds the users too."""
    skip_without("psycopg", "flask_wtf")
    folder = tmp_path_factory.mktemp("team")
    with postgresql("mlflow", "users", "direct") as databases:
        (folder / "auth.ini").write_text(
            f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {databases}/users\nadmin_username = {ADMIN[0]}\n"
            "auth_cache_ttl_seconds = 60\n"
        )
        variables = {
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "for-this-test-only", "MLFLOW_BACKEND_STORE_URI": f"{databases}/mlflow",
        }  # fmt: skip
        options = ("--artifacts-destination", str(folder / "artifacts"), "--app-name", "basic-auth")
        with mlflow_server(folder, *options, "--static-prefix", "/mlflow", prefix="/mlflow", **variables) as server:
            for name, password in (WRITER, READER):
                send(f"{server}/api/2.0/mlflow/users/create", ADMIN, username=name, password=password)
            yield Team(server, databases)


class Store(NamedTuple):
    """The address of a server with workspaces, and how to reach the bucket "studies" where it has its artifacts."""

    server: str
    s3: dict[str, str]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("store")
    create_store(folder / "mlflow.db")
    with bucket("studies") as s3:
        options = ("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--enable-workspaces")
        with mlflow_server(folder, *options, "--artifacts-destination", "s3://studies/served", **s3) as server:
            for name in ("vision", "speech"):
                send(f"{server}/api/3.0/mlflow/workspaces", name=name)
            yield Store(server, s3)


def send(url: str, user: tuple[str, str] | None = None, **content: str) -> None:
    request = urllib.request.Request(url, json.dumps(content).encode(), {"Content-Type": "application/json"})
    if user:
        request.add_header("Authorization", "Basic " + base64.b64encode(":".join(user).encode()).decode())
    urllib.request.urlopen(request, timeout=30).close()


def log_in(user: tuple[str, str]) -> dict[str, str]:
    return {"MLFLOW_TRACKING_USERNAME": user[0], "MLFLOW_TRACKING_PASSWORD": user[1]}


def published(report: Path, uri: str, **variables: str) -> str:
    """`runner publish` with the address in the environment; what it printed."""
    done = run_here(report.parents[1], "publish", "tiny", publish=True, MLFLOW_TRACKING_URI=uri, **variables)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def refusal(report: Path, uri: str, command: str = "publish", **variables: str) -> str:
    """The one line by which `runner publish` refuses, without the address that it begins with."""
    forget_clients()
    given = [command, "tiny"] if command == "publish" else [command]
    done = run_here(report.parents[1], *given, publish=True, MLFLOW_TRACKING_URI=uri, **variables)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert len(done.stderr) < 400
    return done.stderr.rstrip("\n").partition(": ")[2]


def contents(report: Path, uri: str) -> dict[str, Any]:
    """What the store has: the state, the parameters and the curve of each run by key, and the bytes of the report."""
    client, runs = MlflowClient(tracking_uri=uri), runs_of(uri, study(report))
    found: dict[str, Any] = {}
    for run in runs:
        curve = [point.value for point in client.get_metric_history(run.info.run_id, "val/accuracy")]
        key = run.data.tags["runner.key"]
        assert key not in found
        found[key] = (run.info.run_id, run.info.status, run.data.params, run.data.metrics, curve)
    (own,) = (run.info.run_id for run in runs if run.data.tags["runner.kind"] == "report")
    target = report.parent.with_name("downloaded")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    client.download_artifacts(own, "", str(target))
    return {**found, "files": {str(path.relative_to(target)): path.read_bytes() for path in files_in(target)}}


def forget_clients() -> None:
    """MLflow keeps the clients of artifacts, with the credentials of the command that made them, in this process."""
    from mlflow.store.artifact import s3_artifact_repo
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()
    for value in vars(s3_artifact_repo).values():
        if hasattr(value, "cache_clear"):
            value.cache_clear()


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def assert_complete(report: Path, uri: str) -> dict[str, Any]:
    """The store has each fit of the journal with its curve, each cell, and the report with its tables; returns all."""
    assert kinds(runs_of(uri, study(report))) == {"cell": 2, "fit": 6, "report": 1}
    found = contents(report, uri)
    for line in journal_lines(report):
        fit = json.loads(line)["fit"]
        _, status, parameters, metrics, curve = found[f"fit:{fit['id']}"]
        assert (
            (status, curve) == ("FINISHED", list(map(rounded, fit["curves"]["val_accuracy"])))
            and parameters
            and metrics
        )
    files = {name: (report / name).read_bytes() for name in ("report.html", "report.md", "plan.yaml")}
    files |= {f"tables/{path.name}": path.read_bytes() for path in (report / "tables").glob("*.csv")}
    assert len(files) > 10 and files.items() <= found["files"].items()
    return found


def test_a_server_on_postgresql_with_a_password_and_a_prefix_has_everything_once(
    team: Team, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in log_in(WRITER).items():
        monkeypatch.setenv(name, value)  # for the client of the test
    with_password = team.server.replace("//", f"//{':'.join(WRITER)}@")
    assert published(report, f"{with_password}/") == "MLflow has 6 fits\n"
    found = assert_complete(report, team.server)
    assert published(report, f"{with_password}/") == "MLflow has 6 fits\n"
    (report / "mlflow.jsonl").unlink()
    assert published(report, team.server, **log_in(WRITER)) == "MLflow has 6 fits\n"
    assert assert_complete(report, team.server) == found
    assert WRITER[1] not in (report / "mlflow.jsonl").read_text()
    opened = run_here(report.parents[1], "ui", publish=True, MLFLOW_TRACKING_URI=f"{with_password}/")
    view = "#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=runner-cells"
    assert (opened.returncode, opened.stdout) == (0, f"{team.server}/{view}\n")
    page = urllib.request.Request(opened.stdout.strip())
    page.add_header("Authorization", "Basic " + base64.b64encode(":".join(WRITER).encode()).decode())
    with urllib.request.urlopen(page, timeout=30) as answer:
        assert b"<title>MLflow</title>" in answer.read()


def test_what_a_server_with_a_password_and_a_prefix_refuses_is_said_with_the_cure(team: Team, report: Path) -> None:
    root = team.server.removesuffix("/mlflow")
    assert "set $MLFLOW_TRACKING_USERNAME and $MLFLOW_TRACKING_PASSWORD" in refusal(report, team.server)
    plan, (results, _) = plan_file.read(report / "plan.yaml"), index(report / "journal.jsonl")
    with Publisher(lambda: MlflowTracker(team.server, report), plan, results) as publisher:  # as at the end of a run
        publisher.finish(report)
    assert publisher.problem.startswith("the user name or the password is missing or wrong (401)")
    wrong = {**log_in(WRITER), "MLFLOW_TRACKING_PASSWORD": "other"}
    assert "the user name or the password is missing or wrong (401)" in refusal(report, team.server, **wrong)
    for user, line in ((ADMIN, "there is no MLflow at this address (404)"), (WRITER, "this user may not see the exp")):
        refused = refusal(report, root, **log_in(user))
        assert refused.startswith(line) and "path prefix" in refused
    published(report, team.server, **log_in(WRITER))
    (report / "mlflow.jsonl").unlink()
    line = refusal(report, team.server, **log_in(READER))
    assert line.startswith("this user may not write here (403); ask for the permission EDIT")
    assert "the server has no workspaces, but $MLFLOW_WORKSPACE is 'vision'" in refusal(
        report, team.server, **log_in(WRITER), MLFLOW_WORKSPACE="vision"
    )


def test_a_postgresql_data_base_without_a_server_has_everything_once(team: Team, report: Path) -> None:
    """Its artifacts are in the reports, wherever the command is started. A refusal takes no 100 seconds."""
    uri = f"{team.databases}/direct"
    for _ in range(2):
        assert published(report, uri) == "MLflow has 6 fits\n"
    assert_complete(report, uri)
    assert [path.name for path in report.parent.rglob("report.html") if path.parent != report] == ["report.html"]
    assert sorted(path.name for path in report.parents[1].iterdir()) == ["downloaded", "reports"]
    (report / "mlflow.jsonl").unlink()
    wrong = uri.replace("runner:", "runner:x")
    for command in ("publish", "ui"):
        assert 'password authentication failed for user "runner"' in refusal(report, wrong, command)
        assert "does not exist" in refusal(report, f"{team.databases}/nowhere", command)
    published(report, team.server, **log_in(WRITER))
    (report / "mlflow.jsonl").unlink()
    line = refusal(report, f"{team.databases}/mlflow")
    assert line.startswith("a server serves the artifacts of this experiment; give its address")


def test_each_workspace_of_a_server_with_artifacts_in_s3_has_everything_once(
    store: Store, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: dict[str, Any] = {}
    for name in ("vision", "speech"):
        monkeypatch.setenv("MLFLOW_WORKSPACE", name)
        assert published(report, store.server, MLFLOW_WORKSPACE=name) == "MLflow has 6 fits\n"
        before[name] = assert_complete(report, store.server)
    for name in ("vision", "speech"):
        monkeypatch.setenv("MLFLOW_WORKSPACE", name)
        published(report, store.server, MLFLOW_WORKSPACE=name)
        assert assert_complete(report, store.server) == before[name]
    listed = client(store.s3["MLFLOW_S3_ENDPOINT_URL"]).list_objects_v2(Bucket="studies", Prefix="served/")
    reports = [found["Key"] for found in listed["Contents"] if found["Key"].endswith("/report.html")]
    assert sorted(key.split("/")[2] for key in reports) == ["speech", "vision"]
    opened = run_here(
        report.parents[1], "ui", publish=True, MLFLOW_TRACKING_URI=store.server, MLFLOW_WORKSPACE="vision"
    )
    assert opened.stdout.startswith(f"{store.server}/#/experiments/") and opened.stdout.endswith("&workspace=vision\n")
    line = refusal(report, store.server, MLFLOW_WORKSPACE="no-such")
    assert line == "the server has no workspace 'no-such', which $MLFLOW_WORKSPACE names"


def test_a_server_behind_a_proxy_with_a_prefix_has_everything_once(store: Store, report: Path) -> None:
    with behind(store.server, "/team/mlflow") as uri:
        for _ in range(2):
            assert published(report, uri) == "MLflow has 6 fits\n"
        assert_complete(report, uri)
        root = uri.removesuffix("/team/mlflow")
        assert "there is no MLflow at this address (404)" in refusal(report, root)


PAGE = {"Content-Type": "text/html"}
BETWEEN = {
    "another host name": ({}, "the server does not answer to this host name (403); start it with --allowed-hosts"),
    "an older server": (
        {("POST", "runs/log-inputs"): (404, PAGE)},
        "the server does not know /api/2.0/mlflow/runs/log-inputs (404): its MLflow is older than 2.4",
    ),
    "a page to log in": (
        {("GET", "experiments/get-by-name"): (200, PAGE)}, "the answer is a web page ('no'), not MLflow's",
    ),
    "a redirect of a change": (
        {("POST", "experiments/create"): (301, {"Location": "/team/api/2.0/mlflow/experiments/create"})},
        "the server seems to redirect",
    ),
    "a limit of size": ({("PUT", "report.html"): (413, PAGE)}, "a file is too large for the server or the proxy"),
    "a failing proxy": ({("POST", "runs/create"): (502, PAGE)}, "the server failed (502); its log says why"),
}  # fmt: skip
"""What a proxy before a real server does, and the beginning of what is said."""


@pytest.mark.parametrize("between", BETWEEN)
def test_what_a_proxy_or_an_older_server_refuses_is_said_with_the_cure(
    between: str, store: Store, report: Path
) -> None:
    refuse, line = BETWEEN[between]
    host = "mlflow.example.org" if between == "another host name" else ""
    with behind(store.server, "/team", host, refuse) as uri:
        assert refusal(report, uri).startswith(line)


def test_artifacts_go_from_here_to_s3_if_the_experiment_says_so(
    store: Store, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the bucket's address and keys in the environment, which are the cure where they are missing."""
    uri = sqlite(report.parent)
    create_store(report.parent / "mlflow.db")
    MlflowClient(tracking_uri=uri).create_experiment(study(report), "s3://studies/direct")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(report / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    endpoint = {"MLFLOW_S3_ENDPOINT_URL": store.s3["MLFLOW_S3_ENDPOINT_URL"]}
    assert refusal(report, uri, **endpoint).startswith("the artifacts are in an S3 bucket, for which there are no cred")
    down = {**KEYS, "MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9"}
    assert refusal(report, uri, **down, AWS_MAX_ATTEMPTS="1").startswith("the object store of the artifacts does not")
    for name, value in store.s3.items():
        monkeypatch.setenv(name, value)
    forget_clients()
    for _ in range(2):
        assert published(report, uri, **store.s3) == "MLflow has 6 fits\n"
    assert_complete(report, uri)
