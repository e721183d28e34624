"""What people and crashes do to a store: deleted, moved, copied, doubled, changed, refused. Nothing is lost."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import QUICK, RUNNER, environment, run_here
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow_runs import free_port, runs_of, server

from runner.flow import study

TWO_CELLS = QUICK.replace("  architecture.convs: [1, 2]\n", "").replace("epochs: 2", "epochs: 1")
EVERYTHING = {"cell": 2, "fit": 6, "report": 1}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained and published study of two cells and six fits."""
    folder = tmp_path_factory.mktemp("original")
    (folder / "tiny.yaml").write_text(TWO_CELLS)
    assert run_here(folder, "run", "tiny.yaml", publish=True).returncode == 0
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of it in another place."""
    return Path(shutil.copytree(original, tmp_path / "copy"))


def client_of(folder: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{folder / 'reports' / 'mlflow.db'}")


def runs(folder: Path, experiment: str = "tiny", **tags: str) -> list[Run]:
    """The active runs whose tags ``runner.NAME`` have these values."""
    every = runs_of(f"sqlite:///{folder / 'reports' / 'mlflow.db'}", experiment)
    return [run for run in every if all(run.data.tags.get(f"runner.{key}") == value for key, value in tags.items())]


def counts(folder: Path, experiment: str = "tiny", **tags: str) -> dict[str, int]:
    return dict(Counter(run.data.tags["runner.kind"] for run in runs(folder, experiment, **tags)))


def values(folder: Path) -> dict[str, Any]:
    return {run.data.tags["runner.key"]: (run.info.status, run.data.metrics, run.data.params) for run in runs(folder)}


def publish(folder: Path, *options: str) -> str:
    done = run_here(folder, "publish", "tiny", *options, publish=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_publish_looks_and_finds_all_there(folder: Path) -> None:
    before = {run.info.run_id: run.to_dictionary() for run in runs(folder)}
    assert publish(folder) == "MLflow has 6 fits\n"
    assert {run.info.run_id for run in runs(folder)} == before.keys()


def delete_cell(folder: Path) -> None:
    client_of(folder).delete_run(runs(folder, kind="cell")[0].info.run_id)


def delete_fit(folder: Path) -> None:
    client_of(folder).delete_run(runs(folder, kind="fit")[0].info.run_id)


def delete_report(folder: Path) -> None:
    client_of(folder).delete_run(runs(folder, kind="report")[0].info.run_id)


def delete_all(folder: Path) -> None:
    for run in runs(folder):
        client_of(folder).delete_run(run.info.run_id)


@pytest.mark.parametrize(
    ("delete", "left", "said"),
    [
        (delete_cell, {"cell": 1, "fit": 3, "report": 1}, "1 cell"),
        (delete_fit, {"cell": 2, "fit": 5, "report": 1}, "1 fit"),
        (delete_report, {"cell": 2, "fit": 6}, "1 report"),
        (delete_all, {}, "2 cells and 1 report"),
    ],
)
def test_what_a_person_deleted_stays_deleted_until_restore(
    folder: Path, delete: Callable[[Path], None], left: dict[str, int], said: str
) -> None:
    before = values(folder)
    delete(folder)
    for _ in range(2):
        out = publish(folder)
        assert f"deleted in MLflow, and left out: {said}; `runner publish tiny --restore` brings back" in out
        assert f"MLflow has {left.get('fit', 0)} fits" in out
        assert counts(folder) == left
    assert "MLflow has 6 fits\n" in publish(folder, "--restore")
    assert counts(folder) == EVERYTHING and values(folder) == before
    assert publish(folder) == "MLflow has 6 fits\n"


def test_a_deleted_cell_leaves_no_fits_behind_at_the_next_run(folder: Path) -> None:
    delete_cell(folder)
    journal = folder / "reports" / "tiny" / "journal.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[1:]))
    done = run_here(folder, "run", "tiny.yaml", publish=True)
    assert done.returncode == 0 and "MLflow: deleted in MLflow, and left out: 1 cell;" in done.stderr
    assert counts(folder) == {"cell": 1, "fit": 3, "report": 1}


def test_a_deleted_experiment_has_two_ways_out(folder: Path) -> None:
    before, client = values(folder), client_of(folder)
    client.delete_experiment(client.get_experiment_by_name("tiny").experiment_id)
    done = run_here(folder, "publish", "tiny", publish=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "--restore" in done.stderr and "--as NAME" in done.stderr
    assert "MLflow has 6 fits" in publish(folder, "--as", "second")
    assert counts(folder, "second") == EVERYTHING
    assert publish(folder) == "MLflow has 6 fits\n"  # under that name from now on
    assert counts(folder, "second") == EVERYTHING
    (folder / "reports" / "tiny" / "mlflow.jsonl").unlink()
    assert "MLflow has 6 fits" in publish(folder, "--restore")
    assert counts(folder) == EVERYTHING and values(folder) == before


def test_an_experiment_deleted_before_a_run_loses_nothing(folder: Path) -> None:
    client = client_of(folder)
    client.delete_experiment(client.get_experiment_by_name("tiny").experiment_id)
    (folder / "tiny.yaml").write_text(TWO_CELLS.replace("epochs: 1", "epochs: 2"))
    done = run_here(folder, "run", "tiny.yaml", publish=True)
    assert done.returncode == 0 and "was deleted in MLflow" in done.stderr and "--restore" in done.stderr
    assert done.stderr.count("was deleted") == 1
    publish(folder, "--restore")
    assert counts(folder, current="yes") == EVERYTHING


def test_a_store_that_lost_everything_is_filled_again(folder: Path) -> None:
    """As an administrator's clean-up does, or a new server at the same address."""
    client = client_of(folder)
    id = client.get_experiment_by_name("tiny").experiment_id
    client.rename_experiment(id, "purged")
    assert "MLflow has 6 fits" in publish(folder)
    assert counts(folder) == EVERYTHING


