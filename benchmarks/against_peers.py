"""Whole grids by ours and by its peers, side by side in one run; ratios to the loop written by hand.

    python benchmarks/against_peers.py [--jobs tiny,small,medium] [--rounds 5] [--peers handwritten,skorch,...]

Every program of a round runs alone, one after another, in an order that moves on by one from round to round. The clock
runs from the start of its process to its end. Ours is `runner run FILE --workers 2` into a new folder, with journal,
MLflow in a new sqlite store and report. `medium` needs the folder cifar-10-batches-py: --cifar10 FOLDER or $CIFAR10.

Data: ours finds them in its cache, where a run before the first round has laid them, as it does from a user's second
run on; with --cold the cache is empty each time. The peers load them as their users would.

Prints the tables and writes them, and all figures as JSON, to benchmarks/results. Fails where a peer has trained other
networks than ours or its mean accuracies are further from those by hand than 3 points and noise.
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
from peer_tables import REFERENCE, table
from side_by_side import adopt_orphans, machine, timed

from runner.files.cache import cache_folder
from runner.journal.index import read as read_journal
from runner.planning.plan_file import read as read_plan

HERE = Path(__file__).parent
JOBS = ("tiny", "small", "medium")
PROGRAMS = {
    REFERENCE: ("handwritten.py", "torch"),
    "skorch": ("skorch_grid.py", "skorch"),
    "hydra": ("hydra_multirun/grid.py", "hydra_plugins"),
    "ray": ("ray_tune.py", "ray"),
    "lightning": ("lightning_folds.py", "lightning"),
}
"""Of each peer its file and the package that it needs."""
PACKAGES = (
    "archrunner", "torch", "numpy", "scikit-learn", "mlflow", "skorch", "hydra-core", "hydra-joblib-launcher", "joblib",
    "ray", "lightning",
)  # fmt: skip
AGREEMENT = 0.03
"""By which two mean accuracies of one network may always differ."""


@dataclass(frozen=True)
class Setting:
    """Where one job is measured: a scratch folder, and the environment of all its programs."""

    job: str
    scratch: Path
    cold: bool
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, entry: str) -> dict[str, Any]:
        """Seconds, accuracies and parameters of one whole run."""
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            return self._ours(entry, Path(folder)) if entry.startswith("ours") else self._peer(entry, Path(folder))

    def _peer(self, entry: str, folder: Path) -> dict[str, Any]:
        file, _ = PROGRAMS[entry]
        taken = timed([sys.executable, str(HERE / "peers" / file), self.job], self.environment, folder)
        return {"wall": taken.wall, "cpu": taken.cpu, **json.loads(taken.output.splitlines()[-1])}

    def _ours(self, entry: str, folder: Path) -> dict[str, Any]:
        runner = str(Path(sys.executable).parent / "runner")
        command = [runner, "run", str(HERE / f"{self.job}.yaml"), "--workers", "2", "--reports", str(folder)]
        settings = [f"training.precision={entry.removeprefix('ours ')}"]
        if self.job == "medium":
            settings.append(f"dataset.file={self.environment['CIFAR10_BATCH']}")
        cache = folder / "cache" if self.cold else self.scratch / "cache"
        environment = self.environment | {"ARCHRUNNER_CACHE": str(cache)}
        taken = timed([*command, *(part for one in settings for part in ("--set", one))], environment, folder)
        return {"wall": taken.wall, "cpu": taken.cpu, **_of_journal(folder / self.job)}


def _of_journal(folder: Path) -> dict[str, Any]:
    """Accuracies, parameters and the fits' processor seconds by network, and the images that are split into folds."""
    plan, (results, _) = read_plan(folder / "plan.yaml"), read_journal(folder / "journal.jsonl")
    bad = [result.reason for result in results if result.status != "ok"]
    if bad or len(results) != plan.fit_count:
        sys.exit(f"{plan.name}: {len(results)} of {plan.fit_count} fits, {len(bad)} of them failed: {bad[:1]}")
    by_cell = {cell.id: [result for result in results if result.cell == cell.id] for cell in plan.cells}
    return {
        "accuracies": {cell.name: [r.final("val_accuracy") for r in by_cell[cell.id]] for cell in plan.cells},
        "parameters": {cell.name: cell.parameters for cell in plan.cells},
        "images": plan.data["size"],
        "fits": {cell.name: [result.cpu for result in by_cell[cell.id]] for cell in plan.cells},
    }


