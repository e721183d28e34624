"""What a run leaves as it lies, and what it makes again: nothing that is missing or out of date is ever kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import runner
from runner.files import build_stamp
from runner.journal.index import Results

OPTIONS = {"executor": "serial", "tracking_uri": "none"}


def seen(folder: Path) -> dict[str, int]:
    """When each file of a report was written, by its name."""
    names = ("report.html", "report.md", "plan.yaml", "tables/*.csv", "figures/*.svg")
    return {str(f.relative_to(folder)): f.stat().st_mtime_ns for name in names for f in folder.glob(name)}


@pytest.fixture
def done(tiny: Path) -> Path:
    """The report's folder of a finished run of an experiment of two cells."""
    return run(tiny).folder


def run(tiny: Path, *overrides: str) -> runner.flow.outcome.Outcome:
    reports = tiny.parent / "reports"
    sets = ("grid={architecture.convs: [1, 2]}", "training.epochs=1", *overrides)
    return runner.run(tiny, overrides=sets, reports=reports, **OPTIONS)


def test_nothing_is_written_again_where_nothing_changed(tiny: Path, done: Path) -> None:
    before = seen(done)
    again = run(tiny)
    assert seen(done) == before and len(before) > 10
    assert again.trained == 0 and again.verdict["rows"][0][0] in {"convs=1", "convs=2"}
    assert list(again.tables.cells["ok"]) == [3, 3]


@pytest.mark.parametrize("name", ["report.html", "report.md", "tables/cells.csv", "figures/effects.svg", "plan.yaml"])
@pytest.mark.parametrize("damage", ["removed", "edited"])
def test_what_is_missing_or_edited_is_written_again(tiny: Path, done: Path, name: str, damage: str) -> None:
    file = done / name
    content = file.read_text()
    if damage == "removed":
        file.unlink()
    else:
        file.write_text(content[:-2])
    run(tiny)
    assert file.read_text() == content


def test_a_result_that_came_and_a_plan_that_changed_are_in_the_report(tiny: Path, done: Path) -> None:
    before = (done / "report.md").read_text()
    journal = done / "journal.jsonl"
    first, *rest = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(rest))
    assert run(tiny).trained == 1
    text = (done / "report.md").read_text()
    run(tiny, "report.metric=val_loss")
    assert "val_loss" in (done / "report.md").read_text() and "val_loss" not in text.partition("\n## ")[0]
    assert before.partition("\n## ")[0] == text.partition("\n## ")[0]


def test_arrays_that_are_taken_away_are_out_of_the_report(tiny: Path, done: Path) -> None:
    assert (done / "figures" / "filters.svg").is_file()
    for file in (done / "fits").glob("*.npz"):
        file.unlink()
    run(tiny)
    assert not (done / "figures" / "filters.svg").exists()


def test_a_damaged_stamp_is_ignored(tmp_path: Path) -> None:
    note, file = tmp_path / ".note", tmp_path / "file"
    file.write_text("made")
    build_stamp.write_stamp(note, "key", [file], {"said": 1})
    assert build_stamp.read_stamp(note, "key") == {"said": 1} and build_stamp.read_stamp(note, "other") is None
    for content in (b"", b"[]", b"{}", b"\xff", b'{"files": 3}', note.read_bytes()[:-9]):
        note.write_bytes(content)
        assert build_stamp.read_stamp(note, "key") is None
    build_stamp.write_stamp(note, "key", [tmp_path / "missing"])
    assert build_stamp.read_stamp(note, "key") is None
    build_stamp.write_stamp(note, "key", [file])
    os.utime(file, ns=(1, 1))
    assert build_stamp.read_stamp(note, "key") is None


def test_an_index_reads_only_what_is_asked_for(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from runner.journal.index import index
    from runner.journal.line import decode

    results, good = index(done / "journal.jsonl")
    read: list[bytes] = []
    monkeypatch.setattr("runner.journal.index.decode", lambda line: (read.append(line), decode(line))[1])
    assert isinstance(results, Results) and len(results) == 6 and good == (done / "journal.jsonl").stat().st_size
    assert set(results.statuses.values()) == {"ok"} and results.select(results).count_status("ok") == 6 and not read
    assert [result.id for result in results.select(list(results)[2:4])] == list(results)[2:4] and len(read) == 2
    assert results.digest(list(results)[:3]) != results.digest(list(results)[:2]) and len(read) == 2
