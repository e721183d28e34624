"""The benchmarks' peers do the work of the files that we run, and the tables say what was measured."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command import ROOT

from runner.experiment.load import load
from runner.planning.make_plan import make_plan

BENCHMARKS = ROOT / "benchmarks"
JOBS = ("tiny", "small", "medium")


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules beside a benchmark are found, as when it is run by its path."""
    monkeypatch.syspath_prepend(str(BENCHMARKS / "peers"))
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def plans(tmp_path: Path) -> dict[str, Any]:
    images, labels = np.zeros((20, 3, 32, 32), np.uint8), np.arange(20) % 10
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    file = {"medium": [f"dataset.file={tmp_path / 'images.npz'}"]}
    return {job: make_plan(load(BENCHMARKS / f"{job}.yaml", file.get(job, ()))) for job in JOBS}


def facts(plan: Any) -> dict[str, Any]:
    """All that a peer has to have in common with the plan."""
    settings = plan.cells[0].settings
    return {
        "parameters": {cell.name: cell.parameters for cell in plan.cells},
        "epochs": settings.training.epochs,
        "batch": settings.training.batch_size,
        "lr": settings.optimizer.parameters["lr"],
        "folds": plan.folds,
    }


def parameters(network: Any) -> int:
    return sum(array.numel() for array in network.parameters())


@pytest.mark.parametrize("job", JOBS)
def test_peers_have_our_networks_and_settings(job: str, plans: dict[str, Any], imports: None) -> None:
    pytest.importorskip("torch")
    common = runpy.run_path(str(BENCHMARKS / "peers" / "common.py"))
    by_hand = runpy.run_path(str(BENCHMARKS / "peers" / "handwritten.py"), run_name="by_hand")
    shape, expected = plans[job].data["shape"], facts(plans[job])
    of = common["JOBS"][job]
    shared = {name: parameters(common["network"](shape, **chosen)) for name, chosen in of.networks.items()}
    own = {name: parameters(by_hand["network"](shape, **chosen)) for name, chosen in by_hand["NETWORKS"][job].items()}
    assert {"parameters": shared, **{key: getattr(of, key) for key in ("epochs", "batch", "lr", "folds")}} == expected
    assert {"parameters": own, **by_hand["SETTINGS"][job]} == expected


@pytest.mark.parametrize("job", JOBS)
def test_hydra_sweeps_over_our_grid(job: str) -> None:
    conf = BENCHMARKS / "peers" / "hydra_multirun" / "conf" / f"{job}.yaml"
    swept = yaml.safe_load(conf.read_text(encoding="utf-8"))["hydra"]["sweeper"]["params"]
    ours = yaml.safe_load((BENCHMARKS / f"{job}.yaml").read_text(encoding="utf-8"))
    assert swept.pop("fold") == f"range({ours['cross_validation']['folds']})"
    levels = [{str(level) for level in factor} for factor in ours["grid"].values()]
    found = [{level.replace("_x_", " x ") for level in values.split(",")} for values in swept.values()]
    assert found == levels


def test_small_is_the_demo() -> None:
    demo, small = (
        yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in (BENCHMARKS.parent / "experiments" / "pooling_vs_stride.yaml", BENCHMARKS / "small.yaml")
    )
    assert small["grid"] == demo["grid"]
    for key in ("dataset", "architecture", "optimizer", "cross_validation"):
        assert small[key] == demo[key]
    assert small["training"] == demo["training"] | {"precision": "float32"}


def run_of(wall: float, accuracy: float = 0.5) -> dict[str, Any]:
    return {
        "wall": wall,
        "cpu": 2 * wall,
        "accuracies": {"a": [accuracy]},
        "parameters": {"a": 7},
        "fits": {"a": [1.0]},
    }


def test_ratios_are_of_times_of_one_round(imports: None) -> None:
    table = runpy.run_path(str(BENCHMARKS / "peer_tables.py"))["table"]
    walls = [(2.0, 4.0, 12.0), (10.0, 30.0, 80.0), (3.0, 12.0, 9.0)]
    rounds = [dict(zip(("ours float32", "handwritten", "skorch"), map(run_of, some), strict=True)) for some in walls]
    of = {"processor": "P", "cores": 2, "bfloat16": "none known", "system": "S", "python": "3", "versions": {}}
    text = table({"machine": of, "job": "tiny", "cold": False, "load": 0.0, "rounds": rounds})
    assert "| **ours, float32** | 3.0 (2.0 to 10.0) | 6.0 (4.0 to 20.0) | 3.00 (2.00 to 4.00) | 1.00" in text
    assert "| 0.38 (0.33 to 1.33) | 6.00 (3.00 to 8.00) |" in text


@pytest.mark.parametrize(
    ("run", "word"),
    [
        (run_of(1.0, 0.6), "other accuracies"),
        ({**run_of(1.0), "parameters": {"a": 8}}, "other networks"),
        ({**run_of(1.0), "accuracies": {"a": [0.5, 0.5]}}, "2 fits"),
    ],
)
def test_other_work_than_by_hand_fails(run: dict[str, Any], word: str, imports: None) -> None:
    check = runpy.run_path(str(BENCHMARKS / "against_peers.py"))["check"]
    check("tiny", "skorch", run_of(9.0, 0.52), run_of(1.0))
    with pytest.raises(SystemExit, match=word):
        check("tiny", "skorch", run, run_of(1.0))


@pytest.mark.skipif(sys.platform != "linux", reason="orphans have a new parent on Linux only")
def test_processor_seconds_count_what_a_program_leaves_behind(tmp_path: Path) -> None:
    """A child of a child that nobody waits for, at work for half a second when its parents have ended."""
    busy = "import time\nwhile time.process_time() < 0.5: pass"
    leaves = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {busy!r}])"
    script = f"""
import json, os, sys
from pathlib import Path
from side_by_side import adopt_orphans, timed
adopt_orphans()
print(json.dumps(timed([sys.executable, "-c", {leaves!r}], dict(os.environ), Path.cwd()).cpu))
"""
    file = BENCHMARKS / "side_by_side.py"
    code = f"import sys; sys.path.insert(0, {str(file.parent)!r})\n{script}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) >= 0.5
