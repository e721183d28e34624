"""A user's own data sets: folders of images and arrays in a file, and everything that can be wrong with them."""

from __future__ import annotations

import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from random import Random

import fuzz_data
import numpy as np
import pytest
from PIL import Image
from small_files import build_dataset
from small_pictures import picture
from small_pictures import pictures as pictures

from runner.api import RunnerError


def test_a_folder_of_images(pictures: Path) -> None:
    data = build_dataset("image-folder", root=str(pictures), size=8)
    assert (data.shape, data.class_names, data.size, data.test_size) == ((3, 8, 8), ("blue", "red"), 12, 0)
    images, labels = data.load()
    assert images.shape == (12, 3, 8, 8) and images.dtype == np.uint8 and list(labels) == [0] * 6 + [1] * 6
    assert images[0, :, 3, 3].tolist() == [10, 10, 250] and images[-1, :, 0, 7].tolist() == [250, 10, 10]
    grey = build_dataset("image-folder", root=str(pictures), size=[4, 6], grey=True)
    assert grey.shape == (1, 4, 6) and grey.load()[0].shape == (12, 1, 4, 6)


def test_a_folder_with_a_test_part_of_its_own(pictures: Path, tmp_path: Path) -> None:
    for name in ("red", "blue"):
        (tmp_path / "test" / name / "deeper").mkdir(parents=True)
        picture().save(tmp_path / "test" / name / "deeper" / "a.JPEG")
    data = build_dataset("image-folder", root=str(pictures), size=8, test_root=str(tmp_path / "test"))
    assert data.test_size == 2 and data.load_test is not None and data.load_test()[0].shape == (2, 3, 8, 8)
    (tmp_path / "test" / "green").mkdir()
    picture().save(tmp_path / "test" / "green" / "a.png")
    with pytest.raises(RunnerError, match="test: its classes are not those of .*pictures: they differ in green"):
        build_dataset("image-folder", root=str(pictures), size=8, test_root=str(tmp_path / "test"))


def test_mixed_sizes_are_scaled_and_cropped_at_the_centre_or_stretched(pictures: Path) -> None:
    """A wide image whose thirds are white, grey, black; a tall one likewise from the top."""
    bands = np.repeat([255, 128, 0], 20).astype(np.uint8)
    wide = np.broadcast_to(bands, (20, 60))
    Image.fromarray(np.ascontiguousarray(wide)).save(pictures / "red" / "5.png")
    Image.fromarray(np.ascontiguousarray(wide.T)).save(pictures / "red" / "4.png")
    cropped = build_dataset("image-folder", root=str(pictures), size=10, grey=True).load()[0][-2:, 0]
    assert (cropped[:, 1:-1, 1:-1] == 128).all() and (abs(cropped.astype(int) - 128) < 40).all(), "the middle third"
    tall, broad = build_dataset("image-folder", root=str(pictures), size=[6, 12], crop="none", grey=True).load()[0][
        -2:, 0
    ]
    assert tall[0].tolist() == [255] * 12 and tall[-1].tolist() == [0] * 12
    assert broad[:, 0].tolist() == [255] * 6 and broad[:, -1].tolist() == [0] * 6
    half = build_dataset("image-folder", root=str(pictures), size=[5, 10], grey=True).load()[0][-1, 0]
    assert half[:, 0].tolist() == [255] * 5 and half[:, -1].tolist() == [0] * 5 and 100 < half[2, 5] < 150


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA"])
def test_every_8_bit_mode_is_read(mode: str, pictures: Path) -> None:
    picture(colour="white").convert(mode).save(pictures / "red" / "5.png")
    assert (build_dataset("image-folder", root=str(pictures), size=8).load()[0][-1] == 255).all()


def test_photographs_are_turned_upright(pictures: Path) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4] = 255  # bright on the left
    turned = Image.Exif()
    turned[0x0112] = 6  # to be displayed turned by 90 degrees clockwise
    Image.fromarray(pixels).save(pictures / "red" / "5.jpg", exif=turned, quality=95)
    (pictures / "red" / "5.png").unlink()
    last = build_dataset("image-folder", root=str(pictures), size=8, grey=True).load()[0][-1, 0]
    assert last[0].min() > 200 and last[-1].max() < 50


