"""The journal on disk: results are read back unchanged, and damage is repaired or reported with its line."""

import io
import json
import math
import os
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import JournalError
from runner.fits.records import FitResult
from runner.journal import index
from runner.journal.frames import frames
from runner.journal.index import read
from runner.journal.journal import Journal
from runner.journal.line import encode

METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


@st.composite
def results(draw):
    status, epochs = draw(st.sampled_from(["ok", "failed"])), draw(st.integers(0, 3))
    values = st.lists(st.floats(), min_size=epochs, max_size=epochs)
    return FitResult(
        id=draw(st.text(max_size=8)),
        cell=draw(st.text(max_size=8)),
        repeat=draw(st.integers(0, 9)),
        fold=draw(st.integers(0, 9)),
        status=status,
        reason=draw(st.text(max_size=30)),
        epochs=epochs,
        curves={name: draw(values) for name in METRICS if status == "ok" or draw(st.booleans())},
        seconds=draw(st.floats(0, 1e10)),
        worker=draw(st.text(max_size=8)),
        versions=draw(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2)),
        log=draw(st.text(max_size=50)),
        finished=draw(st.integers(0, 2**53)),
        confusion=draw(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), max_size=2)),
    )


many = settings(max_examples=60)


def fit(name, fold=0, **facts):
    curves = {metric: [0.5, 0.75] for metric in METRICS}
    return FitResult(name, "cell", 0, fold, "ok", curves=curves, epochs=2, confusion=[[0, 0, 3], [0, 1, 1]], **facts)


def ids(path):
    return [result.id for result in read(path)[0]]


def test_an_append_returns_once_its_lines_are_on_disk(tmp_path, monkeypatch):
    synced, sync = [], os.fsync

    def noted(descriptor):
        sync(descriptor)
        state = os.fstat(descriptor)
        synced.append((state.st_ino, state.st_size))

    monkeypatch.setattr(os, "fsync", noted)
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        assert tmp_path.stat().st_ino in [inode for inode, _ in synced], "the new file's name is durable too"
        for name in "ab":
            journal.append(fit(name))
            assert synced[-1] == (path.stat().st_ino, path.stat().st_size)


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
@given(st.lists(results(), max_size=4))
def test_results_are_read_back_unchanged(tmp_path_factory, fits):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    with Journal(path) as journal:
        for result in fits:
            journal.append(result)
        indexed = repr(dict(journal.results))
    read_back, length = read(path)
    assert repr(read_back) == repr(fits)
    assert length == path.stat().st_size
    with Journal(path) as journal:
        assert repr(dict(journal.results)) == indexed


def test_no_file_is_an_empty_journal(path):
    assert read(path) == ([], 0)


def test_a_line_is_on_disk_before_append_returns(path):
    with Journal(path) as journal:
        for count in (1, 2):
            journal.append(fit(str(count)))
            assert len(ids(path)) == count


def test_a_line_torn_anywhere_is_dropped_and_overwritten(three):
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


def test_what_is_appended_after_a_torn_line_can_be_read_at_once(three):
    three.write_bytes(three.read_bytes()[:-9])
    with Journal(three) as journal:
        journal.append(fit("d"), fit("e"))
        assert [journal.results[name].id for name in "abde"] == ["a", "b", "d", "e"]


