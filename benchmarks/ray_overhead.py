"""What a fit costs beyond its training on a Ray cluster, beside Ray Tune, with fits that return at once.

    .venv/bin/python benchmarks/ray_overhead.py [FITS [TRIALS]]

FITS (5,000) fits of one run on a Ray that this program starts, with two workers: each goes from the driver to an actor
and to its worker process and back into the journal, which is synced. Then TRIALS (as many) of Ray Tune on the same
Ray, whose function reports one number; and then both again, so that a busy machine shows. Prints milliseconds per fit,
from the first result to the last, by the clock and of the driver's processor time, and the ratios. Tune needs
ray[tune].
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray

import runner
from runner.fits.records import FitResult
from runner.flow.progress import Progress
from runner.workers.cluster import executor
from runner.workers.cluster.node_worker import NodeWorker, Place
from runner.workers.cluster.shipment import Shipment

FOLDS, WORKERS = 5, 2


class NoOpWorker(NodeWorker):
    """The worker of a node, whose process trains nothing."""

    def begin(self, shipment: Shipment) -> Place:
        import noop_fits

        from runner.workers.executors import worker

        worker.run_group = noop_fits.no_op
        return super().begin(shipment)


class Clock(Progress):
    """Notes when results arrive."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []

    def note(self) -> None:
        self.times.append((time.perf_counter(), time.process_time()))

    def finished(self, result: FitResult) -> None:
        super().finished(result)
        self.note()

    def milliseconds(self) -> tuple[float, float]:
        """Per result, from the first to the last: by the clock, and of this process's processor time."""
        (wall, cpu), (last_wall, last_cpu) = self.times[0], self.times[-1]
        count = len(self.times) - 1
        return 1000 * (last_wall - wall) / count, 1000 * (last_cpu - cpu) / count


def ours(fits: int, folder: Path) -> tuple[float, float]:
    """Milliseconds per fit of a study of so many."""
    study: dict[str, Any] = {
        "name": "noop",
        "dataset": {"name": "digits", "subset": 100},
        "architecture": {"name": "stages", "width": 1, "stages": 1},
        "optimizer": {"name": "adam", "lr": 1e-2},
        "training": {"epochs": 1, "batch_size": 50, "engine": "numpy"},
        "cross_validation": {"folds": FOLDS},
        "grid": {"optimizer.lr": [1e-4 * (1 + number) for number in range(fits // FOLDS)]},
    }
    clock = Clock()
    runner.run(study, executor="ray", workers=WORKERS, reports=folder, tracking_uri="none", progress=clock)
    assert len(clock.times) == fits
    return clock.milliseconds()


def tune(trials: int, folder: Path) -> tuple[float, float] | None:
    """Milliseconds per trial of Ray Tune; None if it is not installed."""
    try:
        from ray import tune as library
    except ImportError as error:
        print(f"Ray Tune is left out: {error}")
        return None
    clock = Clock()

    class Ends(library.Callback):  # type: ignore[misc]
        def on_trial_complete(self, *arguments: Any, **options: Any) -> None:
            clock.note()

    config = library.TuneConfig(num_samples=1, max_concurrent_trials=WORKERS, reuse_actors=True)
    space = {"lr": library.grid_search([1e-4 * (1 + number) for number in range(trials)])}
    run = library.RunConfig(storage_path=str(folder), callbacks=[Ends()], verbose=0)
    library.Tuner(lambda given: {"accuracy": 0.5}, param_space=space, tune_config=config, run_config=run).fit()
    return clock.milliseconds()


def main(fits: int, trials: int) -> None:
    executor.NodeWorker = NoOpWorker  # type: ignore[misc]
    ray.init("local", num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        for turn in (1, 2):
            with tempfile.TemporaryDirectory() as folder:
                mine = ours(fits, Path(folder) / "ours")
                text = "{:.1f} ms, of which the driver computes {:.1f} ms".format
                print(f"{turn}: a fit takes {text(*mine)} ({fits} fits, {WORKERS} workers)", flush=True)
                if theirs := tune(trials, Path(folder) / "tune"):
                    ratios = [f"{one / other:.2f}" for one, other in zip(mine, theirs, strict=True)]
                    shares = f"ours takes {' and '.join(ratios)} of it"
                    print(f"{turn}: a trial of Ray Tune {text(*theirs)} ({trials} trials): {shares}", flush=True)
    finally:
        ray.shutdown()


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]] or [5000]
    main(numbers[0], numbers[-1])
