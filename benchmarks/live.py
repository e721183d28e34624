"""What it costs a run that its fits can be watched in MLflow: CPU seconds of that, and its share of the whole run.

    .venv/bin/python benchmarks/live.py [ROUNDS] [EPOCHS]

Each round is a real run of 2 fits on digits in one process, each long enough to be shown several times. Counted is
writing how far the fits are, reading that, and logging it. What is logged of a fit then is not logged at its end, which
is not subtracted. On a machine that is busy with other work the share is too high: states are written by the clock, and
less is trained between two.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from side_by_side import machine

STUDY = {
    "name": "watched", "dataset": "digits", "architecture": {"name": "stages", "width": 32, "stages": 2},
    "optimizer": {"name": "adam", "lr": 1e-3}, "cross_validation": {"folds": 2},
}  # fmt: skip
PROGRAM = """
import json, sys, time
from runner import cli
from runner.fits.live import LiveFile
from runner.tracking.mlflow_tracker import MlflowTracker

spent, shown = [0.0], [0]

def counted(owner, name):
    function = getattr(owner, name)

    def timed(*given, **options):
        start = time.thread_time()
        try:
            return function(*given, **options)
        finally:
            spent[0] += time.thread_time() - start
            shown[0] += name == "watch"

    setattr(owner, name, timed)

for owner, name in ((LiveFile, "__init__"), (LiveFile, "offer"), (MlflowTracker, "watch"), (MlflowTracker, "show")):
    counted(owner, name)
status = cli.main(sys.argv[1:])
print(json.dumps([spent[0], time.process_time(), shown[0], status]))
"""


def run(folder: Path, epochs: int) -> tuple[float, float, int]:
    """CPU seconds of what is measured, and of the whole run, and how often states were read."""
    file = folder / "watched.yaml"
    training = {"epochs": epochs, "batch_size": 50, "stacking": "off"}
    file.write_text(json.dumps(STUDY | {"training": training}))
    options = ["--executor", "serial", "--reports", folder / "reports"]
    command = [sys.executable, "-c", PROGRAM, "run", file, *options]
    done = subprocess.run(
        [*map(str, command)], check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    live, whole, shown, status = json.loads(done.stdout.splitlines()[-1])
    assert status == 0, done.stdout
    return live, whole, shown


def main(rounds: int = 5, epochs: int = 60) -> None:
    os.environ.setdefault("MPLCONFIGDIR", tempfile.mkdtemp())
    print(json.dumps(machine(("mlflow", "torch", "numpy"))))
    shares = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as temporary:
            live, whole, shown = run(Path(temporary), epochs)
        shares.append(100 * live / whole)
        print(f"{live:.2f} of {whole:.1f} s of CPU time ({shares[-1]:.2f}%), read {shown} times", flush=True)
    print(f"watching costs {median(shares):.2f}% ({min(shares):.2f} to {max(shares):.2f}) of a run's CPU time")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