def test_an_experiment_of_somebody_else_is_refused(folder: Path) -> None:
    client = client_of(folder)
    client.rename_experiment(client.get_experiment_by_name("tiny").experiment_id, "away")
    other = client.create_experiment("tiny")
    client.create_run(other)
    done = run_here(folder, "publish", "tiny", publish=True)
    assert done.returncode == 2 and "runs that archrunner did not publish" in done.stderr and "--as NAME" in done.stderr
    assert len(client.search_runs([other])) == 1
    done = run_here(folder, "publish", "tiny", "--as", "away", publish=True)
    assert done.returncode == 0, "that one is this study's"
    prepared = client.create_experiment("prepared")
    assert "MLflow has 6 fits" in publish(folder, "--as", "prepared")
    assert len(client.search_runs([prepared])) == 9


def test_another_study_s_experiment_is_refused(folder: Path) -> None:
    (folder / "other.yaml").write_text(TWO_CELLS.replace("name: tiny", "name: other"))
    assert (
        run_here(folder, "run", "other.yaml", "--set", "grid={architecture.convs: [1]}", publish=True).returncode == 0
    )
    done = run_here(folder, "publish", "tiny", "--as", "other", publish=True)
    assert done.returncode == 2 and "has the study 'other'" in done.stderr


def test_the_newest_plan_is_current(folder: Path) -> None:
    (folder / "tiny.yaml").write_text(TWO_CELLS.replace("epochs: 1", "epochs: 2"))
    assert run_here(folder, "run", "tiny.yaml", publish=True).returncode == 0
    assert counts(folder, current="yes") == counts(folder, current="no") == EVERYTHING
    assert {run.data.params["training.epochs"] for run in runs(folder, current="yes", kind="cell")} == {"2"}
    (folder / "tiny.yaml").write_text(TWO_CELLS)
    assert run_here(folder, "run", "tiny.yaml", publish=True).returncode == 0
    assert {run.data.params["training.epochs"] for run in runs(folder, current="yes", kind="cell")} == {"1"}
    assert counts(folder, current="yes") == counts(folder, current="no") == EVERYTHING
    assert len({run.data.tags["runner.plan"] for run in runs(folder, current="yes")}) == 1


