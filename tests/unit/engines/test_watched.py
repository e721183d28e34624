"""What a worker writes while it trains, for those who watch, changes no result and survives whatever is in the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from engine_fits import LEARNERS, built_fit

from runner.engines.base import TrainedFit
from runner.engines.training_loop import train
from runner.fits import live
from runner.fits.records import Curves


def curves(folder: Path, watched: bool, engine: str = "numpy") -> Curves:
    fit = built_fit(epochs=3)
    spec = replace(fit.spec, folder=str(folder), watched=watched)
    (outcome,) = train([replace(fit, spec=spec)], LEARNERS[engine])
    assert isinstance(outcome, TrainedFit)
    return outcome.curves


def test_every_epoch_is_written_if_it_is_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "INTERVAL", 0.0)
    result = curves(tmp_path, watched=True)
    (state,) = live.read_all(tmp_path)
    assert state.fits == ("a",) and state.curves == (result,) and state.began <= state.written
    assert result == curves(tmp_path / "nowhere", watched=False)
    live.remove(tmp_path, "a")
    assert list(tmp_path.iterdir()) == []


def test_a_short_fit_writes_only_that_it_began(tmp_path: Path) -> None:
    curves(tmp_path, watched=True)
    (state,) = live.read_all(tmp_path)
    assert state.fits == ("a",) and state.curves == ()


def test_a_fit_that_nobody_watches_writes_nothing(tmp_path: Path) -> None:
    curves(tmp_path, watched=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_ends_no_fit(tmp_path: Path) -> None:
    assert curves(tmp_path / "missing", watched=True)["train_loss"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"fits": 3, "began": 1, "written": 2, "curves": []}', b"\xff"]
)
def test_a_damaged_state_is_no_state(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.live").write_bytes(content)
    assert list(live.read_all(tmp_path)) == []
