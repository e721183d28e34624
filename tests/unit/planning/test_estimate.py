"""The number of fits that a plan still has to train, and the time estimate that goes with it."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from small_study import ACCURACY, make_plan

from runner.fits.grouping import wall_time
from runner.fits.records import FitResult
from runner.planning.estimate import estimate

DATA = {"size": 300}


def results(plan, status="ok", seconds=2.0, epochs=2):
    return [FitResult(fit, *key, status, epochs=epochs, seconds=seconds) for fit, *key in plan.fit_keys()]


def plan_of(**changes):
    costs = dict.fromkeys(ACCURACY, (10, 1000))
    plan = make_plan(list(ACCURACY), costs=costs, **changes)
    plan.data.update(DATA)
    return plan


def test_a_finished_plan_has_nothing_left():
    plan = plan_of()
    found = estimate(plan, results(plan), workers=2)
    assert (found.fits, found.seconds, found.measured) == (0, 0.0, True)


def test_results_of_more_repeats_than_planned_leave_no_negative_count():
    found = estimate(plan_of(repeats=1), results(plan_of(repeats=3)), workers=1)
    assert (found.fits, found.seconds) == (0, 0.0)


def test_failed_fits_are_not_counted_as_left():
    plan = plan_of()
    found = estimate(plan, results(plan, status="failed"), workers=1)
    assert (found.fits, found.measured) == (0, False)


def test_half_of_the_fits_take_half_of_the_seconds():
    plan = plan_of(repeats=2)
    done = [result for result in results(plan) if result.repeat == 0]
    found = estimate(plan, done, workers=1)
    assert found.fits == len(done) == 12 and abs(found.seconds - 24.0) < 1e-9


def test_fits_that_stopped_early_give_the_speed_and_the_others_are_counted_with_all_epochs():
    """All fits of the second repeat may take every epoch, although those of the first took half of them."""
    plan = plan_of(repeats=2)
    done = [result for result in results(plan, epochs=1) if result.repeat == 0]
    assert abs(estimate(plan, done, workers=1).seconds - 48.0) < 1e-9


def test_a_cell_is_as_fast_as_its_own_fits_were():
    plan = plan_of(repeats=2)
    first = plan.cells[0].id
    done = [
        replace(result, seconds=8.0 if result.cell == first else 2.0)
        for result in results(plan)
        if result.repeat == 0
    ]  # fmt: skip
    fits = plan.folds * len(plan.cells)
    assert abs(estimate(plan, done, workers=1).seconds - (plan.folds * 8.0 + (fits - plan.folds) * 2.0)) < 1e-9


@given(st.lists(st.floats(0, 100), max_size=30), st.integers(1, 8))
def test_the_wall_time_is_within_its_bounds(durations, workers):
    """Graham, 1969: no order takes longer than (2 - 1/workers) times the best, which is at least the mean load."""
    found = wall_time(durations, workers)
    least = max(sum(durations) / workers, max(durations, default=0.0))
    assert least - 1e-9 <= found <= least * (2 - 1 / workers) + 1e-9


def test_the_longest_first_leave_no_worker_alone_at_the_end():
    assert wall_time([3, 3, 2, 2, 2], 2) == 7 and wall_time([2, 2, 2, 3, 3], 2) == 7 and wall_time([1, 1, 4], 2) == 5
    assert wall_time([4, 1, 1], 2) == 4
