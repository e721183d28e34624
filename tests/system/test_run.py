"""`runner run` from the command line, on real data, in real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from command import TINY, Command, journal_lines, stable_tables

FITS_COLUMNS = (
    "id,cell,architecture.downsample,architecture.convs,repeat,fold,status,reason,val_accuracy,val_loss,"
    "train_accuracy,train_loss,epochs,seconds,worker"
)

FAULTY = """\
import os, signal, time
from dataclasses import dataclass
from runner.api import Augmentation, hookimpl

@dataclass(frozen=True)
class Faulty:
    fault: str

    def draw(self, rng, count, shape):
        return {}

    def apply(self, images, draws):
        if len(images) <= 8:  # where the plan tries it
            return images
        if self.fault == "raise":
            raise ValueError("no such\\npixel")
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "hang":
            time.sleep(600)
        return images * float("nan") if self.fault == "nan" else images

def faulty(*, fault: str = "none"):
    return Faulty(fault)

@hookimpl
def register_augmentations():
    yield Augmentation(name="faulty", build=faulty)
"""


def test_a_run_prints_a_table_and_writes_a_report_with_one_row_per_fit(tiny: Path, runner: Command) -> None:
    done = runner("run", tiny, publish=True)
    report = tiny.parent / "reports" / "tiny"
    assert done.returncode == 0, done.stderr
    assert (
        "max_pool, convs=2" in done.stdout
        and "architecture.downsample: Inconclusive: strided_conv is ahead of max_pool" in done.stdout
    )
    assert "[12/12]" in done.stderr and "\x1b" not in done.stdout + done.stderr
    fits = (report / "tables" / "fits.csv").read_text().splitlines()
    assert fits[0] == FITS_COLUMNS
    assert len(fits) == 1 + 12 and all(",ok,," in line for line in fits[1:])
    table = pd.read_csv(report / "tables" / "cells.csv")
    assert (table["mean"] > 0.5).all() and (table["ci_low"] < table["mean"]).all()
    assert {p.name for p in report.iterdir() if not p.name.startswith(".")} == {
        "plan.yaml", "journal.jsonl", "mlflow.jsonl", "fits", "report.html", "report.md", "tables", "figures",
        "splits.npz",
    }  # fmt: skip


def test_workers_import_nothing_from_the_working_directory(tiny: Path, runner: Command) -> None:
    """It may be a checkout of this project, or contain a user's own torch.py."""
    (tiny.parent / "runner").mkdir()
    (tiny.parent / "runner" / "__init__.py").write_text("")
    (tiny.parent / "torch.py").write_text("raise ValueError('not this one')")
    done = runner("run", tiny, "--set", "training.epochs=1", "--tracking-uri", "none")
    assert done.returncode == 0, done.stderr


def test_a_second_run_trains_nothing_and_a_lost_line_trains_one_fit(tiny: Path, runner: Command, here: Command) -> None:
    here("run", tiny)
    report = tiny.parent / "reports" / "tiny"
    tables, page = stable_tables(report), (report / "report.html").read_bytes()
    again = runner("run", tiny)
    assert again.returncode == 0 and "nothing to train" in again.stderr and "0 fits to train" in again.stderr
    assert stable_tables(report) == tables and (report / "report.html").read_bytes() == page
    lines = journal_lines(report)
    (report / "journal.jsonl").write_text("".join(lines[:4] + lines[5:]))
    repaired = here("run", tiny)
    assert "1 fit to train, 11 are in the journal already" in repaired.stderr
    assert stable_tables(report) == tables and len(journal_lines(report)) == 12


def test_faults_become_failed_rows_and_the_other_fits_are_trained(tiny: Path, runner: Command, here: Command) -> None:
    (tiny.parent / "faulty.py").write_text(FAULTY)
    text = TINY.replace("plugins: []", "plugins: [./faulty.py]").replace("folds: 3", "folds: 2")
    text = text[: text.index("grid:")] + (
        "grid:\n  fault:\n"
        + "".join(
            f"    {fault}: {{augmentation: {{name: faulty, fault: {fault}}}}}\n"
            for fault in ("none", "raise", "kill", "nan")
        )
        + "    hang: {augmentation: {name: faulty, fault: hang}, training.timeout: 6s}\n"
        + "    diverge: {optimizer: {name: sgd, lr: 1e30}}\n"
    )
    tiny.write_text(text)
    done = runner("run", tiny)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    fits = pd.read_csv(tiny.parent / "reports" / "tiny" / "tables" / "fits.csv", keep_default_na=False)
    reasons = fits.groupby("fault")["reason"].agg(set).to_dict()
    assert (fits["status"] == "ok").sum() == 2 and reasons["none"] == {""}
    assert reasons["raise"] == {"ValueError: no such pixel"}
    assert reasons["kill"] == {"worker killed by SIGKILL (tried 2 times)"}
    # Both fits of the cell are trained as one group, which has their limits of 6 s together.
    assert reasons["hang"] == {"timed out after 12 s (tried 2 times): in apply (faulty.py:20)"}
    for fault in ("'nan", "diverge"):  # quoted, as pandas takes the name for a missing value
        assert all(reason.startswith("diverged: ") for reason in reasons[fault])
    cells = pd.read_csv(tiny.parent / "reports" / "tiny" / "tables" / "cells.csv").set_index("cell")
    assert cells.loc["raise", ["fits", "ok", "failed"]].tolist() == [2, 0, 2] and pd.isna(cells.loc["raise", "mean"])
    logs = [p.read_text() for p in (tiny.parent / "reports" / "tiny" / "fits").glob("*.log")]
    assert sum("faulty.py" in log for log in logs) == 4, "two that raised an exception, two that hung"

    again = here("run", tiny)
    assert again.returncode == 1 and "0 fits to train" in again.stderr, "a failure is a result too"
    (tiny.parent / "faulty.py").write_text(FAULTY.replace('"raise"', '"never"'))
    assert "10 fits to train" in runner("run", tiny, "--fail-fast").stderr, "the plugin's code is part of a fit's id"


def test_only_failed_retrains_the_failed_fits(tiny: Path, here: Command) -> None:
    (tiny.parent / "faulty.py").write_text(FAULTY.replace('self.fault == "raise"', 'os.path.exists("broken")'))
    (tiny.parent / "broken").touch()
    text = TINY.replace("plugins: []", "plugins: [./faulty.py]\naugmentation: faulty")
    tiny.write_text(text.replace("[max_pool, strided_conv]", "[max_pool]"))
    assert here("run", tiny, "--fail-fast").returncode == 1
    assert here("run", tiny).returncode == 1
    (tiny.parent / "broken").unlink()
    assert here("run", tiny, "--only", "failed").returncode == 0
    fits = pd.read_csv(tiny.parent / "reports" / "tiny" / "tables" / "fits.csv")
    assert len(fits) == 6 and (fits["status"] == "ok").all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_in_each_precision_completes(tiny: Path, here: Command, precision: str) -> None:
    done = here("run", tiny, "--set", f"training.precision={precision}", "--set", "grid={optimizer.lr: [1e-2]}")
    assert done.returncode == 0
    losses = pd.read_csv(tiny.parent / "reports" / "tiny" / "tables" / "fits.csv")["train_loss"]
    ids = [json.loads(line)["fit"]["id"] for line in journal_lines(tiny.parent / "reports" / "tiny")]
    assert losses.notna().all() and len(set(ids)) == 3
