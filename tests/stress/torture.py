"""Kills and breaks runs of a 40-fit grid at random moments, and counts what is lost: `make torture`.

1. The driver is killed (`kill -9`), alone or with all its processes; some runs are stopped with SIGTERM in between.
   After each the same command goes on.
2. While a run goes on, its workers and its fork server are shot, with signals of many kinds.
3. Fits break from inside, 40 times a run: a segmentation fault, no memory, a hang, an abort, an end without a word.

Each study is one of VARIANTS, in turn: on the NumPy engine, on torch, and there with the fits of a cell together. After
each kill no process is left, and the journal holds every line that it held, byte for byte. At the end of each run that
got through, all 40 fits are in the journal once and in MLflow once, no MLflow run is left running, and the tables are
those of an undisturbed run. The first thing that is not so ends the program with status 1.

With --minutes nothing new is begun once they are over, of which each kind of break has its share; what was begun is
finished and verified.
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
"""The training settings of the studies, by a name without a hyphen. Each has an undisturbed run of its own to be held
against."""
SHARES = {"shots": 0.25, "broken": 0.25, "kills": 0.5}
"""Of the minutes, where they are limited; what one kind of break leaves over, the next ones have."""
BROKEN = '''\
"""Changes no image. Where the folder $BROKEN is given, training breaks 40 times, noted there."""
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
        folder = os.environ.get("BROKEN")
        if folder and len(list(Path(folder).iterdir())) < 40:
            number = int(draws["key"][0])
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
SHOTS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGBUS, signal.SIGABRT)
MARK = "ARCHRUNNER_TORTURE"
HANGS = 600.0
"""Seconds after which a run that takes some is said to hang."""


class Lost(Exception):
    """Something that must hold does not."""


def require(holds: object, words: str) -> None:
    if not holds:
        raise Lost(words)


@dataclass
class Reference:
    """An undisturbed run of a variant: its tables, and the seconds of a full run and of one with nothing to train."""

    tables: dict[str, str]
    full: float
    least: float
    slower: float = 1.0
    """Than the two runs were, on a machine that others use too."""

    def usual(self, left: int) -> float:
        return self.least + (self.full - self.least) * left / FITS


class Torture:
    """Everything of one program: the random moments, the references, and what was counted."""

    def __init__(self, folder: Path, seed: int, variants: Sequence[str]) -> None:
        self.folder, self.random, self.counts = folder, random.Random(seed), Counter[str]()
        self.until = math.inf
        (folder / "broken.py").write_text(BROKEN)
        for variant in variants:
            (folder / f"{variant}.yaml").write_text(STUDY.replace("TRAINING", VARIANTS[variant]))
        self.references = {variant: self.reference(variant) for variant in variants}

    def reference(self, variant: str) -> Reference:
        started = time.monotonic()
        self.through(f"reference-{variant}")
        full = time.monotonic() - started
        self.through(f"reference-{variant}")
        tables = stable_tables(self.folder / f"reference-{variant}" / "torture")
        return Reference(tables, full, time.monotonic() - started - full)

    def begin(self, kind: str) -> tuple[str, Reference]:
        """The folder of a new study, whose name ends with its variant, which is the next one."""
        number = self.counts[f"studies {kind}"]
        self.counts[f"studies {kind}"] += 1
        variant = list(self.references)[number % len(self.references)]
        return f"{kind.split()[0]}-{number + 1}-{variant}", self.references[variant]

    @property
    def in_time(self) -> bool:
        return time.monotonic() < self.until

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
                start_new_session=True,
            )

    def through(self, reports: str) -> None:
        self.finish(self.start(reports), reports)

    def finish(self, run: subprocess.Popen[bytes], reports: str) -> None:
        status = self.status(run, HANGS)
        require(status == 0, f"{reports}: exit status {status}")

    def status(self, run: subprocess.Popen[bytes], seconds: float) -> int:
        """With which it exits within so many seconds; else its threads' stacks go to its log."""
        try:
            return run.wait(seconds)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGABRT)
            run.wait(20)
            raise Lost("a run hangs") from None

    def processes(self) -> list[psutil.Process]:
        """All that the program has started and that live, whoever their parent is now."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.folder) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def require_gone(self) -> None:
        deadline = time.monotonic() + 20
        while left := self.processes():
            require(time.monotonic() < deadline, f"processes outlive their driver: {left}")
            time.sleep(0.05)

    def journal(self, reports: str) -> bytes:
        """All whole lines."""
        path = self.folder / reports / "torture" / "journal.jsonl"
        content = path.read_bytes() if path.exists() else b""
        return content[: content.rfind(b"\n") + 1]

    def kill_driver(self, kills: int) -> None:
        """One study, its driver killed until it gets through or there were enough kills."""
        (reports, reference), kept = self.begin("killed"), b""
        while True:
            left = FITS - kept.count(b"\n")
            enough = self.counts["kill -9"] >= kills or not self.in_time
            spared = enough or self.random.random() < (0.03 if left else 0.7)
            executor = self.random.choice(["process", "serial"])
            started, usual = time.monotonic(), reference.usual(left)
            run = self.start(reports, "--executor", executor)
            if not spared:
                self.wait(run, reports, left, reference.slower * usual)
            if spared or run.poll() is not None:
                self.finish(run, reports)
                reference.slower = (time.monotonic() - started) / usual
                break
            self.end(run, executor)
            self.require_gone()
            now = self.journal(reports)
            require(now.startswith(kept), f"{reports}: a line of the journal was lost or changed")
            self.counts[f"ended {_moment(now)}"] += 1
            kept = now
        require(self.journal(reports).startswith(kept), f"{reports}: a line of the journal was lost or changed")
        self.verify(reports)

    def wait(self, run: subprocess.Popen[bytes], reports: str, left: int, usual: float) -> None:
        """Until a random moment of the run: of its time, or, as training takes little of that, of its fits."""
        by_time, fits = self.random.random() < 0.4, self.random.randint(1, left or 1)
        delay = self.random.uniform(0, usual) if by_time or not left else self.random.uniform(0, 0.05)
        wanted = 0 if by_time or not left else FITS - left + fits
        while run.poll() is None and self.journal(reports).count(b"\n") < wanted:
            time.sleep(0.01)
        with suppress(subprocess.TimeoutExpired):
            run.wait(delay)

    def end(self, run: subprocess.Popen[bytes], executor: str) -> None:
        how = self.random.random()
        if how < 0.1:
            run.terminate()
            status = self.status(run, 120)
            require(status in (0, 143, -signal.SIGTERM), f"exit status {status} after SIGTERM")
            self.counts["driver: SIGTERM"] += 1
            return
        if how < 0.5:
            os.killpg(run.pid, signal.SIGKILL)
            self.counts["kill -9 of all its processes"] += 1
        else:
            run.kill()
        run.wait()
        self.counts["kill -9"] += 1
        self.counts[f"kill -9 with the {executor} executor"] += 1

    def shoot_workers(self, shots: int) -> None:
        """Studies whose workers are shot at until there were enough shots."""
        reports, _ = self.begin("shot at")
        run = self.start(reports)
        while run.poll() is None and self.counts["shots"] < shots and self.in_time:
            time.sleep(self.random.uniform(0.05, 0.6))
            self.shoot(run.pid)
        self.finish(run, reports)
        self.verify(reports)

    def shoot(self, driver: int) -> None:
        servers = [p for p in self.processes() if _is_server(p, driver)]
        workers = [child for server in servers for child in _children(server)]
        if not workers:
            return
        at_server = self.random.random() < 0.1
        number = signal.SIGKILL if at_server else self.random.choice(SHOTS)
        try:
            self.random.choice(servers if at_server else workers).send_signal(number)
        except psutil.NoSuchProcess:
            return
        self.counts["shots"] += 1
        self.counts[f"shots: {'the fork server' if at_server else number.name}"] += 1

    def break_fits(self) -> None:
        reports, _ = self.begin("broken from inside")
        notes = self.folder / f"{reports}-notes"
        notes.mkdir()
        self.finish(self.start(reports, BROKEN=str(notes)), reports)
        self.counts["faults from inside"] += len(list(notes.iterdir()))
        self.verify(reports)

    def verify(self, reports: str) -> None:
        """A study that got through is as if nothing had happened."""
        self.require_gone()
        report, variant = self.folder / reports / "torture", reports.rpartition("-")[2]
        fits = [json.loads(line)["fit"] for line in self.journal(reports).splitlines()]
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
        require(sorted(run[3] for run in runs if run[2] == "fit") == ids, f"{reports}: other fits are in MLflow")
        require({run[1] for run in runs} == {"FINISHED"}, f"{reports}: MLflow runs are {Counter(r[1] for r in runs)}")
        curves = store.execute("SELECT count(*) FROM metrics WHERE key = 'val/accuracy' GROUP BY run_uuid").fetchall()
        require(curves == [(EPOCHS,)] * (FITS + FITS // 5), f"{reports}: MLflow's curves are not whole")
        store.close()
        self.counts["studies verified"] += 1
        self.counts[f"studies verified: {variant}"] += 1
        print(f"{reports} holds; so far {dict(self.counts)}", flush=True)


def _moment(journal: bytes) -> str:
    if not journal:
        return "before the first result"
    return "after the last result" if journal.count(b"\n") == FITS else "in between"


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
    parser.add_argument("--broken", type=int, default=3, help="runs whose fits break from inside (%(default)s)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin nothing new after so many (no limit)")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (%(default)s)")
    given = parser.parse_args(arguments)
    folder, started = Path(tempfile.mkdtemp(prefix="torture-")), time.monotonic()
    try:
        torture = Torture(folder, given.seed, given.variants)
        wanted: dict[str, tuple[str, int, Callable[[], None]]] = {
            "shots": ("shots", given.shots, lambda: torture.shoot_workers(given.shots)),
            "broken": ("studies broken from inside", given.broken, torture.break_fits),
            "kills": ("kill -9", given.kills, lambda: torture.kill_driver(given.kills)),
        }
        begun, share = time.monotonic(), 0.0
        left = 60 * given.minutes - (begun - started)
        for kind, (count, enough, study) in wanted.items():
            share += SHARES[kind]
            torture.until = begun + share * left
            while torture.counts[count] < enough and torture.in_time:
                study()
    except Lost as lost:
        latest = max(folder.glob("*.log"), key=lambda log: log.stat().st_mtime)
        print(f"LOST: {lost}\nin {folder}, where {latest.name} ends with", file=sys.stderr)
        print(latest.read_text(errors="replace")[-10_000:], file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    for name, count in torture.counts.items():
        print(f"{name}: {count}")
    print(f"losses: 0, in {(time.monotonic() - started) / 60:.0f} min on {os.cpu_count()} cores, {platform.platform()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
