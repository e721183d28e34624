"""The command `runner` with an engine that returns at once, and with measurements of its own work, for scale.py.

    .venv/bin/python benchmarks/stub.py run FILE ...

Its last line on stderr is JSON: CPU seconds of the main process in total and by part, and memory by number of fits.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from runner.engines import selection
from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.inspection import MAX_MISTAKES
from runner.fits.answers import pack
from runner.fits.records import FitResult

MISTAKES = 0.06
WITH_PICTURES = "STUB_PICTURES"
"""The environment variable by which the first fit of each cell gets arrays for pictures, as a trained one does."""


class Stub:
    """An engine that trains nothing; its results are as large as those of a small study."""

    name = "stub"

    def versions(self) -> dict[str, str]:
        return {"stub": "1"}

    def seeded(self, *keys: int | str) -> Any:
        from contextlib import nullcontext

        return nullcontext()

    def fit(self, group: Sequence[BuiltFit]) -> list[TrainedFit]:
        return [self._train(fit) for fit in group]

    def _train(self, fit: BuiltFit) -> TrainedFit:
        random = np.random.default_rng(int(fit.spec.id, 16))
        value = random.random()
        curve = [0.5 + value / (4 + epoch) for epoch in range(fit.spec.training.epochs)]
        names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
        truth = fit.labels[fit.spec.validation]
        predicted = np.where(random.random(len(truth)) < MISTAKES, (truth + 1) % fit.spec.classes, truth)
        accuracy = [*curve[:-1], float((predicted == truth).mean())]
        curves = dict.fromkeys(names, curve) | {"val_accuracy": accuracy}
        drawn = WITH_PICTURES in os.environ and fit.spec.inspected
        pictures = _pictures(fit, truth, predicted, random) if drawn else {}
        return TrainedFit(curves, pack(truth, predicted, fit.spec.classes), pictures)


def _pictures(
    fit: BuiltFit, truth: np.ndarray, predicted: np.ndarray, random: np.random.Generator
) -> dict[str, np.ndarray]:
    """The arrays that the page of a cell is made from; see `runner.engines.inspection`."""
    index, mistakes = fit.spec.validation, np.flatnonzero(predicted != truth)[:MAX_MISTAKES]
    filters = random.normal(size=(2, 16, fit.images.shape[1], 3, 3)).astype(np.float32)
    return {
        "index": index, "truth": truth.astype(np.int64), "predicted": predicted.astype(np.int64),
        "confidence": np.full(len(truth), 0.9, np.float32), "mistakes": mistakes,
        "mistake_images": fit.images[index[mistakes]], "filters_before": filters[0], "filters_after": filters[1],
    }  # fmt: skip


# At module level, so that it holds in the workers too: they import this file.
selection.get = lambda name: Stub()  # type: ignore[assignment, return-value]


class Watch:
    """CPU seconds that threads spend in chosen functions, and memory by the number of results in the journal."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.fits = 0
        self.memory: list[tuple[int, int]] = []

    def time_calls(self, owner: Any, name: str, part: str) -> None:
        """Replace a function by one that adds its CPU seconds to `part`."""
        function: Callable[..., Any] = getattr(owner, name)

        @wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                self.spent[part] = self.spent.get(part, 0.0) + time.thread_time() - start

        setattr(owner, name, timed)

    def sample_memory(self, owner: Any, name: str, every: int) -> None:
        """Replace a method that takes results by one that notes the memory in use after every `every` of them."""
        import psutil

        function, process = getattr(owner, name), psutil.Process()

        @wraps(function)
        def counted(journal: Any, *results: Any) -> Any:
            before = self.fits // every
            self.fits += sum(isinstance(result, FitResult) for result in results)  # and not looks
            if self.fits // every > before:
                self.memory.append((self.fits, process.memory_info().rss // 2**20))
            return function(journal, *results)

        setattr(owner, name, counted)


def main() -> int:
    from runner import cli
    from runner.flow import study
    from runner.journal.journal import Journal
    from runner.tracking import mlflow_tracker
    from runner.tracking.connection import Connection

    watch = Watch()
    watch.sample_memory(Journal, "append", every=200)
    parts = (
        (Journal, "append", "journal"), (Journal, "__enter__", "index"),
        (mlflow_tracker.MlflowTracker, "publish", "mlflow"),
        (mlflow_tracker.MlflowTracker, "publish_report", "mlflow report"), (Connection, "_connect", "mlflow start"),
        (study, "runnable_plan", "plan"),
        (study, "plan_fits", "schedule"), (study.report, "write", "report"), (study.plan_file, "save", "plan.yaml"),
        (study.training, "train", "training"),
    )  # fmt: skip
    for owner, name, part in parts:
        watch.time_calls(owner, name, part)
    status = cli.main()
    used = resource.getrusage(resource.RUSAGE_SELF)
    measured = {
        "cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss / 1024, "fits": watch.fits, **watch.spent,
        "memory": watch.memory,
    }  # fmt: skip
    print(json.dumps(measured), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
