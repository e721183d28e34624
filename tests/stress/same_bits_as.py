"""Runs three small studies on both engines with this code and with an earlier commit, and compares them bit for bit.

    python tests/stress/same_bits_as.py 667660a

The earlier commit is checked out into a temporary folder and run by this environment's Python. The journals are
compared fit by fit, and so is every table, without times, workers, memory and versions.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
VARYING = {"seconds", "worker", "cpu", "memory", "finished", "versions"}
VARYING_COLUMNS = {"seconds", "worker", "seconds_ratio", "seconds_to_target", "forward_share", "backward_share"}
ENGINES = ("torch", "numpy")
STUDIES = {
    "pooling": """\
architecture: {name: stages, width: 4, stages: 1}
augmentation: [{name: shift, pixels: 1}, mixup]
optimizer: {name: adam, lr: 1e-2, schedule: cosine}
training: {epochs: 3, batch_size: 64, engine: ENGINE, device: cpu}
cross_validation: {folds: 3, repeats: 2}
grid:
  architecture.downsample: [max_pool, avg_pool, strided_conv]
""",
    "residual": """\
architecture: {name: resnet_cifar, depth: 20}
optimizer: {name: sgd, lr: 0.1, momentum: 0.9, weight_decay: 1e-4, clip: 1.0}
training: {epochs: 1, batch_size: 100, engine: ENGINE, device: cpu}
cross_validation: {folds: 2}
grid:
  architecture.residual: [true, false]
""",
    "dropout": """\
architecture: {name: small_vgg, width: 4}
augmentation: {name: shift, pixels: 1}
optimizer: {name: rmsprop, lr: 1e-3}
training: {epochs: 2, batch_size: 50, engine: ENGINE, device: cpu, precision: float64}
cross_validation: {folds: 3}
grid:
  - training.batch_size: [50, 100]
  - optimizer: [{name: lion, lr: 1e-3}]
""",
}
# The checkout's code must come before the installed package. Its `plugins` folder is not inside `runner`, as it is in
# an installed package, so the checkout's root is added to the package's path: runner.plugins is then found there.
PROGRAM = """\
import sys
root = sys.argv.pop(1)
sys.path.insert(0, root)
import runner
assert runner.__file__.startswith(root), runner.__file__
runner.__path__.append(root)
from runner.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run(checkout: Path, folder: Path, name: str, engine: str) -> Path:
    """Run the study with the code in `checkout`; returns the folder of its report."""
    folder.mkdir(parents=True)
    data = "dataset: {name: digits, subset: 300}\n"
    (folder / "study.yaml").write_text(f"name: {name}\n{data}{STUDIES[name].replace('ENGINE', engine)}")
    environment = {**os.environ, "PYTHONPATH": str(checkout), "ARCHRUNNER_CACHE": str(folder / "cache")}
    command = ["run", "study.yaml", "--executor", "serial", "--tracking-uri", "none"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(checkout), *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{checkout}: {name} on {engine} failed:\n{done.stderr}")
    return folder / "reports" / name


def journal(report: Path) -> dict[str, Any]:
    """The journal's fits by id, without what may differ between equal runs."""
    fits = (
        entry["fit"] for entry in map(json.loads, (report / "journal.jsonl").read_text().splitlines()) if "fit" in entry
    )
    return {fit["id"]: {key: value for key, value in fit.items() if key not in VARYING} for fit in fits}


def tables(report: Path) -> dict[str, list[dict[str, str]]]:
    """The rows of every table, without the columns that may differ between equal runs."""
    by_name = {}
    for path in sorted((report / "tables").glob("*.csv")):
        with path.open(newline="") as file:
            rows = csv.DictReader(file)
            by_name[path.name] = [{k: v for k, v in row.items() if k not in VARYING_COLUMNS} for row in rows]
    return by_name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", help="the earlier commit")
    base = parser.parse_args().base
    different = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "base")], check=True)
        subprocess.run(["git", "-C", str(folder / "base"), "checkout", "--quiet", base], check=True)
        for study in STUDIES:
            for engine in ENGINES:
                now = run(ROOT, folder / "now" / engine / study, study, engine)
                before = run(folder / "base", folder / "before" / engine / study, study, engine)
                fits, same = len(journal(now)), journal(now) == journal(before) and tables(now) == tables(before)
                different += not same
                print(f"{study} on {engine}: {fits} fits, {'the same bits' if same else 'DIFFERENT'}", flush=True)
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
