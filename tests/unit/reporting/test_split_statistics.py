"""Statistics of studies that split by groups, given folds or into two parts: never image by image."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from reporting_samples import make_frames, make_plan

from runner.fits.records import SplitDesign
from runner.journal.frames import Frames
from runner.planning.plan import Plan
from runner.reporting.pages.content import provenance
from runner.reporting.pages.write import write_report
from runner.reporting.statistics.corrected_t import corrected_t_test, power, repeats_needed
from runner.reporting.statistics.metric_test import binomial_std
from runner.reporting.tables.study_tables import make_tables
from runner.reporting.text import sentences
from runner.reporting.text.methods import methods

POOL = {"pool": ("max", "avg")}
SIZES = [100, 150, 200, 250, 300]


def study(design: SplitDesign, folds: int = 5, repeats: int = 1, sizes: list[int] | None = None) -> tuple[Plan, Frames]:
    """A study with answers, which would be judged image by image without its design."""
    plan = make_plan(POOL, folds=folds, repeats=repeats)
    sizes = (sizes or SIZES) * repeats
    facts = {"fold_sizes": sizes} | ({"groups": 40} if design.groups else {})
    designed = dataclasses.replace(plan, split_design=design, data=plan.data | facts)
    return designed, make_frames(plan, answers=folds > 1)


def texts(plan: Plan, frames: Frames) -> str:
    """What the report says of the comparisons and the splits."""
    tables = make_tables(plan, frames)
    answers = [line for lines in sentences.answers(plan, tables.comparisons).values() for line in lines]
    return "\n".join(
        [*answers, *methods(plan, tables.comparisons, tables.looks), provenance(plan, frames.fits)["splits"]]
    )


def expected(plan: Plan, frames: Frames) -> tuple[float, float]:
    """The interval of max - avg by the formula."""
    fits = make_tables(plan, frames).fits.pivot(index=["repeat", "fold"], columns="pool", values="val_accuracy")
    difference = (fits["max"] - fits["avg"]).to_numpy()[None]
    sizes = np.array(plan.data["fold_sizes"])
    least = binomial_std(difference[:, None], np.full((1, 1), True), 1 / np.mean(1 / sizes), plan.folds)
    test = corrected_t_test(difference, float(np.mean(sizes / (1000 - sizes))), least_std=least)
    return test["low"][0], test["high"][0]


def test_grouped_folds_are_judged_fold_by_fold_with_the_mean_ratio_of_their_sizes() -> None:
    plain = dataclasses.replace(make_plan(POOL))
    assert set(make_tables(plain, make_frames(plain, answers=True)).comparisons["method"]) == {"crossed"}
    plan, frames = study(SplitDesign(groups=True))
    (row,) = make_tables(plan, frames).comparisons.to_dict("records")
    assert row["method"] == "corrected_t" and (row["ci_low"], row["ci_high"]) == pytest.approx(expected(plan, frames))
    assert plan.test_train_ratio == pytest.approx(0.2599, abs=1e-4), "more than the 1 / 4 of equal folds"
    text = texts(plan, frames)
    assert "as images of one group are not independent of each other" in text
    assert "Fits validate 100 to 300 images; the correction takes the mean of n_test/n_train over them, 0.26." in text
    assert "5-fold cross-validation of whole groups, folds of 100 to 300 images; 40 groups; 1 repeat; seed 0" in text


@pytest.mark.parametrize("design", [SplitDesign(fold_column="fold"), SplitDesign(groups=True, fold_column=True)])
def test_given_folds_have_no_repeats_to_hope_for(design: SplitDesign) -> None:
    plan, frames = study(design, sizes=[200] * 5)
    noisy = frames.fits.assign(val_accuracy=0.8 + 0.05 * np.random.default_rng(0).standard_normal(len(frames.fits)))
    frames = dataclasses.replace(frames, fits=noisy)
    (row,) = make_tables(plan, frames).comparisons.to_dict("records")
    assert row["method"] == "corrected_t" and np.isnan(row["repeats_needed"]) and row["p"] > 0.05
    text = texts(plan, frames)
    assert "The splits are given, so that repeats cannot settle it: about" in text and "repeats on these" not in text
    assert (" images in new groups would be needed" in text) == bool(design.groups)
    assert "Fits validate" not in text, "the folds have one size"


def test_one_fit_per_cell_gives_means_and_no_claim(tmp_path: Path) -> None:
    plan, frames = study(SplitDesign(split=True), folds=1, sizes=[200])
    tables = make_tables(plan, frames)
    (row,) = tables.comparisons.to_dict("records")
    assert row["n"] == 1 and np.isfinite(row["difference"]) and np.isnan(row["ci_low"]) and np.isnan(row["p"])
    assert tables.cells["mean"].notna().all() and tables.cells["ci_low"].isna().all()
    write_report(plan, frames, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "no claim, since one fit per cell does not show what another split or other initial values would" in text
    assert "the given split into a training and a validation part; 200 of 1,000 images validate; 1 repeat" in text
    assert "With one fit per cell there are no intervals and no tests" in text
    assert "outperforms" not in text and "Intervals of differences rest" not in text


def test_what_is_true_of_all_pairs_is_said_once() -> None:
    plan = make_plan({"pool": ("max", "avg", "stride", "blur")}, folds=1)
    plan = dataclasses.replace(plan, split_design=SplitDesign(split=0.2))
    (lines,) = sentences.answers(plan, make_tables(plan, make_frames(plan)).comparisons).values()
    assert lines == [f"max, avg, stride and blur: {sentences.FROM_ONE_FIT}."]


def test_drawn_splits_are_what_the_correction_was_made_for() -> None:
    """n values from n random splits, with variance s^2 (1/n + n_test/n_train): Nadeau and Bengio 2003."""
    plan, frames = study(SplitDesign(split=0.2), folds=1, repeats=6, sizes=[200])
    (row,) = make_tables(plan, frames).comparisons.to_dict("records")
    assert row["n"] == 6 and row["df"] == 5 and plan.test_train_ratio == 0.25
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(expected(plan, frames))
    assert "not every image validates" in texts(plan, frames)


def test_power_and_repeats_take_the_ratio_and_one_value_finds_nothing() -> None:
    assert power(1.0, 1.0, 5, 2) == power(1.0, 1.0, 5, 2, test_train_ratio=0.25)
    assert power(1.0, 1.0, 5, 2) > power(1.0, 1.0, 5, 2, test_train_ratio=0.5)
    assert power(9.0, 1.0, 1, 1, test_train_ratio=0.25) == 0
    assert repeats_needed([9.0, 0.1], [1.0, 1.0], 1, test_train_ratio=0.25) == pytest.approx([3, np.nan], nan_ok=True)


def test_looks_at_grouped_studies_read_the_corrected_test() -> None:
    plan, frames = study(SplitDesign(groups=True), repeats=2)
    plan = dataclasses.replace(plan, most=4)
    tables = make_tables(plan, frames)
    assert list(tables.looks["repeats"]) == [2] and tables.comparisons["method"].tolist() == ["corrected_t"]
    assert tables.looks["ci_low"].tolist() == pytest.approx(tables.comparisons["ci_low"].tolist())
