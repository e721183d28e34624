"""Metrics that fits in the journal lack, as they were asked for after the fits had ended.

Those that follow from the recorded answers are computed from them and recorded: the fit gets another line, which counts
in place of the first. Those that need the probabilities of the end of the fit cannot be made up for. The same holds for
metrics on the held-out test images, whose answers are recorded beside those for the validation images.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from runner.components.catalog import load_catalog
from runner.data import parts
from runner.engines.measuring import BuiltMetric, build_metrics, measure
from runner.errors import Complaint, InputError, JournalError
from runner.experiment.schema import Experiment
from runner.fits import answers
from runner.fits.metrics import MOST_MEASURES, Metric
from runner.fits.records import FitResult, FitSpec
from runner.journal.journal import Journal
from runner.planning.plan import Plan
from runner.text import plural

BATCH = 500
"""Fits whose lines are appended at once."""


def complete(journal: Journal, measures: Iterable[Metric], fits: Sequence[FitSpec], labels: np.ndarray) -> None:
    """Record those `measures` of `fits` that follow from their answers. `labels` (N,) are those of the data set.

    Raises JournalError if the answers of a fit cannot be those for its validation images.
    """
    asked = {metric.journal_key: metric for metric in measures}
    wanted = [metric for metric in asked.values() if not metric.needs_probabilities]
    if not wanted or not fits:
        return
    on_test = any(metric.on_test for metric in wanted)
    test_labels = parts.read(fits[0].test)[1] if on_test and fits[0].test else None  # those of all fits
    built = build_metrics(load_catalog(fits[0].plugin_files), wanted, fits[0].class_names)
    lines: list[FitResult] = []
    for spec, result in _good(journal, fits):
        lacking = [one for one in built if one.metric.journal_key not in result.measures]
        if values := _measured(lacking, spec, result, labels, test_labels):
            lines.append(replace(result, measures=_limited(result.measures | values, asked)))
        if len(lines) == BATCH:
            journal.append(*lines)
            lines = []
    if lines:
        journal.append(*lines)


def _measured(
    lacking: Sequence[BuiltMetric],
    spec: FitSpec,
    result: FitResult,
    labels: np.ndarray,
    test_labels: np.ndarray | None,
) -> dict[str, float]:
    """The values that follow from the answers of `result`; `test_labels` are None without a held-out test part."""
    values: dict[str, float] = {}
    if own := [one for one in lacking if not one.metric.on_test]:
        known = _answers(result, labels[spec.validation], spec.classes)
        values |= measure(own, *known) if known else {}
    own = [one for one in lacking if one.metric.on_test]
    if own and test_labels is not None and result.test_answers:
        values |= measure(own, test_labels, _unpack(result.id, result.test_answers, test_labels, spec.classes))
    return values


def _limited(values: dict[str, float], asked: Collection[str]) -> dict[str, float]:
    """The values without the oldest ones that are no longer `asked` for, if a line of the journal cannot have all."""
    old = [key for key in values if key not in asked][: max(0, len(values) - MOST_MEASURES)]
    return {key: value for key, value in values.items() if key not in old}


def _good(journal: Journal, fits: Iterable[FitSpec]) -> Iterator[tuple[FitSpec, FitResult]]:
    for spec in fits:
        result = journal.results.get(spec.id)
        if result and result.status == "ok":
            yield spec, result


def _answers(result: FitResult, truth: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The classes of the validation images and those that they were taken for; None if the journal does not have them.

    In the order of the images, or, in a journal of the first format, in no order.
    """
    if result.answers:
        return truth, _unpack(result.id, result.answers, truth, classes)
    if not result.confusion:
        return None
    rows = np.array(result.confusion, dtype=np.int64)
    return np.repeat(rows[:, 0], rows[:, 2]), np.repeat(rows[:, 1], rows[:, 2])


def _unpack(fit: str, packed: str, truth: np.ndarray, classes: int) -> np.ndarray:
    try:
        return answers.unpack(packed, truth, classes)
    except ValueError as error:
        raise JournalError(f"fit {fit}: {error}; the journal is not of this study") from None


def lacking(experiment: Experiment, plan: Plan, journal: Journal, fits: Sequence[FitSpec], folder: Path) -> list[str]:
    """A line for each metric of ``report.metrics`` that fits in the journal were not measured by.

    Raises InputError if they were not measured by ``report.metric``, as a comparison of the others would mislead.
    """
    if not plan.measures:
        return []
    measured = [result.measures for _, result in _good(journal, fits)]
    lines = []
    for metric in plan.measures:
        count, good = sum(metric.journal_key not in values for values in measured), len(measured)
        if not count:
            continue
        message = _message(metric, count, good, folder)
        if metric.name == plan.metric:
            path = ("report", "metric")
            raise InputError([Complaint(experiment.document.find(path), ".".join(path), message)])
        lines.append(f"report.metrics: {message}")
    return lines


def _message(metric: Metric, count: int, good: int, folder: Path) -> str:
    reason = f"they have no answers{' for the test images' if metric.on_test else ''}"
    if metric.needs_probabilities:
        reason = "it needs the probabilities of the end of a fit"
    of = f"{count:,} of {plural(good, 'fit')} in the journal"
    advice = f"delete {folder / 'journal.jsonl'} to train them again, or use another --reports folder"
    return f"{of} {'was' if count == 1 else 'were'} not measured by {metric.name}, as {reason}; {advice}"