def test_other_files_are_ignored_with_a_warning(pictures: Path, caplog: pytest.LogCaptureFixture) -> None:
    (pictures / "red" / "notes.txt").touch()
    (pictures / "red" / ".DS_Store").touch()
    (pictures / ".git").mkdir()
    (pictures / "readme.md").touch()
    data = build_dataset("image-folder", root=str(pictures), size=8)
    assert data.size == 12 and not caplog.text
    data.load()
    (line,) = caplog.messages
    found = "1 hidden folder, such as .git; 1 other file, such as red/notes.txt; images are .png, .jpg"
    assert line.startswith(f"{pictures}: ignored {found}")


def test_planning_a_folder_reads_no_pixel(pictures: Path) -> None:
    for image in pictures.rglob("*.png"):
        image.write_bytes(b"no image")
    code = (
        "import sys\nfrom runner.plugins.datasets.image_folder import image_folder\n"
        f"assert image_folder(root={str(pictures)!r}, size=8).size == 12\n"
        "print([m for m in ('numpy', 'PIL', 'pooch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


UNREAD = "cannot be read as PNG, JPEG, BMP, GIF, TIFF or WebP: "


def broken_truncated(file: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:3000])


@pytest.mark.parametrize(
    "breaking, words",
    [
        (lambda file: file.write_bytes(b""), f"{UNREAD}it is empty; convert or remove it"),
        (lambda file: file.write_bytes(b"hello"), f"{UNREAD}it is none of these, or of a kind that Pillow does not"),
        (broken_truncated, f"{UNREAD}OSError: .*truncated.*; repair or remove it"),
        (lambda file: picture().save(file, "PPM"), f"{UNREAD}it is none of these"),
    ],
    ids=["empty", "text", "truncated", "another format"],
)
def test_an_image_that_can_not_be_read_is_named(breaking, words: str, pictures: Path) -> None:
    breaking(pictures / "red" / "3.png")
    with pytest.raises(RunnerError, match=rf"red/3\.png: {words}") as caught:
        build_dataset("image-folder", root=str(pictures), size=8).load()
    assert "\n" not in str(caught.value)


def test_folders_that_are_not_a_data_set(pictures: Path, tmp_path: Path) -> None:
    (pictures / "green").mkdir()
    (tmp_path / "one" / "only").mkdir(parents=True)
    for root, words in (
        (tmp_path / "nope", "nope: no such folder"),
        (pictures / "red" / "0.png", "0.png: not a folder"),
        (pictures / "red", "red: no sub-folders; expected one sub-folder per class, and two classes or more"),
        (tmp_path / "one", "one: one sub-folder, only; expected one sub-folder per class"),
        (pictures, "green: no images; found nothing; allowed: .png, .jpg, .jpeg"),
    ):
        with pytest.raises(RunnerError, match=words):
            build_dataset("image-folder", root=str(root), size=8)
    (pictures / "green" / "a.heic").touch()
    with pytest.raises(RunnerError, match=r"green: no images; found 1 other file, such as a.heic; allowed"):
        build_dataset("image-folder", root=str(pictures), size=8)
    (pictures / "green" / "b.png").symlink_to("gone.png")
    with pytest.raises(RunnerError, match=r"b.png: cannot be read: No such file"):
        build_dataset("image-folder", root=str(pictures), size=8)


# Arrays in a file.


def arrays(**changes: object) -> dict[str, object]:
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 9, 3)).astype(np.uint8)
    given = {"images": images, "labels": np.arange(12) % 3, **changes}
    return {name: array for name, array in given.items() if array is not None}


def save_npz(tmp_path: Path, **changes: object) -> str:
    np.savez(tmp_path / "mine.npz", **arrays(**changes))  # type: ignore[arg-type]
    return str(tmp_path / "mine.npz")


