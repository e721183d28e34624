"""Plan and data -> fits: the split of each fit and the id that identifies its result."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from runner.components.rule_options import passes
from runner.data.columns import read_test_groups
from runner.data.designs import DesignError, design_splits, refuse_shared_groups
from runner.data.duplicate_images import find_duplicates, without_duplicates
from runner.data.folds import Split, inner_split, stratified_splits
from runner.data.group_folds import inner_groups
from runner.data.parts import PreparedPart
from runner.data.splits_file import SavedSplits
from runner.errors import Complaint, InputError, RunnerError
from runner.experiment.schema import Experiment
from runner.files.content_hash import array_id, content_id
from runner.fits.grouping import split_into_groups
from runner.fits.records import FitSpec, TrainingPlan
from runner.planning.environment import describe_environment
from runner.planning.plan import Plan, PlannedCell
from runner.planning.plugin_facts import planned_code
from runner.text import dotted, yaml_value

IDENTITY = 3
"""Increase this when a change in archrunner gives different results for the same plan: it changes all fit ids."""


def plan_fits(
    experiment: Experiment, plan: Plan, data: PreparedPart, test: PreparedPart | None
) -> tuple[Plan, list[FitSpec]]:
    """The plan with fit ids, the data's fingerprint and the environment added; and the fits in the plan's order.

    Raises InputError if the data cannot be split into the requested number of folds, or if a group of images that are
    split has others in the held-out test part.
    """
    splits = _splits(experiment, plan, data, test)
    if test and plan.split_design and plan.split_design.groups is not False:
        plan = replace(plan, data={**plan.data, "test_groups": _test_groups(experiment, plan, data, splits)})
    plan, fits = assign_fit_ids(plan, data, test, splits, experiment.plugin_files)
    return replace(plan, made_with=describe_environment(experiment.folder, plan)), fits


def plan_repeat(
    experiment: Experiment, data: PreparedPart, test: PreparedPart | None, plan: Plan, cells: Collection[str]
) -> tuple[Plan, list[FitSpec]]:
    """The plan of `plan_fits` with one more repeat of `cells` (ids), and all its fits, of all repeats.

    A cell that already lacks a repeat of the plan gets no more.
    """
    grown = replace(plan, repeats=plan.repeats + 1)
    having_all = {cell.id for cell in plan.cells if plan.repeats_of(cell.id) == plan.repeats}
    repeats = {cell.id: plan.repeats_of(cell.id) + (cell.id in having_all.intersection(cells)) for cell in plan.cells}
    splits = _splits(experiment, grown, data, test)
    return assign_fit_ids(grown, data, test, splits, experiment.plugin_files, repeats)


def _splits(experiment: Experiment, plan: Plan, data: PreparedPart, test: PreparedPart | None) -> list[Split]:
    """Raises InputError, also if there are fewer images than `subset` without duplicates."""
    subset, names = experiment.header.dataset.parameters.get("subset"), plan.data["class_names"]
    among = None
    if experiment.header.dataset.parameters.get("deduplicate") and data.digests is not None:
        among = without_duplicates(data.digests, test.digests if test else None)
        if subset is not None and subset > len(among):
            path = ("dataset", "subset")
            message = f"found {subset}; allowed: 1 to {len(among)}, the number of images without duplicates"
            raise InputError([Complaint(experiment.document.find(path), dotted(path), message)])
    key = "folds"
    try:
        if plan.split_design is None:
            return stratified_splits(data.labels, plan.folds, plan.repeats, plan.seed, subset, names, among)
        # All that may become necessary, so that no repeat is refused once others are trained.
        repeats = max(plan.repeats, plan.most or 0)
        chosen: Any = (plan.folds, repeats, plan.seed, subset, names, among)
        splits = design_splits(data.labels, plan.split_design, data.carried(plan.split_design), *chosen)
        return splits[: plan.folds * plan.repeats]
    except DesignError as error:
        key, message = error.key, str(error)
    except RunnerError as error:
        # Splitting by class refuses one thing only: a class with fewer images than there are folds.
        message = str(error)
    raise _complaint(experiment, key, message)


def _complaint(experiment: Experiment, key: str, message: str) -> InputError:
    """The error of a setting of `cross_validation`, with what else decides which images are split."""
    path = ("cross_validation", key)
    parameters = experiment.header.dataset.parameters
    left = [f"{name}: {yaml_value(parameters[name])}" for name in ("subset", "deduplicate") if parameters.get(name)]
    cause = f" (with dataset.{' and dataset.'.join(left)})" if left else ""
    return InputError([Complaint(experiment.document.find(path), dotted(path), f"{message}{cause}")])


def _test_groups(experiment: Experiment, plan: Plan, data: PreparedPart, splits: Sequence[Split]) -> int:
    """The number of groups of the held-out test part, 0 if it is unknown; raises InputError for one that is split."""
    design = plan.split_design
    assert design is not None and data.described is not None
    try:
        groups = read_test_groups(data.described, design.groups) if design.groups is not False else None
        if groups is not None:
            refuse_shared_groups(data.carried(design), splits, groups)
    except DesignError as error:
        raise _complaint(experiment, error.key, str(error)) from error
    except RunnerError as error:
        raise _complaint(experiment, "groups", str(error)) from error
    return len(groups or ())


def assign_fit_ids(
    plan: Plan,
    data: PreparedPart,
    test: PreparedPart | None,
    splits: Sequence[Split],
    plugin_files: tuple[str, ...],
    repeats: Mapping[str, int] | None = None,
) -> tuple[Plan, list[FitSpec]]:
    """The plan with fit ids and the data's fingerprint added; and the fits in the plan's order.

    `repeats` has the number of each cell's by its id; None gives each cell those of the plan.

    A fit's id depends only on what determines its result (docs/decisions/003-identity.md): not on names of files or
    levels, the order of the grid, the number of workers or the executor.
    """
    splits_with_ids = [(split, array_id(split.train, split.validation)) for split in splits]
    content = [data.fingerprint, plan.seed, *([test.fingerprint] if test else [])]
    # Paths are passed to the workers, but are not part of the ids: files may move.
    locations = {"data": data.folder, "test": test.folder if test else "", "plugin_files": plugin_files}
    # Of `Plan.plugins`, where it names no paths; a study without plugins has none and loads no catalog for it.
    image_groups = data.carried(plan.split_design).groups if plan.split_design else None
    inner = _InnerParts(data.labels, image_groups, plan.seed)
    code = {"code": planned_code(plan, plugin_files) if plan.plugins else {}, "dataset": plan.dataset.name}
    fits = []
    for cell in plan.cells:
        common = locations | code | _shared_fields(plan, cell)
        own_splits = splits_with_ids[: plan.folds * (repeats[cell.id] if repeats else plan.repeats)]
        for group in split_into_groups(own_splits, common["training"].stacking, plan.folds):
            # The size of the group is part of the id because stacking changes the last bits of a result.
            for split, split_id in group:
                parts = inner.of(split, common["training"])
                own = [*content, split_id, len(group)]
                # Without groups, the split, the keys and the cell's share say which images the inner part has.
                own += [array_id(parts[1])] if image_groups is not None and parts[1] is not None else []
                own += [{"preprocess": plan.preprocess}] if plan.preprocess else []
                fits.append(_fit_spec(cell, split, own, common, parts))
    saved = SavedSplits.of(data.labels, splits, len(plan.data["class_names"]))
    by_cell: dict[str, list[str]] = {cell.id: [] for cell in plan.cells}
    for fit in fits:
        by_cell[fit.cell].append(fit.id)
    facts = {
        "fingerprint": data.fingerprint,
        **({"test_fingerprint": test.fingerprint} if test else {}),
        "train": len(splits[0].train),
        "validation": len(splits[0].validation),
        "splits": saved.digest,
        **_facts_of_images(plan, data, test, splits),
        **(_facts_of_design(plan.folds, data.labels, image_groups, splits) if plan.split_design else {}),
    }
    return replace(plan, data={**plan.data, **facts}, fits=by_cell), fits


def _facts_of_images(
    plan: Plan, data: PreparedPart, test: PreparedPart | None, splits: Sequence[Split]
) -> dict[str, Any]:
    """What is known of the images that are split: how many, how many of each class, and the duplicates among them."""
    used = np.concatenate([splits[0].train, splits[0].validation])
    counts = np.bincount(data.labels[used], minlength=len(plan.data["class_names"])).tolist()
    facts: dict[str, Any] = {"size": len(used), "class_counts": counts}
    if data.digests is None:
        return facts
    found = find_duplicates(data.digests, data.labels, splits, test.digests if test else None)
    if plan.dataset.parameters.get("deduplicate"):
        left = without_duplicates(data.digests, test.digests if test else None)
        found = replace(found, dropped=len(data.labels) - len(left))
    return {**facts, "duplicates": found.to_dict()}


def _facts_of_design(
    folds: int, labels: np.ndarray, groups: np.ndarray | None, splits: Sequence[Split]
) -> dict[str, Any]:
    """How many images each (repeat, fold) validates, and how many of these parts lack a class; the number of groups.

    `train` and `validation` are the means of a repeat, as the folds differ in size.
    """
    used = np.concatenate([splits[0].train, splits[0].validation])
    classes = len(np.unique(labels[used]))
    sizes = [len(split.validation) for split in splits]
    validation = round(sum(sizes[:folds]) / folds)
    return {
        "train": len(used) - validation,
        "validation": validation,
        "fold_sizes": sizes,
        "folds_lacking": sum(len(np.unique(labels[split.validation])) < classes for split in splits),
        **({} if groups is None else {"groups": len(np.unique(groups[used]))}),
    }


def _shared_fields(plan: Plan, cell: PlannedCell) -> dict[str, Any]:
    """The fields of FitSpec that all fits of a cell share."""
    channels, height, width = plan.data["shape"]
    return {
        "cell": cell.id,
        "seed": plan.seed,
        "architecture": cell.settings.architecture,
        "augmentation": cell.settings.augmentation,
        "optimizer": cell.settings.optimizer,
        "training": cell.settings.training,
        "loss": cell.settings.loss,
        "metrics": plan.measures,
        "class_names": tuple(plan.data["class_names"]) if plan.measures or cell.settings.loss else (),
        "shape": (channels, height, width),
        "classes": len(plan.data["class_names"]),
        "timeout": cell.timeout,
        "checkpoint": cell.checkpoint,
        "retries": cell.retries,
        "keep": plan.keep != "none",
        "preprocess": plan.preprocess,
    }


class _InnerParts:
    """The training and inner images of the fits; cells with the same share have the same arrays."""

    def __init__(self, labels: np.ndarray, groups: np.ndarray | None, seed: int) -> None:
        self.labels, self.groups, self.seed = labels, groups, seed
        self.made: dict[tuple[int, int, float], tuple[np.ndarray, np.ndarray]] = {}

    def of(self, split: Split, training: TrainingPlan) -> tuple[np.ndarray, np.ndarray | None]:
        if training.stop is None:
            return split.train, None
        share, keys = training.stop.share, (self.seed, split.repeat, split.fold)
        if (*keys[1:], share) not in self.made:
            if self.groups is None:
                self.made[*keys[1:], share] = inner_split(self.labels, split.train, share, *keys)
            else:
                self.made[*keys[1:], share] = inner_groups(self.labels, self.groups, split.train, share, *keys)
        parts = self.made[*keys[1:], share]
        # Without a design planning refuses it, which knows the sizes of the folds then.
        if len(parts[0]) < training.batch_size <= len(split.train):
            left = f"found {share:g}, which leaves {len(parts[0])} of {len(split.train)} training images of a fold"
            raise RunnerError(f"training.stop.share: {left}, less than a batch of {training.batch_size}")
        return parts


def _fit_spec(
    cell: PlannedCell,
    split: Split,
    content: Sequence[Any],
    common: dict[str, Any],
    parts: tuple[np.ndarray, np.ndarray | None],
) -> FitSpec:
    work = (cell.macs or 0) * passes(cell.settings.optimizer.parameters)
    return FitSpec(
        # Repeat and fold count beside the split, because they are keys of the fit's random streams.
        id=content_id([IDENTITY, cell.id, *content, split.repeat, split.fold]),
        repeat=split.repeat,
        fold=split.fold,
        train=parts[0],
        inner=parts[1],
        validation=split.validation,
        cost=float(work) * common["training"].epochs * len(split.train),
        **common,
    )