def check(job: str, entry: str, run: dict[str, Any], reference: dict[str, Any]) -> None:
    """Exit where a program has not done the work of the loop written by hand."""
    if run["parameters"] != reference["parameters"]:
        sys.exit(f"{job}: {entry} has other networks: {run['parameters']}, by hand {reference['parameters']}")
    for name, expected in reference["accuracies"].items():
        found = run["accuracies"][name]
        if len(found) != len(expected) or abs(fmean(found) - fmean(expected)) > allowed(found, expected):
            figures = f"{len(found)} fits, {fmean(found):.4f}; by hand {len(expected)}, {fmean(expected):.4f}"
            sys.exit(f"{job}: {entry} reached other accuracies with {name}: {figures}")


def allowed(a: list[float], b: list[float]) -> float:
    """AGREEMENT, or three standard errors of the difference where the folds are further apart than that."""
    variances = [stdev(values) ** 2 / len(values) for values in (a, b) if len(values) > 1]
    return max(AGREEMENT, 3 * sum(variances) ** 0.5)


def entries(job: str, peers: list[str]) -> Iterator[str]:
    yield "ours float32"
    if job != "tiny":
        yield "ours bfloat16"
    for peer in peers:
        if importlib.util.find_spec(PROGRAMS[peer][1]):
            yield peer
        else:
            print(f"{peer} is left out: {PROGRAMS[peer][1]} is not installed (pip install -e '.[bench]')")


def measured(setting: Setting, peers: list[str], rounds: int) -> Iterator[dict[str, Any]]:
    """The job's figures after each round. The convolutions' rate, for medium, is measured once a round too."""
    names = list(entries(setting.job, peers))
    if not setting.cold:
        setting.run("ours float32")
    found: dict[str, Any] = {"job": setting.job, "cold": setting.cold, "load": os.getloadavg()[0], "rounds": []}
    for number in range(rounds):
        order = names[number % len(names) :] + names[: number % len(names)]
        runs = {}
        for name in order:
            runs[name] = setting.run(name)
            print(f"{setting.job} {number + 1}/{rounds} {name}: {runs[name]['wall']:.1f} s", file=sys.stderr)
        for name in names:
            check(setting.job, name, runs[name], runs[REFERENCE])
        found["rounds"].append({name: runs[name] for name in names})
        if setting.job == "medium":
            command = [sys.executable, str(HERE / "convolution_rate.py"), "--json"]
            rates = json.loads(timed(command, setting.environment, setting.scratch).output)
            found.setdefault("convolutions", []).append(rates)
        yield found


def cifar10(chosen: str | None) -> Path | None:
    """The folder with the batch of CIFAR-10, None where there is none."""
    folder = Path(chosen or os.environ.get("CIFAR10") or cache_folder()).absolute()
    return folder if batch_file(folder) else None


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", default=",".join(JOBS), help="of tiny,small,medium")
    parser.add_argument("--rounds", type=int, default=5, help="1 or more (5)")
    parser.add_argument("--peers", default=",".join(PROGRAMS), help=f"of {','.join(PROGRAMS)}; the first always runs")
    parser.add_argument("--cifar10", help="folder with cifar-10-batches-py, for medium (default: $CIFAR10)")
    parser.add_argument("--cold", action="store_true", help="ours prepares its data anew each time")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    chosen = parser.parse_args()
    for given, known in ((chosen.jobs, JOBS), (chosen.peers, PROGRAMS)):
        if unknown := set(given.split(",")) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; allowed: {', '.join(known)}")
    if chosen.rounds < 1:
        parser.error(f"--rounds is {chosen.rounds}; allowed: 1 or more")
    return chosen


def written(found: dict[str, Any], folder: Path) -> str:
    """The job's page, which lies in the folder with all figures beside it."""
    text, name = table(found), found["job"]
    (folder / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return text


def main() -> None:
    chosen = arguments()
    peers = [peer for peer in PROGRAMS if peer == REFERENCE or peer in chosen.peers.split(",")]
    adopt_orphans()
    chosen.out.mkdir(parents=True, exist_ok=True)
    for job in chosen.jobs.split(","):
        # $MLFLOW_... could send our runs to a server; the store is the one in the reports' folder.
        # Without what a developer may have set: users' Python keeps what it has compiled.
        unwanted = ("MLFLOW_", "PYTHONDONTWRITEBYTECODE")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}
        with tempfile.TemporaryDirectory() as scratch:
            if job == "medium":
                if not (folder := cifar10(chosen.cifar10)):
                    print("medium is left out: no data_batch_1 of CIFAR-10; name its folder by --cifar10 or $CIFAR10")
                    continue
                environment["CIFAR10_BATCH"] = str(Path(scratch) / "cifar10-batch-1.npz")
                convert(folder, Path(environment["CIFAR10_BATCH"]))
            setting, text = Setting(job, Path(scratch), chosen.cold, environment), ""
            for found in measured(setting, peers, chosen.rounds):  # an interrupt keeps the rounds before it
                text = written({"machine": machine(PACKAGES), **found}, chosen.out)
            print(text, flush=True)


if __name__ == "__main__":
    main()
