"""A grid of 10,000 cells x 5 folds, with an engine that returns at once: what the runner's own work takes.

    .venv/bin/python benchmarks/scale.py [CELLS] [PUBLISHED]

Each line is the real command in a process of its own (`stub.py` puts the engine in the place of torch). CELLS of 10,000
take about 3 minutes on 2 cores. MLflow is measured on PUBLISHED (100) of them, as 50,000 runs take it 10 minutes.
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
"""10 x 4 x 5 x 2 x 25: 400 networks."""


def study(folder: Path, name: str, cells: int) -> Path:
    """An experiment of at most so many cells: the last factor is cut first, then the one before."""
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
    """What the stub tells of a command, with its seconds by the clock; and the line that shows them."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(STUB), *map(str, arguments)], check=True, text=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    told: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    return told, f"{seconds:6.1f} s, {told['cpu']:6.2f} s of the driver's processor, up to {told['peak']:.0f} MB"


def parts(told: dict[str, Any]) -> str:
    """Milliseconds of processor a fit in the driver, by part."""
    fits, mlflow = told["fits"], told.get("mlflow", 0.0)  # without its start, for which a run does not wait
    shares = {"journal": told["journal"], "scheduling": told["training"] - told["journal"], "MLflow": mlflow}
    listed = ", ".join(f"{name} {1000 * seconds / fits:.2f}" for name, seconds in shares.items())
    return f"ms a fit: {listed}; {1000 * sum(shares.values()) / fits:.2f} in all"


def memory(told: dict[str, Any]) -> str:
    """Megabytes in use after a tenth, half and all of the fits."""
    samples = told["memory"]
    chosen = [samples[len(samples) // 10], samples[len(samples) // 2], samples[-1]] if samples else []
    return "MB in use: " + ", ".join(f"{size} after {fits} fits" for fits, size in chosen)


def main(cells: int = 10_000, published: int = 100) -> None:
    os.environ.setdefault("MPLCONFIGDIR", tempfile.mkdtemp())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        large, small = study(folder, "large", cells), study(folder, "small", published)
        where, quiet = ("--reports", folder / "reports"), ("--tracking-uri", "none")
        print(f"plan of {cells} cells     {command('plan', large, *where)[1]}")
        told, line = command("run", large, *where, *quiet)
        print(f"run of {told['fits']} fits      {line}\n    {parts(told)}\n    {memory(told)}")
        print(f"    the report of {told['fits']} fits: {told['report']:.1f} s of processor")
        print(f"run again, all done   {command('run', large, *where, *quiet)[1]}")
        told, line = command("run", small, *where, "--tracking-uri", f"sqlite:///{folder / 'mlflow.db'}")
        print(
            f"{told['fits']} fits with MLflow  {line}\n    {parts(told)}; starting MLflow {told['mlflow start']:.2f} s"
        )
        again = command("run", small, *where, "--tracking-uri", f"sqlite:///{folder / 'mlflow.db'}")[1]
        print(f"run again, all done   {again}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
