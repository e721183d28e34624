"""How the data sets of a user's own images carry groups, folds and splits."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pytest
from PIL import Image
from pyarrow import parquet
from small_files import build_dataset

from runner.api import RunnerError
from runner.data import columns

NAMES = [f"{kind}/p{patient}_{number}.png" for kind in ("cat", "dog") for patient in (1, 2, 3) for number in (0, 1)]
PATIENTS = ["1", "1", "2", "2", "3", "3"] * 2


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes with two images each of three patients."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(NAMES):
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / "pets" / name)
    return tmp_path


def texts(data: Any, key: str = "groups", wanted: bool | str = True) -> list[str]:
    numbers, names = columns.read(data, key, wanted)
    return [names[number] for number in numbers]


def own(**parameters: Any) -> Any:
    return build_dataset("image-folder", root="pets", size=8, **parameters)


def test_a_pattern_of_file_names(folder: Path) -> None:
    time.sleep(0.05)  # files that have only just changed have no version
    data = own(groups=r"p(?P<group>\d)_(?P<fold>\d)\.png")
    assert texts(data) == PATIENTS and texts(data, "fold_column") == ["0", "1"] * 6
    assert data.load()[0][:, 0, 0, 0].tolist() == list(range(12)), "in the order of the images"
    assert own().groups is None and own().version == data.version, "the images do not depend on it"
    # Below the class, the path may have folders.
    for kind in ("cat", "dog"):
        (folder / "pets" / kind / "p4").mkdir()
        (folder / "pets" / kind / "p1_0.png").rename(folder / "pets" / kind / "p4" / "a.png")
    assert texts(own(groups=r"(?P<group>p\d)[_/].*")) == ["p1", *("p2",) * 2, *("p3",) * 2, "p4"] * 2


@pytest.mark.parametrize("root", ["pets", "./pets/", "."])
def test_a_table_beside_the_folder(folder: Path, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {"1": "train", "2": "train", "3": "val"}
    rows = [f"{name},{patient},{parts[patient]}\n" for name, patient in zip(NAMES, PATIENTS, strict=True)]
    table = folder / "who.csv"
    table.write_text("path,patient,split\n" + "".join(reversed(rows)) + "cat/of_the_test.png,9,test\n")
    if root == ".":
        monkeypatch.chdir(folder / "pets")
    data = build_dataset("image-folder", root=root, size=8, groups=str(table))
    assert texts(data, wanted="patient") == PATIENTS
    assert columns.read_split(data, True).tolist() == [patient == "3" for patient in PATIENTS]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (r"q(?P<group>\d)_.*", r"pets/cat/p1_0.png: groups: 'p1_0.png' does not match"),
        (r"p\d_.*", r"has no named part; expected one such as \(\?P<group>"),
        (r"p(?P<group>\d_.*", r"is no pattern: missing \), .*; nor does it end in .csv or .tsv"),
        ("no.csv", "no.csv: no such file"),
        ("short.csv", "short.csv: no row for pets/dog/p3_1.png; every image needs one, with the path dog/p3_1.png"),
        ("twice.csv", "twice.csv:3: ./cat/p1_0.png stands there twice"),
        ("names.csv", "names.csv:1: found file, patient; expected a column path"),
        ("ragged.csv", "ragged.csv:2: found 1 columns; expected 2"),
    ],
)
def test_what_does_not_cover_every_image_is_refused(folder: Path, groups: str, message: str) -> None:
    files = {
        "short": "path,patient\n" + "".join(f"{name},1\n" for name in NAMES[:-1]),
        "twice": "path,patient\ncat/p1_0.png,1\n./cat/p1_0.png,1\n",
        "names": "file,patient\n", "ragged": "path,patient\ncat/p1_0.png\n",
    }  # fmt: skip
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    with pytest.raises(RunnerError, match=message):
        own(groups=groups)


def rows(split: str = "train") -> list[dict[str, Any]]:
    return [
        {"path": f"pets/{name}", "label": name[:3], "patient": int(patient), "fold": number % 2, "split": split}
        for number, (name, patient) in enumerate(zip(NAMES, PATIENTS, strict=True))
    ]


def write(folder: Path, kind: str, content: list[dict[str, Any]]) -> str:
    file = folder / f"t.{kind}"
    if kind == "csv":
        lines = [",".join(map(str, row.values())) for row in content]
        file.write_text("\n".join([",".join(content[0]), *lines]))
    else:
        parquet.write_table(arrow.Table.from_pylist(content), file)
    return str(file)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_of_tables(folder: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    table = write(folder, kind, rows())
    data = build_dataset("image-table", file=table, size=8)
    assert texts(data, wanted="patient") == PATIENTS and texts(data, "fold_column") == ["0", "1"] * 6
    data.load()
    assert "columns beside path and label: patient, fold, split" in caplog.text
    with pytest.raises(RunnerError, match="found 'patent'; did you mean 'patient'"):
        columns.find(data, "groups", "patent")
    table = write(folder, kind, [*rows()[:-1], rows("test")[-1]])
    with pytest.raises(RunnerError, match="found the column 'split' with 'test'; write a table for each part"):
        build_dataset("image-table", file=table, size=8)


def test_a_gap_in_a_column_matters_where_it_is_used(folder: Path) -> None:
    content = rows()
    content[3]["patient"] = None
    data = build_dataset("image-table", file=write(folder, "parquet", content), size=8)
    assert texts(data, "fold_column") == ["0", "1"] * 6
    with pytest.raises(RunnerError, match="column 'patient': image 4 has no value; every image needs one"):
        columns.read(data, "groups", "patient")


def test_arrays_in_an_npz_file(folder: Path) -> None:
    arrays = {"images": np.zeros((4, 8, 8), np.uint8), "labels": np.array([0, 1, 0, 1])}
    np.savez("d.npz", **arrays, groups=np.array(["a", "b", "b", "a"]), split=np.array(["train", "val"] * 2))
    data = build_dataset("npz", file="d.npz")
    assert texts(data) == ["a", "b", "b", "a"] and data.folds is None
    assert columns.read_split(data, True).tolist() == [False, True] * 2
    for name, wrong, message in [
        ("groups", np.zeros(3, int), r"groups is int64 \(3,\); expected 4 values, one per image"),
        ("folds", np.array([None] * 4), "folds holds pickled objects"),
        ("group", np.zeros(4, int), "unknown array 'group'; did you mean 'groups'"),
    ]:
        np.savez("e.npz", **arrays, **{name: wrong})
        with pytest.raises(RunnerError, match=message):
            build_dataset("npz", file="e.npz")


def test_a_saved_hugging_face_data_set() -> None:
    saved = Path(__file__).parents[2] / "data" / "hf_saved"
    data = build_dataset("hf-folder", root=str(saved / "splits"), split="train", size=8)
    assert texts(data, wanted="note") == ["x"] * 6
