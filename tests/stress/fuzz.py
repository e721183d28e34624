"""Feeds broken input of every kind to the commands: `make fuzz`.

Experiments with changed text, changed structure, deep nesting, alias bombs, odd encodings, numbers out of range; values
for --set and for the parameters of every component; tiny runs; broken data sets, journals, plans, ledgers, checkpoints
and saved networks. Most cases call the command line's function in a worker process, some start the real command.

No case may print a traceback, take over 10 s, use over 2 GB, write outside its own folder, start a command, end with a
status other than 0, 1 and 2, or report an error in anything but clear lines. The same seed gives the same cases. The
folder of a failing case is saved, with the command that reproduces it, and the exit status is 1.
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
import fuzz_networks
import fuzz_report_files
import fuzz_yaml
import psutil
from fuzz_worker import Case, Main, Outcome, describe_failure, serve_cases

from runner import cli

CPU_SECONDS, MEMORY_LIMIT = 10.0, 2 * 10**9
CASES_PER_WORKER = 400
"""After so many cases a worker is replaced by a new one."""
KINDS: dict[str, float] = {
    "text": 26, "structure": 28, "whole file": 3, "--set": 12, "parameters": 14, "tiny run": 1,
    "npz": 3, "idx": 1.5, "cifar": 2, "image folder": 2.5, "image table": 2, "journal and plan": 7, "saved network": 3,
}  # fmt: skip
"""The kinds of cases, and how many of a hundred cases are of each."""
REAL = 0.01
"""Share of the cases that are run as the real command."""
FAST_ARCHITECTURES = ("stages", "simple_convnet", "lenet5")
SHAPES = [
    "3x224x224", "1x8x8", "1x28x28", "3x32x32", "1x1x1", "99999999x1x1", "1x99999999x99999999", "0x0x0", "3x7", "x",
]  # fmt: skip
CLASSES = ["1", "2", "10", "1000000000", "0", "x", "\u0663"]


def make_case(
    seed: int, base: dict[str, bytes], number: int, kinds: dict[str, float] = KINDS, real: float = REAL
) -> Case:
    """Case `number` of `seed`. `base` are the files of a finished study."""
    # A generator per case: any case can be made without those before it, in any process.
    random = Random(f"{seed} {number}")
    kind = random.choices(list(kinds), list(kinds.values()))[0]
    return _make(kind, random, seed, base, random.random() < real)


def _make(kind: str, random: Random, seed: int, base: dict[str, bytes], real: bool) -> Case:
    if kind == "journal and plan":
        return Case(kind, *fuzz_report_files.broken_report_file(base, random, seed), real)
    if kind == "saved network":
        return Case(kind, *fuzz_networks.broken_network(base, random, seed), real)
    data = {
        "npz": fuzz_data.npz,
        "idx": fuzz_data.idx,
        "cifar": fuzz_data.cifar,
        "image folder": fuzz_data.image_folder,
        "image table": fuzz_data.image_table,
    }
    if kind in data:
        return Case(kind, *data[kind](random), real)
    if kind in ("parameters", "tiny run"):
        return Case(kind, *_component(kind, random, seed), real)
    if kind == "--set":
        count = random.choice([1, 1, 2])
        options = [text for _ in range(count) for text in ("--set", fuzz_yaml.set_option(random, seed))]
        return Case(kind, {"e.yaml": random.choice(fuzz_yaml.BASES).encode()}, ["plan", "e.yaml", *options], real)
    experiments = {
        "text": fuzz_yaml.mutate_text,
        "structure": partial(fuzz_yaml.mutate_structure, seed=seed),
        "whole file": partial(fuzz_yaml.extreme_file, seed=seed),
    }
    commands = [["plan", "e.yaml"], ["plan", "e.yaml", "--json"], ["report", "e.yaml"], ["run", "e.yaml", "--dry-run"]]
    commands += [["schema", "e.yaml"]]
    return Case(kind, {"e.yaml": experiments[kind](random)}, random.choices(commands, [8, 2, 1, 1, 1])[0], real)


def _component(kind: str, random: Random, seed: int) -> tuple[dict[str, bytes], list[str]]:
    """A component with random parameters: described or planned, or, in a tiny run, trained for one epoch."""
    tiny = kind == "tiny run"
    sections = ["augmentation", "optimizer", "loss", "architecture", "architecture", *([] if tiny else ["dataset"])]
    section = random.choice(sections)
    candidates = fuzz_yaml.components()[section]
    if tiny and section == "architecture":
        candidates = [component for component in candidates if component["name"] in FAST_ARCHITECTURES]
    component = random.choice(candidates)
    wrong = 0 if tiny else random.choice([0, 0, 0.3])
    parameters = fuzz_yaml.random_parameters(component, random, seed, wrong)
    if tiny and section == "architecture":
        # Twenty layers of twenty 20x20 filters are valid, and would train for longer than a case may take.
        parameters = {key: min(value, 6) if isinstance(value, int) else value for key, value in parameters.items()}
    if section in ("architecture", "augmentation") and random.random() < 0.4 and not tiny:
        return {}, _describe_command(component["name"], parameters, random)
    study = fuzz_yaml.parse(fuzz_yaml.SMALL, "small").to_data() | {section: {"name": component["name"], **parameters}}
    if not tiny and random.random() < 0.3:
        study["training"].pop("engine")
    files = {"e.yaml": fuzz_yaml.dump(study, random)}
    return files, fuzz_data.run_arguments("e.yaml") if tiny else ["plan", "e.yaml"]


def _describe_command(name: str, parameters: dict[str, object], random: Random) -> list[str]:
    # Written with a generator of its own, so that the number of parameters does not shift the draws that follow.
    values = {
        str(key): fuzz_yaml.dump(value, Random(0)).decode("utf-8", "surrogatepass") for key, value in parameters.items()
    }
    options = [
        part for key, text in values.items() for part in ("--set", fuzz_yaml.as_argument(f"{key}={text[:10_000]}"))
    ]
    shape = ["--input", random.choice(SHAPES), "--classes", random.choice(CLASSES)]
    dataset = ["--dataset", random.choice(["digits", "digits", "digits", "mnist", "npz", "nope"]), "--out", "x.png"]
    is_augmentation = name in [component["name"] for component in fuzz_yaml.components()["augmentation"]]
    return ["describe", name, *options, *(dataset if is_augmentation else shape), *random.choice([[], [], ["--json"]])]


@dataclass
class Fuzz:
    """A fuzzing run: makes cases with `make_case(number)`, runs them with `main` in workers, collects their outcomes.

    `cpu_seconds` and `memory_limit` (bytes) are what one case may use.
    """

    folder: Path
    make_case: partial[Case]
    main: Main
    processes: int = 2
    cpu_seconds: float = CPU_SECONDS
    memory_limit: int = MEMORY_LIMIT
    patience: float = 12.0
    """A case may take this many times `cpu_seconds` on the clock, as the machine may be busy."""
    outcomes: list[tuple[int, Outcome]] = field(default_factory=list)
    failures: list[Path] = field(default_factory=list)
    """The saved folders of the cases that failed."""

    def run(self, numbers: Iterable[int], minutes: float = math.inf) -> None:
        self.deadline = time.monotonic() + 60 * minutes
        waiting: queue.Queue[int] = queue.Queue()
        for number in numbers:
            waiting.put(number)
        # One thread per worker process: it only waits for the worker's answers.
        threads = [
            threading.Thread(target=self._run_cases, args=(waiting, str(index))) for index in range(self.processes)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _run_cases(self, waiting: queue.Queue[int], name: str) -> None:
        worker, count = _Worker(self, name), 0
        while time.monotonic() < self.deadline:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                break
            outcome, count = worker.run_case(number), count + 1
            self._record(number, outcome, worker.area / "cases" / str(number))
            if count % CASES_PER_WORKER == 0:
                worker.stop()
        worker.stop()

    def _record(self, number: int, outcome: Outcome, case_folder: Path) -> None:
        self.outcomes.append((number, outcome))
        if outcome.problem:
            saved = self.folder / "failed" / f"{number}"
            shutil.rmtree(saved, ignore_errors=True)
            case_folder.mkdir(parents=True, exist_ok=True)  # it may hang before it has files
            shutil.copytree(case_folder, saved, symlinks=True)
            (saved / "COMMAND").write_text(
                describe_failure(self.make_case(number), outcome.problem, outcome.printed), errors="backslashreplace"
            )
            self.failures.append(saved)
            print(f"case {number} ({outcome.kind}): {outcome.problem}: see {saved}", file=sys.stderr, flush=True)
        if len(self.outcomes) % 1000 == 0:
            print(f"{len(self.outcomes)} cases, {len(self.failures)} failed", flush=True)


class _Worker:
    """A process that runs cases. After it died or hung, the next case starts a new one."""

    def __init__(self, fuzz: Fuzz, name: str) -> None:
        self.fuzz, self.area = fuzz, fuzz.folder / f"worker-{name}"
        self.process: multiprocessing.process.BaseProcess | None = None

    def run_case(self, number: int) -> Outcome:
        case_folder = self.area / "cases" / str(number)
        shutil.rmtree(case_folder, ignore_errors=True)
        if self.process is None:
            self._start()
        self.connection.send(number)
        limit = self.fuzz.cpu_seconds
        # Processor time decides, since a busy machine can make any case slow. The deadline on the clock is for a case
        # that sleeps, which uses no processor time.
        used_before, deadline = self._cpu_seconds(), time.monotonic() + self.fuzz.patience * limit
        problem = f"it hangs: over {self.fuzz.cpu_seconds:g} s"
        try:
            while self._cpu_seconds() - used_before < limit and time.monotonic() < deadline:
                if self.connection.poll(0.5):
                    outcome: Outcome = self.connection.recv()
                    if outcome.seconds > limit and not outcome.problem:
                        outcome.problem = f"it hangs: {outcome.seconds:.0f} s"
                    return outcome
        except EOFError:
            assert self.process
            self.process.join()
            problem = f"the process died: {self.process.exitcode}"
        self.stop()
        return Outcome(self.fuzz.make_case(number).kind, -1, self.fuzz.cpu_seconds, 0, problem)

    def _cpu_seconds(self) -> float:
        """Seconds of processor time that the worker has used so far."""
        assert self.process
        try:
            return sum(psutil.Process(self.process.pid).cpu_times()[:2])
        except psutil.Error:
            return 0.0

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        arguments = (other, str(self.area), self.fuzz.make_case, self.fuzz.main, self.fuzz.memory_limit)
        self.process = context.Process(target=serve_cases, args=arguments, daemon=False)
        self.process.start()
        # Only the worker may hold this end. Otherwise its death would not end the connection here.
        other.close()
        self.connection.recv()  # "ready": its imports do not count as time of the first case

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.join()
            self.connection.close()
        self.process = None


@lru_cache
def base() -> dict[str, bytes]:
    """The files of the finished study that the "journal and plan" cases break."""
    with tempfile.TemporaryDirectory(prefix="fuzz-base-") as folder:
        return fuzz_report_files.finished_study(Path(folder))


def summary(fuzz: Fuzz) -> str:
    """The figures of a run, one line per kind of case."""
    outcomes = [outcome for _, outcome in fuzz.outcomes]
    kinds = Counter(outcome.kind for outcome in outcomes)
    lines = []
    for kind in [*KINDS, *sorted(kinds.keys() - KINDS.keys())]:
        of_kind = [outcome for outcome in outcomes if outcome.kind == kind]
        statuses = Counter(outcome.status for outcome in of_kind)
        counts = ", ".join(f"{statuses[status]} with exit status {status}" for status in sorted(statuses))
        seconds = sum(outcome.seconds for outcome in of_kind)
        lines.append(f"{kind}: {len(of_kind)} cases, {seconds:.0f} s: {counts}")
    slowest, largest = max(fuzz.outcomes, key=lambda o: o[1].seconds), max(fuzz.outcomes, key=lambda o: o[1].memory)
    lines.append(f"slowest: {slowest[1].seconds:.1f} s (case {slowest[0]}, {slowest[1].kind})")
    lines.append(f"most memory: {largest[1].memory / 1e6:,.0f} MB (case {largest[0]}, {largest[1].kind})")
    lines.append(f"failed: {len(fuzz.failures)} of {len(outcomes)}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20_000, help="how many cases to run (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all random numbers (%(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="worker processes (one per core)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so many minutes (no limit)")
    parser.add_argument("--case", type=int, action="append", help="run only the case of this number; may be repeated")
    options = parser.parse_args(arguments)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    folder, started = Path(tempfile.mkdtemp(prefix="fuzz-")), time.monotonic()
    os.environ["ARCHRUNNER_CACHE"] = str(folder / "cache")
    fuzz = Fuzz(folder, partial(make_case, options.seed, base()), cli.main, options.processes)
    fuzz.run(options.case or range(options.cases), options.minutes)
    print(summary(fuzz))
    print(
        f"in {(time.monotonic() - started) / 60:.0f} min, {options.processes} processes on {os.cpu_count()} cores, "
        f"{platform.platform()}"
    )
    if fuzz.failures:
        print(f"the failing cases are saved in {folder / 'failed'}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
