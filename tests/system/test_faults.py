"""Every way in which a worker can die: it costs only its own fit, which reports the cause; the pool continues."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from command import Command, journal_lines

FAULTY = """\
import ctypes, os, resource, signal, sys, time
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from runner.api import Augmentation, hookimpl

@dataclass(frozen=True)
class Faulty:
    fault: str

    def draw(self, rng, count, shape):
        return {}

    def apply(self, images, draws):
        if len(images) <= 8:  # where the plan tries it
            return images
        print("so far so good")
        print("on the way to", self.fault, file=sys.stderr)
        fault, _, once = self.fault.partition(" ")
        marker = Path(once) if once else None
        if marker and marker.exists():
            return images
        if marker:
            marker.touch()
        if fault == "kill":
            held = np.ones(20_000_000)
            time.sleep(3)  # the peak memory is recorded every half second, on a busy machine later
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "segfault":
            ctypes.string_at(0)
        if fault == "exit":
            os._exit(0)
        if fault == "leave":
            sys.exit("enough")
        if fault == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if fault in ("hang", "deaf"):
            time.sleep(600)
        if fault == "nan":
            return images * float("nan")
        if fault == "torch":
            import torch

            torch.empty(2**50)
        if fault == "memory":
            resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
            np.ones(2**32)
        return images

def faulty(*, fault: str = "none"):
    return Faulty(fault)

@hookimpl
def register_augmentations():
    yield Augmentation(name="faulty", build=faulty)
"""

STUDY = """\
name: faults
plugins: [./faulty.py]
dataset: {name: digits, subset: 300}
architecture: {name: stages, width: 2, stages: 1}
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 1, engine: numpy, timeout: 20s}
cross_validation: {folds: 2}
grid:
  fault:
