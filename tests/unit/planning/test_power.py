"""The smallest difference that a plan finds, and the line of it in `plan`."""

import math
from dataclasses import replace

import pytest
from command import Command
from reporting_samples import make_plan
from scipy import stats

from runner.fits.records import SplitDesign
from runner.planning import power
from runner.planning.power import HIGH, LOW, Design, Variances, designs, matched_pairs, student_quantile, summary
from runner.reporting.statistics import crossed, metric_matrix, sequential

DESIGN = Design(2000, 5, 2, 4, 3, 0.05, 0.25, by_image=True)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 5, 9, 10, 39, 40, 999])
@pytest.mark.parametrize("p", [0.5, 0.8, 0.975, 0.9995])
def test_quantiles_are_those_of_scipy(p: float, df: int) -> None:
    assert student_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-9, abs=1e-9)


def test_limits_and_levels_are_those_of_the_report() -> None:
    for name in ("LEAST_IMAGES", "LEAST_FOLDS", "LEAST_REPEATS", "SHARED"):
        assert getattr(power, name) == getattr(crossed, name)
    assert (power.ALPHA, power.ALPHA_LOOKS) == (metric_matrix.ALPHA, sequential.LEVEL)


def test_the_difference_is_the_formulas() -> None:
    variance = (0.01 + 0.4 / 8) / 2000
    critical = stats.t.ppf(1 - 0.05 / 6, 9) + stats.t.ppf(0.8, 9)
    assert DESIGN.detectable(Variances(0.01, 0.4)) == pytest.approx(critical * math.sqrt(variance))
    by_fold = replace(DESIGN, by_image=False)
    variance = (0.01 / 1.25 + 0.4 / 4) * (1 / 2 + 5 / 4) / 2000
    assert by_fold.detectable(Variances(0.01, 0.4)) == pytest.approx(critical * math.sqrt(variance))


def test_more_of_everything_finds_less() -> None:
    least = DESIGN.detectable(HIGH)
    assert least is not None
    assert replace(DESIGN, images=8000).detectable(HIGH) == pytest.approx(least / 2)
    for more in ({"repeats": 4}, {"pairs": 8}, {"comparisons": 1}):
        assert replace(DESIGN, **more).detectable(HIGH) < least
    assert DESIGN.detectable(LOW) < least
    assert replace(DESIGN, folds=1, repeats=1).detectable(LOW) is None


def test_the_pairs_are_those_of_the_worst_levels() -> None:
    plan = make_plan({"a": ("1", "2", "3"), "b": ("x", "y")})
    assert matched_pairs(plan, "a") == (2, 3) and matched_pairs(plan, "b") == (3, 1)
    less = replace(plan, cells=plan.cells[1:])
    assert matched_pairs(less, "a") == (1, 3) and matched_pairs(less, "b") == (2, 1)


def test_whether_it_is_judged_image_by_image_is_as_in_the_report() -> None:
    plan = make_plan({"a": ("1", "2")})
    assert designs(plan)["a"].by_image
    for other in (
        replace(plan, metric="val_loss"),
        replace(plan, folds=3),
        replace(plan, data=plan.data | {"size": 150}),
        replace(plan, split_design=SplitDesign(groups="patient")),
    ):
        assert not designs(other)["a"].by_image
    assert designs(replace(plan, folds=3, repeats=3))["a"].by_image


def test_plan_shows_one_line_of_it(tiny, here: Command) -> None:
    lines = [line for line in here("plan", tiny).stdout.splitlines() if "80% power" in line]
    assert len(lines) == 1
    assert lines[0].startswith("points found with 80% power, by how much fits vary: ")
    assert "in architecture.downsample, " in lines[0] and lines[0].endswith("(runner power says what more would buy)")
    assert "80% power" not in here("plan", tiny, "--set", "report.metric=val_loss").stdout


def test_impossible_differences_are_not_numbers() -> None:
    plan = replace(make_plan({"a": ("1", "2")}, folds=2), data={"size": 20})
    assert ">100" in summary(plan)
    assert summary(make_plan({})) == ""
