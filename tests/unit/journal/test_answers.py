"""What each image was taken for: packed into a line, and read again with the splits of the study."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.data.folds import stratified_splits
from runner.data.splits_file import NAME, SavedSplits, read, save
from runner.errors import JournalError
from runner.fits.answers import pack, right_bits, unpack
from runner.fits.metrics import METRICS
from runner.fits.records import FitResult
from runner.journal.frames import frames
from runner.journal.line import decode, encode

LABELS = np.arange(40) % 3


def splits(repeats: int = 2, folds: int = 4, labels: np.ndarray = LABELS, **options: int) -> SavedSplits:
    return SavedSplits.of(labels, stratified_splits(labels, folds, repeats, seed=0, **options), 3)


def fit(saved: SavedSplits, repeat: int = 0, fold: int = 0, seed: int = 0, **changes: object) -> FitResult:
    truth = saved.truth(repeat, fold)
    predicted = np.where(np.random.default_rng(seed).random(len(truth)) < 0.6, truth, (truth + 1) % 3)
    curves = {metric: [float((predicted == truth).mean())] for metric in METRICS}
    facts = {"epochs": 1, "curves": curves, "answers": pack(truth, predicted, 3)} | changes
    return FitResult(f"{repeat}-{fold}", "cell", repeat, fold, "ok", **facts)  # type: ignore[arg-type]


@settings(max_examples=200)
@given(st.data(), st.integers(1, 300), st.sampled_from([2, 3, 4, 10, 16, 17, 100, 1000]))
def test_answers_come_back_and_take_no_more_room_than_they_may(data: st.DataObject, images: int, classes: int) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    truth = random.integers(0, classes, images)
    predicted = np.where(random.random(images) < data.draw(st.floats(0, 1)), truth, random.integers(0, classes, images))
    text = pack(truth, predicted, classes)
    np.testing.assert_array_equal(unpack(text, truth, classes), predicted)
    right = np.unpackbits(np.frombuffer(right_bits(text, images), np.uint8), count=images)
    np.testing.assert_array_equal(right, predicted == truth)
    # The last bytes and base64's padding may be partly empty.
    assert len(text) <= 2.5 * images + 8
    if (predicted == truth).mean() >= 0.9 and classes == 10:
        assert len(text) <= 0.25 * images + 8


@pytest.mark.parametrize(
    "text",
    ["", "no base64!", "AA", base64.b64encode(b"\xff").decode(), base64.b64encode(bytes(9)).decode()]
    + [base64.b64encode(bytes([0, 0, 64])).decode(), base64.b64encode(b"\xff\xc0" + b"x").decode()],
)
def test_what_cannot_be_the_answers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="answers"):
        unpack(text, np.zeros(10, np.int64), 2)


def test_an_answer_that_is_counted_as_wrong_is_not_the_truth() -> None:
    text = base64.b64encode(bytes([0b11111111, 0b10000000, 0b0])).decode()  # the last image is wrong, and taken for 0
    with pytest.raises(ValueError, match="contradict"):
        unpack(text, np.zeros(10, np.int64), 2)


def test_a_journal_line_has_the_answers_and_a_line_of_format_1_is_still_read() -> None:
    result = fit(splits())
    line = encode(result)
    assert decode(line) == result and b'"format":2' in line and b"confusion" not in line
    old = FitResult("a", "cell", 0, 0, "ok", confusion=[[0, 0, 3]])
    assert decode(encode(old).replace(b'"format":2', b'"format":1')) == old


def test_confusions_follow_from_the_answers() -> None:
    saved = splits()
    results = [fit(saved, repeat, fold, 4 * repeat + fold) for repeat in range(2) for fold in range(4)]
    found = frames(results, saved)
    assert found.splits is saved and set(found.right) == {result.id for result in results}
    for result in results:
        truth = saved.truth(result.repeat, result.fold)
        predicted = unpack(result.answers, truth, 3)
        rows = found.confusions[found.confusions["id"] == result.id]
        counts = {(a, b): c for a, b, c in rows[["truth", "predicted", "count"]].itertuples(index=False)}
        assert counts == {
            (a, b): ((truth == a) & (predicted == b)).sum()
            for a in range(3)
            for b in range(3)
            if ((truth == a) & (predicted == b)).any()
        }
    assert found.confusions["count"].sum() == 2 * len(LABELS)


@pytest.mark.parametrize("together", [0, 60, 2**20])
def test_confusions_are_the_same_however_many_fits_are_counted_together(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fit of format 1, which has its counts, may stand between others."""
    monkeypatch.setattr("runner.journal.frames._MOST_WAITING", together)
    saved = splits()
    old = replace(fit(saved), id="old", answers="", confusion=[[1, 2, 3], [0, 0, 1]])
    results = [fit(saved, 0, fold, fold) for fold in range(4)]
    alone = [frames([result], saved).confusions for result in (*results[:2], old, *results[2:])]
    found = frames([*results[:2], old, *results[2:]], saved).confusions
    pd.testing.assert_frame_equal(found, pd.concat(alone, ignore_index=True))
    assert found["id"].unique().tolist() == ["0-0", "0-1", "old", "0-2", "0-3"]


def test_without_the_splits_a_journal_still_gives_its_frames() -> None:
    found = frames([fit(splits())])
    assert len(found.fits) == 1 and not found.right and found.confusions.empty


def test_answers_that_do_not_match_the_splits_are_refused() -> None:
    with pytest.raises(JournalError, match=r"fit 0-0: its answers .*not of one study"):
        frames([fit(splits())], splits(folds=2))


def test_splits_come_back_with_their_digest(tmp_path: Path) -> None:
    saved = splits(labels=np.arange(500) % 3, subset=90)
    assert saved.fold_of.shape == (2, 90)
    save(saved, tmp_path)
    again = read(tmp_path, saved.digest)
    assert again is not None
    for name in ("labels", "fold_of"):
        np.testing.assert_array_equal(getattr(again, name), getattr(saved, name))
    assert read(tmp_path, splits().digest) is None, "those of another study"


def test_splits_that_did_not_change_are_not_written_again(tmp_path: Path) -> None:
    save(splits(), tmp_path)
    before = (tmp_path / NAME).stat().st_mtime_ns
    save(splits(), tmp_path)
    assert (tmp_path / NAME).stat().st_mtime_ns == before
    save(splits(repeats=3), tmp_path)
    again = read(tmp_path)
    assert again is not None and len(again.fold_of) == 3


@pytest.mark.parametrize(
    "arrays",
    [
        {"labels": np.zeros(3, np.uint8), "fold_of": np.zeros((2, 4), np.uint8), "classes": 2},
        {"labels": np.zeros(3), "fold_of": np.zeros((2, 3), np.uint8), "classes": 2},
        {"labels": np.full(3, 9, np.uint8), "fold_of": np.zeros((2, 3), np.uint8), "classes": 2},
        {"labels": np.zeros(3, np.uint8), "fold_of": np.zeros((2, 3), np.uint8), "classes": 2**60},
        {"labels": np.zeros(3, np.uint8), "fold_of": np.zeros(3, np.uint8), "classes": 2},
        {"labels": np.zeros(3, np.uint8), "fold_of": np.zeros((2, 3), np.uint8), "classes": np.array(["x"])},
        {"labels": np.zeros(3, np.uint8)},
    ],
)
def test_damaged_splits_count_as_none(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    np.savez(tmp_path / NAME, **arrays)
    assert read(tmp_path) is None
    (tmp_path / NAME).write_bytes(b"PK")
    assert read(tmp_path) is None
    save(splits(), tmp_path)
    assert read(tmp_path) is not None
