"""Adaptive studies that are killed and resumed, on any number of workers: the same fits, verdict and tables.

    PYTHONPATH=tests/helpers python tests/stress/adaptive.py [RUNS]

Each of the RUNS (20) is killed at random moments until it comes to its end, serially or with 1, 2 or 4 workers. Prints
a line per run; exits with status 1 at the first difference.
"""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from command import RUNNER, environment, journal_by_id, stable_tables

STUDY = """\
name: adaptive
dataset: {name: digits, subset: 600}
architecture: {name: stages, stages: 1}
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 2, batch_size: 50, engine: numpy}
cross_validation: {folds: 5, repeats: {until: decided, most: 5}}
report: {equivalent: 0.005}
grid:
  architecture.convs: [1, 2, 3]
  optimizer.lr: [1e-2, 1.2e-2]
"""
EXECUTORS = (("serial",), ("process", "--workers", "1"), ("process", "--workers", "2"), ("process", "--workers", "4"))


@dataclass(frozen=True)
class Ending:
    """What a study has come to; times and workers are left out."""

    fits: dict[str, Any]
    looks: list[Any]
    tables: dict[str, str]
    verdict: str


def start(folder: Path, executor: tuple[str, ...], race: bool) -> subprocess.Popen[str]:
    command = [RUNNER, "run", "study.yaml", "--executor", *executor, *(["--set", "search.race=best"] if race else [])]
    return subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ending(folder: Path, executor: tuple[str, ...], kills: int, race: bool, chance: random.Random) -> Ending:
    """Run the study to its end, killed `kills` times on the way."""
    folder.mkdir()
    (folder / "study.yaml").write_text(STUDY)
    journal = folder / "reports" / "adaptive" / "journal.jsonl"
    for _ in range(kills):
        process = start(folder, executor, race)
        # From the first results on, so that each kill hits another place: most of the start is imports.
        before = journal.stat().st_size if journal.exists() else 0
        while process.poll() is None and (not journal.exists() or journal.stat().st_size == before):
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 1.5))
        process.send_signal(chance.choice([signal.SIGKILL, signal.SIGINT]))
        process.communicate()
        time.sleep(0.5)  # workers of a killed run end by themselves
    process = start(folder, executor, race)
    out, err = process.communicate()
    if process.returncode:
        raise SystemExit(f"status {process.returncode}: {err[-2000:]}")
    report = folder / "reports" / "adaptive"
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    looks = [entry["look"] for entry in entries if "look" in entry]
    answers = [line for line in out.splitlines() if re.search(r"decided|outperforms|Inconclusive|equivalent", line)]
    return Ending(journal_by_id(report), looks, stable_tables(report), "\n".join(answers))


def main(runs: int) -> None:
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        expected = {
            race: ending(Path(folder) / f"whole-{race}", EXECUTORS[0], 0, race, chance) for race in (False, True)
        }
        for race, whole in expected.items():
            looks = [look["repeats"] for look in whole.looks]
            print(f"{'race' if race else 'all pairs'}: {len(whole.fits)} fits, looks after {looks}", flush=True)
        for number in range(runs):
            executor, race, kills = EXECUTORS[number % 4], number % 5 == 4, chance.randint(1, 3)
            found = ending(Path(folder) / str(number), executor, kills, race, chance)
            same = found == expected[race]
            print(
                f"{number + 1}: {' '.join(executor)}, {kills} kills: {'the same' if same else 'DIFFERENT'}", flush=True
            )
            if not same:
                raise SystemExit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
