"""The only function a worker runs: a group of fits in, their results out, whatever happens in between."""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from runner.components.catalog import load_catalog
from runner.data.prepare import read
from runner.engines import selection
from runner.engines.base import BuiltFit, Engine, TrainedFit
from runner.engines.checkpoint import Checkpoint
from runner.errors import RunnerError
from runner.fits.grouping import FitGroup
from runner.fits.records import FitResult, FitSpec, clocks, failed, now, since
from runner.workers.memory import forget_peak, peak


def run_group(group: FitGroup) -> list[FitResult]:
    """Train the fits of a group; an exception becomes a failed result with its reason and its traceback as log."""
    forget_peak()
    started = clocks()
    engine = selection.get(group[0].training.engine)
    versions = engine.versions()
    earlier: dict[str, float] = {}
    outcomes: Sequence[TrainedFit | BaseException]
    try:
        kept = _checkpoint(group, versions)
        jobs = [_job(spec, kept if spec is group[0] else None) for spec in group]
        outcomes = engine.fit(jobs)
        earlier = kept.earlier if kept else {}
    except (Exception, SystemExit) as error:  # a plugin may well call sys.exit
        outcomes = [error] * len(group)
    # What was trained together has taken its share each, with what was before the checkpoint that it went on from.
    spent = {key: (value + earlier.get(key, 0.0)) / len(group) for key, value in since(started).items()}
    return [_result(engine, spec, outcome, spent, versions) for spec, outcome in zip(group, outcomes, strict=True)]


def _result(
    engine: Engine,
    spec: FitSpec,
    outcome: TrainedFit | BaseException,
    spent: dict[str, float],
    versions: dict[str, str],
) -> FitResult:
    facts: dict[str, Any] = {**spent, "worker": str(os.getpid()), "versions": versions, "memory": peak()}
    if isinstance(outcome, BaseException):
        words = str(outcome) if isinstance(outcome, RunnerError) else f"{type(outcome).__name__}: {outcome}"
        full = engine.out_of_memory(outcome)
        log = "".join(traceback.format_exception(outcome))
        return failed(spec, f"out of memory: {outcome}" if full else words, **facts, log=log, again=full)
    return FitResult(
        spec.id, spec.cell, spec.repeat, spec.fold, "ok", epochs=spec.training.epochs, finished=now(),
        curves=outcome.curves, confusion=outcome.confusion, kept=outcome.kept, **facts,
    )  # fmt: skip


def _checkpoint(group: FitGroup, versions: dict[str, str]) -> Checkpoint | None:
    """The group's, in a file that is called after its first fit."""
    first = group[0]
    if not first.checkpoint:
        return None
    return Checkpoint(Path(first.folder), [fit.id for fit in group], first.checkpoint, versions)


def _job(spec: FitSpec, checkpoint: Checkpoint | None) -> BuiltFit:
    catalog = load_catalog(spec.plugin_files)
    images, labels = _data(spec.data)
    with selection.get(spec.training.engine).seeded(*spec.keys):
        network = catalog.build("architecture", spec.architecture, spec.shape, spec.classes)
    return BuiltFit(
        spec=spec,
        network=network,
        transforms=tuple(catalog.build("augmentation", ref) for ref in spec.augmentation),
        rule=catalog.build("optimizer", spec.optimizer),
        images=images,
        labels=labels,
        test=_data(spec.test) if spec.test else None,
        checkpoint=checkpoint,
    )


_data = lru_cache(maxsize=2)(read)
