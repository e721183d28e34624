"""What `make torture` requires is required."""

from __future__ import annotations

from pathlib import Path

import pytest
import torture


def test_the_torture_sees_a_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it requires is required: a line of the journal that is gone, and one that stands twice."""
    report = tmp_path / "reference" / "torture"
    (report / "tables").mkdir(parents=True)
    monkeypatch.setattr(torture.Torture, "through", lambda self, reports: None)
    seen = torture.Torture(tmp_path, 0)
    lines = [f'{{"fit": {{"id": "{number}"}}}}\n' for number in range(torture.FITS)]
    for wrong in (lines[1:], lines[1:] + lines[1:2]):
        (report / "journal.jsonl").write_text("".join(wrong))
        with pytest.raises(torture.Lost, match="lines for 39 fits"):
            seen.verify("reference")
