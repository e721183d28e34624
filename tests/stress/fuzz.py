"""Feeds broken input of every kind to the commands: `make fuzz`.

Experiments with changed text, changed structure, deep nesting, alias bombs, odd encodings, numbers out of range; values
for --set and for the parameters of every component; tiny runs; broken data sets, journals, plans, ledgers and
checkpoints. Most cases call the command line's function in a worker process, some start the real command.

None may give a traceback, take over 10 s, use over 2 GB, write outside its own folder, start a command, end with a
status other than 0, 1 and 2, or say what is wrong in other than clear lines. The same seed gives the same cases. What
fails is kept in a folder with the command that shows it again, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import platform
import queue
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from random import Random

import fuzz_data
import fuzz_kept
import fuzz_yaml
import psutil
from fuzz_watch import Case, Main, Outcome, told, work

SECONDS, MOST = 10.0, 2 * 10**9
RECYCLED = 400
"""Cases after which a worker is replaced by a new one."""
KINDS: dict[str, float] = {
    "text": 26, "structure": 28, "whole file": 3, "--set": 12, "parameters": 14, "tiny run": 1,
    "npz": 3, "idx": 1.5, "cifar": 2, "image folder": 2.5, "journal and plan": 7,
}  # fmt: skip
"""How many of a hundred cases are of each kind."""
REAL = 0.01
"""Share of the cases that are run as the real command."""
RUNNABLE = ("stages", "simple_convnet", "lenet5")


def make(seed: int, base: dict[str, bytes], number: int, kinds: dict[str, float] = KINDS, real: float = REAL) -> Case:
    """Case `number` of `seed`."""
    random = Random(f"{seed} {number}")
    kind = random.choices(list(kinds), list(kinds.values()))[0]
    return _made(kind, random, seed, base, random.random() < real)


def _made(kind: str, random: Random, seed: int, base: dict[str, bytes], real: bool) -> Case:
    if kind == "journal and plan":
        return Case(kind, *fuzz_kept.kept(base, random, seed), real)
    data = {
        "npz": fuzz_data.npz,
        "idx": fuzz_data.idx,
        "cifar": fuzz_data.cifar,
        "image folder": fuzz_data.image_folder,
    }
    if kind in data:
        return Case(kind, *data[kind](random), real)
    if kind in ("parameters", "tiny run"):
        return Case(kind, *_component(kind, random, seed), real)
    if kind == "--set":
        chosen = [text for _ in range(random.choice([1, 1, 2])) for text in ("--set", fuzz_yaml.override(random, seed))]
        return Case(kind, {"e.yaml": random.choice(fuzz_yaml.BASES).encode()}, ["plan", "e.yaml", *chosen], real)
    changed = {
        "text": fuzz_yaml.mutated_text,
        "structure": partial(fuzz_yaml.mutated_structure, seed=seed),
        "whole file": partial(fuzz_yaml.monster, seed=seed),
    }
    commands = [["plan", "e.yaml"], ["plan", "e.yaml", "--json"], ["report", "e.yaml"], ["run", "e.yaml", "--dry-run"]]
    return Case(kind, {"e.yaml": changed[kind](random)}, random.choices(commands, [8, 2, 1, 1])[0], real)


def _component(kind: str, random: Random, seed: int) -> tuple[dict[str, bytes], list[str]]:
    """A component with random parameters: planned or described, or, where it is small, trained for an epoch."""
    tiny = kind == "tiny run"
    section = random.choice(
        ["augmentation", "optimizer", "architecture", "architecture", *([] if tiny else ["dataset"])]
    )
    known = [
        c for c in fuzz_yaml.components()[section] if section != "architecture" or not tiny or c["name"] in RUNNABLE
    ]
    component = random.choice(known)
    given = fuzz_yaml.parameters(component, random, seed, wrong=0 if tiny else random.choice([0, 0, 0.3]))
    if tiny and section == "architecture":
        # Twenty layers of twenty 20x20 filters are a study that takes its time, and no hang.
        given = {key: min(value, 6) if isinstance(value, int) else value for key, value in given.items()}
    if section in ("architecture", "augmentation") and random.random() < 0.4 and not tiny:
        return {}, _described(component["name"], given, random)
    study = fuzz_yaml.parse(fuzz_yaml.SMALL, "small").to_data() | {section: {"name": component["name"], **given}}
    if not tiny and random.random() < 0.3:
        study["training"].pop("engine")
    files = {"e.yaml": fuzz_yaml.dumped(study, random)}
    return files, fuzz_data.run("e.yaml") if tiny else ["plan", "e.yaml"]


def _described(name: str, given: dict[str, object], random: Random) -> list[str]:
    values = {
        str(key): fuzz_yaml.dumped(value, Random(0)).decode("utf-8", "surrogatepass") for key, value in given.items()
    }
    chosen = [part for key, text in values.items() for part in ("--set", fuzz_yaml.argument(f"{key}={text[:10_000]}"))]
    sizes = [
        "3x224x224",
        "1x8x8",
        "1x28x28",
        "3x32x32",
        "1x1x1",
        "99999999x1x1",
        "1x99999999x99999999",
        "0x0x0",
        "3x7",
        "x",
    ]
    shape = [
        "--input",
        random.choice(sizes),
        "--classes",
        random.choice(["1", "2", "10", "1000000000", "0", "x", "\u0663"]),
    ]
    dataset = ["--dataset", random.choice(["digits", "digits", "digits", "mnist", "npz", "nope"]), "--out", "x.png"]
    is_drawn = name in [component["name"] for component in fuzz_yaml.components()["augmentation"]]
    return ["describe", name, *chosen, *(dataset if is_drawn else shape), *random.choice([[], [], ["--json"]])]


@dataclass
class Fuzz:
    """All workers of one program, and what came of the cases. `make` gives a case its number, `main` runs it."""

    folder: Path
    make: partial[Case]
    main: Main
    jobs: int = 2
    seconds: float = SECONDS
    most: int = MOST
    patience: float = 12.0
    """Times as long as it may use the processor, a case may take on the clock: the machine may be busy."""
    outcomes: list[tuple[int, Outcome]] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)

    def run(self, numbers: Iterable[int], minutes: float = math.inf) -> None:
        self.until = time.monotonic() + 60 * minutes
        waiting: queue.Queue[int] = queue.Queue()
        for number in numbers:
            waiting.put(number)
        threads = [threading.Thread(target=self._all, args=(waiting, str(job))) for job in range(self.jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _all(self, waiting: queue.Queue[int], job: str) -> None:
        worker, count = _Worker(self, job), 0
        while time.monotonic() < self.until:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                break
            outcome, count = worker.ask(number), count + 1
            self._note(number, outcome, worker.area / "cases" / str(number))
            if count % RECYCLED == 0:
                worker.end()
        worker.end()

    def _note(self, number: int, outcome: Outcome, place: Path) -> None:
        self.outcomes.append((number, outcome))
        if outcome.problem:
            kept = self.folder / "kept" / f"{number}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(place, kept, symlinks=True)
            (kept / "COMMAND").write_text(
                told(self.make(number), outcome.problem, outcome.printed), errors="backslashreplace"
            )
            self.kept.append(kept)
            print(f"case {number} ({outcome.kind}): {outcome.problem}: see {kept}", file=sys.stderr, flush=True)
        if len(self.outcomes) % 1000 == 0:
            print(f"{len(self.outcomes)} cases, {len(self.kept)} failed", flush=True)


class _Worker:
    """A process that runs cases, and is replaced when it ends or takes too long."""

    def __init__(self, fuzz: Fuzz, name: str) -> None:
        self.fuzz, self.area = fuzz, fuzz.folder / f"worker-{name}"
        self.process: multiprocessing.process.BaseProcess | None = None

    def ask(self, number: int) -> Outcome:
        place = self.area / "cases" / str(number)
        shutil.rmtree(place, ignore_errors=True)
        if self.process is None:
            self._start()
        self.connection.send(number)
        seconds = self.fuzz.seconds
        began, deadline = self._used(), time.monotonic() + self.fuzz.patience * seconds
        problem = f"it hangs: over {self.fuzz.seconds:g} s"
        try:
            while self._used() - began < seconds and time.monotonic() < deadline:
                if self.connection.poll(0.5):
                    outcome: Outcome = self.connection.recv()
                    if outcome.seconds > seconds and not outcome.problem:
                        outcome.problem = f"it hangs: {outcome.seconds:.0f} s"
                    return outcome
        except EOFError:
            assert self.process
            self.process.join()
            problem = f"the process died: {self.process.exitcode}"
        self.end()
        return Outcome(self.fuzz.make(number).kind, -1, self.fuzz.seconds, 0, problem)

    def _used(self) -> float:
        """Seconds of processor time of the worker so far."""
        assert self.process
        try:
            return sum(psutil.Process(self.process.pid).cpu_times()[:2])
        except psutil.Error:
            return 0.0

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        given = (other, str(self.area), self.fuzz.make, self.fuzz.main, self.fuzz.most)
        self.process = context.Process(target=work, args=given, daemon=False)
        self.process.start()
        other.close()
        self.connection.recv()  # it is ready: what it has to import is imported

    def end(self) -> None:
        if self.process:
            self.process.kill()
            self.process.join()
            self.connection.close()
        self.process = None


@lru_cache
def base() -> dict[str, bytes]:
    """The finished study that journals and plans are broken from."""
    with tempfile.TemporaryDirectory(prefix="fuzz-base-") as folder:
        return fuzz_kept.finished(Path(folder))


def command(arguments: list[str]) -> int:
    from runner.cli import main

    return main(arguments)


def summary(fuzz: Fuzz) -> str:
    """The figures of a program, a line a kind."""
    outcomes = [outcome for _, outcome in fuzz.outcomes]
    kinds = Counter(outcome.kind for outcome in outcomes)
    lines = []
    for kind in [*KINDS, *sorted(kinds.keys() - KINDS.keys())]:
        found = [outcome for outcome in outcomes if outcome.kind == kind]
        statuses = Counter(outcome.status for outcome in found)
        told = ", ".join(f"{statuses[status]} with exit status {status}" for status in sorted(statuses))
        seconds = sum(outcome.seconds for outcome in found)
        lines.append(f"{kind}: {len(found)} cases, {seconds:.0f} s: {told}")
    slowest, largest = max(fuzz.outcomes, key=lambda o: o[1].seconds), max(fuzz.outcomes, key=lambda o: o[1].memory)
    lines.append(f"slowest: {slowest[1].seconds:.1f} s (case {slowest[0]}, {slowest[1].kind})")
    lines.append(f"most memory: {largest[1].memory / 1e6:,.0f} MB (case {largest[0]}, {largest[1].kind})")
    lines.append(f"failed: {len(fuzz.kept)} of {len(outcomes)}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20_000, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all random numbers (%(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (one a core)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so many (no limit)")
    parser.add_argument("--case", type=int, action="append", help="only the case of this number; may be repeated")
    given = parser.parse_args(arguments)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    folder, started = Path(tempfile.mkdtemp(prefix="fuzz-")), time.monotonic()
    os.environ["ARCHRUNNER_CACHE"] = str(folder / "cache")
    fuzz = Fuzz(folder, partial(make, given.seed, base()), command, given.jobs)
    fuzz.run(given.case or range(given.cases), given.minutes)
    print(summary(fuzz))
    print(
        f"in {(time.monotonic() - started) / 60:.0f} min, {given.jobs} processes on {os.cpu_count()} cores, "
        f"{platform.platform()}"
    )
    if fuzz.kept:
        print(f"kept in {folder / 'kept'}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
