"""The first 150 cases of a light mix of `make fuzz`, and tests that it notices each kind of failure."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import fuzz
import fuzz_yaml
import pytest
from fuzz_worker import Case, find_problem
from misbehaving import (
    aborts,
    exits_with_its_number,
    fails_silently,
    loops,
    raises,
    simple_case,
    sleeps,
    starts_a_command,
    uses_memory,
    writes_outside,
)

from runner import cli

LIGHT = {**fuzz.KINDS, "tiny run": 0.1, "journal and plan": 5}
"""A mix with fewer of the cases that take seconds."""


def light_case(seed: int, number: int) -> Case:
    return fuzz.make_case(seed, fuzz.base(), number, LIGHT, real=0.004)


def test_the_first_150_cases_pass_and_include_every_kind(tmp_path: Path) -> None:
    """`make fuzz` runs 20,000 cases; the suite runs the first 150 of a lighter mix."""
    fuzzing = fuzz.Fuzz(tmp_path, partial(light_case, 1), cli.main, processes=1)
    fuzzing.run(range(150))
    assert [(folder / "COMMAND").read_text() for folder in fuzzing.failures] == []
    assert len(fuzzing.outcomes) == 150
    assert {outcome.kind for _, outcome in fuzzing.outcomes} == set(fuzz.KINDS)
    assert {outcome.status for _, outcome in fuzzing.outcomes} >= {0, 2}


@pytest.mark.parametrize("main, problem", [
    (raises, "a traceback"), (loops, "it hangs"), (writes_outside, "it writes outside or starts a command: open "),
    (starts_a_command, "it writes outside or starts a command: os.system"), (uses_memory, "it uses "),
    (aborts, "the process died: -6"), (fails_silently, "exit status 2 without a message"), (sleeps, "it hangs"),
])  # fmt: skip
def test_a_failing_case_is_reported_and_saved(
    main: Callable[[list[str]], int], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cpu_seconds = 1 if problem == "it hangs" else 60
    # A case that sleeps ends at the limit on the clock, so that limit can be short. One that loops must have the time
    # on the clock to use up its processor time on a busy machine.
    patience = 1 if main is sleeps else 16
    fuzzing = fuzz.Fuzz(
        tmp_path, partial(simple_case), main, processes=1, cpu_seconds=cpu_seconds, memory_limit=700 * 10**6,
        patience=patience,
    )  # fmt: skip
    fuzzing.run([7])
    assert [outcome.problem[: len(problem)] for _, outcome in fuzzing.outcomes] == [problem]
    (saved,) = fuzzing.failures
    assert (saved / "a" / "b.txt").read_text() == "x" and "runner 7" in (saved / "COMMAND").read_text()
    assert "case 7 (simple)" in capsys.readouterr().err


def test_after_a_failure_the_next_case_is_run(tmp_path: Path) -> None:
    fuzzing = fuzz.Fuzz(tmp_path, partial(simple_case), aborts, processes=1)
    fuzzing.run([1, 2])
    assert len(fuzzing.outcomes) == len(fuzzing.failures) == 2


def test_the_summary_counts_the_cases_of_all_workers(tmp_path: Path) -> None:
    fuzzing = fuzz.Fuzz(tmp_path, partial(simple_case), exits_with_its_number, processes=2)
    fuzzing.run(range(0, 30, 3))
    assert not fuzzing.failures and "simple: 10 cases" in fuzz.summary(fuzzing)


@pytest.mark.parametrize("status, printed, problem", [
    (0, "out\n\0", ""), (2, "\0e.yaml:1: seed: found 'x'; expected a whole number\n", ""), (3, "\0", "exit status 3"),
    (2, "\0", "exit status 2 without a message"), (2, "\0one\n  two\n", "not one clear line"), (2, "\0a", "has no end"),
    (2, "\0a\x1b[31m\n", "not one clear line"), (2, f"\0{'x' * 3000}\n", "a line of 3000 characters"),
    (2, "\0dataset npz() of archrunner 0.1.0 raised KeyError: 'x'\n", "a component's own exception"),
    (1, "\0Traceback (most recent call last)\n", "a traceback"), (None, "\0", "exit status None"),
])  # fmt: skip
def test_what_a_command_may_print(status: int | None, printed: str, problem: str) -> None:
    reported = find_problem(status, printed)
    assert problem in reported and bool(problem) == bool(reported)


def test_the_same_seed_gives_the_same_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.localtime()
    monkeypatch.setattr(time, "localtime", lambda *_: now)  # zip archives contain the time of their creation
    first, second, other_seed = ([light_case(seed, number) for number in range(25)] for seed in (1, 1, 2))

    def without_times(cases: list[Case]) -> list[Case]:
        varying = {"store.db", "reports/small/mlflow.jsonl"}
        return [replace(c, files={k: v for k, v in c.files.items() if k not in varying}) for c in cases]

    assert without_times(first) == without_times(second)
    assert without_times(first) != without_times(other_seed)


def test_every_component_gets_parameters() -> None:
    random, drawn = Random(0), set()
    for kind, components in fuzz_yaml.components().items():
        for component in components:
            for _ in range(30):
                parameters = fuzz_yaml.random_parameters(component, random, 0, 0)
                drawn |= {(kind, component["name"], key) for key in parameters}
    expected = {
        (kind, component["name"], parameter["name"])
        for kind, components in fuzz_yaml.components().items()
        for component in components
        for parameter in component["parameters"]
    }
    assert expected <= drawn
