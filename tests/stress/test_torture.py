"""What `make torture` requires is required."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torture


def test_the_torture_sees_a_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it requires is required: a line of the journal that is gone, and one that stands twice."""
    report = tmp_path / "reference-numpy" / "torture"
    (report / "tables").mkdir(parents=True)
    monkeypatch.setattr(torture.Torture, "through", lambda self, reports: None)
    seen = torture.Torture(tmp_path, 0, ["numpy"])
    lines = [f'{{"fit": {{"id": "{number}"}}}}\n' for number in range(torture.FITS)]
    for wrong in (lines[1:], lines[1:] + lines[1:2]):
        (report / "journal.jsonl").write_text("".join(wrong))
        with pytest.raises(torture.Lost, match="lines for 39 fits"):
            seen.verify("reference-numpy")


def test_when_its_minutes_are_over_nothing_is_begun(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """What was begun is finished: a study that is being killed is spared from then on, and verified."""
    begun: Counter[str] = Counter()

    def study(seen: torture.Torture, *given: int) -> None:
        begun[seen.begin("killed")[0].rpartition("-")[2]] += 1
        clock[0] += 20

    clock = [0.0]
    monkeypatch.setattr(torture.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(torture.Torture, "reference", lambda self, variant: torture.Reference({}, 1, 1))
    for name in ("kill_driver", "shoot_workers", "break_fits"):
        monkeypatch.setattr(torture.Torture, name, study)
    for minutes, studies in ((0, 0), (4, 3 + 3 + 6)):
        begun.clear()
        assert torture.main(["--minutes", str(minutes)]) == 0
        assert begun.total() == studies and "losses: 0, in " in capsys.readouterr().out
    assert set(begun) == set(torture.VARIANTS) and set(begun.values()) == {4}, "each variant in turn"