@pytest.mark.parametrize(("share", "expected"), [(1, ["a"]), (2, [])])
def test_after_an_interrupt_during_a_write_the_index_matches_the_file(path, share, expected):
    class Interrupted(io.FileIO):
        def write(self, content):
            super().write(content[: len(content) // share])
            raise KeyboardInterrupt

    with Journal(path) as journal:
        journal._file = Interrupted(path, "ab")
        with pytest.raises(KeyboardInterrupt):
            journal.append(fit("a"))
        assert list(journal.results) == expected == ids(path)


def test_a_torn_line_is_logged(three, caplog):
    three.write_bytes(three.read_bytes()[:-9])
    with Journal(three):
        pass
    assert "the last line is torn" in caplog.text


def test_reading_alone_repairs_nothing(three):
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
        (lambda line: line.replace(b",", b"\r", 1), "the line contains a carriage return"),
        (lambda line: line.replace(b"0.75", b"0.76"), "the checksum does not match"),
        (lambda line: line.replace(b'"format":2', b'"format":3'), "written in format 3; .* reads formats 1 and 2"),
    ],
)
def test_a_damaged_line_is_reported_with_its_number(three, number, damage, message):
    lines = three.read_bytes().splitlines(keepends=True)
    lines[number - 1] = damage(lines[number - 1])
    three.write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match=f":{number}: {message}"):
        read(three)
    with pytest.raises(JournalError), Journal(three):
        pass
    assert three.read_bytes() == b"".join(lines)


@settings(max_examples=300)
@given(st.data())
def test_any_changed_byte_is_detected(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    fits = [fit("a", log="é\n"), fit("b")]
    content = bytearray(b"".join(map(encode, fits)))
    position = data.draw(st.integers(0, len(encode(fits[0])) - 1))
    content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        read_back, _ = read(path)
    except JournalError as error:
        assert ":1: " in str(error)
    else:
        assert read_back == fits


def edited(fit, **changes):
    """A line whose fit was edited, with a matching checksum."""
    text = json.dumps({**fit.to_dict(), **changes}, separators=(",", ":"))
    return f'{{"format":1,"sum":"{zlib.crc32(text.encode()):08x}","fit":{text}}}\n'.encode()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"curves": {}}, "it has 0 values of train_loss; expected one for each of 2 epochs"),
        ({"curves": {"val_loss": ["x", 1.0]}}, "curves is .*; expected lists of numbers by val_accuracy"),
        ({"curves": {"speed": [1.0]}}, "curves is"),
        ({"curves": 3}, "curves is 3"),
        ({"curves": {"val_loss": [10**400]}}, "curves is"),
        ({"epochs": 3}, "it has 2 values of train_loss; expected one for each of 3 epochs"),
        ({"epochs": -1}, "epochs is -1; expected a whole number of 0 or more"),
        ({"fold": -1}, "fold is -1"),
        ({"fold": True}, "fold is true"),
        ({"repeat": 0.5}, "repeat is 0.5"),
        ({"finished": 2**64}, "finished is"),
        ({"status": "fine"}, "status is 'fine'; expected ok or failed"),
        ({"status": ["ok"]}, "status is"),
        ({"id": None}, "id is nothing; expected text"),
        ({"cell": ["a"]}, "cell is"),
        ({"seconds": float("nan")}, "seconds is .nan; expected seconds, 0 to 1e.10"),
        ({"cpu": -1}, "cpu is -1"),
        ({"seconds": 1e300}, "seconds is 1e.300"),
        ({"confusion": [[0, 1, 2**31]]}, "confusion is .*; expected rows of truth"),
        ({"versions": {"numpy": 2}}, "versions is"),
        ({"confusion": [[0, 1]]}, "confusion is .*; expected rows of truth"),
        ({"confusion": [[0, 1, -1]]}, "confusion is"),
        ({"arrays": {}}, "unknown key 'arrays'"),
        ({"colour": 3}, "unexpected keyword argument 'colour'"),
    ],
)
def test_a_fit_edited_by_hand_is_refused_with_its_line(changes, message, path):
    path.parent.mkdir()
    path.write_bytes(encode(fit("a")) + edited(fit("b"), **changes))
    with pytest.raises(JournalError, match=f":2: not a fit: .*{message}"):
        read(path)


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\x00\n", b"\xef\xbb\xbf{}\n", b"[" * 50_000 + b"\n", b'{"a":' * 50_000 + b"\n",
        b"9" * 5000 + b"\n", b"x" * 5_000_000 + b"\n", b"\0" * 4096 + b"\n",
        b'{"format":1,"sum":null,"fit":' + b"[" * 5000 + b"]" * 5000 + b"}\n",
    ],
    ids=["UTF-16", "mark", "deep list", "deep mapping", "digits", "huge", "zeros", "deep fit"],
)  # fmt: skip
def test_anything_but_a_journal_line_is_refused_with_its_number(line, three):
    whole = three.read_bytes()
    first = whole.index(b"\n") + 1
    three.write_bytes(whole[:first] + line + whole[first:])
    with pytest.raises(JournalError, match=":2: not a journal line; delete the line"):
        read(three)


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_that_is_too_long_is_refused_and_not_taken_for_a_torn_one(end, three, monkeypatch):
    whole = three.read_bytes()
    monkeypatch.setattr(index, "LONGEST_LINE", max(map(len, whole.splitlines(keepends=True))))
    assert len(read(three)[0]) == 3
    three.write_bytes(whole + b"x" * (index.LONGEST_LINE + 1) + end)
    with pytest.raises(JournalError, match=":4: the line is longer than 0 MB.*restore the file"):
        read(three)


