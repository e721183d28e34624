"""A grid of 10,000 cells x 5 folds with an engine that returns at once: the cost of the runner's own work.

    .venv/bin/python benchmarks/scale.py [CELLS] [PUBLISHED]

Each line is the real command in a process of its own (`stub.py` replaces the torch engine). The default of 10,000 CELLS
takes about 3 minutes on 2 cores. MLflow is measured on PUBLISHED (100) cells, as 50,000 runs would take it 10 minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STUB = Path(__file__).with_name("stub.py")
FACTORS = {
    "architecture.width": list(range(1, 11)),
    "architecture.kernel": [1, 3, 5, 7],
    "architecture.convs": list(range(1, 6)),
    "architecture.downsample": ["max_pool", "avg_pool"],
    "optimizer.lr": [number / 1000 for number in range(1, 26)],
}
"""10 x 4 x 5 x 2 x 25 = 10,000 cells, with 400 different networks."""


def study(folder: Path, name: str, cells: int) -> Path:
    """Write the experiment with at most `cells` cells: the first factors are whole, the last ones shortened."""
    factors: dict[str, list[Any]] = {}
    for factor, levels in FACTORS.items():
        factors[factor] = levels[: max(1, cells)]
        cells //= len(factors[factor])
    file = folder / f"{name}.yaml"
    content = {
        "name": name, "dataset": "digits", "architecture": "stages", "optimizer": {"name": "sgd", "lr": 0.1},
        "training": {"epochs": 5, "engine": "torch"}, "cross_validation": {"folds": 5}, "grid": factors,
    }  # fmt: skip
    file.write_text(json.dumps(content))
    return file


def command(*arguments: object) -> tuple[dict[str, Any], str]:
    """Run a command with the stub: its measurements, and a line with its wall-clock and CPU seconds and memory."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(STUB), *map(str, arguments)], check=True, text=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    measured: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    cpu, peak = measured["cpu"], measured["peak"]
    return measured, f"{seconds:6.1f} s, {cpu:6.2f} s of CPU time in the main process, peak {peak:.0f} MB"


def parts(measured: dict[str, Any]) -> str:
    """CPU milliseconds per fit in the main process, by part."""
    # Without the start of MLflow, for which a run does not wait.
    fits, mlflow = measured["fits"], measured.get("mlflow", 0.0)
    # Journal entries are written within the training call.
    by_part = {
        "journal": measured["journal"],
        "scheduling": measured["training"] - measured["journal"],
        "MLflow": mlflow,
    }
    listed = ", ".join(f"{name} {1000 * seconds / fits:.2f}" for name, seconds in by_part.items())
    return f"ms/fit: {listed}; {1000 * sum(by_part.values()) / fits:.2f} in total"


def memory(measured: dict[str, Any]) -> str:
    """Megabytes in use after a tenth, half and all of the fits."""
    samples = measured["memory"]
    chosen = [samples[len(samples) // 10], samples[len(samples) // 2], samples[-1]] if samples else []
    return "MB in use: " + ", ".join(f"{size} after {fits} fits" for fits, size in chosen)


def main(cells: int = 10_000, published: int = 100) -> None:
    os.environ.setdefault("MPLCONFIGDIR", tempfile.mkdtemp())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        large, small = study(folder, "large", cells), study(folder, "small", published)
        reports, untracked = ("--reports", folder / "reports"), ("--tracking-uri", "none")
        print(f"plan of {cells} cells     {command('plan', large, *reports)[1]}")
        measured, line = command("run", large, *reports, *untracked)
        print(f"run of {measured['fits']} fits      {line}\n    {parts(measured)}\n    {memory(measured)}")
        print(f"    the report of {measured['fits']} fits: {measured['report']:.1f} s of CPU time")
        print(f"run again, all done   {command('run', large, *reports, *untracked)[1]}")
        tracked = ("--tracking-uri", f"sqlite:///{folder / 'mlflow.db'}")
        measured, line = command("run", small, *reports, *tracked)
        mlflow_start = f"starting MLflow {measured['mlflow start']:.2f} s"
        print(f"{measured['fits']} fits with MLflow  {line}\n    {parts(measured)}; {mlflow_start}")
        again = command("run", small, *reports, *tracked)[1]
        print(f"run again, all done   {again}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
