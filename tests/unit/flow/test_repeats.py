"""How many repeats are planned depends on the results of complete repeats alone, however a study was interrupted."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import ACCURACY
from small_study import make_plan as small_plan

from runner.fits.records import FitSpec, Look
from runner.flow import repeats
from runner.flow.outcome import Options
from runner.flow.repeats import Decision, Reached, Repeats, opening_lines
from runner.planning.plan import Plan

LABELS = np.arange(9)
CELLS = [f"id-{'-'.join(levels)}" for levels in ACCURACY]
MOST = 6


class Results(dict[str, str]):
    """The statuses by fit, in place of an index of a journal."""

    @property
    def statuses(self) -> dict[str, str]:
        return dict(self)

    def select(self, fits: Any) -> list[str]:
        return [fit for fit in fits if fit in self]


@dataclass
class Journal:
    """The results, and the looks that were recorded."""

    results: Results
    looks: list[Look] = field(default_factory=list)

    def record_look(self, look: Look) -> None:
        self.looks.append(look)


def spec(fit: str, cell: str, repeat: int, fold: int) -> Any:
    return SimpleNamespace(id=fit, cell=cell, repeat=repeat, fold=fold)


def extend(plan: Plan, cells: Collection[str]) -> tuple[Plan, list[FitSpec]]:
    """As `planning.fits.plan_repeat`, without data."""
    fits = {cell: list(ids) for cell, ids in plan.fits.items()}
    for cell in cells:
        fits[cell] += [f"{cell}-{plan.repeats * plan.folds + fold}" for fold in range(plan.folds)]
    plan = replace(plan, repeats=plan.repeats + 1, fits=fits)
    return plan, [spec(*key) for key in plan.fit_keys()]


def first(race: bool = False, most: int | None = MOST) -> Reached:
    plan = replace(small_plan(list(ACCURACY), repeats=2), most=most, race=race)
    return Reached(plan, [spec(*key) for key in plan.fit_keys()])


def scripted(script: list[set[str]]) -> Any:
    """Looks whose cells that go on are given for 2, 3, ... repeats; decided where none are, and after the last."""

    def decide(plan: Plan, fits: object, results: Sequence[str], labels: object) -> Decision:
        assert len(results) == plan.fit_count
        going_on = script[plan.repeats - 2] if plan.repeats - 2 < len(script) else set()
        return Decision(not going_on, tuple(sorted(going_on)), len(going_on), 6, {})

    return decide


def run(
    results: Results, at_most: int, only_failed: bool = False, race: bool = False
) -> tuple[Reached, int, list[int]]:
    """A run that is interrupted after `at_most` fits; returns also the numbers of fits of its rounds."""
    study = Repeats(first(race), Journal(results), LABELS, extend, Options(only_failed=only_failed))  # type: ignore
    trained: list[int] = []
    left = itertools.count(at_most, -1)

    def train(fits: Sequence[FitSpec], missing: Sequence[FitSpec]) -> int:
        trained.append(len(missing))
        for fit in missing:
            if next(left) <= 0:
                return 130
            results[fit.id] = "ok"
        return 0

    reached = study.reached()
    missing = [fit for fit in reached.fits if fit.id not in results]
    return *study.train(reached, missing, train, lambda *_: None), trained


SCRIPTS = st.lists(st.sets(st.sampled_from(CELLS)), max_size=MOST)


@settings(max_examples=60)
@given(SCRIPTS, st.lists(st.integers(0, 40), max_size=6), st.booleans())
def test_interruptions_change_nothing(script: list[set[str]], stops: list[int], race: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "decide", scripted(script))
        undisturbed, interrupted = Results(), Results()
        expected, status, rounds = run(undisturbed, 10**6, race=race)
        assert status == 0 and sum(rounds) == len(undisturbed) == expected.plan.fit_count
        for stop in stops:
            run(interrupted, stop, race=race)
        reached, status, _ = run(interrupted, 10**6, race=race)
    assert status == 0 and reached.plan == expected.plan and reached.decision == expected.decision
    assert interrupted == undisturbed, "the same fits"
    assert reached.decided and reached.plan.repeats <= MOST


@given(SCRIPTS)
def test_the_script_decides_how_many_repeats_there_are(script: list[set[str]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "decide", scripted(script))
        reached, _, rounds = run(Results(), 10**6)
    undecided = next((index for index, cells in enumerate(script) if not cells), len(script))
    assert reached.plan.repeats == min(2 + undecided, MOST) and rounds[0] == 24 and set(rounds[1:]) <= {12}
    assert reached.decision and reached.decision.done == (undecided + 2 <= MOST) and not reached.goes_on


def test_a_fixed_number_of_repeats_is_never_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "decide", None)
    fixed = first(most=None)
    results = Results({fit.id: "ok" for fit in fixed.fits})
    journal = Journal(results)
    study = Repeats(fixed, journal, LABELS, extend, Options())  # type: ignore[arg-type]
    assert study.reached() is fixed
    assert study.train(fixed, [], lambda *_: 0, lambda *_: None) == (fixed, 0)
    assert fixed.decided == "" and not fixed.goes_on and not journal.looks


def test_a_race_whose_cells_are_all_out_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    look = Decision(False, (), 2, 6, {})
    monkeypatch.setattr(repeats, "decide", lambda *_: look)
    reached, status, rounds = run(Results(), 10**6, race=True)
    assert (reached.plan.repeats, status, rounds) == (2, 0, [24])


def test_a_cell_that_is_out_never_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "decide", scripted([set(CELLS[:2]), set(CELLS), set(CELLS[1:])]))
    reached, _, rounds = run(Results(), 10**6, race=True)
    assert [reached.plan.repeats_of(cell) for cell in CELLS] == [4, 5, 2, 2] and rounds == [24, 6, 6, 3]


def test_the_lines() -> None:
    plan = first().plan
    one, two = Decision(False, (), 1, 6, {}), Decision(False, (), 2, 6, {})
    third = replace(plan, repeats=3)
    assert opening_lines(Reached(third, [], opened_by=two)) == ["repeat 3 of at most 6: 2 of 6 pairs are still open"]
    assert opening_lines(Reached(third, [], opened_by=one)) == ["repeat 3 of at most 6: 1 of 6 pairs is still open"]
    assert opening_lines(Reached(third, [])) == []
    assert Reached(third, [], decision=Decision(True, (), 0, 6, {})).decided == "decided after 3 of at most 6 repeats"
    open_still = Reached(third, [], decision=one)
    assert open_still.decided == "not decided after 3 of at most 6 repeats: 1 of 6 pairs is still open"
    assert open_still.goes_on
    last = Reached(replace(plan, repeats=6), [], decision=two)
    allowed = "not decided after 6 repeats, the most that the experiment allows: 2 of 6 pairs are still open"
    assert last.decided == allowed and not last.goes_on