def test_a_cell_of_both_plans_is_current_once(folder: Path) -> None:
    more = TWO_CELLS.replace("strided_conv]", "strided_conv, avg_pool]")
    (folder / "tiny.yaml").write_text(more)
    assert run_here(folder, "run", "tiny.yaml", publish=True).returncode == 0
    assert counts(folder, current="yes") == {"cell": 3, "fit": 9, "report": 1}
    assert counts(folder) == {"cell": 3, "fit": 9, "report": 2}
    assert len({run.data.tags["runner.plan"] for run in runs(folder, current="yes")}) == 1


def test_two_folders_of_one_name_are_named(folder: Path) -> None:
    (folder / "tiny.yaml").write_text(TWO_CELLS.replace("epochs: 1", "epochs: 2"))
    store = f"sqlite:///{folder / 'reports' / 'mlflow.db'}"
    done = run_here(folder, "run", "tiny.yaml", "--reports", "second", "--tracking-uri", store, publish=True)
    assert "2 cells of another plan of this name, published from" in done.stderr
    assert counts(folder, current="yes") == counts(folder, current="no") == EVERYTHING


def test_a_description_follows_the_file_and_a_person_s_stays(folder: Path) -> None:
    def note() -> str:
        return str(client_of(folder).get_experiment_by_name("tiny").tags["mlflow.note.content"])

    (folder / "tiny.yaml").write_text(TWO_CELLS.replace("Does pooling", "Why does pooling"))
    run_here(folder, "run", "tiny.yaml", publish=True)
    assert note().startswith("Why does pooling")
    client = client_of(folder)
    client.set_experiment_tag(client.get_experiment_by_name("tiny").experiment_id, "mlflow.note.content", "mine")
    publish(folder)
    assert note() == "mine"


def test_cells_that_a_kill_left_running_are_ended(folder: Path) -> None:
    journal = folder / "reports" / "tiny" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    shutil.rmtree(folder / "reports")
    run_here(folder, "run", "tiny.yaml")
    for file in ("report.html", "report.md", "mlflow.jsonl"):
        (folder / "reports" / "tiny" / file).unlink(missing_ok=True)
    journal.write_text("".join(lines[:2]))
    publish(folder)
    (cell,) = runs(folder, kind="cell")
    client_of(folder).update_run(cell.info.run_id, status="RUNNING")  # as a kill leaves it
    assert "MLflow has 2 fits of 6; the rest is not trained yet, and no report" in publish(folder)
    assert counts(folder) == {"cell": 1, "fit": 2}
    assert [run.info.status for run in runs(folder, kind="cell")] == ["KILLED"]


def test_a_run_that_exists_twice_is_reduced_to_one(folder: Path) -> None:
    """As after two machines published one journal at the same time."""
    client, before = client_of(folder), values(folder)
    cell = runs(folder, kind="cell")[0]
    twin = client.create_run(cell.info.experiment_id, tags=cell.data.tags)
    fits = [run for run in runs(folder, kind="fit") if run.data.tags["mlflow.parentRunId"] == cell.info.run_id]
    client.set_tag(fits[0].info.run_id, "mlflow.parentRunId", twin.info.run_id)
    client.create_run(cell.info.experiment_id, tags=fits[1].data.tags)
    out = publish(folder)
    assert "2 runs that MLflow had twice: deleted" in out and "MLflow has 6 fits\n" in out
    assert values(folder) == before
    parents = {run.info.run_id for run in runs(folder, kind="cell")}
    assert {run.data.tags["mlflow.parentRunId"] for run in runs(folder, kind="fit")} == parents


