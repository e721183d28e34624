"""What is taken from a folder of images, what is left out with a word, and parts that look like classes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_files import build_dataset, settle
from small_pictures import picture
from small_pictures import pictures as pictures
from written_images import RGB, png

from runner.api import RunnerError


def test_all_that_could_be_an_image_and_is_not_taken_is_counted(
    pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each of these was skipped without a word by tools that people use."""
    picture().save(pictures / "outside.png")
    picture().save(pictures / "red" / ".hidden.png")
    (pictures / "red" / "deep" / ".thumbnails").mkdir(parents=True)
    picture().save(pictures / "red" / "deep" / "seen.TIF")
    (pictures / "red" / "a.heic").touch()
    (pictures / "red" / "b.heic").touch()
    data = build_dataset("image-folder", root=str(pictures), size=8)
    data.load()
    (line,) = caplog.messages
    assert data.size == 13
    for words in ("1 loose image, such as outside.png", "1 hidden file,", "1 hidden folder,", "2 other files, such as"):
        assert words in line, words


def test_links_to_images_are_followed_and_links_to_folders_within_a_class_refused(
    pictures: Path, tmp_path: Path
) -> None:
    pictures.rename(tmp_path / "elsewhere")
    for name in ("red", "blue"):
        (pictures / name).mkdir(parents=True)
        (pictures / name / "0.png").symlink_to(tmp_path / "elsewhere" / name / "0.png")
    (pictures / "green").symlink_to(tmp_path / "elsewhere" / "red")
    assert build_dataset("image-folder", root=str(pictures), size=8).size == 8
    (pictures / "red" / "more").symlink_to(tmp_path / "elsewhere" / "red")
    with pytest.raises(RunnerError, match="red/more: a link to a folder, which is not followed"):
        build_dataset("image-folder", root=str(pictures), size=8)
    (pictures / "red" / "more").unlink()
    os.mkfifo(pictures / "red" / "pipe.png")
    with pytest.raises(RunnerError, match="red/pipe.png: a pipe, a socket or a device; expected images"):
        build_dataset("image-folder", root=str(pictures), size=8)


