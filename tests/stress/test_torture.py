"""The torture program itself: it detects violations, and keeps to its time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torture


def test_a_missing_or_repeated_journal_line_is_a_violation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = tmp_path / "reference-numpy" / "torture"
    (report / "tables").mkdir(parents=True)
    monkeypatch.setattr(torture.Torture, "run_undisturbed", lambda self, reports: None)
    session = torture.Torture(tmp_path, 0, ["numpy"])
    lines = [f'{{"fit": {{"id": "{number}"}}}}\n' for number in range(torture.FITS)]
    for wrong in (lines[1:], lines[1:] + lines[1:2]):
        (report / "journal.jsonl").write_text("".join(wrong))
        with pytest.raises(torture.Violation, match="lines for 39 fits"):
            session.verify("reference-numpy")


def test_after_its_minutes_no_study_is_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The kinds of break share the minutes 1 : 1 : 2. Here a study takes 20 s and the reference runs none."""
    started: Counter[str] = Counter()

    def study(session: torture.Torture, *limit: int) -> None:
        started[session.new_study("killed")[0].rpartition("-")[2]] += 1
        clock[0] += 20

    clock = [0.0]
    monkeypatch.setattr(torture.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(torture.Torture, "reference", lambda self, variant: torture.Reference({}, 1, 1))
    for name in ("kill_driver", "shoot_workers", "break_fits"):
        monkeypatch.setattr(torture.Torture, name, study)
    for minutes, studies in ((0, 0), (4, 3 + 3 + 6)):
        started.clear()
        assert torture.main(["--minutes", str(minutes)]) == 0
        assert started.total() == studies and "losses: 0, in " in capsys.readouterr().out
    assert set(started) == set(torture.VARIANTS) and set(started.values()) == {4}, "each variant in turn"
