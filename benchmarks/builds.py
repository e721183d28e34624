"""This build beside an earlier one, in the same rounds: seconds, processor time and memory of whole commands.

    .venv/bin/python benchmarks/builds.py BASE [--rows tiny,demo,report,large] [--rounds 5]

BASE is a commit, or the folder of a checkout that has its own .venv. A commit is checked out into build/base, with an
environment that has this one's packages, so that both builds run with the same ones. Each row is the real command in a
process of its own; what a row needs, such as the journals of the reports, each build makes for itself beforehand.

In each round both builds take their turn, and the order alternates. The table gives medians, and the median of the
rounds' ratios with the smallest and the largest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from side_by_side import Measurement, adopt_orphans, machine, measure

HERE = Path(__file__).parent
ROOT = HERE.parent
HAND, BASE, OURS = "by hand", "base", "ours"
TARGETS = {
    "tiny, the whole command, s": (HAND, 1 / 2.5), "tiny, CPU outside fits, s": (BASE, 0.5),
    "second study, s": (BASE, 0.6), "report of 60 fits, s": (BASE, 0.6), "report of 10,000 fits, s": (BASE, 0.8),
    "demo, peak memory, MB": (BASE, 0.75),
}  # fmt: skip
"""The ratio that a row is to reach, and to what."""
MAKE_STUDY = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import report
report.study(Path(sys.argv[2]) / "small", report.FACTORS)
report.study(Path(sys.argv[2]) / "large", report.LARGE, folds=9)
"""
"""Writes the two studies of benchmarks/report.py, by the code of a checkout."""


@dataclass(frozen=True)
class Build:
    """A checkout with its own .venv, and a folder for what it makes."""

    checkout: Path
    scratch: Path

    def run(self, *arguments: object, memory: bool = False) -> Measurement:
        """`runner` with these arguments, as a user calls it."""
        command = [str(self.checkout / ".venv/bin/runner"), *map(str, arguments)]
        return measure(command, self._environment(), self.scratch, memory)

    def train(self, file: Path, reports: Path, *options: str, memory: bool = False) -> Measurement:
        return self.run("run", file, "--workers", 2, "--reports", reports, *options, memory=memory)

    def by_hand(self) -> float:
        """Seconds of the loop written by hand on tiny."""
        command = [str(self.checkout / ".venv/bin/python"), str(HERE / "peers/handwritten.py"), "tiny"]
        return measure(command, self._environment(), self.scratch).wall

    def make_studies(self) -> None:
        command = [self.checkout / ".venv/bin/python", "-c", MAKE_STUDY, self.checkout / "benchmarks", self.scratch]
        # Not in the current folder, where Python would find this build's code.
        subprocess.run([*map(str, command)], check=True, cwd=self.scratch)

    def _environment(self) -> dict[str, str]:
        # MLFLOW_... could send our runs to a server, and without compiled code every start would compile all modules.
        unwanted = ("MLFLOW_", "PYTHONDONTWRITEBYTECODE")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}
        caches = {"ARCHRUNNER_CACHE": self.scratch / "cache", "MPLCONFIGDIR": self.scratch / "matplotlib"}
        return kept | {key: str(folder) for key, folder in caches.items()}


def tiny(build: Build) -> dict[str, float]:
    """The smallest grid, and after it another study of as many fits, with the same reports, store and caches."""
    with tempfile.TemporaryDirectory(dir=build.scratch) as reports:
        first = build.train(HERE / "tiny.yaml", Path(reports))
        second = build.train(HERE / "tiny.yaml", Path(reports), "--set", "name=second", "--set", "seed=1")
        in_fits = _in_fits(Path(reports) / "tiny", "cpu")
    return {
        "tiny, the whole command, s": first.wall, "tiny, CPU, s": first.cpu,
        "tiny, CPU outside fits, s": first.cpu - in_fits, "second study, s": second.wall,
        "second study, CPU, s": second.cpu,
    }  # fmt: skip


def demo(build: Build) -> dict[str, float]:
    """What `make demo` runs after the install: 60 fits."""
    with tempfile.TemporaryDirectory(dir=build.scratch) as reports:
        run = build.train(ROOT / "experiments/pooling_vs_stride.yaml", Path(reports), memory=True)
        # Two workers train at the same time.
        in_fits = _in_fits(Path(reports) / "pooling-vs-stride", "seconds") / 2
    return {
        "demo, s": run.wall, "demo, outside fits, s": run.wall - in_fits, "demo, CPU, s": run.cpu,
        "demo, peak memory, MB": run.memory / 1e6,
    }  # fmt: skip


