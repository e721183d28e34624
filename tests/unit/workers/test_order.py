"""The order in which groups of fits start, on every executor, and what is tried again."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from engine_fits import built_fit
from hypothesis import given
from hypothesis import strategies as st

from runner.fits.grouping import groups_to_train
from runner.fits.records import FitResult, FitSpec, failed_result
from runner.workers.executors.backlog import Backlog

SPEC = built_fit().spec


def fits(costs: list[int], folds: int, repeats: int) -> list[FitSpec]:
    return [
        replace(SPEC, id=f"{cell}-{repeat}-{fold}", cell=str(cell), repeat=repeat, fold=fold, cost=float(cost))
        for cell, cost in enumerate(costs)
        for repeat in range(repeats)
        for fold in range(folds)
    ]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(1, 4), st.integers(1, 3))
def test_whole_repeats_come_first_and_in_each_the_most_costly(costs: list[int], folds: int, repeats: int) -> None:
    given_fits = fits(costs, folds, repeats)
    groups = groups_to_train(given_fits, {fit.id for fit in given_fits})
    keys = [(group[0].repeat, -sum(fit.cost for fit in group)) for group in groups]
    assert keys == sorted(keys) and len(groups) == len(given_fits)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(1, 4), st.integers(1, 3), st.integers(2, 9))
def test_the_last_groups_of_several_workers_are_the_most_costly_first(
    costs: list[int], folds: int, repeats: int, workers: int
) -> None:
    given_fits = fits(costs, folds, repeats)
    wanted = {fit.id for fit in given_fits}
    alone, several = groups_to_train(given_fits, wanted), groups_to_train(given_fits, wanted, workers)
    start = max(0, len(alone) - min(8 * workers, max(2 * workers, len(alone) // 2)))
    assert several[:start] == alone[:start]
    last = [group[0].cost for group in several[start:]]
    assert last == sorted(last, reverse=True) and {group[0].id for group in several} == wanted


def ok(spec: FitSpec) -> FitResult:
    return FitResult(spec.id, spec.cell, spec.repeat, spec.fold, "ok")


@given(st.integers(0, 3), st.lists(st.booleans(), max_size=40), st.integers(0, 99))
def test_each_group_gets_results_once_whatever_is_lost(retries: int, losses: list[bool], seed: int) -> None:
    groups = [(replace(spec, retries=retries),) for spec in fits([1, 2], 2, 2)]
    backlog, counted, tries, chance = Backlog(groups), list[str](), dict[str, int](), random.Random(seed)
    running = []
    while backlog.remaining:
        while (attempt := backlog.take()) and len(running) < 3:
            running.append(attempt)
        if attempt:
            running.append(attempt)
        done = running.pop(chance.randrange(len(running)))
        spec = done.group[0]
        tries[spec.id] = tries.get(spec.id, 0) + 1
        assert done.number == tries[spec.id] <= retries + 1
        lost = bool(losses) and losses.pop()
        results = [failed_result(spec, "worker lost", retryable=True) if lost else ok(spec)]
        if backlog.settle(done, results):
            counted.append(spec.id)
    assert sorted(counted) == sorted(group[0].id for group in groups) and not running


def test_a_lost_group_is_tried_again_before_all_others(caplog: pytest.LogCaptureFixture) -> None:
    first, second = ((replace(spec, retries=1),) for spec in fits([1], 2, 1))
    backlog = Backlog([first, second])
    attempt = backlog.take()
    assert attempt and not backlog.settle(attempt, [failed_result(first[0], "worker lost", retryable=True)])
    again = backlog.take()
    assert again and (again.group, again.number) == (first, 2) and "worker lost; trying again" in caplog.text