def test_one_refused_item_does_not_stop_the_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    shutil.rmtree(folder / "reports" / "mlartifacts")
    (folder / "reports" / "mlflow.db").unlink()
    log_batch, refused = MlflowClient.log_batch, []

    def refuse(
        self: MlflowClient, run_id: str, metrics: Any = (), params: Any = (), tags: Any = (), **more: Any
    ) -> None:
        if any(param.key == "fold" and param.value == "1" for param in params):
            refused.append(run_id)
            raise MlflowException("no first folds, please", INVALID_PARAMETER_VALUE)
        log_batch(self, run_id, metrics, params, tags)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", refuse)
        done = run_here(folder, "publish", "tiny", publish=True)
    assert done.returncode == 2 and "MLflow refused 2 items" in done.stderr and "no first folds" in done.stderr
    assert refused and counts(folder) == {"cell": 2, "fit": 6}
    assert "MLflow has 6 fits\n" in publish(folder)
    assert counts(folder) == EVERYTHING and {status for status, *_ in values(folder).values()} == {"FINISHED"}


def test_a_fit_with_another_result_replaces_its_run(folder: Path) -> None:
    """As when it failed and was trained again: values logged once more would stand beside the old ones."""
    first = runs(folder, kind="fit")[0].info.run_id
    ledger = folder / "reports" / "tiny" / "mlflow.jsonl"
    client = client_of(folder)
    client.set_tag(first, "runner.content", "another result")
    cell = client.get_run(first).data.tags["mlflow.parentRunId"]
    client.set_tag(cell, "runner.content", "other results")
    client.set_tag(cell, "mine", "a person's tag")
    client.set_tag(cell, "mlflow.runColor", "#123456")  # as the UI does when somebody picks a colour
    ledger.unlink()
    assert "MLflow has 6 fits\n" in publish(folder)
    assert counts(folder) == EVERYTHING
    fit = client.get_run(first).data.tags["runner.fit"]
    (now,) = runs(folder, kind="fit", fit=fit)
    assert now.info.run_id != first
    (parent,) = (run for run in runs(folder, kind="cell") if run.info.run_id == now.data.tags["mlflow.parentRunId"])
    assert parent.info.run_id != cell
    assert (parent.data.tags["mine"], parent.data.tags["mlflow.runColor"]) == ("a person's tag", "#123456")
    history = client.get_metric_history(now.info.run_id, "val/accuracy")
    assert [point.step for point in history] == [1]
    assert publish(folder) == "MLflow has 6 fits\n"


def test_a_copy_never_writes_into_the_original(original: Path, folder: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in original.rglob("*")}
    (folder / "tiny.yaml").write_text(TWO_CELLS.replace("epochs: 1", "epochs: 2"))
    assert run_here(folder, "run", "tiny.yaml", publish=True).returncode == 0
    assert {file: file.stat().st_mtime_ns for file in original.rglob("*")} == before
    for run in runs(folder):
        assert Path(run.info.artifact_uri).is_relative_to(folder)
    for report in runs(folder, kind="report"):
        names = {file.path for file in client_of(folder).list_artifacts(report.info.run_id)}
        assert {"report.html", "tables"} <= names


def test_a_moved_folder_has_its_artifacts(folder: Path, tmp_path: Path) -> None:
    publish(folder)
    moved = tmp_path / "it's moved"
    folder.rename(moved)
    assert publish(moved) == "MLflow has 6 fits\n"
    (report,) = runs(moved, kind="report")
    assert (
        b"<title>tiny</title>"
        in Path(client_of(moved).download_artifacts(report.info.run_id, "report.html", str(tmp_path))).read_bytes()
    )
    assert counts(moved) == EVERYTHING


