"""Plan and data -> fits: which there are, and what each is, as an id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from runner.components.records import ComponentRef
from runner.data.folds import Split
from runner.data.prepare import Part
from runner.files.content_hash import array_id, content_id
from runner.fits.records import FitSpec, TrainingPlan, stacks
from runner.planning.plan import Plan, PlannedCell

IDENTITY = 3
"""Raised when a change of ours gives other results for the same plan, so that old fits are trained again."""


def schedule(
    plan: Plan, data: Part, test: Part | None, splits: Sequence[Split], plugin_files: tuple[str, ...]
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
        "architecture": _ref(cell.settings["architecture"]),
        "augmentation": tuple(map(_ref, cell.settings["augmentation"])),
        "optimizer": _ref(cell.settings["optimizer"]),
        "training": TrainingPlan(**cell.settings["training"]),
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


def _ref(plain: dict[str, Any]) -> ComponentRef:
    return ComponentRef(plain["name"], {key: value for key, value in plain.items() if key != "name"})
