"""Whole grids by archrunner and by its peers in one run, as ratios to a handwritten loop.

    python benchmarks/against_peers.py [--grids tiny,small,medium] [--rounds 5] [--peers handwritten,skorch,...]

The programs of a round run one at a time, in an order that rotates by one from round to round. Each is timed from the
start of its process to its end. archrunner is `runner run FILE --workers 2` into a new folder, with a journal, MLflow
in a new sqlite store, and a report. `medium` needs the folder cifar-10-batches-py: --cifar10 FOLDER or $CIFAR10.

A run before the first round fills archrunner's data cache, as a user's first run does; with --cold the cache is empty
each time. The peers load the data as their users would.

Prints the tables and writes them, and all values as JSON, to benchmarks/results. Fails if a program trained other
networks than the handwritten loop, or if its mean accuracies differ by more than 3 points and noise.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from cifar_batch import batch_file, convert
from peer_tables import REFERENCE, page
from side_by_side import adopt_orphans, machine, measure

from runner.files.cache import cache_folder
from runner.journal.index import read as read_journal
from runner.planning.plan_file import read as read_plan

HERE = Path(__file__).parent
GRIDS = ("tiny", "small", "medium")
PROGRAMS = {
    REFERENCE: ("handwritten.py", "torch"),
    "skorch": ("skorch_grid.py", "skorch"),
    "hydra": ("hydra_multirun/grid.py", "hydra_plugins"),
    "ray": ("ray_tune.py", "ray"),
    "lightning": ("lightning_folds.py", "lightning"),
}
"""The peers: each one's file and the package that it needs."""
PACKAGES = (
    "archrunner", "torch", "numpy", "scikit-learn", "mlflow", "skorch", "hydra-core", "hydra-joblib-launcher", "joblib",
    "ray", "lightning",
)  # fmt: skip
AGREEMENT = 0.03
"""The difference that is always allowed between two mean accuracies of the same network."""


@dataclass(frozen=True)
class Setting:
    """Where one grid is measured: a temporary folder, and the environment of all programs."""

    grid: str
    scratch: Path
    cold: bool
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, program: str) -> dict[str, Any]:
        """Run a program on the grid: wall-clock and CPU seconds, accuracies and parameters."""
        run = self._ours if program.startswith("ours") else self._peer
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            return run(program, Path(folder))

    def _peer(self, program: str, folder: Path) -> dict[str, Any]:
        file, _ = PROGRAMS[program]
        measured = measure([sys.executable, str(HERE / "peers" / file), self.grid], self.environment, folder)
        return {"wall": measured.wall, "cpu": measured.cpu, **json.loads(measured.output.splitlines()[-1])}

    def _ours(self, program: str, folder: Path) -> dict[str, Any]:
        runner = str(Path(sys.executable).parent / "runner")
        command = [runner, "run", str(HERE / f"{self.grid}.yaml"), "--workers", "2", "--reports", str(folder)]
        settings = [f"training.precision={program.removeprefix('ours ')}"]
        if self.grid == "medium":
            settings.append(f"dataset.file={self.environment['CIFAR10_BATCH']}")
        cache = folder / "cache" if self.cold else self.scratch / "cache"
        environment = self.environment | {"ARCHRUNNER_CACHE": str(cache)}
        options = [part for setting in settings for part in ("--set", setting)]
        measured = measure([*command, *options], environment, folder)
        return {"wall": measured.wall, "cpu": measured.cpu, **_read_results(folder / self.grid)}


def _read_results(folder: Path) -> dict[str, Any]:
    """From archrunner's report folder: accuracies, parameters and CPU seconds per fit by network; number of images."""
    plan, (results, _) = read_plan(folder / "plan.yaml"), read_journal(folder / "journal.jsonl")
    reasons = [result.reason for result in results if result.status != "ok"]
    if reasons or len(results) != plan.fit_count:
        sys.exit(f"{plan.name}: {len(results)} of {plan.fit_count} fits, {len(reasons)} of them failed: {reasons[:1]}")
    by_cell = {cell.id: [result for result in results if result.cell == cell.id] for cell in plan.cells}
    return {
        "accuracies": {cell.name: [r.final("val_accuracy") for r in by_cell[cell.id]] for cell in plan.cells},
        "parameters": {cell.name: cell.parameters for cell in plan.cells},
        "images": plan.data["size"],
        "fits": {cell.name: [result.cpu for result in by_cell[cell.id]] for cell in plan.cells},
    }


def check(grid: str, program: str, run: dict[str, Any], reference: dict[str, Any]) -> None:
    """Exit if a program did not do the same work as the handwritten loop."""
    if run["parameters"] != reference["parameters"]:
        networks = f"{run['parameters']}; handwritten: {reference['parameters']}"
        sys.exit(f"{grid}: {program} trained other networks: {networks}")
    for name, expected in reference["accuracies"].items():
        actual = run["accuracies"][name]
        if len(actual) != len(expected) or abs(fmean(actual) - fmean(expected)) > tolerance(actual, expected):
            means = f"{len(actual)} fits, {fmean(actual):.4f}; handwritten: {len(expected)} fits, {fmean(expected):.4f}"
            sys.exit(f"{grid}: {program} reached other accuracies with {name}: {means}")


