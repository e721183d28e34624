"""Confusions, layers and the kept arrays, against counts worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from reporting_samples import make_frames, make_plan, predictions, write_kept

from runner.errors import RunnerError
from runner.reporting.tables.inspected import (
    best_cell,
    by_row,
    confusion_matrix,
    confusions_table,
    kept_files,
    layers_table,
    matched_cells,
    most_confused,
    read_kept,
    wrong_in,
)

NAMES = ("cat", "dog", "emu")
PLAN = make_plan({"pool": ("max", "avg"), "depth": ("1", "2")}, folds=2, class_names=NAMES)


def pairs(*rows):
    return pd.DataFrame(rows, columns=["id", "truth", "predicted", "count"])


@pytest.fixture
def table():
    first, second = (PLAN.fits[PLAN.cells[place].id] for place in (0, 1))
    return confusions_table(
        PLAN,
        pairs(
            (second[0], 0, 0, 4), (second[0], 0, 2, 1), (first[1], 2, 1, 3), (first[0], 2, 1, 2), (first[0], 2, 2, 5),
            (first[0], 1, 0, 5), ("of no planned cell", 0, 1, 99),
        ),
    )  # fmt: skip


def test_counts_are_summed_over_the_fits_of_a_cell_and_classes_have_names(table):
    assert [tuple(row) for row in table.to_numpy()] == [
        ("max, 1", "dog", "cat", 5),
        ("max, 1", "emu", "dog", 5),
        ("max, 1", "emu", "emu", 5),
        ("max, 2", "cat", "cat", 4),
        ("max, 2", "cat", "emu", 1),
    ]


def test_the_most_confused_pairs_come_first_and_right_answers_never(table):
    found = most_confused(table)
    assert [tuple(row) for row in found.to_numpy()] == [
        ("dog", "cat", 5, 1.0),
        ("emu", "dog", 5, 0.5),
        ("cat", "emu", 1, 0.2),
    ]


def test_a_journal_without_confusions_gives_empty_tables(table):
    empty = confusions_table(PLAN, pairs())
    assert list(empty) == list(table) and empty.empty
    assert list(most_confused(empty)) == ["truth", "predicted", "count", "share"] and most_confused(empty).empty
    assert not confusion_matrix(empty, NAMES).any()


def test_the_matrix_has_a_row_a_true_class(table):
    matrix = confusion_matrix(table, NAMES)
    assert matrix.tolist() == [[4, 0, 1], [5, 0, 0], [0, 5, 5]]
    assert by_row(matrix).tolist() == [[0.8, 0, 0.2], [1, 0, 0], [0, 0.5, 0.5]]
    assert by_row(np.zeros((2, 2))).tolist() == [[0, 0], [0, 0]]


def test_the_best_cell_has_the_highest_accuracy_or_the_lowest_loss():
    cells = pd.DataFrame({"cell": ["a", "b", "c", "d"], "mean": [0.5, float("nan"), 0.9, 0.9]})
    assert best_cell(cells, "val_accuracy") == "c" and best_cell(cells, "val_loss") == "a"
    assert best_cell(cells[1:2], "val_loss") is None and best_cell(pd.DataFrame(), "val_loss") is None


def test_cells_are_matched_where_they_are_equal_in_all_else():
    known = {cell.name for cell in PLAN.cells}
    assert matched_cells(PLAN, "pool", "max", "avg", known) == (["max, 1", "max, 2"], ["avg, 1", "avg, 2"])
    assert matched_cells(PLAN, "pool", "avg", "max", known - {"max, 1"}) == (["avg, 2"], ["max, 2"])
    assert matched_cells(PLAN, "depth", "2", "1", {"max, 1"}) == ([], [])


def test_files_are_found_by_cell_and_absent_ones_left_out(tmp_path):
    write_kept(PLAN, tmp_path)
    (tmp_path / f"{PLAN.fits[PLAN.cells[1].id][0]}.npz").unlink()
    assert list(kept_files(PLAN, tmp_path)) == ["max, 1", "avg, 1", "avg, 2"]
    assert kept_files(PLAN, tmp_path / "nowhere") == kept_files(PLAN, None) == {}


def test_arrays_are_read_by_name_and_damage_is_said(tmp_path):
    write_kept(PLAN, tmp_path)
    path = kept_files(PLAN, tmp_path)["max, 1"]
    assert list(read_kept(path, "truth", "no such array")) == ["truth"]
    assert {"filters_after", "activation.0"} <= set(read_kept(path))
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[: len(whole) // 2], b"\x00" * 50):
        path.write_bytes(damaged)
        with pytest.raises(RunnerError, match=f"{path.name}: damaged"):
            read_kept(path)


def test_shares_of_a_cells_layers_sum_to_one(tmp_path):
    write_kept(PLAN, tmp_path)
    files = kept_files(PLAN, tmp_path)
    table = layers_table(files)
    assert list(table) == ["cell", "layer", "type", "forward_share", "backward_share"]
    seconds = read_kept(files["avg, 1"], "seconds")["seconds"]
    mine = table[table["cell"] == "avg, 1"]
    assert mine["forward_share"].iloc[0] == pytest.approx(seconds[0, 0] / seconds.sum())
    totals = table.groupby("cell")[["forward_share", "backward_share"]].sum().sum(axis=1)
    assert len(totals) == 4 and totals.to_numpy() == pytest.approx(1)
    assert list(mine["layer"][:3]) == ["stages.0.conv", "stages.0.relu", "stages.0.maxpool"]
    assert layers_table({}).empty and list(layers_table({})) == list(table)


def test_mistakes_are_counted_over_the_cells_that_saw_the_same_images(tmp_path):
    write_kept(PLAN, tmp_path)
    files = kept_files(PLAN, tmp_path)
    mine = read_kept(files["max, 1"])
    mistaken, cells = wrong_in(files, mine["index"], mine["mistakes"])
    wrong = sum((truth != guess).astype(int) for truth, guess, _ in (predictions(PLAN, c.id, 0, 0) for c in PLAN.cells))
    assert cells == 4 and mistaken.tolist() == wrong[mine["mistakes"]].tolist()
    np.savez(files["avg, 2"], **{**read_kept(files["avg, 2"]), "index": mine["index"] + 1})
    fewer, cells = wrong_in(files, mine["index"], mine["mistakes"])
    assert cells == 3 and (fewer <= mistaken).all() and (fewer >= 1).all()


def test_the_journals_confusions_count_every_validated_image():
    table = confusions_table(PLAN, make_frames(PLAN).confusions)
    assert table.groupby("cell")["count"].sum().tolist() == [2 * 200] * 4