def test_arrays_of_a_users_own(tmp_path: Path) -> None:
    given = arrays()
    names = np.array(["ant", "bée", "cat"])
    file = save_npz(tmp_path, class_names=names, test_images=given["images"][:4], test_labels=np.array([0, 1, 2, 0]))
    data = build_dataset("npz", file=file)
    assert (data.shape, data.class_names, data.size, data.test_size) == ((3, 8, 9), ("ant", "bée", "cat"), 12, 4)
    images, labels = data.load()
    assert np.array_equal(images, given["images"].transpose(0, 3, 1, 2)) and np.array_equal(labels, given["labels"])
    assert data.load_test is not None
    assert np.array_equal(data.load_test()[0], images[:4])


@pytest.mark.parametrize(
    "shape, order, expected",
    [
        ((6, 5, 7), "auto", (1, 5, 7)),
        ((6, 5, 7, 3), "auto", (3, 5, 7)),
        ((6, 1, 5, 7), "auto", (1, 5, 7)),
        ((6, 3, 5, 7), "auto", (3, 5, 7)),
        ((6, 3, 5, 3), "NHWC", (3, 3, 5)),
        ((6, 3, 5, 3), "NCHW", (3, 5, 3)),
        ((6, 4, 5, 7), "NCHW", (4, 5, 7)),
    ],
)
def test_the_order_of_axes(shape: tuple, order: str, expected: tuple, tmp_path: Path) -> None:
    images = np.zeros(shape, np.uint8)
    data = build_dataset("npz", file=save_npz(tmp_path, images=images, labels=np.arange(6) % 2), order=order)
    assert data.shape == expected and data.load()[0].shape == (6, *expected) and data.class_names == ("0", "1")


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"images": None}, "no array 'images'; it holds labels; allowed: images, labels"),
        ({"labels": None}, "labels is missing; expected 12 whole numbers"),
        (
            {"labels": np.zeros(11, int)},
            r"labels is int64 \(11,\); expected 12 whole numbers from 0, texts, or one-hot rows, one",
        ),
        (
            {"labels": np.zeros((12, 1), int)},
            r"labels is int64 \(12, 1\); expected whole numbers .*; a column of numbers is labels",
        ),
        ({"labels": np.zeros(12)}, "labels is float64"),
        ({"labels": np.zeros(12, int)}, "labels are 1 different numbers from 0 to 0; expected two classes or more"),
        ({"labels": np.arange(12) % 3 + 1}, "3 different numbers from 1 to 3; expected all of 0 to 2, numbered from 0"),
        ({"labels": np.arange(12) % 2 * 10**9}, "2 different numbers from 0 to 1000000000; expected all of 0 to 1"),
        ({"labels": np.arange(12) % 3 - 1}, "3 different numbers from -1 to 1"),
        ({"class_names": np.array(["a", "b"])}, "from 0 to 2; expected all of 0 to 1, .* one per class name"),
        ({"class_names": np.array(list("abcd"))}, "from 0 to 2; expected all of 0 to 3"),
        ({"images": np.zeros((12, 8, 8))}, "images is float64; expected uint8, 0 to 255"),
        ({"images": np.zeros((12, 8), np.uint8)}, r"images has shape \(12, 8\); expected \(N, H, W\), "),
        (
            {"images": np.zeros((12, 3, 8, 3), np.uint8)},
            "both the second and the last axis could be channels; set",
        ),
        ({"images": np.zeros((12, 4, 8, 4), np.uint8)}, "neither the second nor the last axis could be channels"),
        ({"images": np.zeros((0, 8, 8), np.uint8), "labels": np.zeros(0, int)}, "holds no images"),
        ({"images": np.array([{}] * 12)}, "images holds pickled objects"),
        ({"labels": np.array([{}] * 12)}, "labels holds pickled objects"),
        ({"test_images": np.zeros((2, 8, 9, 3), np.uint8)}, "test_labels is missing; expected 2 whole numbers"),
        ({"test_labels": np.zeros(2, int)}, "no array 'test_images'"),
        (
            {"test_images": np.zeros((2, 8, 8, 3), np.uint8)},
            r"test_images is uint8 \(2, 8, 8, 3\); expected uint8",
        ),
        (
            {"test_images": np.zeros((2, 8, 9, 3), np.uint8), "test_labels": np.array([0, 3])},
            "test_labels are not all from 0 to 2, as labels are",
        ),
    ],
)
def test_arrays_that_are_not_a_data_set(changes: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match=rf"mine\.npz: .*{words}|mine\.npz: {words}"):
        build_dataset("npz", file=save_npz(tmp_path, **changes))