"""

EXPECTED = {
    "none": "",
    "kill": "worker killed by SIGKILL (tried 2 times): last output 'on the way to kill'",
    "exit": "worker exited with status 0 (tried 2 times): last output 'on the way to exit'",
    "leave": "SystemExit: enough",
    "segfault": "worker killed by SIGSEGV (tried 2 times): in string_at (__init__.py:",
    "memory": "out of memory (tried 2 times): Unable to allocate 32.0 GiB",
    "hang": "timed out after 3 s (tried 2 times): in apply (faulty.py:",
    "deaf": "timed out after 3 s (tried 2 times): last output 'on the way to deaf'",
}


def write_study(folder: Path, faults: dict[str, str]) -> Path:
    """Write an experiment with one cell per fault, by name, and its plugin; returns the path of its YAML file."""
    (folder / "faulty.py").write_text(FAULTY)
    limits = dict.fromkeys(("hang", "deaf"), ", training.timeout: 3s")
    levels = [
        f"    {name}: {{augmentation: {{name: faulty, fault: {fault}}}{limits.get(name, '')}}}\n"
        for name, fault in faults.items()
    ]
    (folder / "faults.yaml").write_text(STUDY + "".join(levels))
    return folder / "faults.yaml"


def read_fits(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "reports" / "faults" / "tables" / "fits.csv", keep_default_na=False)


def test_a_failed_fit_reports_what_killed_its_worker_where_it_was_and_its_memory(
    tmp_path: Path, runner: Command
) -> None:
    done = runner("run", write_study(tmp_path, {name: name for name in EXPECTED}), "--workers", 2)
    assert done.returncode == 1 and "Traceback" not in done.stderr + done.stdout
    fits = read_fits(tmp_path)
    for fault, reason in EXPECTED.items():
        reasons = set(fits["reason"][fits["fault"] == fault])
        assert len(reasons) == 1 and reasons.pop().startswith(reason), fault
    assert done.stderr.count("trying again") == 2 * (len(EXPECTED) - 2), (
        "only lost workers are tried again: not good fits, nor those that raised"
    )
    report = tmp_path / "reports" / "faults"
    results = [json.loads(line)["fit"] for line in journal_lines(report)]
    names = dict(zip(fits["id"], fits["fault"], strict=True))
    for result in results:
        assert result["memory"] > 10e6, names[result["id"]]
        if names[result["id"]] == "kill":
            assert result["memory"] > 160e6, "the 160 MB array was recorded before the kill"
        if result["status"] == "failed":
            log = (report / "fits" / f"{result['id']}.log").read_text()
            assert log.startswith(result["reason"] + "\npeak memory: ") and "so far so good\n" in log
            assert ("faulty.py" in log) == (names[result["id"]] not in ("kill", "exit", "deaf"))
    assert "so far so good" in done.stderr and "so far so good" not in done.stdout, (
        "the output of good fits goes to stderr"
    )


@pytest.mark.parametrize("retries", [0, 1])
def test_a_fit_whose_worker_was_lost_is_tried_again_as_often_as_retries_allows(
    tmp_path: Path, runner: Command, retries: int
) -> None:
    names = ["kill", "segfault", "memory", "hang"]
    file = write_study(tmp_path, {name: f"{name} {tmp_path / name}" for name in names})
    done = runner("run", file, "--workers", 1, "--set", f"training.retries={retries}")
    fits = read_fits(tmp_path).groupby("fault")["status"].apply(sorted).to_dict()
    expected = ["failed", "ok"] if retries == 0 else ["ok", "ok"]
    assert fits == dict.fromkeys(names, expected), done.stderr
    assert done.stdout.count("1 of 2" if retries == 0 else "2 of 2") == len(names), "how many fits a mean is over"
    assert done.returncode == (1 if retries == 0 else 0)


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_a_fit_that_diverges_is_left_out_of_the_mean_and_the_tables_say_so(
    tmp_path: Path, here: Command, engine: str
) -> None:
    file = write_study(tmp_path, {"good": "none", "diverges": f"nan {tmp_path / 'marker'}"})
    done = here("run", file, "--set", f"training.engine={engine}")
    assert done.returncode == 1 and "trying again" not in done.stderr
    fits = read_fits(tmp_path).set_index("fault")
    bad, good = fits.loc["diverges"].sort_values("status").to_dict("records")
    assert bad["reason"].startswith("diverged: ") and bad["val_accuracy"] == "" and good["status"] == "ok"
    rows = [line for line in done.stdout.splitlines() if line.startswith(("good ", "diverges "))]
    assert sorted(("1 of 2" in row, "2 of 2" in row) for row in rows) == [(False, True), (True, False)], done.stdout
    report = tmp_path / "reports" / "faults"
    cells = pd.read_csv(report / "tables" / "cells.csv").set_index("cell")
    assert cells.loc["diverges", ["fits", "ok", "failed"]].tolist() == [2, 1, 1]
    assert cells.loc["diverges", "mean"] == pytest.approx(float(good["val_accuracy"]))
    for page in ("report.md", "report.html"):
        assert "1 of 2" in (report / page).read_text()


def test_torch_out_of_memory_is_reported_as_out_of_memory(tmp_path: Path, runner: Command) -> None:
    file = write_study(tmp_path, {"none": "none", "torch": "torch"})
    done = runner("run", file, "--set", "training.engine=torch", "--workers", 1)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    fits = read_fits(tmp_path).set_index("fault")
    assert set(fits.loc["none", "status"]) == {"ok"}
    assert all(reason.startswith("out of memory (tried 2 times): ") for reason in fits.loc["torch", "reason"])


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_a_fit_that_stays_at_chance_ends_early_if_stuck_after_is_set(
    tmp_path: Path, here: Command, engine: str
) -> None:
    levels = {
        "learns": "{optimizer.lr: 2e-2, training.stuck_after: 2}",
        "stuck": "{optimizer.lr: 1e-12, training.stuck_after: 2}",
        "unchecked": "{optimizer.lr: 1e-12}",
    }
    text = STUDY.replace("plugins: [./faulty.py]\n", "").replace(
        "epochs: 1, engine: numpy", f"epochs: 4, engine: {engine}"
    )
    text = text.replace("subset: 300", "subset: 900").replace("width: 2", "width: 8")
    text = text.replace("grid:\n  fault:\n", "grid:\n  kind:\n") + "".join(f"    {k}: {v}\n" for k, v in levels.items())
    (tmp_path / "faults.yaml").write_text(text)
    done = here("run", tmp_path / "faults.yaml")
    fits = read_fits(tmp_path)
    assert fits.groupby("kind")["status"].agg(set).to_dict() == {
        "learns": {"ok"}, "stuck": {"failed"}, "unchecked": {"ok"},
    }, done.stderr  # fmt: skip
    reasons = fits["reason"][fits["kind"] == "stuck"]
    assert all("after epoch 2, no better than chance (0.1" in reason for reason in reasons)
    assert done.returncode == 1 and "tried 2 times" not in done.stderr
