"""The address of a study's view, from what a server answers, and what is said of one that answers otherwise."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from faulty_server import FAULTS, FaultyHandler, address, faulty
from reporting_samples import FACTORS, make_plan

from runner.cli import main
from runner.errors import RunnerError
from runner.tracking.parameters import factor_parameters
from runner.tracking.saved_views import CURVES, FIRST, KNOWN_VERSIONS, changed_tags
from runner.tracking.ui_address import Experiment, NoAnswer, Server, view_page
from runner.tracking.views import make_views

SECRET = "p@ss/word"
PLAN = make_plan(FACTORS)
TAGS = changed_tags(make_views(PLAN, factor_parameters(PLAN)), {}, 1)[0]
VERSION = f"{KNOWN_VERSIONS[0]}.9"
BASE = "http://host:1/prefix"


def query(page: str) -> dict[str, str]:
    """What the page's address says behind the ? that follows the #, which is all that the UI reads."""
    return {key: value[0] for key, value in parse_qs(urlsplit(page.partition("#")[2]).query).items()}


class Answering(FaultyHandler):
    """Answers as MLflow's server does: with the server's `answers` by path, an object or text, or 404."""

    def respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.removeprefix("/prefix").partition("?")[0].removeprefix("/api/2.0/mlflow/")
        self.server.requests.append((path, json.loads(body or b"{}"), dict(self.headers)))
        self.close_connection = True
        answer = self.server.answers.get(path)
        answer = answer(json.loads(body)) if callable(answer) else answer
        text = answer if isinstance(answer, str) else json.dumps(answer)
        self.send(404 if answer is None else 200, text.encode())

    do_GET = do_POST = respond


def row(id: str, name: str, **tags: str) -> dict[str, Any]:
    rows = [{"key": key, "value": value} for key, value in tags.items()]
    return {"experiment_id": id, "name": name, "lifecycle_stage": "active", "tags": rows}


@contextmanager
def answering(**others: Any) -> Iterator[Any]:
    answers = {
        "/version": VERSION,
        "experiments/search": {"experiments": [row("0", "Default"), row("7", "clothes", **TAGS), row("8", "notes")]},
        "runs/search": {"runs": [{"info": {"experiment_id": "7"}}]},
        **others,
    }
    with faulty("", Answering, answers=answers) as server:
        yield server


def test_a_known_ui_opens_the_view_and_the_curves_as_charts() -> None:
    page = view_page(BASE, Experiment("7", "clothes", TAGS), VERSION)
    assert page.remark == "" and page.address.startswith(f"{BASE}/#/experiments/7/runs?")
    assert query(page.address) == {"workflowType": "machine_learning", "viewStateShareKey": FIRST}
    curves = view_page(BASE, Experiment("7", "clothes", TAGS), VERSION, "team a&b", CURVES)
    assert query(curves.address) == {
        "workflowType": "machine_learning", "viewStateShareKey": CURVES, "compareRunsMode": "CHART",
        "workspace": "team a&b",
    }  # fmt: skip


@pytest.mark.parametrize("version", ["4.0.0", "3.170.0", "3.18.0.dev0", "", "<html>"])
def test_an_unknown_ui_gets_the_filter_and_the_order_and_a_line_says_so(version: str) -> None:
    page = view_page(BASE, Experiment("7", "clothes", TAGS), version)
    assert query(page.address) == {
        "workflowType": "machine_learning", "orderByKey": "metrics.`val_accuracy`", "orderByAsc": "false",
        "searchFilter": "tags.`runner.kind` = 'cell' and tags.`runner.current` = 'yes'",
    }  # fmt: skip
    assert f"MLflow {version} is not known to open saved views" in page.remark


def test_a_study_without_views_gets_its_table_and_the_way_to_views() -> None:
    page = view_page(BASE, Experiment("8", "notes", {}), VERSION)
    assert query(page.address) == {"workflowType": "machine_learning"}
    assert page.remark == "the study 'notes' has no views yet; `runner publish` writes them"


def test_without_a_name_it_is_the_study_whose_run_is_the_latest() -> None:
    later = {"experiments": [row("9", "second", **TAGS)]}
    first = {"experiments": [row("7", "clothes", **TAGS), row("8", "notes")], "next_page_token": "more"}
    pages = {"experiments/search": lambda asked: later if asked.get("page_token") == "more" else first}
    with answering(**pages, **{"runs/search": {"runs": [{"info": {"experiment_id": "9"}}]}}) as server:
        assert "/experiments/9/" in Server(address(server)).find_page("").address
        (asked,) = (content for path, content, _ in server.requests if path == "runs/search")
    # Only studies of ours, if there are any: 8 is somebody's experiment.
    assert asked["experiment_ids"] == ["7", "9"] and asked["order_by"] == ["attributes.start_time DESC"]


