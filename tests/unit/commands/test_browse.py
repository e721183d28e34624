"""The line at the end of a run that says how to look at the study in MLflow's UI."""

from __future__ import annotations

from pathlib import Path

import pytest
from faulty_server import address, faulty

from runner.commands.browse import browse_line


@pytest.fixture(autouse=True)
def _no_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)


def test_it_is_the_command_with_the_options_that_it_needs() -> None:
    assert browse_line("tiny", Path("reports"), None) == "browse: runner ui tiny"
    assert browse_line("a b", Path("my reports"), None) == "browse: runner ui 'a b' --reports 'my reports'"
    store = "sqlite:////data/runs.db"
    assert browse_line("tiny", Path("reports"), store) == f"browse: runner ui tiny --tracking-uri {store}"
    assert browse_line("tiny", Path("reports"), "none") == ""


def test_a_server_that_does_not_answer_leaves_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty("500") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address(server, "me:secret@"))
        assert browse_line("tiny", Path("reports"), None) == "browse: runner ui tiny"
        assert server.requests == ["GET /version"]
