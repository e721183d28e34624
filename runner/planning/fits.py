"""Plan and data -> fits: which there are, and what each is, as an id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from runner.data.folds import Split, stratified_splits
from runner.data.prepare import PreparedPart
from runner.errors import Complaint, InputError, RunnerError
from runner.experiment.schema import Experiment
from runner.files.content_hash import array_id, content_id
from runner.fits.grouping import stacks
from runner.fits.records import FitSpec
from runner.planning.environment import made_with
from runner.planning.plan import Plan, PlannedCell
from runner.text import dotted

IDENTITY = 3
"""Raised when a change of ours gives other results for the same plan, so that old fits are trained again."""


def plan_fits(
    experiment: Experiment, plan: Plan, data: PreparedPart, test: PreparedPart | None
) -> tuple[Plan, list[FitSpec]]:
    """The plan with its fits' ids, its data's fingerprint and its environment; and the fits in the plan's order.

    Raises InputError if the data can't be split into so many folds.
    """
    plan, fits = identified(plan, data, test, _splits(experiment, plan, data), experiment.plugin_files)
    return replace(plan, made_with=made_with(experiment.folder, plan)), fits


def _splits(experiment: Experiment, plan: Plan, data: PreparedPart) -> list[Split]:
    subset, names = experiment.header.dataset.parameters.get("subset"), plan.data["class_names"]
    try:
        return stratified_splits(data.labels, plan.folds, plan.repeats, plan.seed, subset, names)
    except RunnerError as error:
        path = ("cross_validation", "folds")
        raise InputError([Complaint(experiment.document.find(path), dotted(path), str(error))]) from None


def identified(
    plan: Plan, data: PreparedPart, test: PreparedPart | None, splits: Sequence[Split], plugin_files: tuple[str, ...]
) -> tuple[Plan, list[FitSpec]]:
    """The plan with the ids of its fits and the data's fingerprint, and the fits in the plan's order.

    A fit's id depends on what determines its result, and on nothing else: not on names of files or levels, the order
    of the grid, the number of workers or the executor.
    """
    parted = [(split, array_id(split.train, split.validation)) for split in splits]
    content = [data.fingerprint, plan.seed, *([test.fingerprint] if test else [])]
    places = {"data": data.folder, "test": test.folder if test else "", "plugin_files": plugin_files}
    fits = []
    for cell in plan.cells:
        common = places | _common(plan, cell)
        for stack in stacks(parted, common["training"].stacking, plan.folds):
            fits += [_spec(cell, split, [*content, split_id, len(stack)], common) for split, split_id in stack]
    by_cell: dict[str, list[str]] = {cell.id: [] for cell in plan.cells}
    for fit in fits:
        by_cell[fit.cell].append(fit.id)
    facts = {
        "fingerprint": data.fingerprint,
        **({"test_fingerprint": test.fingerprint} if test else {}),
        "train": len(splits[0].train),
        "validation": len(splits[0].validation),
    }
    return replace(plan, data={**plan.data, **facts}, fits=by_cell), fits


def _common(plan: Plan, cell: PlannedCell) -> dict[str, Any]:
    """What all fits of a cell are given."""
    channels, height, width = plan.data["shape"]
    return {
        "cell": cell.id,
        "seed": plan.seed,
        "architecture": cell.settings.architecture,
        "augmentation": cell.settings.augmentation,
        "optimizer": cell.settings.optimizer,
        "training": cell.settings.training,
        "shape": (channels, height, width),
        "classes": len(plan.data["class_names"]),
        "timeout": cell.timeout,
        "checkpoint": cell.checkpoint,
        "retries": cell.retries,
    }


def _spec(cell: PlannedCell, split: Split, content: Sequence[Any], common: dict[str, Any]) -> FitSpec:
    return FitSpec(
        id=content_id([IDENTITY, cell.id, *content, split.repeat, split.fold]),
        repeat=split.repeat,
        fold=split.fold,
        train=split.train,
        validation=split.validation,
        cost=float(cell.macs or 0) * common["training"].epochs * len(split.train),
        **common,
    )
