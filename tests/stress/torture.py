"""Kills and breaks runs of a 40-fit grid at random moments, and checks that nothing is lost: `make torture`.

1. The driver is killed (`kill -9`), alone or with all its processes; some runs are stopped with SIGTERM in between.
   After each, the same command continues the study.
2. During a run, its workers and its fork server are sent signals of several kinds.
3. Fits break from inside, 40 times per run: a segmentation fault, no memory, a hang, an abort, a silent exit.

Each study is one of VARIANTS, in turn: on the NumPy engine, on torch, and on torch with the fits of a cell trained
together. After each kill no process may be left, and the journal must contain every line that it contained before, byte
for byte. When a study completes, all 40 fits must be in the journal once and in MLflow once, no MLflow run may be left
running, and the tables must be those of an undisturbed run. The first violation ends the program with status 1.

With --minutes, no study or kill is started after that time, which the three kinds of break share; a study that is under
way is finished and verified.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from command import RUNNER, environment, stable_tables

FITS, EPOCHS = 40, 6
STUDY = """\
name: torture
plugins: [./broken.py]
dataset: {name: digits, subset: 300}
architecture: {name: stages, width: 2, stages: 1}
augmentation: broken
optimizer: {name: adam, lr: 1e-2}
training: {TRAINING, retries: 1000}
cross_validation: {folds: 5}
grid:
  architecture.downsample: [max_pool, avg_pool]
  architecture.convs: [1, 2]
  optimizer.lr: [1e-3, 1e-2]
