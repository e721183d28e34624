"""The first thousand cases of `make fuzz`, and what shows that it would notice."""

import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import fuzz
import fuzz_yaml
import numpy as np
import pytest
from fuzz_watch import Case, complaint

LIGHT = {**fuzz.KINDS, "tiny run": 0.1, "journal and plan": 5}
"""Fewer of what takes seconds."""


def many(seed, number):
    return fuzz.make(seed, fuzz.base(), number, LIGHT, real=0.004)


@pytest.mark.timeout(900)
def test_a_thousand_cases(tmp_path):
    fuzzing = fuzz.Fuzz(tmp_path, partial(many, 0), fuzz.command, jobs=1)
    fuzzing.run(range(1000))
    assert [(place / "COMMAND").read_text() for place in fuzzing.kept] == []
    assert len(fuzzing.outcomes) == 1000
    assert {outcome.kind for _, outcome in fuzzing.outcomes} >= set(fuzz.KINDS) - {"tiny run"}
    assert {outcome.status for _, outcome in fuzzing.outcomes} >= {0, 2}


def fine(number):
    return Case("made", {"a/b.txt": b"x"}, [str(number)])


def raises(arguments):
    raise KeyError("oops")


def hangs(arguments):
    while True:
        pass


def sleeps(arguments):
    time.sleep(600)


def writes(arguments):
    Path("../owned").write_text("x")
    return 0


def starts(arguments):
    return os.system("true")


def hoards(arguments):
    return len(np.ones(10**8)) and 0


def dies(arguments):
    os.abort()


def mute(arguments):
    return 2


def counts(arguments):
    assert Path("a/b.txt").read_text() == "x"
    return int(arguments[0]) % 3


@pytest.mark.parametrize("main, problem", [
    (raises, "a traceback"), (hangs, "it hangs"), (writes, "it writes outside or starts a command: open "),
    (starts, "it writes outside or starts a command: os.system"), (hoards, "it uses "), (dies, "the process died: -6"),
    (mute, "exit status 2 without a word"), (sleeps, "it hangs"),
])  # fmt: skip
def test_what_must_not_be_is_noticed_and_kept(main, problem, tmp_path, capsys):
    seconds = 2 if problem == "it hangs" else 60
    fuzzing = fuzz.Fuzz(tmp_path, partial(fine), main, jobs=1, seconds=seconds, most=700 * 10**6, patience=8)
    fuzzing.run([7])
    assert [outcome.problem[: len(problem)] for _, outcome in fuzzing.outcomes] == [problem]
    (place,) = fuzzing.kept
    assert (place / "a" / "b.txt").read_text() == "x" and "runner 7" in (place / "COMMAND").read_text()
    assert "case 7 (made)" in capsys.readouterr().err


def test_after_a_failure_the_next_case_is_run(tmp_path):
    fuzzing = fuzz.Fuzz(tmp_path, partial(fine), dies, jobs=1)
    fuzzing.run([1, 2])
    assert len(fuzzing.outcomes) == len(fuzzing.kept) == 2


def test_statuses_are_counted(tmp_path):
    fuzzing = fuzz.Fuzz(tmp_path, partial(fine), counts, jobs=2)
    fuzzing.run(range(0, 30, 3))
    assert not fuzzing.kept and "made: 10 cases" in fuzz.summary(fuzzing)


@pytest.mark.parametrize("status, printed, problem", [
    (0, "out\n\0", ""), (2, "\0e.yaml:1: seed: found 'x'; expected a whole number\n", ""), (3, "\0", "exit status 3"),
    (2, "\0", "exit status 2 without a word"), (2, "\0one\n  two\n", "not one clear line"), (2, "\0a", "has no end"),
    (2, "\0a\x1b[31m\n", "not one clear line"), (2, f"\0{'x' * 3000}\n", "a line of 3000 characters"),
    (2, "\0dataset npz() of archrunner 0.1.0 raised KeyError: 'x'\n", "a component's own exception"),
    (1, "\0Traceback (most recent call last)\n", "a traceback"), (None, "\0", "exit status None"),
])  # fmt: skip
def test_what_a_command_may_print(status, printed, problem):
    found = complaint(status, printed)
    assert problem in found and bool(problem) == bool(found)


def test_the_same_seed_gives_the_same_cases(monkeypatch):
    now = time.localtime()
    monkeypatch.setattr(time, "localtime", lambda *_: now)  # archives hold the time at which they were made
    cases = [[many(seed, number) for number in range(60)] for seed in (1, 1, 2)]
    times = {"store.db", "reports/small/mlflow.jsonl"}
    same = [[replace(c, files={k: v for k, v in c.files.items() if k not in times}) for c in some] for some in cases]
    assert same[0] == same[1] and same[0] != same[2]


def test_every_component_gets_parameters():
    from random import Random

    random, given = Random(0), set()
    for kind, known in fuzz_yaml.components().items():
        for component in known:
            for _ in range(30):
                given |= {(kind, component["name"], key) for key in fuzz_yaml.parameters(component, random, 0, 0)}
    wanted = {
        (k, c["name"], p["name"]) for k, known in fuzz_yaml.components().items() for c in known for p in c["parameters"]
    }
    assert wanted <= given
