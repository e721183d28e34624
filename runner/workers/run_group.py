"""The only function that a worker runs: it trains a group of fits and returns their results, also if they fail."""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from runner.components import plugin_code
from runner.components.catalog import Catalog, load_catalog
from runner.components.protocols import LossFunction
from runner.data.parts import read
from runner.engines import selection
from runner.engines.base import BuiltFit, Engine, TrainedFit
from runner.engines.checkpoint import Checkpoint
from runner.engines.measuring import build_metrics, load_libraries
from runner.errors import RunnerError
from runner.fits.grouping import FitGroup
from runner.fits.preprocessing import Preprocess, Preprocessing
from runner.fits.records import FitResult, FitSpec, clocks, failed_result, now, since
from runner.seeding import seed_globals
from runner.workers.memory import peak_bytes, reset_peak
from runner.workers.warm_up import warm_up

_loaded_metrics: set[tuple[object, ...]] = set()
"""The plugin files and the metrics whose libraries this process has loaded."""


def run_group(group: FitGroup) -> list[FitResult]:
    """Train the fits of a group and return one result per fit, in order.

    An exception becomes a failed result with its message as the reason and its traceback as the log. If this process
    imported other code of a plugin than was planned, every result is a refused one.
    """
    _prepare(group)
    engine, device = selection.get(group[0].training.engine), group[0].training.device
    reset_peak()
    engine.device_memory(device)  # from here on
    started = clocks()
    versions = engine.versions() | provider_versions(group[0]) | {"numerics": selection.numeric_settings()}
    earlier: dict[str, float] = {}
    outcomes: Sequence[TrainedFit | BaseException]
    try:
        checkpoint = _checkpoint(group, versions)
        fits = [_build_fit(spec, checkpoint if spec is group[0] else None) for spec in group]
        outcomes = engine.fit(fits)
        earlier = checkpoint.spent_before if checkpoint else {}
    except (Exception, SystemExit) as error:  # a plugin may call sys.exit
        outcomes = [error] * len(group)
    # After training, as a plugin may import a file only then.
    if changed := plugin_code.differing(group[0].code):
        return [failed_result(spec, _refusal(changed), refused=True) for spec in group]
    # The time of a group is shared equally by its fits. It includes the time before the checkpoint it resumed from.
    spent = {key: (value + earlier.get(key, 0.0)) / len(group) for key, value in since(started).items()}
    facts: dict[str, Any] = {**spent, **engine.device_memory(device), "versions": versions, "memory": peak_bytes()}
    return [_result(engine, spec, outcome, facts) for spec, outcome in zip(group, outcomes, strict=True)]


def _prepare(group: FitGroup) -> None:
    """Load what all fits of this worker share, before the clock of the first one starts."""
    spec = group[0]
    # Whatever is wrong is raised again, and reported, when the fit is built.
    with suppress(Exception, SystemExit):
        warm_up(spec.training)
        catalog = load_catalog(spec.plugin_files)
        _load_metrics(catalog, spec)
        for folder in filter(None, (spec.data, spec.test)):
            _read_cached(folder)
        for fit in group:
            _preprocessing(fit)


def _load_metrics(catalog: Catalog, spec: FitSpec) -> None:
    names = (spec.plugin_files, *(metric.journal_key for metric in spec.metrics))
    if names not in _loaded_metrics:
        _loaded_metrics.add(names)
        load_libraries(build_metrics(catalog, spec.metrics, spec.class_names), spec.classes)


def _result(engine: Engine, spec: FitSpec, outcome: TrainedFit | BaseException, measured: dict[str, Any]) -> FitResult:
    facts = {**measured, "worker": str(os.getpid())}
    if isinstance(outcome, BaseException):
        # Our own messages are written for users; the message of any other exception needs its type to make sense.
        message = str(outcome) if isinstance(outcome, RunnerError) else f"{type(outcome).__name__}: {outcome}"
        out_of_memory = engine.is_out_of_memory(outcome)
        reason = f"out of memory: {outcome}" if out_of_memory else message
        log = "".join(traceback.format_exception(outcome))
        # Only memory may suffice on another try, in a new worker; any other exception would come again.
        return failed_result(spec, reason, **facts, log=log, retryable=out_of_memory)
    return FitResult(
        spec.id, spec.cell, spec.repeat, spec.fold, "ok", epochs=len(outcome.curves["train_loss"]), finished=now(),
        curves=outcome.curves, answers=outcome.answers, arrays=outcome.arrays, best_epoch=outcome.best_epoch,
        learned=outcome.learned, measures=outcome.measures, test_answers=outcome.test_answers, **facts,
    )  # fmt: skip


