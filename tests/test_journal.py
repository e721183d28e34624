"""The journal on disk: what goes in comes out, and damage is mended or named."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import JournalError
from runner.fit import FitResult
from runner.journal import Journal, encode, frames, read

figures = st.dictionaries(
    st.sampled_from(["train_loss", "train_accuracy", "val_loss", "val_accuracy"]), st.lists(st.floats(), max_size=3)
)
results = st.builds(
    FitResult,
    id=st.text(max_size=8),
    cell=st.text(max_size=8),
    repeat=st.integers(0, 9),
    fold=st.integers(0, 9),
    status=st.sampled_from(["ok", "failed"]),
    reason=st.text(max_size=30),
    epochs=st.integers(0, 100),
    curves=figures,
    seconds=st.floats(0),
    worker=st.text(max_size=8),
    versions=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    log=st.text(max_size=50),
    finished=st.integers(0, 2**53),
)
many = settings(deadline=None, max_examples=60)


def fit(name, fold=0, **facts):
    curves = {metric: [0.5, 0.75] for metric in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")}
    return FitResult(name, "cell", 0, fold, "ok", curves=curves, epochs=2, confusion=[[0, 0, 3], [0, 1, 1]], **facts)


def ids(path):
    return [result.id for result in read(path)[0]]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "journal.jsonl"


@pytest.fixture
def three(path):
    with Journal(path) as journal:
        for name in "abc":
            journal.append(fit(name, log="lines\nand ünïcode \u2028"))
    return path


@many
@given(st.lists(results, max_size=4))
def test_what_goes_in_comes_out(tmp_path_factory, fits):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    with Journal(path) as journal:
        for result in fits:
            journal.append(result)
        known = journal.results
    found, good = read(path)
    assert repr(found) == repr(fits)
    assert good == path.stat().st_size
    with Journal(path) as journal:
        assert repr(journal.results) == repr(known)


def test_no_file_is_an_empty_journal(path):
    assert read(path) == ([], 0)


def test_a_line_is_on_disk_before_append_returns(path):
    with Journal(path) as journal:
        for count in (1, 2):
            journal.append(fit(str(count)))
            assert len(ids(path)) == count


def test_a_line_torn_anywhere_is_dropped_and_its_place_taken(three):
    whole = three.read_bytes()
    two = whole[: len(whole) - len(encode(read(three)[0][2]))]
    for cut in range(len(two) + 1, len(whole)):
        three.write_bytes(whole[:cut])
        assert read(three)[1] == len(two)
        with Journal(three) as journal:
            assert list(journal.results) == ["a", "b"]
        assert three.read_bytes() == two
    with Journal(three) as journal:
        journal.append(fit("d"))
    assert ids(three) == ["a", "b", "d"]


def test_a_torn_line_is_told(three, caplog):
    three.write_bytes(three.read_bytes()[:-9])
    with Journal(three):
        pass
    assert "the last line is torn" in caplog.text


def test_reading_alone_mends_nothing(three):
    three.write_bytes(three.read_bytes()[:-9])
    before = three.read_bytes()
    read(three)
    assert three.read_bytes() == before


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda line: line[:-9] + b"\n", "not a journal line"),
        (lambda line: b"\n", "not a journal line"),
        (lambda line: b"[1, 2]\n", "not a journal line"),
        (lambda line: b"\xff\xfe\n", "not a journal line"),
        (lambda line: line.replace(b",", b"\r", 1), "the line has no end"),
        (lambda line: line.replace(b"0.75", b"0.76"), "the checksum does not fit"),
        (lambda line: line.replace(b'"format":1', b'"format":2'), "written in format 2; this version reads format 1"),
    ],
)
def test_a_damaged_line_is_named(three, number, damage, message):
    lines = three.read_bytes().splitlines(keepends=True)
    lines[number - 1] = damage(lines[number - 1])
    three.write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match=f":{number}: {message}"):
        read(three)
    with pytest.raises(JournalError), Journal(three):
        pass
    assert three.read_bytes() == b"".join(lines)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_no_single_byte_can_change_unseen(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    fits = [fit("a", log="é\n"), fit("b")]
    content = bytearray(b"".join(map(encode, fits)))
    place = data.draw(st.integers(0, len(encode(fits[0])) - 1))
    content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        found, _ = read(path)
    except JournalError as error:
        assert ":1: " in str(error)
    else:
        assert found == fits


def test_a_checksum_that_fits_no_fit_is_named(path):
    path.parent.mkdir()
    entry = json.loads(encode(fit("a")))
    line = encode(replace(fit("a"), id="b")).decode()
    path.write_text(line.replace(json.loads(line)["sum"], entry["sum"]))
    with pytest.raises(JournalError, match="checksum"):
        read(path)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_deleted_line_loses_just_its_fit(three, number):
    lines = three.read_bytes().splitlines(keepends=True)
    del lines[number]
    three.write_bytes(b"".join(lines))
    assert ids(three) == [name for name in "abc" if name != "abc"[number]]


def test_of_two_lines_for_a_fit_the_later_counts(three):
    with Journal(three) as journal:
        journal.append(fit("a", fold=7))
        assert journal.results["a"].fold == 7
    with Journal(three) as journal:
        assert sorted(journal.results) == ["a", "b", "c"]
        assert journal.results["a"].fold == 7


def test_the_frame_has_a_row_a_fit_with_its_last_figures():
    good = fit("a", fold=3, seconds=1.5, worker="9")
    bad = FitResult("b", "cell", 0, 1, "failed", "diverged", curves={"val_accuracy": [0.9]})
    table = frames([good, bad]).fits
    assert list(table["id"]) == ["a", "b"]
    assert table["val_accuracy"][0] == table["train_loss"][0] == 0.75 and math.isnan(table["test_loss"][0])
    assert math.isnan(table["val_accuracy"][1])
    assert tuple(table.loc[0, ["fold", "epochs", "seconds", "worker"]]) == (3, 2, 1.5, "9")
    assert frames([]).fits.columns.equals(table.columns)


def test_the_frames_hold_the_epochs_and_confusions_of_good_fits():
    bad = FitResult("b", "cell", 0, 1, "failed", "diverged", curves={"val_accuracy": [0.9]})
    known = frames([fit("a"), bad])
    assert known.curves.to_dict("records")[1] == {
        "id": "a", "epoch": 2, "train_loss": 0.75, "train_accuracy": 0.75, "val_loss": 0.75, "val_accuracy": 0.75
    }  # fmt: skip
    assert len(known.curves) == 2
    assert known.confusions.to_numpy().tolist() == [["a", 0, 0, 3], ["a", 0, 1, 1]]


def test_kept_arrays_do_not_stand_in_the_journal():
    assert b"kept" not in encode(fit("a", kept={"filters": [1.0]}))
