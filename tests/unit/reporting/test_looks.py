"""Looks at a study that stops when it is decided: their table, figure, sentences, and what the flow takes from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reporting_samples import make_frames, make_plan

from runner.experiment import schema
from runner.journal.frames import Frames
from runner.planning.plan import Plan
from runner.reporting.figures.draw import make_figures
from runner.reporting.pages.write import write_report
from runner.reporting.statistics import sequential
from runner.reporting.tables.looks import NO_RESULT, look
from runner.reporting.tables.study_tables import Tables, make_tables
from runner.reporting.text.looks import state_lines
from runner.reporting.text.race import answer

pytestmark = pytest.mark.figures

WIDTHS = tuple("12345678")
GRID = {"pool": ("max", "avg", "none"), "depth": ("1", "2")}


def study(factors: dict[str, tuple[str, ...]], repeats: int, race: bool = False) -> tuple[Plan, Frames]:
    plan = dataclasses.replace(make_plan(factors, repeats=repeats), most=8, race=race)
    return plan, make_frames(plan, answers=True)


def without_repeats(plan: Plan, frames: Frames, repeats: dict[int, int]) -> tuple[Plan, Frames]:
    """The cells with these positions have fewer repeats, as in a race."""
    fits = {
        cell.id: plan.fits[cell.id][: plan.folds * repeats.get(number, plan.repeats)]
        for number, cell in enumerate(plan.cells)
    }
    known = {fit for ids in fits.values() for fit in ids}
    kept = frames.fits[frames.fits["id"].isin(known)]
    return dataclasses.replace(plan, fits=fits), dataclasses.replace(
        frames, fits=kept, right={fit: bits for fit, bits in frames.right.items() if fit in known}
    )


def test_a_look_after_each_repeat_is_the_comparison_of_a_study_with_so_many() -> None:
    plan, frames = study(GRID, 4)
    looks = make_tables(plan, frames).looks
    assert sorted(set(looks["repeats"])) == [2, 3, 4] and len(looks) == 3 * 4
    for repeats in (2, 3, 4):
        earlier, known = study(GRID, repeats)
        expected = make_tables(earlier, known).comparisons
        then = looks[looks["repeats"] == repeats].reset_index(drop=True)
        for name in ("difference", "ci_low", "ci_high", "p_holm"):
            assert then[name].to_numpy() == pytest.approx(expected[name].to_numpy(), abs=1e-12)
        assert list(then["a"]) == list(expected["level_a"])
        assert ((then["state"] == "different") == (expected["p_holm"] < 0.025)).all()


def test_what_the_flow_gets_does_not_depend_on_the_order_of_the_journal() -> None:
    plan, frames = study(GRID, 2)
    found = look(plan, frames)
    assert found.pairs == 4 and found.open_pairs == sum(state == "open" for state in found.states.values())
    assert found.done == (found.open_pairs == 0) and set(found.going_on) == {cell.id for cell in plan.cells}
    shuffled = dataclasses.replace(frames, fits=frames.fits.iloc[::-1], right=dict(reversed(frames.right.items())))
    assert look(plan, shuffled) == found


def test_the_state_of_each_comparison_is_a_line() -> None:
    plan, frames = study(GRID, 2)
    rows = [
        ("architecture.downsample", "max_pool", "avg_pool", 0.008, -0.003, 0.019, "open"),
        ("optimizer.lr", "0.1", "0.01", -0.0521, -0.06, -0.0441, "different"),
        ("pool", "max", "avg", np.nan, np.nan, np.nan, NO_RESULT),
        ("", "width=8", "width=4", 0.01, np.nan, np.nan, "out"),
        ("", "", "width=8", np.nan, np.nan, np.nan, "leader"),
    ]
    columns = ["factor", "a", "b", "difference", "ci_low", "ci_high", "state"]
    assert state_lines(plan, pd.DataFrame(rows, columns=columns).assign(repeats=2)) == [
        "downsample: max_pool − avg_pool open after 2 repeats, +0.80 points (−0.30 to +1.90)",
        "lr: 0.1 − 0.01 different after 2 repeats, −5.21 points (−6.00 to −4.41)",
        "pool: max − avg no result after 2 repeats",
        "width=8 − width=4 out after 2 repeats, +1.00 points",
        "width=8 leader after 2 repeats",
    ]
    found = look(plan, frames)
    assert [line.split(" after 2")[0].rpartition(" ")[2] for line in found.lines] == list(found.states.values())


def test_the_first_look_is_after_the_repeats_that_a_study_begins_with() -> None:
    assert sequential.FIRST_LOOK == schema.FIRST_LOOK


def test_a_fixed_study_has_no_looks() -> None:
    plan = make_plan(GRID, repeats=3)
    tables = make_tables(plan, make_frames(plan, answers=True))
    assert tables.looks.empty and "looks" not in make_figures(plan, tables)


def test_pairs_without_results_do_not_keep_a_study_going() -> None:
    plan, _ = study({"pool": ("max", "avg")}, 2)
    frames = make_frames(plan, answers=True, failed=tuple(plan.fits[plan.cells[0].id]))
    found = look(plan, frames)
    assert found.done and list(found.states.values()) == [NO_RESULT]


def test_a_loss_is_looked_at_fold_by_fold() -> None:
    plan = dataclasses.replace(make_plan(GRID, repeats=3, metric="val_loss"), most=8)
    tables = make_tables(plan, make_frames(plan))
    assert set(tables.comparisons["method"]) == {"corrected_t"} and set(tables.comparisons["alpha"]) == {0.025}
    assert len(tables.looks) == 2 * 4 and tables.looks["ci_low"].notna().all()


def race() -> tuple[Plan, Tables]:
    """Cells 1 to 5 left after the second repeat; the others had five."""
    plan, frames = without_repeats(*study({"width": WIDTHS}, 5, race=True), dict.fromkeys(range(5), 2))
    return plan, make_tables(plan, frames)


def test_in_a_race_cells_are_compared_with_the_leader_on_the_repeats_of_both() -> None:
    plan, tables = race()
    last = tables.looks[tables.looks["repeats"] == 5].set_index("b")
    assert (last["state"] == "leader").sum() == 1
    leader = last.index[last["state"] == "leader"][0]
    assert leader in ("6", "7", "8") and set(last.loc[["1", "2"], "state"]) == {"out"}
    means = tables.cells.set_index("cell")
    assert list(means["fits"]) == [10] * 5 + [25] * 3
    rivals = last.drop(index=leader)
    assert (rivals["a"] == leader).all()
    for name in ("6", "7", "8"):
        if name != leader:
            difference = means.loc[leader, "mean"] - means.loc[name, "mean"]
            assert last.loc[name, "difference"] == pytest.approx(difference, abs=1e-9)


def test_in_a_race_levels_are_averaged_over_the_repeats_of_all_cells() -> None:
    plan, tables = race()
    assert set(tables.comparisons["n"]) == {10} and (tables.comparisons["n_planned"] == 10).all()
    assert (tables.levels["n"] == 10).all() and tables.levels["balanced"].all() and not tables.levels["missing"].any()
    assert set(tables.curves["fits"]) == {10}


def test_a_race_without_any_result_has_a_report(tmp_path: Path) -> None:
    plan, _ = study({"width": WIDTHS}, 2, race=True)
    failed = make_frames(plan, answers=True, failed=tuple(fit for ids in plan.fits.values() for fit in ids))
    assert look(plan, failed).done and set(look(plan, failed).states.values()) == {NO_RESULT}
    for frames in (failed, dataclasses.replace(failed, fits=failed.fits[:0], curves=failed.curves[:0])):
        write_report(plan, frames, tmp_path)
        assert "None of 8 cells has a repeat whose fits all succeeded." in (tmp_path / "report.md").read_text()


def test_a_race_names_the_cells_that_may_be_the_best() -> None:
    plan, tables = race()
    sentences = answer(tables.looks)
    assert sentences[0].startswith("Of 8 cells, ") and sentences[0].endswith(" leads.")
    assert any("may be the best as well" in line for line in sentences)
    (worse,) = [line for line in sentences if "worse" in line]
    assert worse.startswith("1, 2") and "at most 5% of races" in worse


def test_the_report_shows_the_looks_and_says_whether_it_is_decided(tmp_path: Path) -> None:
    plan, frames = study({"pool": ("max", "avg")}, 3)
    write_report(plan, frames, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "Decided after 3 of at most 8 repeats." in text and "97.5% interval" in text
    assert "figures/looks.svg" in text and (tmp_path / "figures" / "looks.svg").is_file()
    assert (tmp_path / "tables" / "looks.csv").read_text().count("\n") == 3
    assert "looked at after each repeat" in text


def test_a_figure_of_many_pairs_shows_some_and_says_so() -> None:
    plan, frames = study({"width": WIDTHS}, 2)
    picture = make_figures(plan, make_tables(plan, frames))["looks"]
    assert "Plotted: the first 15; the table has 13 more." in picture.caption


@pytest.mark.parametrize(("most", "open_pairs"), [(8, True), (2, False)])
def test_nothing_is_out_of_reach_before_images_can_be_compared(most: int, open_pairs: bool) -> None:
    """With 3 folds that is from the third repeat on; until then the wide intervals over the folds decide."""
    plan = dataclasses.replace(make_plan({"pool": ("max", "avg")}, repeats=2, folds=3), most=most)
    frames = make_frames(plan, answers=True)
    found = look(plan, dataclasses.replace(frames, fits=frames.fits.assign(val_accuracy=[0.5, 0.6] * 6)))
    assert (set(found.states.values()) == {sequential.OPEN}) == open_pairs, found
