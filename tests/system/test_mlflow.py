"""What a run publishes to MLflow, read back with MLflow's client from a sqlite file and from a real server."""

from __future__ import annotations

import json
import re
import signal
import statistics
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from command import Command, journal_lines
from mlflow import MlflowClient
from mlflow_runs import answers, kinds, runs_of, sqlite, ui


def test_one_run_per_cell_one_nested_run_per_fit_and_the_report(tiny: Path, runner: Command) -> None:
    done = runner("run", tiny, publish=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "browse: runner ui tiny"
    client, runs = MlflowClient(tracking_uri=sqlite(tiny)), runs_of(sqlite(tiny))
    assert kinds(runs) == {"cell": 4, "fit": 12, "report": 1}
    assert {run.info.status for run in runs} == {"FINISHED"}
    journal = journal_lines(tiny.parent / "reports" / "tiny")
    fits = {fit["id"]: fit for fit in (json.loads(line)["fit"] for line in journal)}
    cells = {run.info.run_id: run for run in runs if run.data.tags["runner.kind"] == "cell"}
    for run in runs:
        if run.data.tags["runner.kind"] == "fit":
            parent = cells[run.data.tags["mlflow.parentRunId"]]
            factors = {name: parent.data.params[name] for name in ("downsample", "convs")}
            assert factors == {key: value for key, value in run.data.params.items() if key not in ("repeat", "fold")}
            fit = fits.pop(run.data.tags["runner.fit"])
            curve = [m.value for m in client.get_metric_history(run.info.run_id, "val/accuracy")]
            # Rounded to six digits, as MLflow's UI shows every digit it gets.
            assert curve == [float(f"{value:.6g}") for value in fit["curves"]["val_accuracy"]]
            assert run.data.metrics["val_accuracy"] == curve[-1]
            assert run.data.metrics["best_val_accuracy"] == max(curve)
            assert run.data.tags["mlflow.runColor"] == parent.data.tags["mlflow.runColor"]
            assert run.data.metrics["cpu_seconds"] == float(f"{fit['cpu']:.6g}")
            assert run.data.metrics["peak_memory_mb"] == float(f"{fit['memory'] / 1e6:.6g}") > 1
            assert run.data.tags["runner.version.torch"] == fit["versions"]["torch"]
    assert not fits
    places = sorted((r.data.params["repeat"], r.data.params["fold"]) for r in runs if "fold" in r.data.params)
    assert places == sorted([("1", "1"), ("1", "2"), ("1", "3")] * 4)
    for cell in cells.values():
        folds = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == cell.info.run_id]
        values = [run.data.metrics["val_accuracy"] for run in folds]
        curve = client.get_metric_history(cell.info.run_id, "val/accuracy")
        assert [m.step for m in curve] == [1, 2]
        assert curve[-1].value == pytest.approx(sum(values) / 3, abs=1e-6) == cell.data.metrics["val_accuracy"]
        assert {"parameters", "macs", "receptive_field_height", "val_accuracy_std"} <= cell.data.metrics.keys()
        assert list(cell.data.metrics)[:2] == ["val_accuracy", "val_accuracy_std"], "what MLflow's pages open on"
        assert (cell.data.metrics["fits_ok"], cell.data.metrics["fits_planned"]) == (3, 3)
        for name, of_all in (("cpu_seconds", statistics.fmean), ("peak_memory_mb", max)):
            assert cell.data.metrics[name] == pytest.approx(of_all(run.data.metrics[name] for run in folds), rel=1e-5)
        assert cell.data.params["downsample"] in cell.info.run_name
        assert [i.dataset.name for i in cell.inputs.dataset_inputs] == ["digits"]
        assert "runner.made_with.torch" in cell.data.tags
    assert len({cell.data.tags["mlflow.runColor"] for cell in cells.values()}) == 4
    (report,) = (run for run in runs if run.data.tags["runner.kind"] == "report")
    names = {file.path for file in client.list_artifacts(report.info.run_id)}
    assert {"report.html", "report.md", "plan.yaml", "tables"} <= names


def test_publishing_again_adds_nothing_even_without_the_ledger(tiny: Path, here: Command) -> None:
    here("run", tiny, publish=True)
    before = {run.info.run_id: (run.info.status, run.data.metrics, run.info.end_time) for run in runs_of(sqlite(tiny))}
    here("run", tiny, publish=True)
    ledger = tiny.parent / "reports" / "tiny" / "mlflow.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(lines[: len(lines) // 2]) + lines[-1][:20])  # as a crash would leave it
    here("run", tiny, publish=True)
    ledger.unlink()
    here("run", tiny, publish=True)
    journal = tiny.parent / "reports" / "tiny" / "journal.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[1:]))
    assert "1 fit to train" in here("run", tiny, publish=True).stderr
    client = MlflowClient(tracking_uri=sqlite(tiny))
    after = {run.info.run_id: run for run in runs_of(sqlite(tiny))}
    assert after.keys() == before.keys()
    for id, (status, metrics, _) in before.items():
        assert (after[id].info.status, after[id].data.metrics) == (status, metrics)
        if after[id].data.tags["runner.kind"] != "report":
            assert len(client.get_metric_history(id, "val/accuracy")) == 2


def test_a_lost_store_is_filled_again(tiny: Path, runner: Command, here: Command) -> None:
    """By another process, as this one has the lost file open."""
    here("run", tiny, publish=True)
    (tiny.parent / "reports" / "mlflow.db").unlink()
    again = runner("run", tiny, publish=True)
    assert "0 fits to train" in again.stderr
    assert kinds(runs_of(sqlite(tiny))) == {"cell": 4, "fit": 12, "report": 1}


def test_the_ui_opens_on_the_store_that_run_used_and_listens_on_loopback_only(tiny: Path, here: Command) -> None:
    here("run", tiny, "--set", "grid={architecture.convs: [1]}", publish=True)
    with ui(tiny.parent) as (process, address, lines):
        base, _, page = address.partition("/#/")
        port = int(base.rpartition(":")[2])
        assert lines == [f"MLflow UI on {base} (Ctrl-C ends it)"]
        assert re.fullmatch(r"experiments/1/runs\?workflowType=machine_learning&viewStateShareKey=[\w-]+", page)
        assert sys.platform != "linux" or not answers("127.0.0.2", port), "another address of this machine"
        runs = runs_of(base)
        assert kinds(runs) == {"cell": 1, "fit": 3, "report": 1}
        (report,) = (run.info.run_id for run in runs if run.data.tags["runner.kind"] == "report")
        page = f"{base}/get-artifact?path=report.html&run_uuid={report}"
        assert re.search(rb"<title>tiny</title>", urllib.request.urlopen(page, timeout=30).read())
        for _ in range(300):  # a short-lived helper may be among them; permanent ones would take gigabytes
            started = psutil.Process(process.pid).children(recursive=True)
            if len(started) == 2:
                break
            time.sleep(0.2)
        assert len(started) == 2  # MLflow's command and its worker
        # What nobody sees is no log of requests, which would fill the disk.
        assert sys.platform != "linux" or "GET" not in Path(f"/proc/{started[0].pid}/fd/2").read_text()
        assert all(each.environ()["MLFLOW_DISABLE_TELEMETRY"] == "true" for each in started)
        assert psutil.Process(process.pid).memory_info().rss < 60_000_000
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert psutil.wait_procs(started, timeout=60)[1] == []


def test_a_missing_store_is_reported_in_one_line(runner: Command) -> None:
    done = runner("ui", publish=True)
    assert done.returncode == 2 and "no such store" in done.stderr and done.stderr.count("\n") == 1
