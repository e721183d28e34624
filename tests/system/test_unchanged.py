"""A second run skips outputs that are unchanged, and writes those again that are missing, edited or out of date."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command import QUICK

import runner
from runner.files import build_stamp
from runner.journal.index import Results, index
from runner.journal.line import decode

pytestmark = pytest.mark.figures

OPTIONS = {"executor": "serial", "tracking_uri": "none"}


def write_times(folder: Path) -> dict[str, int]:
    """When each file of a report was written, in nanoseconds."""
    names = ("report.html", "report.md", "plan.yaml", "tables/*.csv", "figures/*.svg")
    return {str(f.relative_to(folder)): f.stat().st_mtime_ns for name in names for f in folder.glob(name)}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished experiment of two cells, for tests that leave its report as they found it."""
    file = tmp_path_factory.mktemp("shared") / "tiny.yaml"
    file.write_text(QUICK)
    run(file)
    return file


@pytest.fixture
def own(tiny: Path) -> Path:
    """A finished experiment of two cells, for one test."""
    run(tiny)
    return tiny


def report_of(file: Path) -> Path:
    return file.parent / "reports" / "tiny"


def run(tiny: Path, *overrides: str) -> runner.flow.outcome.Outcome:
    reports = tiny.parent / "reports"
    sets = ("grid={architecture.convs: [1, 2]}", "training.epochs=1", *overrides)
    return runner.run(tiny, overrides=sets, reports=reports, **OPTIONS)


def test_unchanged_outputs_are_not_written_again(shared: Path) -> None:
    before = write_times(report_of(shared))
    again = run(shared)
    assert write_times(report_of(shared)) == before and len(before) > 10
    assert again.trained == 0 and again.verdict["rows"][0][0] in {"convs=1", "convs=2"}
    assert list(again.tables.cells["ok"]) == [3, 3]


@pytest.mark.parametrize("name", ["report.html", "report.md", "tables/cells.csv", "figures/effects.svg", "plan.yaml"])
@pytest.mark.parametrize("damage", ["removed", "edited"])
def test_what_is_missing_or_edited_is_written_again(shared: Path, name: str, damage: str) -> None:
    file = report_of(shared) / name
    content = file.read_text()
    if damage == "removed":
        file.unlink()
    else:
        file.write_text(content[:-2])
    run(shared)
    assert file.read_text() == content


def test_the_report_follows_a_new_result_and_a_changed_plan(own: Path) -> None:
    done = report_of(own)
    before = (done / "report.md").read_text()
    journal = done / "journal.jsonl"
    first, *rest = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(rest))
    assert run(own).trained == 1
    text = (done / "report.md").read_text()
    run(own, "report.metric=val_loss")
    assert "val_loss" in (done / "report.md").read_text() and "val_loss" not in text.partition("\n## ")[0]
    assert before.partition("\n## ")[0] == text.partition("\n## ")[0]


def test_a_figure_whose_arrays_are_gone_is_removed(own: Path) -> None:
    done = report_of(own)
    assert (done / "figures" / "filters.svg").is_file()
    for file in (done / "fits").glob("*.npz"):
        file.unlink()
    run(own)
    assert not (done / "figures" / "filters.svg").exists()


def test_a_damaged_stamp_is_ignored(tmp_path: Path) -> None:
    stamp, file = tmp_path / ".stamp", tmp_path / "file"
    file.write_text("content")
    build_stamp.write_stamp(stamp, "key", [file], {"verdict": 1})
    assert build_stamp.read_stamp(stamp, "key") == {"verdict": 1} and build_stamp.read_stamp(stamp, "other") is None
    for content in (b"", b"[]", b"{}", b"\xff", b'{"files": 3}', stamp.read_bytes()[:-9]):
        stamp.write_bytes(content)
        assert build_stamp.read_stamp(stamp, "key") is None
    build_stamp.write_stamp(stamp, "key", [tmp_path / "missing"])
    assert build_stamp.read_stamp(stamp, "key") is None
    build_stamp.write_stamp(stamp, "key", [file])
    os.utime(file, ns=(1, 1))
    assert build_stamp.read_stamp(stamp, "key") is None


def test_the_index_decodes_only_the_lines_that_are_requested(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = report_of(shared)
    results, end = index(done / "journal.jsonl")
    decoded: list[bytes] = []
    monkeypatch.setattr("runner.journal.index.decode", lambda line: (decoded.append(line), decode(line))[1])
    assert isinstance(results, Results) and len(results) == 6 and end == (done / "journal.jsonl").stat().st_size
    assert set(results.statuses.values()) == {"ok"} and results.select(results).count_status("ok") == 6 and not decoded
    assert [result.id for result in results.select(list(results)[2:4])] == list(results)[2:4] and len(decoded) == 2
    assert results.digest(list(results)[:3]) != results.digest(list(results)[:2]) and len(decoded) == 2
