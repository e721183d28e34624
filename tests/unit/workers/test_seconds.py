"""The seconds of fits: without the start of their worker, and adding up to the time in which it trained."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest
from engine_fits import built_fit

from runner.engines.base import BuiltFit, TrainedFit
from runner.fits.metrics import CURVES
from runner.reporting.pages.content import _time
from runner.workers import run_group as worker
from runner.workers.warm_up import warm_up


class Clock:
    """A clock that only the work below moves."""

    now = 0.0

    def pass_time(self, seconds: float, result: Any = None) -> Any:
        self.now += seconds
        return result


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A worker that takes 100 s to start, 10 s to load its data, and 30 s for each group of fits."""
    clock, fit = Clock(), built_fit()

    class Engine:
        def versions(self) -> dict[str, str]:
            return {}

        def device_memory(self, device: str) -> dict[str, int]:
            return {}

        def fit(self, group: Sequence[BuiltFit]) -> list[TrainedFit]:
            clock.pass_time(30)
            return [TrainedFit({name: [0.5] for name in CURVES}) for _ in group]

    monkeypatch.setattr(worker, "warm_up", lambda _: clock.pass_time(100))
    monkeypatch.setattr(worker, "load_catalog", lambda _: None)
    monkeypatch.setattr(worker, "_read_cached", lambda _: clock.pass_time(10))
    monkeypatch.setattr(worker, "_build_fit", lambda *_: fit)
    monkeypatch.setattr(worker, "provider_versions", lambda _: {})
    monkeypatch.setattr(worker, "clocks", lambda: (clock.now, clock.now))
    monkeypatch.setattr(worker, "since", lambda started: {"seconds": clock.now - started[0], "cpu": 0.0})
    monkeypatch.setattr(worker, "now", lambda: int(1e12 + 1000 * clock.now))
    monkeypatch.setattr(worker.selection, "get", lambda _: Engine())
    return clock


def test_no_fit_is_charged_for_the_start_of_its_worker(clock: Clock) -> None:
    fit = built_fit().spec
    first = worker.run_group((fit,))
    second = worker.run_group((fit,))
    assert [result.seconds for result in (*first, *second)] == [30, 30]


def test_fits_trained_together_add_up_to_the_time_by_the_clock(clock: Clock) -> None:
    fit = built_fit().spec
    results = [*worker.run_group((fit,) * 3), *worker.run_group((fit,) * 2)]
    assert [result.seconds for result in results] == [10, 10, 10, 15, 15]
    columns = ("id", "worker", "finished", "seconds", "cpu")
    fits = pd.DataFrame([[getattr(result, name) for name in columns] for result in results], columns=list(columns))
    assert _time(fits) == "1 min 0 s of wall time while fits ran; 1 min 0 s summed over fits"
    two = pd.concat([fits, fits.assign(worker="another")])
    assert _time(two) == "1 min 0 s of wall time while fits ran; 2 min 0 s summed over fits"


@pytest.mark.parametrize("engine", ["torch", "numpy"])
def test_the_warm_up_trains_on_every_engine(engine: str) -> None:
    training = built_fit().spec.training
    warm_up.__wrapped__(type(training)(3, 100, engine, "cpu", "float32", stuck_after=1, stacking=4))