def test_names_of_classes_that_look_alike(pictures: Path, caplog: pytest.LogCaptureFixture) -> None:
    (pictures / "red").rename(pictures / "caf\u00e9")
    (pictures / "blue").rename(pictures / "cafe\u0301")
    with pytest.raises(RunnerError, match=r"'cafe\\u0301' and 'caf\\xe9' look the same; merge them, or rename one"):
        build_dataset("image-folder", root=str(pictures), size=8)
    (pictures / "caf\u00e9").rename(pictures / "a")
    (pictures / "cafe\u0301").rename(pictures / "A")
    data = build_dataset("image-folder", root=str(pictures), size=8)
    data.load()
    assert data.class_names == ("A", "a") and "classes that differ by case only: A and a" in caplog.text
    (pictures / "a").rename(pictures / " ")
    with pytest.raises(RunnerError, match="found a class whose name is ' '; expected a text that can be seen"):
        build_dataset("image-folder", root=str(pictures), size=8)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A folder with train, val and test, each with two classes of 4, 2 and 3 images of one brightness a part."""
    for part, count, brightness in (("train", 4, 10), ("val", 2, 20), ("test", 3, 30)):
        for name in ("a", "b"):
            (tmp_path / "parts" / part / name).mkdir(parents=True)
            for number in range(count):
                picture(colour=(brightness,) * 3).save(tmp_path / "parts" / part / name / f"{number}.png")
    return tmp_path / "parts"


def test_a_folder_with_parts_is_not_two_classes(parts: Path) -> None:
    def found(**parameters: object) -> list[list[int]]:
        """The brightness of each image of both parts."""
        data = build_dataset("image-folder", root=str(parts), size=8, split=True, **parameters)
        assert data.class_names == ("a", "b") and data.load_test is not None
        loaded = [data.load(), data.load_test()]
        assert [len(images) for images, _ in loaded] == [data.size, data.test_size]
        assert all(sorted(labels) == list(labels) and labels.mean() == 0.5 for _, labels in loaded)
        return [sorted(images[:, 0, 0, 0].tolist()) for images, _ in loaded]

    with pytest.raises(RunnerError) as caught:
        build_dataset("image-folder", root=str(parts), size=8)
    assert str(caught.value) == (
        f"{parts}: train and val and test each have a folder a, so they are parts, not classes; set split: true, "
        f"or root: {parts / 'train'} to take one of them"
    )
    with pytest.raises(RunnerError, match="parts: found val; set val: train, test or unused, what it is for"):
        found()
    assert found(val="unused") == [[10] * 8, [30] * 6]
    assert found(val="train") == [[10] * 8 + [20] * 4, [30] * 6]
    with pytest.raises(RunnerError, match="val: test, but there is test too; allowed: train, unused"):
        found(val="test")
    shutil.rmtree(parts / "test")
    assert found(val="test") == [[10] * 8, [20] * 4]
    with pytest.raises(RunnerError, match=f"with split: true found no test part; set root: {parts}/train instead"):
        found(val="train")
    (parts / "val").rename(parts / "TEST")
    assert found() == [[10] * 8, [20] * 4]
    (parts / "extra").mkdir()
    with pytest.raises(RunnerError, match="with split: true found the sub-folder extra; allowed: train, test, and val"):
        found()


def test_parameters_of_a_split_that_do_not_match(parts: Path, pictures: Path) -> None:
    with pytest.raises(RunnerError, match="found val: unused without split: true"):
        build_dataset("image-folder", root=str(pictures), size=8, val="unused")
    with pytest.raises(RunnerError, match="found split: true and test_root, which both name the test part"):
        build_dataset("image-folder", root=str(parts), size=8, split=True, test_root=str(pictures))
    with pytest.raises(RunnerError, match="pictures: root and test_root are the same folder; expected two"):
        build_dataset("image-folder", root=str(pictures), size=8, test_root=str(pictures / "."))
    with pytest.raises(RunnerError, match="pictures: with split: true found the sub-folder blue; allowed: train, test"):
        build_dataset("image-folder", root=str(pictures), size=8, split=True)
    (parts / "train" / "c").mkdir()
    picture().save(parts / "train" / "c" / "0.png")
    with pytest.raises(RunnerError, match="test: its classes are not those of .*train: they differ in c"):
        build_dataset("image-folder", root=str(parts), size=8, split=True, val="unused")
    (parts / "val").rename(parts.parent / "val")
    (parts / "test").rename(parts.parent / "test")
    with pytest.raises(RunnerError, match=f"one sub-folder, train; .*if .* are the classes, set root: {parts}/train"):
        build_dataset("image-folder", root=str(parts), size=8)
    # A test part without classes, as competitions publish it.
    (parts / "test").mkdir()
    picture().save(parts / "test" / "1.png")
    with pytest.raises(RunnerError) as caught:
        build_dataset("image-folder", root=str(parts), size=8)
    message = "train has the folders a and b, so it is a part, and test another, without classes; set root: "
    assert str(caught.value) == f"{parts}: {message}{parts / 'train'}"
    # Two classes may well be called so, if their content does not say otherwise.
    for name in ("train", "test"):
        (pictures / name).mkdir()
        picture().save(pictures / name / "0.png")
    assert build_dataset("image-folder", root=str(pictures), size=8).class_names == ("blue", "red", "test", "train")


def test_a_study_of_16_bit_colours_stops_and_says_what_to_write(tiny: Path, runner, tmp_path: Path) -> None:
    """Once it trained on black images and ended well, at chance."""
    values = np.random.default_rng(0).integers(0, 200, (12, 8, 8, 3)).astype(np.uint16)
    for number, pixels in enumerate(values):
        (tmp_path / "deep" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "deep" / "ab"[number % 2] / f"{number}.png").write_bytes(png(pixels, RGB, 16))
    dataset = "dataset: {name: image-folder, root: deep, size: 8}"
    tiny.write_text(tiny.read_text().replace("dataset: digits", dataset))
    done = runner("run", tiny, "--executor", "serial")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not done.stdout, done.stderr
    assert "deep/a/0.png: it has 16 bits per channel, and what is black and white must be said: set sc" in done.stderr
    settings = ("--set", "root=deep", "--set", "size=8", "--json", "--set")
    done = runner("describe", "image-folder", *settings, "scale=[0, 199]")
    assert done.returncode == 0 and json.loads(done.stdout)["highest"] == 255 and not done.stderr
    done = runner("describe", "image-folder", *settings, "scale=[0, 100]")
    assert "a/0.png: values outside scale were cut off; so in 12 of 12 images" in done.stderr
    for wrong in ("uint8", "[0]", "[5, 5]", "[0, .inf]", "[0, x]", "255"):
        done = runner("plan", tiny, "--set", f"dataset.scale={wrong}")
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert "dataset.scale: found " in done.stderr and "expected uint16, or [low, high]" in done.stderr


def test_the_version_is_that_of_names_and_parameters(pictures: Path) -> None:
    def version(**parameters: object) -> str:
        return build_dataset("image-folder", root=str(pictures), **{"size": 8, **parameters}).version

    settle()
    before = version()
    assert before == version() and before not in (version(size=9), version(crop="none"), version(grey=True))
    (pictures / "red" / "5.png").rename(pictures / "red" / "7.png")
    settle()
    assert version() not in (before, "")
