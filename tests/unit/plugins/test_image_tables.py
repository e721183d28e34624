"""Tables of images: CSV and Parquet files, and data sets that Hugging Face's `datasets` saved."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pytest
from command import Command
from PIL import Image
from pyarrow import parquet
from small_files import build_dataset, settle

from runner.api import RunnerError

SAVED = Path(__file__).parents[2] / "data" / "hf_saved"
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)
"""The images in the files of SAVED: see its README.md."""
HEADER = "path,label\n"


def encoded(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """0.png to 5.png with PIXELS in a sub-folder."""
    (tmp_path / "pictures").mkdir()
    for number, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    return tmp_path


def write(folder: Path, rows: str, name: str = "t.csv", header: str = HEADER, encoding: str = "utf-8") -> str:
    (folder / name).write_bytes((header + rows).encode(encoding))
    return str(folder / name)


def rows(labels: str = "ababab") -> str:
    return "".join(f"pictures/{number}.png,{label}\n" for number, label in enumerate(labels))


def loaded(name: str, **parameters: object) -> tuple[np.ndarray, list[str]]:
    """The images (N, H, W, C) and the names of their classes."""
    data = build_dataset(name, size=8, **parameters)
    images, labels = data.load()
    assert data.shape == images.shape[1:] and data.size == len(images)
    return images.transpose(0, 2, 3, 1), [data.class_names[number] for number in labels]


class TestTextTables:
    def test_paths_are_relative_to_the_table_and_rows_have_any_order(self, folder: Path) -> None:
        text = "weight,label,path\n1,bee,pictures/3.png\n2,ant,./pictures/0.png\n\n3,bee,pictures/../pictures/1.png\n"
        text += f'4,"ant",{folder / "pictures" / "5.png"}\n'
        images, labels = loaded("image-table", file=write(folder, text, header="", encoding="utf-8-sig"))
        assert np.array_equal(images, PIXELS[[3, 0, 1, 5]]) and labels == ["bee", "ant", "bee", "ant"]

    def test_names_of_columns_tabs_and_a_test_part(self, folder: Path) -> None:
        text = "file\tkind\npictures/0.png\t10\npictures/1.png\t9\npictures/2.png\t10\n"
        held = write(folder, "file\tkind\npictures/4.png\t9\n", "held.tsv", header="")
        table = write(folder, text, "t.tsv", header="")
        data = build_dataset("image-table", file=table, path="file", label="kind", size=8, test_file=held)
        assert data.class_names == ("9", "10"), "whole numbers are in the order of their values"
        assert list(data.load()[1]) == [1, 0, 1] and data.test_size == 1 and data.load_test is not None
        images, labels = data.load_test()
        assert np.array_equal(images[0].transpose(1, 2, 0), PIXELS[4]) and list(labels) == [0]

    def test_words_that_readers_take_for_missing_are_classes(self, folder: Path) -> None:
        words = ["NA", "null", "None", "nan", "n/a", "N/A"]
        text = "".join(f"pictures/{number}.png,{word}\n" for number, word in enumerate(words))
        assert loaded("image-table", file=write(folder, text))[1] == words

    def test_columns_that_are_not_used_are_named(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        text = "path,label,group,fold\npictures/0.png,a,x,1\npictures/1.png,b,x,2\n"
        loaded("image-table", file=write(folder, text, header=""))
        (line,) = caplog.messages
        assert line.endswith("columns beside path and label: group, fold; used only where cross_validation names one")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("path,labels\n", r"t.csv:1: no column 'label'; it has path, labels"),
            ("path;label\n", r"t.csv:1: no column 'path'; it has path;label"),
            ("path,label,label\n", r"t.csv:1: 2 columns 'label'"),
            ("", r"t.csv:1: no column 'path'; it has no columns"),
            (HEADER, r"t.csv: holds no images"),
            (HEADER + "pictures/0.png,a\n", r"t.csv: labels: found 1 different labels; expected two classes or more"),
            (HEADER + "pictures/0.png,a\npictures/9.png,b\n", r"t.csv:3: '.*pictures/9.png' is not a file; paths are"),
            (HEADER + "pictures/0.png,a\npictures,b\n", r"t.csv:3: '.*pictures' is not a file"),
            (HEADER + "pictures/0.png,a\npictures/1.png,\n", r"t.csv:3: 'label' is empty"),
            (HEADER + "pictures/0.png,a\n,b\n", r"t.csv:3: the path is empty"),
            (HEADER + "pictures/0.png,a\npictures/1.png\n", r"t.csv:3: found 1 columns; expected 2"),
            (HEADER + "pictures/0.png,a\n./pictures/0.png,b\n", r"t.csv:3: ./pictures/0.png stands in .*t.csv:2 too"),
            (HEADER + "pictures/0.png,a\npictures/1.png,a \n", r"classes 'a' and 'a ' look the same"),
            (HEADER + "pictures/0.png,a\nx\0y.png,b\n", r"t.csv:3: "),
            (HEADER + 'pictures/0.png,"a\n', r"t.csv:\d: not a table: unexpected end of data"),
            ("path,label,Split\npictures/0.png,a,Test\n", r"t.csv: found the column 'Split' with 'test'; write a"),
        ],
    )
    def test_what_is_wrong_is_one_line_with_its_place(self, text: str, words: str, folder: Path) -> None:
        with pytest.raises(RunnerError, match=words) as caught:
            build_dataset("image-table", file=write(folder, text, header=""), size=8)
        assert "\n" not in str(caught.value)

    def test_files_that_are_not_tables(self, folder: Path) -> None:
        write(folder, rows().replace("a\n", "caf\u00e9\n"), "latin.csv", encoding="latin-1")
        write(folder, rows("ababac"), "test.csv")
        for name, words in (
            ("latin.csv", "latin.csv: not UTF-8 from byte 29; save it as UTF-8"),
            ("no.csv", "no.csv: no such file"),
            ("pictures", "pictures: not a file"),
            ("pictures/0.png", "0.png: found the ending .png; allowed: .csv, .tsv, .parquet"),
        ):
            with pytest.raises(RunnerError, match=words):
                build_dataset("image-table", file=str(folder / name), size=8)
        with pytest.raises(RunnerError, match="test.csv: found the label 'c', which no training image has"):
            build_dataset("image-table", file=write(folder, rows()), size=8, test_file=str(folder / "test.csv"))
        with pytest.raises(RunnerError, match="t.csv: file and test_file are the same table; expected two"):
            build_dataset("image-table", file=write(folder, rows()), size=8, test_file=str(folder / "." / "t.csv"))
        with pytest.raises(RunnerError, match="path and label are both 'label'; expected two columns"):
            build_dataset("image-table", file=write(folder, rows()), size=8, path="label")

    def test_the_version_is_that_of_the_table_and_of_its_images(self, folder: Path) -> None:
        table, versions = write(folder, rows()), []
        for change in (
            lambda: None,
            lambda: write(folder, rows("bababa")),
            lambda: write(folder / "pictures", "", "0.png"),
        ):
            change()
            settle()
            versions.append(build_dataset("image-table", file=table, size=8).version)
        assert len(set(versions)) == 3 and "" not in versions


def save_parquet(folder: Path, images: arrow.Array, labels: object = None, name: str = "t.parquet") -> str:
    given = labels if labels is not None else ["a", "b"] * (len(images) // 2)
    parquet.write_table(arrow.table({"path": images, "label": given}), folder / name)
    return str(folder / name)


def records(contents: list[bytes | None]) -> arrow.Array:
    kind = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    return arrow.array([{"bytes": content, "path": "x.png"} for content in contents], kind)


KINDS: dict[str, Callable[[], arrow.Array]] = {
    "paths": lambda: arrow.array([f"pictures/{number}.png" for number in range(6)]),
    "bytes": lambda: arrow.array([encoded(pixels) for pixels in PIXELS], arrow.binary()),
    "large bytes": lambda: arrow.array([encoded(pixels) for pixels in PIXELS], arrow.large_binary()),
    "records": lambda: records([encoded(pixels) for pixels in PIXELS]),
}


class TestParquet:
    @pytest.mark.parametrize("kind", KINDS)
    def test_images_by_path_or_by_content(self, kind: str, folder: Path) -> None:
        images, labels = loaded("image-table", file=save_parquet(folder, KINDS[kind]()))
        assert np.array_equal(images, PIXELS) and labels == list("ababab")

    @pytest.mark.parametrize(
        "labels",
        [
            arrow.array([7, 30] * 3),
            arrow.array([7, 30] * 3, arrow.uint8()),
            arrow.array(["7", "30"] * 3).dictionary_encode(),
            arrow.array(["7", "30"] * 3, arrow.large_string()),
        ],
        ids=["int64", "uint8", "dictionary", "large_string"],
    )
    def test_labels_of_any_type(self, labels: arrow.Array, folder: Path) -> None:
        data = build_dataset("image-table", file=save_parquet(folder, KINDS["bytes"](), labels), size=8)
        assert data.class_names == ("7", "30") and list(data.load()[1]) == [0, 1] * 3

    def test_a_file_that_hugging_face_wrote(self) -> None:
        images, labels = loaded("image-table", file=str(SAVED / "four.parquet"), path="image")
        assert np.array_equal(images, PIXELS[[5, 1, 2, 0]]) and labels == ["dog", "dog", "cat", "cat"]

    @pytest.mark.parametrize(
        ("images", "labels", "words"),
        [
            (arrow.array([1.5, 2.5]), None, "column 'path' holds double; expected paths, bytes of image files, or rec"),
            (records([encoded(PIXELS[0]), None]), None, "row 2: 'path' holds no bytes; save the images themselves"),
            (arrow.array([encoded(PIXELS[0]), b"x"]), None, "t.parquet: row 2: cannot be read as PNG, JPEG"),
            (arrow.array([encoded(PIXELS[0])] * 2), arrow.array(["a", None]), "row 2: 'label' is empty; expected the"),
            (
                arrow.array([encoded(PIXELS[0])] * 2),
                arrow.array([0.0, 1.0]),
                "column 'label' holds double; expected text",
            ),
            (arrow.array(["pictures/0.png", None]), None, "row 2: the path is empty"),
            (arrow.array(["pictures/0.png", "gone.png"]), None, "row 2: '.*gone.png' is not a file"),
        ],
    )
    def test_what_is_wrong_is_one_line_with_its_row(
        self, images: arrow.Array, labels: object, words: str, folder: Path
    ) -> None:
        with pytest.raises(RunnerError, match=words) as caught:
            build_dataset("image-table", file=save_parquet(folder, images, labels), size=8).load()
        assert "\n" not in str(caught.value)

    def test_files_meant_to_do_harm(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = Path(save_parquet(folder, KINDS["bytes"]())).read_bytes()
        for content in (b"", b"PAR1", whole[:-20], whole[:50] + bytes(80) + whole[130:], b"x" * 1000):
            (folder / "bad.parquet").write_bytes(content)
            with pytest.raises(RunnerError, match="bad.parquet: ") as caught:
                build_dataset("image-table", file=str(folder / "bad.parquet"), size=8).load()
            assert "\n" not in str(caught.value)
        monkeypatch.setattr("runner.plugins.datasets.table_files.UNCHECKED_BYTES", 1_000_000)
        bomb = arrow.table({"path": arrow.array([bytes(1_000_000)] * 6), "label": list("ababab")})
        parquet.write_table(bomb, folder / "big.parquet", compression="zstd", use_dictionary=False)
        with pytest.raises(RunnerError, match="unpacks from 0.0 MB to 6 MB, more than images do"):
            build_dataset("image-table", file=str(folder / "big.parquet"), size=8)


class TestSavedByHuggingFace:
    def test_splits(self) -> None:
        data = build_dataset("hf-folder", root=str(SAVED / "splits"), size=8, split="train", test_split="test")
        assert (data.class_names, data.size, data.test_size) == (("cat", "dog"), 6, 2)
        assert np.array_equal(data.load()[0].transpose(0, 2, 3, 1), PIXELS) and list(data.load()[1]) == [0, 1] * 3
        assert data.load_test is not None and np.array_equal(data.load_test()[0].transpose(0, 2, 3, 1), PIXELS[:2])

    def test_shards(self) -> None:
        images, labels = loaded("hf-folder", root=str(SAVED / "shards"))
        assert np.array_equal(images, PIXELS) and labels == ["cat", "dog"] * 3

    @pytest.mark.parametrize(
        ("parameters", "words"),
        [
            ({"root": "splits"}, "splits: split is missing; allowed: one of its splits, train, test"),
            (
                {"root": "splits", "split": "valid"},
                "splits: found split: valid; allowed: one of its splits, train, test",
            ),
            ({"root": "splits", "split": "train", "test_split": "train"}, "split and test_split are both train"),
            ({"root": "shards", "split": "train"}, "found split: train, but the data set has no splits; leave it out"),
            ({"root": "shards", "image": "img"}, "shards: no column 'img'; it has image, label, note"),
            ({"root": "shards", "label": "note"}, "labels: found 1 different labels"),
            ({"root": "shards", "image": "note"}, "column 'note' holds string; expected paths|holds string"),
            ({"root": "."}, "no state.json; expected a folder that save_to_disk of `datasets` wrote"),
        ],
    )
    def test_what_is_wrong_is_one_line(self, parameters: dict[str, str], words: str) -> None:
        given = {**parameters, "root": str(SAVED / parameters["root"])}
        with pytest.raises(RunnerError, match=words) as caught:
            build_dataset("hf-folder", size=8, **given).load()
        assert "\n" not in str(caught.value)

    def test_files_that_are_not_what_was_saved(self, tmp_path: Path) -> None:
        def state(**changes: object) -> bytes:
            return json.dumps({**json.loads((SAVED / "shards" / "state.json").read_bytes()), **changes}).encode()

        second = (SAVED / "shards" / "data-00001-of-00003.arrow").read_bytes()
        for file, content, words in (
            ("state.json", b"{", "state.json: cannot be read"),
            ("state.json", b"[]", "state.json: found list; expected a mapping"),
            ("state.json", b"[" * 100_000, "state.json: cannot be read"),
            ("state.json", state(_data_files=[]), "does not list data files alone"),
            ("state.json", state(_data_files=[{"filename": "../x"}]), "found the data file '../x'; expected files in"),
            ("state.json", state(_indices_data_files=[{"filename": "x"}]), "does not list data files alone"),
            ("data-00001-of-00003.arrow", second[:700], "saved: cannot be read: "),
            ("data-00001-of-00003.arrow", b"", "saved: cannot be read: "),
            (
                "dataset_info.json",
                b'{"features": {"label": {"names": ["cat"]}}}',
                "row 2: 'label' is 1, and its 1 class",
            ),
        ):
            shutil.rmtree(tmp_path / "saved", ignore_errors=True)
            shutil.copytree(SAVED / "shards", tmp_path / "saved")
            (tmp_path / "saved" / file).write_bytes(content)
            with pytest.raises(RunnerError, match=words) as caught:
                build_dataset("hf-folder", root=str(tmp_path / "saved"), size=8).load()
            assert "\n" not in str(caught.value)

    def test_a_change_is_noticed(self, tmp_path: Path) -> None:
        shutil.copytree(SAVED / "shards", tmp_path / "saved")
        settle()
        before = build_dataset("hf-folder", root=str(tmp_path / "saved"), size=8).version
        (tmp_path / "saved" / "data-00000-of-00003.arrow").touch()
        settle()
        assert "" != build_dataset("hf-folder", root=str(tmp_path / "saved"), size=8).version != before


def test_a_table_in_an_experiment(tiny: Path, folder: Path, here: Command) -> None:
    write(folder, rows())
    tiny.write_text(tiny.read_text().replace("dataset: digits", "dataset: {name: image-table, file: t.csv, size: 8}"))
    assert here("plan", tiny).returncode == 0
    done = here("describe", "image-table", "--set", "file=t.csv", "--set", "size=8", "--json")
    assert json.loads(done.stdout)["classes"] == [{"name": "a", "images": 3}, {"name": "b", "images": 3}]
    (folder / "pictures" / "3.png").unlink()
    done = here("plan", tiny)
    assert done.returncode == 2 and "tiny.yaml" in done.stderr and "3.png' is not a file" in done.stderr
