"""What publishing to MLflow costs the process that drives a run: CPU milliseconds per fit, everything included.

    .venv/bin/python benchmarks/publishing.py [--fits 1000] [--rounds 5] [--against FOLDER ...]

A round runs a grid with an engine that returns at once (`stub.py`) into a new sqlite store. Measured is the thread that
publishes: runs, values, views, the cells' pages, the report and its archive; importing and starting MLflow, for which
no run waits, is given beside it. `--against` measures further checkouts, each with its own .venv, in the same rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from statistics import median

from scale import study
from side_by_side import machine
from stub import WITH_PICTURES

ROOT = Path(__file__).parents[1]
STUB = Path(__file__).with_name("stub.py")
FOLDS = 5


def round_of(checkout: Path, fits: int) -> dict[str, float]:
    """CPU milliseconds per fit that the publisher's thread takes in one run by the code of a checkout."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        file = study(folder, "published", fits // FOLDS)
        # In one process, as workers are not measured.
        options = ["--executor", "serial", "--reports", folder, "--tracking-uri", f"sqlite:///{folder / 'mlflow.db'}"]
        done = subprocess.run(
            [*map(str, (checkout / ".venv/bin/python", STUB, "run", file, *options))], check=True, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, WITH_PICTURES: "1"},
        )  # fmt: skip
    took: dict[str, float] = json.loads(done.stderr.splitlines()[-1])
    assert took["fits"] == fits and "not everything is in MLflow" not in done.stderr, done.stderr
    runs, report = took["mlflow"], took["mlflow report"]
    parts = {
        "publishing a fit": took["publisher"] - took["mlflow start"], "  of it runs": runs,
        "  of it pages and report": report, "starting MLflow": took["mlflow start"],
    }  # fmt: skip
    return {name: 1000 * seconds / fits for name, seconds in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fits", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    os.environ.setdefault("MPLCONFIGDIR", tempfile.mkdtemp())
    print(json.dumps(machine(("mlflow", "sqlalchemy", "numpy"))))
    checkouts = [ROOT, *(folder.resolve() for folder in given.against)]
    rounds: dict[Path, list[dict[str, float]]] = {checkout: [] for checkout in checkouts}
    for number in range(given.rounds):
        for checkout in checkouts if number % 2 else reversed(checkouts):
            rounds[checkout].append(round_of(checkout, given.fits))
            print(f"{checkout.name:12}{rounds[checkout][-1]}", flush=True)
    for checkout, found in rounds.items():
        print(f"{checkout.name}: CPU milliseconds per fit of {given.fits}, median (lowest to highest)")
        for name in found[0]:
            values = [each[name] for each in found]
            print(f"  {name:26}{median(values):6.2f} ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main()