"""
VARIANTS = {
    "numpy": f"epochs: {EPOCHS}, engine: numpy, timeout: 5s",
    "torch": f"epochs: {EPOCHS}, engine: torch, stacking: off, timeout: 10s",
    "stacked": f"epochs: {EPOCHS}, engine: torch, stacking: 5, timeout: 2s",
}
"""The training settings of the studies, by a name without a hyphen. Each variant is compared with its own undisturbed
run."""
SHARES = {"shots": 0.25, "broken": 0.25, "kills": 0.5}
"""What share of limited minutes each kind of break may use. Time that one kind leaves over goes to the next."""
BROKEN = '''\
"""Changes no image. If the folder $BROKEN is given, training breaks 40 times; each time leaves a file there."""
import ctypes, os, resource, time
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from runner.api import Augmentation, hookimpl

def no_memory():
    resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
    np.ones(2**32)

FAULTS = [lambda: ctypes.string_at(0), no_memory, lambda: time.sleep(600), lambda: os._exit(0), lambda: os.abort()]

@dataclass(frozen=True)
class Broken:
    def draw(self, rng, count, shape):
        return {"key": rng.integers(2**40, size=1)}

    def apply(self, images, draws):
        if len(images) <= 8:  # where the plan tries it
            return images
        folder = os.environ.get("BROKEN")
        if folder and len(list(Path(folder).iterdir())) < 40:
            number = int(draws["key"][0])
            # A batch draws the same number each time it is trained, so after a retry it must not break again.
            try:
                Path(folder, f"{number}-{images.shape}").touch(exist_ok=False)
            except FileExistsError:
                return images
            FAULTS[number % len(FAULTS)]()
        return images

def broken():
    return Broken()

@hookimpl
def register_augmentations():
    yield Augmentation(name="broken", build=broken)
'''
SIGNALS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGBUS, signal.SIGABRT)
MARK = "ARCHRUNNER_TORTURE"
"""An environment variable by which all processes that this program started are recognised, also orphaned ones."""
HANG_SECONDS = 600.0
"""A run takes seconds; after this long it counts as hanging."""


class Violation(Exception):
    """A guarantee that does not hold."""


def require(holds: object, message: str) -> None:
    if not holds:
        raise Violation(message)


@dataclass
class Reference:
    """An undisturbed run of a variant: its tables, and the seconds of a run with all fits and with none to train."""

    tables: dict[str, str]
    full_seconds: float
    idle_seconds: float
    slowdown: float = 1.0
    """How much longer the latest run took than expected: on a shared machine the speed changes."""

    def expected_seconds(self, fits_left: int) -> float:
        return self.idle_seconds + (self.full_seconds - self.idle_seconds) * fits_left / FITS


class Torture:
    """One torture session: its random moments, its undisturbed reference runs, and its counts."""

    def __init__(self, folder: Path, seed: int, variants: Sequence[str]) -> None:
        self.folder, self.random, self.counts = folder, random.Random(seed), Counter[str]()
        self.deadline = math.inf
        (folder / "broken.py").write_text(BROKEN)
        for variant in variants:
            (folder / f"{variant}.yaml").write_text(STUDY.replace("TRAINING", VARIANTS[variant]))
        self.references = {variant: self.reference(variant) for variant in variants}

    def reference(self, variant: str) -> Reference:
        started = time.monotonic()
        self.run_undisturbed(f"reference-{variant}")
        full_seconds = time.monotonic() - started
        self.run_undisturbed(f"reference-{variant}")  # again, with nothing left to train
        tables = stable_tables(self.folder / f"reference-{variant}" / "torture")
        return Reference(tables, full_seconds, time.monotonic() - started - full_seconds)

    def new_study(self, kind: str) -> tuple[str, Reference]:
        """The name of the reports folder of a new study, and the reference of its variant. The name ends with the
        variant, by which `start` and `verify` know it.
        """
        number = self.counts[f"studies {kind}"]
        self.counts[f"studies {kind}"] += 1
        variant = list(self.references)[number % len(self.references)]
        return f"{kind.split()[0]}-{number + 1}-{variant}", self.references[variant]

    @property
    def has_time(self) -> bool:
        return time.monotonic() < self.deadline

    def start(self, reports: str, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        file = f"{reports.rpartition('-')[2]}.yaml"
        command = [RUNNER, "run", file, "--workers", "2", "--reports", reports, *options]
        with (self.folder / f"{reports}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env={**environment(publish=True), MARK: str(self.folder), "PYTHONFAULTHANDLER": "1", **variables},
                stdout=log,
                stderr=log,
                start_new_session=True,  # a process group, which can be killed as a whole
            )

    def run_undisturbed(self, reports: str) -> None:
        self.finish(self.start(reports), reports)

    def finish(self, run: subprocess.Popen[bytes], reports: str) -> None:
        status = self.wait_for_exit(run, HANG_SECONDS)
        require(status == 0, f"{reports}: exit status {status}")

    def wait_for_exit(self, run: subprocess.Popen[bytes], seconds: float) -> int:
        """The exit status of the run. If it takes longer than `seconds`, the stacks of its threads go to its log."""
        try:
            return run.wait(seconds)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGABRT)  # on which PYTHONFAULTHANDLER writes the stacks
            run.wait(20)
            raise Violation("a run hangs") from None

    def live_processes(self) -> list[psutil.Process]:
        """All live processes that this program has started, directly or not, whoever their parent is now."""
        alive = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.folder) and process.status() != psutil.STATUS_ZOMBIE:
                    alive.append(process)
            except psutil.Error:
                continue
        return alive

    def require_no_processes(self) -> None:
        deadline = time.monotonic() + 20
        while left := self.live_processes():
            require(time.monotonic() < deadline, f"processes outlive their driver: {left}")
            time.sleep(0.05)

    def journal(self, reports: str) -> bytes:
        """The complete lines of the journal; a kill can leave a torn last line."""
        path = self.folder / reports / "torture" / "journal.jsonl"
        content = path.read_bytes() if path.exists() else b""
        return content[: content.rfind(b"\n") + 1]

    def kill_driver(self, kills: int) -> None:
        """One study whose driver is killed again and again, until a run completes or `kills` is reached."""
        (reports, reference), before = self.new_study("killed"), b""
        while True:
            fits_left = FITS - _fits(before)
            enough = self.counts["kill -9"] >= kills or not self.has_time
            # Some runs are spared, so that studies complete and are verified; most of those with nothing left to train.
            spared = enough or self.random.random() < (0.03 if fits_left else 0.7)
            executor = self.random.choice(["process", "serial"])
            started, expected = time.monotonic(), reference.expected_seconds(fits_left)
            run = self.start(reports, "--executor", executor)
            if not spared:
                self.wait_for_random_moment(run, reports, fits_left, reference.slowdown * expected)
            if spared or run.poll() is not None:
                self.finish(run, reports)
                reference.slowdown = (time.monotonic() - started) / expected
                break
            self.end(run, executor)
            self.require_no_processes()
            after = self.journal(reports)
            require(after.startswith(before), f"{reports}: a line of the journal was lost or changed")
            self.counts[f"ended {_moment(after)}"] += 1
            before = after
        require(self.journal(reports).startswith(before), f"{reports}: a line of the journal was lost or changed")
        self.verify(reports)

    def wait_for_random_moment(
        self, run: subprocess.Popen[bytes], reports: str, fits_left: int, expected_seconds: float
    ) -> None:
        """Wait for a random time, or for a random number of fits and a short time after the last of them.

        Training takes a small part of a run, so random times alone would rarely hit it.
        """
        by_time, fits = self.random.random() < 0.4, self.random.randint(1, fits_left or 1)
        delay = self.random.uniform(0, expected_seconds) if by_time or not fits_left else self.random.uniform(0, 0.05)
        recorded = 0 if by_time or not fits_left else FITS - fits_left + fits
        while run.poll() is None and _fits(self.journal(reports)) < recorded:
            time.sleep(0.01)
        with suppress(subprocess.TimeoutExpired):
            run.wait(delay)

    def end(self, run: subprocess.Popen[bytes], executor: str) -> None:
        """Stop the run with SIGTERM, or kill its driver or its whole process group."""
        choice = self.random.random()
        if choice < 0.1:
            run.terminate()
            status = self.wait_for_exit(run, 120)
            require(status in (0, 143, -signal.SIGTERM), f"exit status {status} after SIGTERM")
            self.counts["driver: SIGTERM"] += 1
            return
        if choice < 0.5:
            os.killpg(run.pid, signal.SIGKILL)
            self.counts["kill -9 of all its processes"] += 1
        else:
            run.kill()
        run.wait()
        self.counts["kill -9"] += 1
        self.counts[f"kill -9 with the {executor} executor"] += 1

    def shoot_workers(self, shots: int) -> None:
        """One study whose workers and fork server are sent signals, until it completes or `shots` is reached."""
        reports, _ = self.new_study("shot at")
        run = self.start(reports)
        while run.poll() is None and self.counts["shots"] < shots and self.has_time:
            with suppress(subprocess.TimeoutExpired):
                run.wait(self.random.uniform(0.05, 0.6))
            self.shoot(run.pid)
        self.finish(run, reports)
        self.verify(reports)

    def shoot(self, driver: int) -> None:
        servers = [p for p in self.live_processes() if _is_server(p, driver)]
        workers = [child for server in servers for child in _children(server)]
        if not workers:
            return
        at_server = self.random.random() < 0.1
        number = signal.SIGKILL if at_server else self.random.choice(SIGNALS)
        try:
            self.random.choice(servers if at_server else workers).send_signal(number)
        except psutil.NoSuchProcess:
            return
        self.counts["shots"] += 1
        self.counts[f"shots: {'the fork server' if at_server else number.name}"] += 1

    def break_fits(self) -> None:
        reports, _ = self.new_study("broken from inside")
        notes = self.folder / f"{reports}-notes"
        notes.mkdir()
        self.finish(self.start(reports, BROKEN=str(notes)), reports)
        self.counts["faults from inside"] += len(list(notes.iterdir()))
        self.verify(reports)

    def verify(self, reports: str) -> None:
        """Check that a completed study left no process, and that its journal, tables and MLflow runs are complete."""
        self.require_no_processes()
        report, variant = self.folder / reports / "torture", reports.rpartition("-")[2]
        fits = [entry["fit"] for entry in map(json.loads, self.journal(reports).splitlines()) if "fit" in entry]
        ids = sorted(fit["id"] for fit in fits)
        require(len(ids) == FITS == len(set(ids)), f"{reports}: {len(ids)} lines for {len(set(ids))} fits")
        require(stable_tables(report) == self.references[variant].tables, f"{reports}: the tables differ")
        store = sqlite3.connect(self.folder / reports / "mlflow.db")
        kind = "SELECT value FROM tags WHERE key = ? AND run_uuid = r.run_uuid"
        runs = store.execute(
            f"SELECT run_uuid, status, ({kind}), ({kind}) FROM runs r", ("runner.kind", "runner.fit")
        ).fetchall()
        kinds = Counter(run[2] for run in runs)
        require(kinds == {"cell": FITS // 5, "fit": FITS, "report": 1}, f"{reports}: in MLflow {dict(kinds)}")
        require(
            sorted(run[3] for run in runs if run[2] == "fit") == ids,
            f"{reports}: MLflow has other fits than the journal",
        )
        require({run[1] for run in runs} == {"FINISHED"}, f"{reports}: MLflow runs are {Counter(r[1] for r in runs)}")
        curves = store.execute("SELECT count(*) FROM metrics WHERE key = 'val/accuracy' GROUP BY run_uuid").fetchall()
        require(curves == [(EPOCHS,)] * (FITS + FITS // 5), f"{reports}: the curves in MLflow are incomplete")
        store.close()
        self.counts["studies verified"] += 1
        self.counts[f"studies verified: {variant}"] += 1
        print(f"{reports} is verified; so far {dict(self.counts)}", flush=True)


def _moment(journal: bytes) -> str:
    if not journal:
        return "before the first result"
    return "after the last result" if _fits(journal) == FITS else "in between"


def _fits(journal: bytes) -> int:
    """The number of lines of fits, without those of looks."""
    return journal.count(b'"fit":{')


def _is_server(process: psutil.Process, driver: int) -> bool:
    try:
        return process.ppid() == driver and "forkserver" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children())
    except psutil.Error:
        return []


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="kill -9 of the driver (%(default)s)")
    parser.add_argument("--shots", type=int, default=100, help="signals to workers and fork server (%(default)s)")
    parser.add_argument("--broken", type=int, default=3, help="studies whose fits break from inside (%(default)s)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="start nothing new after these (no limit)")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (%(default)s)")
    options = parser.parse_args(arguments)
    folder, started = Path(tempfile.mkdtemp(prefix="torture-")), time.monotonic()
    try:
        torture = Torture(folder, options.seed, options.variants)
        # By kind of break: what is counted, how many are required, and one study of that kind.
        breaks: dict[str, tuple[str, int, Callable[[], None]]] = {
            "shots": ("shots", options.shots, lambda: torture.shoot_workers(options.shots)),
            "broken": ("studies broken from inside", options.broken, torture.break_fits),
            "kills": ("kill -9", options.kills, lambda: torture.kill_driver(options.kills)),
        }
        begun, share = time.monotonic(), 0.0
        seconds_left = 60 * options.minutes - (begun - started)  # the reference runs have taken some
        for kind, (count, enough, study) in breaks.items():
            share += SHARES[kind]
            torture.deadline = begun + share * seconds_left
            while torture.counts[count] < enough and torture.has_time:
                study()
    except Violation as violation:
        latest = max(folder.glob("*.log"), key=lambda log: log.stat().st_mtime)
        print(f"VIOLATION: {violation}\nin {folder}; the end of {latest.name}:", file=sys.stderr)
        print(latest.read_text(errors="replace")[-10_000:], file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    for name, count in torture.counts.items():
        print(f"{name}: {count}")
    print(f"losses: 0, in {(time.monotonic() - started) / 60:.0f} min on {os.cpu_count()} cores, {platform.platform()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
