"""Fits that are trained together, on several workers and after breaks."""

from __future__ import annotations

from pathlib import Path

from command import Command, journal_by_id, journal_lines

SETTINGS = (
    "training={epochs: 2, batch_size: 100, engine: torch}",
    "cross_validation={folds: 3, repeats: 2}",
    "dataset={name: digits, subset: 600}",
)


def arguments() -> list[str]:
    return ["tiny.yaml", *[word for setting in SETTINGS for word in ("--set", setting)]]


def test_the_bits_are_the_same_for_any_number_of_workers_and_after_breaks(tiny: Path, here: Command) -> None:
    """If the journal lacks one fit of a group, the group is trained again, and only that fit is added."""
    assert here("run", *arguments(), "--executor", "serial").returncode == 0
    report = tiny.parent / "reports" / "tiny"
    assert here("run", *arguments(), "--workers", "2", "--reports", "two").returncode == 0
    reference = journal_by_id(report)
    assert len(reference) == 24 and journal_by_id(tiny.parent / "two" / "tiny") == reference
    lines = journal_lines(report)
    (report / "journal.jsonl").write_text("".join(lines[:4] + lines[5:17]))
    done = here("run", *arguments())
    assert done.returncode == 0 and "8 fits to train, 16 are in the journal" in done.stderr
    assert journal_by_id(report) == reference
    more = [setting.replace("repeats: 2", "repeats: 3") for setting in arguments()]
    assert "12 fits to train, 24 are in the journal" in here("run", *more).stderr