def tolerance(a: list[float], b: list[float]) -> float:
    """The allowed difference of two means: AGREEMENT, or three standard errors of the difference if that is more."""
    variances = [stdev(values) ** 2 / len(values) for values in (a, b) if len(values) > 1]
    return max(AGREEMENT, 3 * sum(variances) ** 0.5)


def available_programs(grid: str, peers: list[str]) -> Iterator[str]:
    """archrunner, by precision, and those of `peers` whose package is installed."""
    yield "ours float32"
    if grid != "tiny":
        yield "ours bfloat16"
    for peer in peers:
        if importlib.util.find_spec(PROGRAMS[peer][1]):
            yield peer
        else:
            print(f"{peer} is skipped: {PROGRAMS[peer][1]} is not installed (pip install -e '.[bench]')")


def measure_rounds(setting: Setting, peers: list[str], rounds: int) -> Iterator[dict[str, Any]]:
    """The grid's results so far, after each round. For medium, each round also measures the rate of convolutions."""
    programs = list(available_programs(setting.grid, peers))
    if not setting.cold:
        setting.run("ours float32")
    results: dict[str, Any] = {"job": setting.grid, "cold": setting.cold, "load": os.getloadavg()[0], "rounds": []}
    for number in range(rounds):
        order = programs[number % len(programs) :] + programs[: number % len(programs)]
        runs = {}
        for program in order:
            runs[program] = setting.run(program)
            print(f"{setting.grid} {number + 1}/{rounds} {program}: {runs[program]['wall']:.1f} s", file=sys.stderr)
        for program in programs:
            check(setting.grid, program, runs[program], runs[REFERENCE])
        results["rounds"].append({program: runs[program] for program in programs})
        if setting.grid == "medium":
            command = [sys.executable, str(HERE / "convolution_rate.py"), "--json"]
            rates = json.loads(measure(command, setting.environment, setting.scratch).output)
            results.setdefault("convolutions", []).append(rates)
        yield results


def cifar10_folder(option: str | None) -> Path | None:
    """The folder with the batch of CIFAR-10: --cifar10, $CIFAR10 or the cache; None if the batch is not there."""
    folder = Path(option or os.environ.get("CIFAR10") or cache_folder()).absolute()
    return folder if batch_file(folder) else None


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--grids", default=",".join(GRIDS), help="of tiny,small,medium (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="1 or more (default: 5)")
    parser.add_argument("--peers", default=",".join(PROGRAMS), help=f"of {','.join(PROGRAMS)}; the first always runs")
    parser.add_argument("--cifar10", help="folder with cifar-10-batches-py, for medium (default: $CIFAR10)")
    parser.add_argument("--cold", action="store_true", help="empty archrunner's data cache before each run")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for the results")
    options = parser.parse_args()
    for option, known in ((options.grids, GRIDS), (options.peers, PROGRAMS)):
        if unknown := set(option.split(",")) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; allowed: {', '.join(known)}")
    if options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}; allowed: 1 or more")
    return options


def write(results: dict[str, Any], folder: Path) -> str:
    """Write a grid's page and its JSON into the folder; returns the page."""
    text, name = page(results), results["job"]
    (folder / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return text


def main() -> None:
    options = arguments()
    peers = [peer for peer in PROGRAMS if peer == REFERENCE or peer in options.peers.split(",")]
    adopt_orphans()
    options.out.mkdir(parents=True, exist_ok=True)
    for grid in options.grids.split(","):
        # $MLFLOW_... could send our runs to a server instead of the store in the reports' folder, and with
        # $PYTHONDONTWRITEBYTECODE, which developers may have set, every start would compile all modules again.
        unwanted = ("MLFLOW_", "PYTHONDONTWRITEBYTECODE")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}
        with tempfile.TemporaryDirectory() as scratch:
            if grid == "medium":
                if not (folder := cifar10_folder(options.cifar10)):
                    print("medium is skipped: no data_batch_1 of CIFAR-10; set its folder with --cifar10 or $CIFAR10")
                    continue
                environment["CIFAR10_BATCH"] = str(Path(scratch) / "cifar10-batch-1.npz")
                convert(folder, Path(environment["CIFAR10_BATCH"]))
            setting, text = Setting(grid, Path(scratch), options.cold, environment), ""
            # Written after every round, so that an interrupt loses only the current one.
            for results in measure_rounds(setting, peers, options.rounds):
                text = write({"machine": machine(PACKAGES), **results}, options.out)
            print(text, flush=True)


if __name__ == "__main__":
    main()
