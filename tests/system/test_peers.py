"""The benchmarks' peers do the same work as the YAML files of archrunner, and the tables show what was measured."""

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
GRIDS = ("tiny", "small", "medium")


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules in a benchmark's folder can be imported, as when it is run by its path."""
    monkeypatch.syspath_prepend(str(BENCHMARKS / "peers"))
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def plans(tmp_path: Path) -> dict[str, Any]:
    images, labels = np.zeros((30, 3, 32, 32), np.uint8), np.arange(30) % 10
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    file = {"medium": [f"dataset.file={tmp_path / 'images.npz'}"]}
    return {grid: make_plan(load(BENCHMARKS / f"{grid}.yaml", file.get(grid, ()))) for grid in GRIDS}


def expected_settings(plan: Any) -> dict[str, Any]:
    """What a peer must have in common with the plan."""
    settings = plan.cells[0].settings
    return {
        "parameters": {cell.name: cell.parameters for cell in plan.cells},
        "epochs": settings.training.epochs,
        "batch": settings.training.batch_size,
        "lr": settings.optimizer.parameters["lr"],
        "folds": plan.folds,
    }


def count_parameters(network: Any) -> int:
    return sum(array.numel() for array in network.parameters())


@pytest.mark.parametrize("grid", GRIDS)
def test_peers_have_our_networks_and_settings(grid: str, plans: dict[str, Any], imports: None) -> None:
    pytest.importorskip("torch")
    common = runpy.run_path(str(BENCHMARKS / "peers" / "common.py"))
    handwritten = runpy.run_path(str(BENCHMARKS / "peers" / "handwritten.py"), run_name="handwritten")
    shape, expected = plans[grid].data["shape"], expected_settings(plans[grid])
    settings = common["GRIDS"][grid]

    def parameters(program: dict[str, Any], networks: dict[str, Any]) -> dict[str, int]:
        return {name: count_parameters(program["network"](shape, **arguments)) for name, arguments in networks.items()}

    shared = {key: getattr(settings, key) for key in ("epochs", "batch", "lr", "folds")}
    assert {"parameters": parameters(common, settings.networks), **shared} == expected
    own = parameters(handwritten, handwritten["NETWORKS"][grid])
    assert {"parameters": own, **handwritten["SETTINGS"][grid]} == expected


@pytest.mark.parametrize("grid", GRIDS)
def test_hydra_sweeps_over_our_grid(grid: str) -> None:
    conf = BENCHMARKS / "peers" / "hydra_multirun" / "conf" / f"{grid}.yaml"
    sweep = yaml.safe_load(conf.read_text(encoding="utf-8"))["hydra"]["sweeper"]["params"]
    ours = yaml.safe_load((BENCHMARKS / f"{grid}.yaml").read_text(encoding="utf-8"))
    assert sweep.pop("fold") == f"range({ours['cross_validation']['folds']})"
    levels = [{str(level) for level in factor} for factor in ours["grid"].values()]
    assert [{level.replace("_x_", " x ") for level in values.split(",")} for values in sweep.values()] == levels


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
    page = runpy.run_path(str(BENCHMARKS / "peer_tables.py"))["page"]
    walls = [(2.0, 4.0, 12.0), (10.0, 30.0, 80.0), (3.0, 12.0, 9.0)]
    programs = ("ours float32", "handwritten", "skorch")
    rounds = [dict(zip(programs, map(run_of, seconds), strict=True)) for seconds in walls]
    machine = {"processor": "P", "cores": 2, "bfloat16": "none known", "system": "S", "python": "3", "versions": {}}
    text = page({"machine": machine, "job": "tiny", "cold": False, "load": 0.0, "rounds": rounds})
    assert "| **archrunner, float32** | 3.0 (2.0 to 10.0) | 6.0 (4.0 to 20.0) | 3.00 (2.00 to 4.00) | 1.00" in text
    assert "| 0.38 (0.33 to 1.33) | 6.00 (3.00 to 8.00) |" in text


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (run_of(1.0, 0.6), "other accuracies"),
        ({**run_of(1.0), "parameters": {"a": 8}}, "other networks"),
        ({**run_of(1.0), "accuracies": {"a": [0.5, 0.5]}}, "2 fits"),
    ],
)
def test_other_work_than_that_of_the_handwritten_loop_fails(run: dict[str, Any], message: str, imports: None) -> None:
    check = runpy.run_path(str(BENCHMARKS / "against_peers.py"))["check"]
    check("tiny", "skorch", run_of(9.0, 0.52), run_of(1.0))
    with pytest.raises(SystemExit, match=message):
        check("tiny", "skorch", run, run_of(1.0))


@pytest.mark.skipif(sys.platform != "linux", reason="orphans have a new parent on Linux only")
def test_cpu_seconds_include_processes_that_a_program_leaves_behind(tmp_path: Path) -> None:
    """A grandchild that nobody waits for, which computes for half a second after its parent has ended."""
    busy = "import time\nwhile time.process_time() < 0.5: pass"
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {busy!r}])"
    script = f"""
import json, os, sys
from pathlib import Path
from side_by_side import adopt_orphans, measure
adopt_orphans()
print(json.dumps(measure([sys.executable, "-c", {parent!r}], dict(os.environ), Path.cwd()).cpu))
"""
    file = BENCHMARKS / "side_by_side.py"
    code = f"import sys; sys.path.insert(0, {str(file.parent)!r})\n{script}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) >= 0.5


def test_two_builds_are_compared_round_by_round(imports: None) -> None:
    table = runpy.run_path(str(BENCHMARKS / "builds.py"))["table"]
    # The second round was measured while the machine was busy: that is no difference between the builds.
    rounds = [
        {"base": {"report of 60 fits, s": base}, "ours": {"report of 60 fits, s": ours}}
        for base, ours in ((2.0, 1.0), (8.0, 4.0), (2.0, 1.2))
    ]
    assert "| report of 60 fits, s | base | 2.00 | 1.20 | **0.50** (0.50 to 0.60) | 0.60 |" in table(rounds)


def test_a_row_that_builds_do_not_have_is_refused() -> None:
    command = [sys.executable, str(BENCHMARKS / "builds.py"), "HEAD", "--rows", "tiny,reports"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "unknown: reports; allowed: tiny, demo, report, large" in done.stderr