def report(build: Build) -> dict[str, float]:
    run = build.run("report", "small", "--reports", build.scratch)
    return {"report of 60 fits, s": run.wall, "report of 60 fits, CPU, s": run.cpu}


def large(build: Build) -> dict[str, float]:
    run = build.run("report", "large", "--reports", build.scratch)
    return {"report of 10,000 fits, s": run.wall, "report of 10,000 fits, CPU, s": run.cpu}


ROWS: dict[str, Callable[[Build], dict[str, float]]] = {"tiny": tiny, "demo": demo, "report": report, "large": large}


def _in_fits(folder: Path, key: str) -> float:
    """The sum that the journal gives for the fits: of their `seconds`, or of those of a processor (`cpu`)."""
    entries = map(json.loads, (folder / "journal.jsonl").read_text().splitlines())
    return sum(float(entry["fit"][key]) for entry in entries if "fit" in entry)


def checkout_of(base: str) -> Path:
    """The folder of an earlier build: `base` itself, or the commit of that name in build/base."""
    if Path(base).is_dir():
        return Path(base).resolve()
    folder = ROOT / "build/base"
    if not folder.exists():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    subprocess.run(["git", "-C", str(folder), "fetch", "--quiet"], check=True)
    subprocess.run(["git", "-C", str(folder), "checkout", "--quiet", base], check=True)
    venv.create(folder / ".venv")
    library = "lib/python{}.{}/site-packages".format(*sys.version_info)
    # Its own packages come first: archrunner, and nothing else.
    (folder / ".venv" / library / "packages.pth").write_text(f"{ROOT / '.venv' / library}\n")
    install = ["pip", "--python", str(folder / ".venv/bin/python"), "install", "--quiet", "--no-deps"]
    command = [sys.executable, "-m", *install, "--no-build-isolation", "--editable", str(folder)]
    subprocess.run(command, check=True)
    return folder


def measure_rounds(builds: dict[str, Build], rows: list[str], rounds: int) -> list[dict[str, dict[str, float]]]:
    """For each round the values of each build by the row's name. The caches are filled before the first one."""
    for build in builds.values():
        if {"report", "large"} & set(rows):
            build.make_studies()
        if {"tiny", "demo"} & set(rows):
            tiny(build)
    found = []
    for number in range(rounds):
        order = [*builds] if number % 2 else [*builds][::-1]
        values: dict[str, dict[str, float]] = {name: {} for name in builds}
        for row in rows:
            for name in order:
                values[name] |= ROWS[row](builds[name])
            if row == "tiny":
                values[HAND] = {"tiny, the whole command, s": builds[OURS].by_hand()}
        found.append(values)
        print(f"round {number + 1} of {rounds}: {json.dumps(values)}", file=sys.stderr, flush=True)
    return found


def table(found: list[dict[str, dict[str, float]]]) -> str:
    """A line for each row and what it is compared with: both medians, the ratio with its spread, and the target."""
    lines = ["| what | of | theirs | ours | ratio (smallest to largest) | target |", "|---|---|---:|---:|---:|---:|"]
    for row in found[0][OURS]:
        for other in (HAND, BASE):
            if row not in found[0].get(other, {}):
                continue
            theirs, ours = ([values[name][row] for values in found] for name in (other, OURS))
            ratios = [mine / its for mine, its in zip(ours, theirs, strict=True)]
            of, target = TARGETS.get(row, ("", 0.0))
            spread = f"**{median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})"
            wanted = f"{target:.2f}" if of == other else ""
            lines.append(f"| {row} | {other} | {median(theirs):.2f} | {median(ours):.2f} | {spread} | {wanted} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("base", help="a commit, or the folder of a checkout with its own .venv")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {','.join(ROWS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    if unknown := set(given.rows.split(",")) - set(ROWS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; allowed: {', '.join(ROWS)}")
    adopt_orphans()
    checkouts = {BASE: checkout_of(given.base), OURS: ROOT}
    print(json.dumps(machine(("torch", "numpy", "mlflow", "pandas", "scipy", "matplotlib"))))
    with tempfile.TemporaryDirectory() as scratch:
        builds = {name: Build(folder, Path(scratch) / name) for name, folder in checkouts.items()}
        for build in builds.values():
            build.scratch.mkdir()
        found = measure_rounds(builds, given.rows.split(","), given.rounds)
        print(table(found))


if __name__ == "__main__":
    main()
