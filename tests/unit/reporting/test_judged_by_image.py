"""Comparisons of a study whose journal says which images each fit got right, and of one whose journal does not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from reporting_samples import FACTORS, make_frames, make_plan, make_splits, results

from runner.data import splits_file
from runner.fits.records import Look
from runner.journal.frames import Frames
from runner.journal.journal import Journal
from runner.planning.plan import Plan
from runner.reporting.journal_frames import read_frames
from runner.reporting.pages.write import write_report
from runner.reporting.statistics.answers import pack_answers
from runner.reporting.statistics.crossed import crossed_differences
from runner.reporting.tables.study_tables import make_tables

TWO = {"pool": ("max", "avg", "none"), "depth": ("1", "2")}


def right_of(plan: Plan, frames: Frames) -> np.ndarray:
    """0 or 1 (cells, repeats, images), image by image."""
    splits = frames.splits
    assert splits is not None
    right = np.zeros((len(plan.cells), plan.repeats, splits.fold_of.shape[1]), np.uint8)
    for fit, cell, repeat, fold in plan.fit_keys():
        (images,) = np.nonzero(splits.fold_of[repeat] == fold)
        bits = np.unpackbits(np.frombuffer(frames.right[fit], np.uint8), count=len(images))
        right[[c.id for c in plan.cells].index(cell), repeat, images] = bits
    return right


@pytest.mark.parametrize(("folds", "repeats"), [(5, 1), (5, 3), (2, 3)])
def test_differences_are_those_of_the_answers_image_by_image(folds: int, repeats: int) -> None:
    plan = make_plan(TWO, folds=folds, repeats=repeats)
    frames = make_frames(plan, answers=True)
    tables = make_tables(plan, frames)
    right = right_of(plan, frames)
    assert frames.splits is not None
    answers = pack_answers(right, frames.splits.fold_of, folds)
    by_level = {level: [i for i, c in enumerate(plan.cells) if c.levels["pool"] == level] for level in TWO["pool"]}
    cell_at = np.array(list(by_level.values()))
    rows = tables.comparisons[tables.comparisons["factor"] == "pool"]
    assert set(rows["method"]) == {"crossed"} and (rows["n"] == folds * repeats).all()
    for row in rows.to_dict("records"):
        a, b = (list(TWO["pool"]).index(row[name]) for name in ("level_a", "level_b"))
        difference = right[cell_at[a]].astype(float).mean(0) - right[cell_at[b]].astype(float).mean(0)
        assert row["difference"] == pytest.approx(difference.mean(), abs=1e-12)
        expected = crossed_differences(answers, cell_at, np.array([a]), np.array([b]), np.ones((1, 2), bool))
        assert row["ci_low"] == pytest.approx(expected.tests()["low"][0], abs=1e-12)
        assert row["df"] == pytest.approx(expected.df[0])
    # Cells, too, and in the same direction as their means.
    cells = tables.cell_comparisons
    assert set(cells["method"]) == {"crossed"} and len(cells) == 15
    means = tables.cells.set_index("cell")["mean"]
    for row in cells.to_dict("records"):
        assert row["difference"] == pytest.approx(means[row["cell_a"]] - means[row["cell_b"]], abs=1e-9)


def test_intervals_are_narrower_than_those_of_the_folds() -> None:
    plan = make_plan(TWO, repeats=4)
    by_image = make_tables(plan, make_frames(plan, answers=True)).comparisons
    by_fold = make_tables(plan, dataclasses.replace(make_frames(plan, answers=True), right={})).comparisons
    assert set(by_fold["method"]) == {"corrected_t"}
    widths = [table["ci_high"] - table["ci_low"] for table in (by_image, by_fold)]
    assert (widths[0] < widths[1]).mean() > 0.5 and widths[0].median() < 0.8 * widths[1].median()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"metric": "val_loss"}, "val_loss is not the share of images"),
        ({"folds": 2, "repeats": 2}, "2 repeats of 2 folds cannot be judged image by image"),
        ({"images": 150}, "there are fewer than 200 images"),
        ({"old": True}, "it is not recorded which images each fit got right"),
    ],
)
def test_where_it_may_not_be_trusted_folds_are_compared_and_the_page_says_why(
    options: dict[str, object], reason: str, tmp_path: Path
) -> None:
    images, old = options.pop("images", 1000), options.pop("old", False)
    plan = make_plan(TWO, **options)  # type: ignore[arg-type]
    splits = make_splits(plan, int(str(images)))
    plan = dataclasses.replace(plan, data=plan.data | {"train": 0, "validation": images})
    frames = make_frames(plan) if old else _frames(plan, splits)
    tables = write_report(plan, frames, tmp_path)
    assert set(tables.comparisons["method"]) == {"corrected_t"}
    for page in ("report.md", "report.html"):
        text = (tmp_path / page).read_text()
        assert reason in text and "Nadeau and Bengio 2003" in text and "crossed random effects" not in text


def test_the_page_says_that_images_were_judged(tmp_path: Path) -> None:
    plan = make_plan(TWO)
    write_report(plan, make_frames(plan, answers=True), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "which images each fit got right" in text and "Nadeau" not in text
    comparisons = make_tables(plan, make_frames(plan, answers=True)).comparisons
    # With so many images the difference found would be 0.84 standard errors beyond what is found: 80% power.
    errors = comparisons["t"].abs() * (comparisons["images_needed"] / 1000) ** 0.5
    assert errors.to_numpy() == pytest.approx(scipy.stats.t.ppf(0.975, comparisons["df"]) + 0.8416, rel=0.01)
    assert ((comparisons["p"] < 0.05) | (comparisons["images_needed"] > 1000)).all()
    assert "A second repeat would show how far repeats can settle it" in text


def test_a_failed_fit_leaves_out_its_repeat_and_the_comparison_says_so() -> None:
    plan = make_plan({"pool": ("max", "avg")}, repeats=3)
    failed = plan.fits[plan.cells[0].id][0]
    frames = make_frames(plan, answers=True, failed=(failed,))
    (row,) = make_tables(plan, frames).comparisons.to_dict("records")
    assert (row["method"], row["n"], row["n_planned"], row["missing_a"]) == ("crossed", 10, 15, 1)
    right = right_of(plan, make_frames(plan, answers=True)).astype(float)
    assert row["difference"] == pytest.approx((right[0, 1:] - right[1, 1:]).mean())
    one = make_plan({"pool": ("max", "avg")})
    frames = make_frames(one, answers=True, failed=(one.fits[one.cells[0].id][0],))
    (row,) = make_tables(one, frames).comparisons.to_dict("records")
    assert (row["method"], row["n"]) == ("corrected_t", 4), "no repeat is complete"


def _frames(plan: Plan, splits: splits_file.SavedSplits) -> Frames:
    from runner.journal.frames import frames

    return frames(results(plan, splits=splits), splits)


def _study(folder: Path, repeats: int, look: Look | None) -> tuple[Plan, Frames]:
    """A study on disk, to which repeats were added after `look`."""
    plan = make_plan({"pool": ("max", "avg")}, repeats=repeats)
    splits = make_splits(plan)
    plan = dataclasses.replace(plan, data=plan.data | {"splits": splits.digest})
    splits_file.save(splits, folder)
    with Journal(folder / "journal.jsonl") as journal:
        for result in results(plan, splits=splits):
            if look and result.repeat == look.repeats and not journal.results.looks:
                journal.record_look(look)
            journal.append(result)
    return plan, read_frames(plan, folder)


def test_repeats_added_after_a_report_lower_the_level_and_the_page_says_why(tmp_path: Path) -> None:
    plan, frames = _study(tmp_path / "a", 3, Look(1, False))
    assert frames.seen == (1,)
    tables = write_report(plan, frames, tmp_path / "a")
    (row,) = tables.comparisons.to_dict("records")
    text = (tmp_path / "a" / "report.md").read_text()
    assert row["alpha"] == 0.025 and "97.5% interval" in text
    assert "Results could be read after 1 repeat, before more were added" in text
    plan, frames = _study(tmp_path / "b", 3, None)
    (usual,) = make_tables(plan, frames).comparisons.to_dict("records")
    assert frames.seen == () and usual["alpha"] == 0.05 and row["p"] == usual["p"]
    assert row["ci_low"] < usual["ci_low"] < usual["ci_high"] < row["ci_high"]


def test_a_look_at_other_fits_or_by_a_rule_is_no_look_by_hand(tmp_path: Path) -> None:
    _, frames = _study(tmp_path / "a", 3, Look(1, True, 1))
    assert frames.seen == ()
    _, frames = _study(tmp_path / "b", 3, Look(0, False))  # before the first fit
    assert frames.seen == ()


def test_splits_of_another_study_are_not_used(tmp_path: Path) -> None:
    plan, frames = _study(tmp_path, 2, None)
    assert frames.splits is not None
    changed = dataclasses.replace(plan, data=plan.data | {"splits": "0" * 16})
    assert read_frames(changed, tmp_path).splits is None
    assert set(make_tables(changed, read_frames(changed, tmp_path)).comparisons["method"]) == {"corrected_t"}


def test_splits_with_other_folds_than_the_plan_are_not_used() -> None:
    plan = make_plan({"pool": ("max", "avg")}, repeats=2)
    frames = make_frames(plan, answers=True)
    assert frames.splits is not None
    for fold in (7, 0):  # one that the plan does not have; or one fewer
        fold_of = np.where(frames.splits.fold_of == 4, fold, frames.splits.fold_of)
        other = dataclasses.replace(frames, splits=dataclasses.replace(frames.splits, fold_of=fold_of))
        assert set(make_tables(plan, other).comparisons["method"]) == {"corrected_t"}


def test_equal_cells_differ_by_no_more_than_a_few_images() -> None:
    plan = make_plan({"pool": ("max", "avg")}, repeats=2)
    splits = make_splits(plan)
    found = results(plan, splits=splits)
    same = [
        dataclasses.replace(r, answers=found[i % 10].answers, curves=found[i % 10].curves) for i, r in enumerate(found)
    ]
    from runner.journal.frames import frames

    (row,) = make_tables(plan, frames(same, splits)).comparisons.to_dict("records")
    assert row["difference"] == 0 and row["p"] == 1
    assert 0 < row["ci_high"] < 4 / 1000 and isinstance(row["images_needed"], float) and pd.isna(row["images_needed"])


def test_all_factors_of_a_larger_grid(tmp_path: Path) -> None:
    plan = make_plan(FACTORS)
    tables = write_report(plan, make_frames(plan, answers=True), tmp_path)
    assert set(tables.comparisons["method"]) == {"crossed"} and not tables.comparisons["p_holm"].isna().any()
