"""Plan and data -> fits: which there are, and what each is, as an id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from runner.components import ComponentRef
from runner.data import Part
from runner.fit import FitSpec, TrainingPlan
from runner.folds import Split
from runner.frozen_plan import Plan, PlannedCell
from runner.identity import array_id, content_id

IDENTITY = 2
"""Raised when a change of ours gives other results for the same plan, so that old fits are trained again."""


def schedule(
    plan: Plan, data: Part, test: Part | None, splits: Sequence[Split], plugin_files: tuple[str, ...]
) -> tuple[Plan, list[FitSpec]]:
    """The plan with the ids of its fits and the data's fingerprint, and the fits in the plan's order.

    A fit's id depends on what determines its result, and on nothing else: not on names of files or levels, the order
    of the grid, the number of workers or the executor.
    """
    split_ids = [array_id(split.train, split.validation) for split in splits]
    fits = [
        _spec(plan, cell, split, split_id, data, test, plugin_files)
        for cell in plan.cells
        for split, split_id in zip(splits, split_ids, strict=True)
    ]
    by_cell: dict[str, list[str]] = {cell.id: [] for cell in plan.cells}
    for fit in fits:
        by_cell[fit.cell].append(fit.id)
    facts = {
        "fingerprint": data.fingerprint,
        "train": len(splits[0].train),
        "validation": len(splits[0].validation),
    }
    return replace(plan, data={**plan.data, **facts}, fits=by_cell), fits


def _spec(
    plan: Plan,
    cell: PlannedCell,
    split: Split,
    split_id: str,
    data: Part,
    test: Part | None,
    files: tuple[str, ...],
) -> FitSpec:
    content = [IDENTITY, cell.id, data.fingerprint, split_id, plan.seed, split.repeat, split.fold]
    content += [test.fingerprint] if test else []
    settings = cell.settings
    training = TrainingPlan(**settings["training"])
    channels, height, width = plan.data["shape"]
    return FitSpec(
        id=content_id(content),
        cell=cell.id,
        repeat=split.repeat,
        fold=split.fold,
        seed=plan.seed,
        architecture=_ref(settings["architecture"]),
        augmentation=tuple(map(_ref, settings["augmentation"])),
        optimizer=_ref(settings["optimizer"]),
        training=training,
        shape=(channels, height, width),
        classes=len(plan.data["class_names"]),
        data=data.folder,
        test=test.folder if test else "",
        train=split.train,
        validation=split.validation,
        plugin_files=files,
        timeout=cell.timeout,
        checkpoint=cell.checkpoint,
        retries=cell.retries,
        cost=float(cell.macs or 0) * training.epochs * len(split.train),
    )


def _ref(plain: dict[str, Any]) -> ComponentRef:
    return ComponentRef(plain["name"], {key: value for key, value in plain.items() if key != "name"})