def test_a_store_without_a_study_has_its_first_page() -> None:
    with answering(**{"experiments/search": {"experiments": [row("0", "Default")]}, "runs/search": {}}) as server:
        page = Server(address(server)).find_page("")
    assert page.address == f"{address(server)}/" and "no study in the store yet" in page.remark


def test_a_mistyped_or_deleted_study_is_one_line() -> None:
    with answering() as server, pytest.raises(RunnerError, match="no study 'clohtes'; did you mean 'clothes'\\?"):
        Server(address(server), "mlflow.db").find_page("clohtes")
    deleted = {"experiments/get-by-name": {"experiment": row("5", "gone") | {"lifecycle_stage": "deleted"}}}
    with answering(**deleted) as server, pytest.raises(RunnerError, match=r"^mlflow\.db: the study 'gone' was deleted"):
        Server(address(server), "mlflow.db").find_page("gone")


def test_a_server_with_workspaces_is_asked_in_one_and_its_address_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_WORKSPACE", raising=False)
    with answering(**{"/api/3.0/mlflow/server-info": {"workspaces_enabled": True}}) as server:
        assert query(Server(address(server)).find_page("").address)["workspace"] == "default"
        monkeypatch.setenv("MLFLOW_WORKSPACE", "vision")
        server.requests.clear()
        assert query(Server(address(server)).find_page("").address)["workspace"] == "vision"
        spaces = {headers.get("X-Mlflow-Workspace") or headers.get("X-MLFLOW-WORKSPACE") for path, _, headers in
                  server.requests if path.startswith(("experiments", "runs"))}  # fmt: skip
    assert spaces == {"vision"}


def test_a_password_is_sent_and_is_in_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    with answering() as server:
        uri = address(server, "me:p%40ss%2Fword@") + "/prefix/"
        assert Server(uri).find_page("").address.startswith(f"{address(server)}/prefix/#/experiments/7/runs?")
        assert {headers["Authorization"] for *_, headers in server.requests} == {"Basic bWU6cEBzcy93b3Jk"}
        server.requests.clear()
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
        Server(address(server)).find_page("")
        assert {headers["Authorization"] for *_, headers in server.requests} == {"Basic bWU6cEBzcy93b3Jk"}
        server.requests.clear()
        monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", SECRET)
        Server(address(server)).find_page("")
        assert {headers["Authorization"] for *_, headers in server.requests} == {f"Bearer {SECRET}"}


class Redirecting(FaultyHandler):
    def respond(self) -> None:
        self.close_connection = True
        self.server.requests.append(self.headers.get("Authorization"))
        self.send(302, b"", {"Location": self.server.target})

    do_GET = do_POST = respond


def test_a_redirection_to_another_host_gets_no_password() -> None:
    with answering() as other, faulty("", Redirecting, target=f"http://localhost:{other.server_port}/") as server:
        with pytest.raises(NoAnswer, match="302"):
            Server(address(server, "me:secret@")).find_page("")
        assert server.requests and other.requests == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_server_has_its_first_page_and_a_line_says_why(fault: str, capsys, monkeypatch) -> None:
    monkeypatch.setattr("runner.tracking.ui_address.TIMEOUT", 0.3)
    with faulty(fault) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address(server, f"me:{'secret'}@"))
        began = time.monotonic()
        assert main(["ui", "study"]) == 0
        assert time.monotonic() - began < 30
    printed = capsys.readouterr()
    assert printed.out == f"{address(server)}/\n"
    assert printed.err.count("\n") == 1 and "did not answer" in printed.err and "secret" not in printed.err


ODD = [[], {"experiments": 3}, {"experiments": [{}]}, {"experiments": [{"experiment_id": "1", "name": "a", "tags": 5}]}]


@pytest.mark.parametrize("answer", ODD)
def test_an_answer_of_another_form_is_none(answer: Any) -> None:
    with answering(**{"experiments/search": answer}) as server, pytest.raises(NoAnswer, match="not that of an MLflow"):
        Server(address(server)).find_page("")
    with answering(**{"experiments/get-by-name": answer}) as server, pytest.raises(NoAnswer, match="not that of"):
        Server(address(server)).find_page("clothes")


def test_a_browser_is_opened_only_if_asked_and_in_a_terminal(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    with answering() as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address(server))
        assert main(["ui", "--open"]) == 0 and not opened
        printed = capsys.readouterr().out.strip()
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        assert main(["ui"]) == 0 and not opened
        assert main(["ui", "--open"]) == 0 and opened == [printed]
