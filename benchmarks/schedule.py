"""How idle workers are in the order of a run, simulated with the recorded times of real fits.

    .venv/bin/python benchmarks/schedule.py [REPORT ...]

By default the reports of the gallery. Each study is enlarged to about 1,000 fits: its cells get more repeats, and each
fit takes as long as a recorded one of its cell, drawn at random. Four orders are compared on the same fits: that of a
run (`fits.grouping`: by multiply-adds, as a run does not know the times), the longest first as if all times were known,
first come (as fits are in the plan), and a random one. The idle share is
1 - (sum of the fits' seconds) / (workers x wall time). Prints a table, and writes results/schedule.csv.
"""

from __future__ import annotations

import csv
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runner.fits.grouping import groups_to_train, wall_time
from runner.fits.records import ComponentRef, FitSpec, TrainingPlan
from runner.journal.index import read
from runner.planning import plan_file

HERE = Path(__file__).parent
FITS, WORKERS, DRAWS = 1000, (8, 64, 512), 5


@dataclass(frozen=True)
class Recorded:
    """A cell of a finished study: its cost by which runs order fits, and the seconds of its fits."""

    id: str
    cost: float
    seconds: Sequence[float]


def recorded(report: Path) -> tuple[list[Recorded], int]:
    """The cells of a report with the times of their fits, and the number of folds."""
    plan, times = plan_file.read(report / "plan.yaml"), defaultdict[str, list[float]](list)
    for result in read(report / "journal.jsonl")[0]:
        if result.status == "ok":
            times[result.cell].append(result.seconds)
    cells = [
        Recorded(cell.id, float((cell.macs or 0) * cell.settings.training.epochs), times[cell.id])
        for cell in plan.cells
        if times[cell.id]
    ]
    return cells, plan.folds


def enlarged(cells: Sequence[Recorded], folds: int, chance: random.Random) -> tuple[list[FitSpec], dict[str, float]]:
    """About FITS fits in the plan's order, and the seconds of each by its id."""
    none, plan = ComponentRef("none"), TrainingPlan(1, 1, "numpy", "cpu", "float32")
    base: FitSpec = FitSpec("", "", 0, 0, 0, none, (), none, plan, (1, 8, 8), 2, "", train=None, validation=None)  # type: ignore[arg-type]
    repeats, fits, seconds = max(1, round(FITS / len(cells) / folds)), [], {}
    for cell in cells:
        for index in range(folds * repeats):
            id = f"{cell.id}-{index}"
            fits.append(
                replace(base, id=id, cell=cell.id, repeat=index // folds, fold=index % folds, cost=cell.cost)
            )  # fmt: skip
            seconds[id] = chance.choice(cell.seconds)
    return fits, seconds


def idle(order: Sequence[str], seconds: dict[str, float], workers: int) -> float:
    durations = [seconds[id] for id in order]
    return 1 - sum(durations) / (workers * wall_time(durations, workers))


def main(reports: Sequence[Path]) -> None:
    rows = []
    for report in reports:
        cells, folds = recorded(report)
        found = defaultdict[tuple[str, int], list[float]](list)
        for draw in range(DRAWS):
            chance = random.Random(draw)
            fits, seconds = enlarged(cells, folds, chance)
            plan_order = [fit.id for fit in fits]
            known = sorted(plan_order, key=lambda id: -seconds[id])
            shuffled = chance.sample(plan_order, len(plan_order))
            for workers in WORKERS:
                run = [group[0].id for group in groups_to_train(fits, seconds, workers)]
                for name, order in (("run", run), ("known", known), ("first come", plan_order), ("random", shuffled)):
                    found[name, workers].append(idle(order, seconds, workers))
        means = [statistics.mean(cell.seconds) for cell in cells]
        spread = max(means) / min(means)
        print(f"{report.name}: {len(cells)} cells, {len(fits)} fits, the slowest cell {spread:.1f} times the fastest")
        for (name, workers), shares in found.items():
            low, high = min(shares), max(shares)
            print(f"  {name:>10} on {workers:3} workers: idle {statistics.mean(shares):6.1%} ({low:.1%} to {high:.1%})")
            rows.append([report.name, len(fits), name, workers, *(f"{x:.4f}" for x in (statistics.mean(shares), low, high))])  # fmt: skip  # noqa: E501
    with (HERE / "results" / "schedule.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["study", "fits", "order", "workers", "idle", "least", "most"], *rows])


if __name__ == "__main__":
    chosen = [Path(word) for word in sys.argv[1:]] or sorted((HERE.parent / "reports" / "gallery").iterdir())
    main([folder for folder in chosen if (folder / "journal.jsonl").exists()])