@pytest.mark.parametrize("version", ["true", "1.0", '"1"', "0", "null", "[1]"])
def test_another_format_is_refused(version, three):
    three.write_bytes(three.read_bytes().replace(b'"format":2', b'"format":' + version.encode(), 1))
    with pytest.raises(JournalError, match=":1: written in format .*; this version reads formats 1 and 2"):
        read(three)


def test_a_line_without_a_checksum_is_refused(three):
    three.write_bytes(three.read_bytes().replace(b'"sum"', b'"mus"', 1))
    with pytest.raises(JournalError, match=":1: not a journal line"):
        read(three)


def test_a_checksum_that_does_not_match_is_reported(path):
    path.parent.mkdir()
    entry = json.loads(encode(fit("a")))
    line = encode(replace(fit("a"), id="b")).decode()
    path.write_text(line.replace(json.loads(line)["sum"], entry["sum"]))
    with pytest.raises(JournalError, match="checksum"):
        read(path)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_deleted_line_loses_only_its_fit(three, number):
    lines = three.read_bytes().splitlines(keepends=True)
    del lines[number]
    three.write_bytes(b"".join(lines))
    assert ids(three) == [name for name in "abc" if name != "abc"[number]]


def test_if_a_fit_has_two_lines_the_later_one_counts(three):
    with Journal(three) as journal:
        journal.append(fit("a", fold=7))
        assert journal.results["a"].fold == 7
    with Journal(three) as journal:
        assert sorted(journal.results) == ["a", "b", "c"]
        assert journal.results["a"].fold == 7


def test_the_frame_has_one_row_per_fit_with_the_final_metrics():
    good = fit("a", fold=3, seconds=1.5, worker="9")
    bad = FitResult("b", "cell", 0, 1, "failed", "diverged", curves={"val_accuracy": [0.9]})
    table = frames([good, bad]).fits
    assert list(table["id"]) == ["a", "b"]
    assert table["val_accuracy"][0] == table["train_loss"][0] == 0.75 and math.isnan(table["test_loss"][0])
    assert math.isnan(table["val_accuracy"][1])
    assert tuple(table.loc[0, ["fold", "epochs", "seconds", "worker"]]) == (3, 2, 1.5, "9")
    assert frames([]).fits.columns.equals(table.columns)


def test_the_frames_have_the_epochs_and_confusions_of_successful_fits():
    bad = FitResult("b", "cell", 0, 1, "failed", "diverged", curves={"val_accuracy": [0.9]})
    result = frames([fit("a"), bad])
    assert result.curves.to_dict("records")[1] == {
        "id": "a", "epoch": 2, "train_loss": 0.75, "train_accuracy": 0.75, "val_loss": 0.75, "val_accuracy": 0.75
    }  # fmt: skip
    assert len(result.curves) == 2
    assert result.confusions.to_numpy().tolist() == [["a", 0, 0, 3], ["a", 0, 1, 1]]


def test_arrays_for_inspection_are_not_in_the_journal():
    assert b"arrays" not in encode(fit("a", arrays={"filters": [1.0]}))