def test_two_machines_that_publish_one_journal_leave_everything_once(original: Path, tmp_path: Path) -> None:
    """Each has a ledger of its own, and both find an empty server."""
    with server(tmp_path, free_port()) as uri:
        publishing = []
        for name in ("one", "two"):
            copy = Path(shutil.copytree(original, tmp_path / name))
            (copy / "reports" / "tiny" / "mlflow.jsonl").unlink()
            command = [RUNNER, "publish", "tiny", "--tracking-uri", uri]
            publishing.append(subprocess.Popen(command, cwd=copy, env=environment(publish=True)))
        assert [process.wait(timeout=240) for process in publishing] == [0, 0]
        found = runs_of(uri)
        assert Counter(run.data.tags["runner.kind"] for run in found) == EVERYTHING
        assert {run.info.status for run in found} == {"FINISHED"}
        parents = {run.info.run_id for run in found if run.data.tags["runner.kind"] == "cell"}
        assert {run.data.tags.get("mlflow.parentRunId") for run in found} == {*parents, None}
        for copy in (tmp_path / "one", tmp_path / "two"):
            done = run_here(copy, "publish", "tiny", "--tracking-uri", uri, publish=True)
            assert (done.returncode, done.stdout) == (0, "MLflow has 6 fits\n"), done.stderr


def test_what_is_deleted_while_a_run_goes_on_is_left_out_of_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = study.report.write

    def delete_and_write(*given: Any) -> Any:
        delete_cell(folder)
        return write(*given)

    (folder / "tiny.yaml").write_text(TWO_CELLS.replace("[max_pool", "[avg_pool, max_pool"))
    monkeypatch.setattr(study.report, "write", delete_and_write)
    done = run_here(folder, "run", "tiny.yaml", publish=True)
    assert done.returncode == 0 and "not everything is in MLflow" not in done.stderr
    assert "deleted in MLflow, and left out: 1 cell;" in done.stderr
    assert counts(folder, current="yes") == {"cell": 2, "fit": 6, "report": 1}


def test_values_that_mislead_are_not_logged(folder: Path) -> None:
    """An infinity comes back as 1.8e308 and sorts before all others; a filter never finds a NaN."""
    (folder / "bad.yaml").write_text(
        TWO_CELLS.replace("name: tiny", "name: bad").replace("lr: 1e-2", "lr: 1e30").replace("epochs: 1", "epochs: 3")
    )
    done = run_here(folder, "run", "bad.yaml", publish=True)
    assert "failed" in done.stderr
    client = client_of(folder)
    found = runs(folder, "bad")
    assert {run.info.status for run in found if run.data.tags["runner.kind"] != "report"} == {"FAILED"}
    for run in found:
        for name in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, name)
            assert all(math.isfinite(point.value) and abs(point.value) < 1e300 for point in history)
            assert len({(point.step, point.timestamp) for point in history}) == len(history)
    fit = next(run for run in found if run.data.tags["runner.kind"] == "fit")
    assert fit.data.tags["mlflow.note.content"].startswith("Failed: ")


def test_a_stacked_fit_took_as_long_as_its_group(tmp_path: Path) -> None:
    """Each has its part of the group's seconds; their runs, and that of the cell, begin when training began."""
    folder = tmp_path
    (folder / "tiny.yaml").write_text(TWO_CELLS.replace("engine: numpy", "engine: torch"))
    assert run_here(folder, "run", "tiny.yaml", publish=True).returncode == 0
    for cell in runs(folder, kind="cell"):
        fits = [run for run in runs(folder, kind="fit") if run.data.tags["mlflow.parentRunId"] == cell.info.run_id]
        seconds = sum(run.data.metrics["seconds"] for run in fits)
        for run in (cell, *fits):
            assert (run.info.end_time - run.info.start_time) / 1000 == pytest.approx(seconds, abs=0.1)


def test_deleted_runs_of_others_are_not_ours(folder: Path) -> None:
    client = client_of(folder)
    id = client.get_experiment_by_name("tiny").experiment_id
    theirs = client.create_run(id, run_name="theirs").info.run_id
    publish(folder)
    assert client.get_run(theirs).data.tags.get("runner.key") is None
    deleted = client.search_runs([id], run_view_type=ViewType.DELETED_ONLY)
    assert deleted == []
