"""What publishing to MLflow costs per fit in CPU milliseconds: runs, values, views, the cells' pages and the report.

    .venv/bin/python benchmarks/publishing.py [--fits 1000] [--rounds 5] [--against FOLDER ...]

A study whose engine returns at once (`stub.py`) is trained once. In each round a copy of it is published to a new
sqlite store, as `runner publish` and the thread of a run do it. Importing and starting MLflow, for which no run waits,
is given beside it. `--against` measures further checkouts, each with its own .venv, in the same rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from scale import study
from side_by_side import machine
from stub import WITH_PICTURES

ROOT = Path(__file__).parents[1]
STUB = Path(__file__).with_name("stub.py")
FOLDS = 5
PUBLISH = """
import json, sys, time
from pathlib import Path
import runner.reporting.pages.write  # a run has it loaded for its report
from runner.flow import publishing
from runner.tracking.mlflow_tracker import MlflowTracker

spent, publish = [], MlflowTracker.publish

def after_start(tracker, *given, **options):
    if not spent:
        start = time.process_time()
        tracker.prepare()
        spent.append(time.process_time() - start)
    return publish(tracker, *given, **options)

MlflowTracker.publish = after_start
start = time.process_time()
publishing.publish(Path(sys.argv[1]), sys.argv[2])
print(json.dumps([time.process_time() - start - spent[0], spent[0]]))
"""


def train(folder: Path, fits: int) -> Path:
    """The folder of a finished study of so many fits, which was not published."""
    file = study(folder, "published", fits // FOLDS)
    options = ["--executor", "serial", "--reports", str(folder), "--tracking-uri", "none"]
    subprocess.run(
        [sys.executable, str(STUB), "run", str(file), *options], check=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env={**os.environ, WITH_PICTURES: "1"},
    )  # fmt: skip
    lines = (folder / "published" / "journal.jsonl").read_text().count('"fit"')
    assert lines == fits, f"this grid has {lines} fits"
    return folder / "published"


def publish(checkout: Path, trained: Path) -> tuple[float, float]:
    """CPU seconds of publishing by the code of a checkout, and of the start of MLflow."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(shutil.copytree(trained, Path(temporary) / trained.name))
        command = [checkout / ".venv/bin/python", "-c", PUBLISH, folder, f"sqlite:///{temporary}/mlflow.db"]
        done = subprocess.run([*map(str, command)], check=True, text=True, stdout=subprocess.PIPE)
    publishing, start = json.loads(done.stdout.splitlines()[-1])
    return publishing, start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fits", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    os.environ.setdefault("MPLCONFIGDIR", tempfile.mkdtemp())
    print(json.dumps(machine(("mlflow", "sqlalchemy", "numpy"))))
    checkouts = [ROOT, *(folder.resolve() for folder in given.against)]
    rounds: list[list[float]] = []
    with tempfile.TemporaryDirectory() as temporary:
        trained = train(Path(temporary), given.fits)
        for number in range(given.rounds):
            took = {}
            for checkout in checkouts if number % 2 else reversed(checkouts):
                publishing, start = publish(checkout, trained)
                took[checkout] = 1000 * publishing / given.fits
                print(f"{checkout.name}: {took[checkout]:.2f} ms per fit, {start:.2f} s to start MLflow", flush=True)
            rounds.append([took[checkout] for checkout in checkouts])
    for checkout, values in zip(checkouts, zip(*rounds, strict=True), strict=True):
        ratios = [row[0] / value for row, value in zip(rounds, values, strict=True)]
        print(f"{checkout.name}: {_spread(values)} ms of CPU time per fit; ours is {_spread(ratios)} times that")


def _spread(values: list[float] | tuple[float, ...]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