def test_files_that_are_not_npz_files(tmp_path: Path) -> None:
    whole = Path(save_npz(tmp_path)).read_bytes()
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "empty.npz").touch()
    (tmp_path / "cut.npz").write_bytes(whole[:-100])
    at = whole.index(b"NUMPY") + 400
    (tmp_path / "flipped.npz").write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as packed:
        packed.writestr("images.npy", "hello")
    for method, name in ((zipfile.ZIP_BZIP2, "bzip2.npz"), (zipfile.ZIP_LZMA, "lzma.npz")):
        with zipfile.ZipFile(save_npz(tmp_path)) as plain, zipfile.ZipFile(tmp_path / name, "w", method) as packed:
            for member in plain.namelist():
                packed.writestr(member, plain.read(member))
    for file, words in (
        ("nope.npz", "nope.npz: no such file"),
        (".", "not a file"),
        ("one.npy", "one.npy: not a .complete. .npz file; numpy.savez writes one"),
        ("empty.npz", "empty.npz: not a .complete. .npz file"),
        ("cut.npz", "cut.npz: not a .complete. .npz file"),
        ("other.npz", "other.npz: cannot be read: "),
        ("bzip2.npz", "bzip2.npz: images.npy is compressed in another way than numpy.savez does"),
        ("lzma.npz", "lzma.npz: images.npy is compressed in another way"),
    ):
        with pytest.raises(RunnerError, match=words):
            build_dataset("npz", file=str(tmp_path / file))
    with pytest.raises(RunnerError, match="flipped.npz: cannot be read: Bad CRC-32"):
        build_dataset("npz", file=str(tmp_path / "flipped.npz")).load()


# The command line: paths are relative to the working directory, ~ is the home folder.


def with_dataset(tiny: Path, dataset: str) -> Path:
    text = tiny.read_text().replace("dataset: digits", f"dataset: {dataset}").replace("convs: [1, 2]", "convs: [1]")
    tiny.write_text(text)
    return tiny


def test_a_folder_of_images_is_planned_and_run(tiny: Path, runner, pictures: Path) -> None:
    with_dataset(tiny, "{name: image-folder, root: pictures, size: 8}")
    assert runner("plan", tiny).returncode == 0
    done = runner("run", tiny, "--executor", "serial")
    assert done.returncode == 0, done.stderr
    done = runner("run", tiny, "--executor", "serial", "--set", "cross_validation.folds=7")
    assert done.returncode == 2 and "found 7; 12 images of 2 classes allow at most 6 folds" in done.stderr
    (pictures / "red" / "3.png").write_bytes(b"hello")
    done = runner("run", tiny, "--executor", "serial")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1 and "pictures/red/3.png: cannot be read" in done.stderr


def test_arrays_are_planned_and_run(tiny: Path, runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    save_npz(tmp_path)
    done = runner("run", with_dataset(tiny, "{name: npz, file: ~/mine.npz}"), "--executor", "serial")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "dataset, words",
    [
        ("image-folder", ["dataset: image-folder needs the parameter 'root' (text)", "needs the parameter 'size'"]),
        ("{name: image-folder, root: x, size: 8}", ["dataset: x: no such folder"]),
        (
            "{name: image-folder, root: x, size: 8, crop: centre}",
            ["'centre'; did you mean 'center'? allowed: center"],
        ),
        ("{name: npz, file: x.npz}", ["dataset: x.npz: no such file"]),
        ("npz", ["dataset: npz needs the parameter 'file' (text)"]),
    ],
)
def test_each_problem_is_one_line_of_the_plan(dataset: str, words: list[str], tiny: Path, runner) -> None:
    done = runner("plan", with_dataset(tiny, dataset))
    assert done.returncode == 2 and done.stderr.count("\n") == len(words), done.stderr
    for line, part in zip(done.stderr.splitlines(), words, strict=True):
        assert line.startswith("tiny.yaml:") or f"{tiny}:" in line
        assert part in line


