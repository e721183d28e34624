"""The sentence on the best cell claims no more than the ranks do."""

import itertools

import pytest
from command import Command
from small_study import ACCURACY, folds, frames_of, make_plan

from runner.reporting.tables.study_tables import make_tables
from runner.reporting.text.best import sentence


def said(plan, accuracies=ACCURACY, failed=()):
    return sentence(plan, make_tables(plan, frames_of(plan, accuracies, failed)).cells)


def test_the_highest_mean_and_how_many_cells_may_be_the_best():
    plan = make_plan(ACCURACY)
    cells = make_tables(plan, frames_of(plan)).cells
    possible = (cells["rank_low"] == 1).sum()
    assert 1 < possible <= 4
    assert (
        said(plan) == f"max, 2 has the highest mean validation accuracy, 92.33%; {possible} of 4 cells may be the best."
    )
    loss = said(make_plan(ACCURACY, metric="val_loss"))
    assert loss.startswith("max, 2 has the lowest mean validation loss, 0.0767 nats; ")


def test_a_clear_winner_ties_and_single_cells():
    clear = {("max", "1"): (0.9, 0.91, 0.92), ("avg", "1"): (0.1, 0.12, 0.11)}
    assert said(make_plan(clear), clear).endswith("91.00%; no other cell may be the best.")
    equal = {("max", "1"): (0.5, 0.6, 0.7), ("avg", "1"): (0.5, 0.6, 0.7), ("max", "2"): (0.4, 0.5, 0.6)}
    assert said(make_plan(equal), equal).startswith(
        "max, 1 and avg, 1 have the highest mean validation accuracy, 60.00%; "
    )
    one = {("max", "1"): (0.5, 0.6, 0.7)}
    assert said(make_plan(one), one) == "max, 1 is the only cell; its mean validation accuracy is 60.00%."


def test_what_failed_is_said():
    plan = make_plan(ACCURACY)
    assert " 92.00% over 2 of its 3 fits; " in said(plan, failed=[("max", "2", 1)])
    assert said(plan, failed=folds(("max", "1"))).endswith("of 3 cells with results may be the best.")
    others = [f for levels in itertools.islice(ACCURACY, 3) for f in folds(levels)]
    assert said(plan, failed=others).endswith("and is the only one of 4 cells with a result.")
    assert said(plan, failed=[*others, *folds(("avg", "2"))]) == ""


@pytest.mark.parametrize("grid", ["", "grid: {architecture.kernel: [3, 5]}\n"])
def test_a_run_and_its_report_say_it(tmp_path, here: Command, grid):
    (tmp_path / "s.yaml").write_text(
        "name: s\ndataset: {name: digits, subset: 60}\narchitecture: {name: stages, width: 2, stages: 1}\n"
        "optimizer: adam\ntraining: {epochs: 1, engine: numpy}\ncross_validation: {folds: 2}\n" + grid
    )
    done = here("run", tmp_path / "s.yaml")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("best cell: ")]
    words = line.removeprefix("best cell: ")
    assert ("is the only cell" in words) == (not grid)
    for page in ("report.html", "report.md"):
        text = (tmp_path / "reports" / "s" / page).read_text()
        assert words.split(";")[0] in text.replace("\\", "")
        assert ("averaged over the other factors" in text) == bool(grid), "there is nothing to average"


def test_too_many_cells_to_compare_give_no_rank():
    plan = make_plan(ACCURACY)
    cells = make_tables(plan, frames_of(plan)).cells.assign(rank_low=float("nan"), rank_high=float("nan"))
    assert "which others may be the best is not tested for more than 1,000 cells" in sentence(plan, cells)