def _refusal(changed: Sequence[str]) -> str:
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return (
        f"{changed[0]}{more} changed after the run was planned, and a new worker would train with other code; what is "
        "finished is saved, and the same command continues with the files as they are then"
    )


def provider_versions(spec: FitSpec) -> dict[str, str]:
    """The version of each distribution that provides a component of the fit; none if the plugins cannot be loaded."""
    try:
        catalog = load_catalog(spec.plugin_files)
    except (Exception, SystemExit):  # raised again, and reported, when the fit is built
        return {}
    names = [("dataset", spec.dataset), ("architecture", spec.architecture.name), ("optimizer", spec.optimizer.name)]
    names += [("augmentation", ref.name) for ref in spec.augmentation]
    names += [("loss", spec.loss.name)] if spec.loss else []
    found = (catalog.entries.get(name) for name in names)
    return dict(entry.distribution for entry in found if entry and entry.distribution)


def _checkpoint(group: FitGroup, versions: dict[str, str]) -> Checkpoint | None:
    """The group's checkpoint, if it has one; its file is named after the group's first fit."""
    first = group[0]
    if not first.checkpoint:
        return None
    return Checkpoint(Path(first.folder), [fit.id for fit in group], first.checkpoint, versions)


def _build_fit(spec: FitSpec, checkpoint: Checkpoint | None) -> BuiltFit:
    catalog = load_catalog(spec.plugin_files)
    images, labels = _read_cached(spec.data)
    # For what plugins draw from Python's and NumPy's own generators, while they are built and in training.
    seed_globals(*spec.keys)
    with selection.get(spec.training.engine).seeded(*spec.keys):
        network = catalog.build("architecture", spec.architecture, spec.shape, spec.classes)
    return BuiltFit(
        spec=spec,
        network=network,
        transforms=tuple(catalog.build("augmentation", ref) for ref in spec.augmentation),
        rule=catalog.build("optimizer", spec.optimizer),
        images=images,
        labels=labels,
        test=_read_cached(spec.test) if spec.test else None,
        checkpoint=checkpoint,
        options=catalog.rule_options(spec.optimizer),
        loss=_build_loss(catalog, spec, labels) if spec.loss else None,
        metrics=build_metrics(catalog, spec.metrics, spec.class_names),
        preprocessing=_preprocessing(spec),
    )


def _build_loss(catalog: Catalog, spec: FitSpec, labels: np.ndarray) -> LossFunction:
    counts = np.bincount(labels[spec.train], minlength=spec.classes)
    assert spec.loss is not None
    loss: LossFunction = catalog.build("loss", spec.loss, spec.class_names, tuple(counts.tolist()))
    return loss


def _preprocessing(spec: FitSpec) -> Preprocessing | None:
    if spec.preprocess is None:
        return None
    return _fitted(spec.data, spec.preprocess, spec.train.tobytes(), spec.training.precision == "float64")


# The cells share the splits, so that a worker whitens once for each fold and not for each fit.
@lru_cache(maxsize=10)
def _fitted(folder: str, kind: Preprocess, train: bytes, double: bool) -> Preprocessing:
    from runner.data.whitening import fit_preprocessing  # rarely needed

    images = _read_cached(folder)[0]
    return fit_preprocessing(kind, images, np.frombuffer(train, np.int64), np.float64 if double else np.float32)


# Two entries: the training data and the held-out test part, which all fits of a worker share.
_read_cached = lru_cache(maxsize=2)(read)


def forget_data() -> None:
    """Forget what was read, and what was fitted to it."""
    _read_cached.cache_clear()
    _fitted.cache_clear()
