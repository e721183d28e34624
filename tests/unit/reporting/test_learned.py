"""Confusions, layers and the arrays saved from fits, against counts worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from reporting_samples import make_frames, make_plan, predictions, write_arrays

from runner.errors import RunnerError
from runner.reporting.tables import inspected
from runner.reporting.tables.inspected import (
    array_files,
    best_cell,
    confusion_matrix,
    confusion_shares,
    confusions_table,
    count_mistakes,
    layers_table,
    matched_cells,
    most_confused,
    read_arrays,
)

NAMES = ("cat", "dog", "emu")
PLAN = make_plan({"pool": ("max", "avg"), "depth": ("1", "2")}, folds=2, class_names=NAMES)


def pairs(*rows):
    return pd.DataFrame(rows, columns=["id", "truth", "predicted", "count"])


@pytest.fixture
def table():
    first, second = (PLAN.fits[PLAN.cells[position].id] for position in (0, 1))
    return confusions_table(
        PLAN,
        pairs(
            (second[0], 0, 0, 4), (second[0], 0, 2, 1), (first[1], 2, 1, 3), (first[0], 2, 1, 2), (first[0], 2, 2, 5),
            (first[0], 1, 0, 5), ("not planned", 0, 1, 99),
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


def test_the_most_confused_pairs_come_first_and_right_answers_are_left_out(table):
    mistakes = most_confused(table)
    assert [tuple(row) for row in mistakes.to_numpy()] == [
        ("dog", "cat", 5, 1.0),
        ("emu", "dog", 5, 0.5),
        ("cat", "emu", 1, 0.2),
    ]


def test_a_journal_without_confusions_gives_empty_tables(table):
    empty = confusions_table(PLAN, pairs())
    assert list(empty) == list(table) and empty.empty
    assert list(most_confused(empty)) == ["truth", "predicted", "count", "share"] and most_confused(empty).empty
    assert not confusion_matrix(empty, NAMES).any()


def test_the_matrix_has_one_row_per_true_class(table):
    matrix = confusion_matrix(table, NAMES)
    assert matrix.tolist() == [[4, 0, 1], [5, 0, 0], [0, 5, 5]]
    assert confusion_shares(table, NAMES).tolist() == [[0.8, 0, 0.2], [1, 0, 0], [0, 0.5, 0.5]]
    # A part of the classes, and one without images: shares are of all images of a class.
    assert confusion_matrix(table, [NAMES[2], NAMES[0]]).tolist() == [[5, 0], [1, 4]]
    assert confusion_shares(table, [NAMES[2], NAMES[0], "none"]).tolist() == [[0.5, 0, 0], [0.2, 0.8, 0], [0, 0, 0]]


def test_the_best_cell_has_the_highest_accuracy_or_the_lowest_loss():
    cells = pd.DataFrame({"cell": ["a", "b", "c", "d"], "mean": [0.5, float("nan"), 0.9, 0.9]})
    assert best_cell(cells, "val_accuracy") == "c" and best_cell(cells, "val_loss") == "a"
    assert best_cell(cells[1:2], "val_loss") is None and best_cell(pd.DataFrame(), "val_loss") is None


def test_cells_are_matched_if_they_are_equal_in_all_other_factors():
    known = {cell.name for cell in PLAN.cells}
    assert matched_cells(PLAN, "pool", "max", "avg", known) == (["max, 1", "max, 2"], ["avg, 1", "avg, 2"])
    assert matched_cells(PLAN, "pool", "avg", "max", known - {"max, 1"}) == (["avg, 2"], ["max, 2"])
    assert matched_cells(PLAN, "depth", "2", "1", {"max, 1"}) == ([], [])


def test_files_are_found_by_cell_and_absent_ones_left_out(tmp_path):
    write_arrays(PLAN, tmp_path)
    (tmp_path / f"{PLAN.fits[PLAN.cells[1].id][0]}.npz").unlink()
    assert list(array_files(PLAN, tmp_path)) == ["max, 1", "avg, 1", "avg, 2"]
    assert array_files(PLAN, tmp_path / "nowhere") == array_files(PLAN, None) == {}


def test_arrays_are_read_by_name_and_damage_is_reported(tmp_path):
    write_arrays(PLAN, tmp_path)
    path = array_files(PLAN, tmp_path)["max, 1"]
    assert list(read_arrays(path, "truth", "no such array")) == ["truth"]
    assert {"filters_after", "activation.0"} <= set(read_arrays(path))
    content = path.read_bytes()
    for damaged in (b"", content[:100], content[: len(content) // 2], b"\x00" * 50):
        path.write_bytes(damaged)
        with pytest.raises(RunnerError, match=f"{path.name}: damaged"):
            read_arrays(path)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("index", lambda a: a + 0.5, "index is float64 .*; expected whole numbers, 1 axes"),
        ("index", lambda a: a[1:], "truth is int64"),
        ("truth", lambda a: a + 10, "truth has values that are not in 0 to 9"),
        ("predicted", lambda a: a - 10, "predicted has values"),
        ("confidence", lambda a: a * np.nan, "confidence has values that are not in 0 to 1"),
        ("predicted", None, "predicted is missing"),
        ("mistakes", lambda a: a + 10**9, "mistakes has values"),
        ("mistake_images", lambda a: a[:0], "mistake_images is uint8"),
        ("shown_images", lambda a: a[:0], "shown_images is uint8 .0,"),
        ("shown_images", lambda a: np.zeros((3, 3, 101, 101), np.uint8), "shown_images is uint8"),
        ("filters_after", lambda a: a * np.inf, "filters_after has values"),
        ("filters_after", lambda a: a[0], "filters_after is float32"),
        ("layers", None, "layers is missing"),
        ("layers", lambda a: np.array(["x" * 1001] * len(a)), "layers is <U1001 .*; expected short texts"),
        ("layers", lambda a: a.astype(object), "layers.npy holds pickled objects"),
        ("seconds", lambda a: a[:, 0], "seconds is float64"),
        ("seconds", lambda a: -a, "seconds has values"),
        ("spatial", lambda a: np.array("x"), "spatial is <U1"),
        ("activation.0", lambda a: a[0], "activation.0 is float16"),
    ],
)
def test_arrays_that_no_fit_saves_are_refused(name, change, message, tmp_path):
    write_arrays(PLAN, tmp_path)
    path = array_files(PLAN, tmp_path)["max, 1"]
    arrays = read_arrays(path, classes=10)
    changed = {**arrays, name: change(arrays.get(name))} if change else {k: v for k, v in arrays.items() if k != name}
    np.savez(path, allow_pickle=True, **changed)
    with pytest.raises(
        RunnerError, match=rf"^\S*{path.name}: damaged \({message}.*delete it to write the report"
    ) as info:
        read_arrays(path, classes=10)
    assert "\n" not in str(info.value)


def test_the_arrays_of_a_network_without_layers_are_empty(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, layers=np.array([]), types=np.array([]), seconds=np.array([]))
    assert read_arrays(path) == {} and layers_table({"cell": path}).empty


def test_a_file_that_unpacks_to_more_than_a_fit_saves_is_refused(tmp_path, monkeypatch):
    write_arrays(PLAN, tmp_path)
    path = array_files(PLAN, tmp_path)["max, 1"]
    monkeypatch.setattr(inspected, "MOST_BYTES", 10_000)
    with pytest.raises(RunnerError, match=r"damaged \(its arrays take \d+ MB; allowed: 0 MB\)"):
        read_arrays(path, "index")
    np.save(tmp_path / "plain.npy", np.zeros(3))
    with pytest.raises(RunnerError, match="damaged .File is not a zip file"):
        read_arrays(tmp_path / "plain.npy")


def test_a_class_that_the_plan_does_not_name_is_refused():
    with pytest.raises(RunnerError, match="a confusion of class 3, but plan.yaml names 3 classes"):
        confusions_table(PLAN, pairs((PLAN.fits[PLAN.cells[0].id][0], 3, 1, 1)))


def test_shares_of_a_cells_layers_sum_to_one(tmp_path):
    write_arrays(PLAN, tmp_path)
    files = array_files(PLAN, tmp_path)
    table = layers_table(files)
    assert list(table) == ["cell", "layer", "type", "forward_share", "backward_share"]
    seconds = read_arrays(files["avg, 1"], "seconds")["seconds"]
    rows = table[table["cell"] == "avg, 1"]
    assert rows["forward_share"].iloc[0] == pytest.approx(seconds[0, 0] / seconds.sum())
    totals = table.groupby("cell")[["forward_share", "backward_share"]].sum().sum(axis=1)
    assert len(totals) == 4 and totals.to_numpy() == pytest.approx(1)
    assert list(rows["layer"][:3]) == ["stages.0.conv", "stages.0.relu", "stages.0.maxpool"]
    assert layers_table({}).empty and list(layers_table({})) == list(table)


def test_mistakes_are_counted_over_the_cells_validated_on_the_same_images(tmp_path):
    write_arrays(PLAN, tmp_path)
    files = array_files(PLAN, tmp_path)
    first = read_arrays(files["max, 1"])
    counts, cells = count_mistakes(files, first["index"], first["mistakes"])
    wrong = sum((truth != guess).astype(int) for truth, guess, _ in (predictions(PLAN, c.id, 0, 0) for c in PLAN.cells))
    assert cells == 4 and counts.tolist() == wrong[first["mistakes"]].tolist()
    np.savez(files["avg, 2"], **{**read_arrays(files["avg, 2"]), "index": first["index"] + 1})
    fewer, cells = count_mistakes(files, first["index"], first["mistakes"])
    assert cells == 3 and (fewer <= counts).all() and (fewer >= 1).all()


def test_the_journals_confusions_count_every_validated_image():
    table = confusions_table(PLAN, make_frames(PLAN).confusions)
    assert table.groupby("cell")["count"].sum().tolist() == [2 * 200] * 4