@pytest.mark.parametrize("size", ["0", "[8]", "[8, 0]", "x", "[8, 8, 8]"])
def test_invalid_sizes(size: str, tiny: Path, runner) -> None:
    done = runner("plan", with_dataset(tiny, f"{{name: image-folder, root: ., size: {size}}}"))
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "dataset.size: found " in done.stderr
    assert "; expected a number of pixels of at least 1, or [height, width]" in done.stderr


class TestFilesMeantToDoHarm:
    @pytest.mark.parametrize(
        ("header", "words"),
        [
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (10**12, 8, 8), }", "cannot be read"),
            (
                "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 8, 8), }",
                "announces uint8 .* 384 follow",
            ),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (-6, 8, 8), }", "announces"),
            ("{'descr': '|O', 'fortran_order': False, 'shape': (6, 8, 8), }", "holds pickled objects"),
            ("(" * 9000, "cannot be read"),
            ("9" * 5000, "cannot be read"),
        ],
    )
    def test_headers_that_lie(self, header: str, words: str, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as packed:
            packed.writestr("images.npy", fuzz_data.npy_member(header, bytes(384)))
        with pytest.raises(RunnerError, match=f"x.npz: .*{words}"):
            build_dataset("npz", file=str(tmp_path / "x.npz"))

    def test_a_small_file_that_unpacks_to_gigabytes(self, tmp_path: Path) -> None:
        bomb = fuzz_data.zeros_member("{'descr': '|u1', 'fortran_order': False, 'shape': (46875000, 8, 8), }")
        (tmp_path / "x.npz").write_bytes(fuzz_data.zip_archive({"images": bomb}))
        with pytest.raises(RunnerError, match="images unpacks from 2.* MB to 3,000 MB, more than images do"):
            build_dataset("npz", file=str(tmp_path / "x.npz"))

    @pytest.mark.parametrize("text", ["x" * 5000, "\0", "~nobody-of-this-name/x"])
    def test_text_that_cannot_be_a_path(self, text: str) -> None:
        for name, parameters in (("npz", {"file": text}), ("image-folder", {"root": text, "size": 8})):
            with pytest.raises(RunnerError) as error:
                build_dataset(name, **parameters)
            assert " raised " not in str(error.value)

    def test_an_image_that_announces_too_many_pixels(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            Image.new("1", (9, 7)).save(tmp_path / name / "1.png")
        huge = fuzz_data.resized_png((tmp_path / "b" / "1.png").read_bytes(), 13_000, 13_000, Random(0))
        (tmp_path / "b" / "1.png").write_bytes(huge)
        with (
            warnings.catch_warnings(),
            pytest.raises(RunnerError, match="169 million pixels; allowed: up to 100 million"),
        ):
            warnings.simplefilter("error")
            build_dataset("image-folder", root=str(tmp_path), size=8).load()

    def test_odd_metadata_cause_no_warning(self, tmp_path: Path) -> None:
        """An EXIF orientation, tag 274, of 32 numbers whose offset is beyond the end of the file."""
        exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + bytes([1, 18, 0, 3, 0, 0, 0, 32, 0, 0, 0, 99]) + b"\0\0\0\0"
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            Image.new("RGB", (9, 7)).save(tmp_path / name / "1.jpg", exif=exif)
        with warnings.catch_warnings(record=True) as caught:
            assert build_dataset("image-folder", root=str(tmp_path), size=8).load()[0].shape == (2, 3, 8, 8)
            assert not caught
            with Image.open(tmp_path / "a" / "1.jpg") as image:
                image.getexif()
        assert caught, "as Pillow does on its own"

    def test_images_without_pixels(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "x.npz", images=np.zeros((4, 0, 8), np.uint8), labels=np.arange(4) % 2)
        with pytest.raises(RunnerError, match="images without pixels"):
            build_dataset("npz", file=str(tmp_path / "x.npz"))
