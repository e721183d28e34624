"""How the comparisons of a report were judged, in sentences: by which method and why, and at which level."""

from __future__ import annotations

import pandas as pd

from runner.fits.records import SplitDesign
from runner.planning.plan import Plan
from runner.planning.subset_text import left_out, limits
from runner.reporting.statistics.comparisons import CROSSED
from runner.reporting.statistics.crossed import LEAST_FOLDS, LEAST_IMAGES, LEAST_REPEATS
from runner.reporting.statistics.metric_matrix import ALPHA
from runner.reporting.statistics.sequential import LEVEL, OPEN
from runner.reporting.text.numbers import confidence
from runner.reporting.text.sentences import enumeration
from runner.text import plural

BY_IMAGE = "rest on which images each fit got right, with images and fits as crossed random effects"
BY_FOLD = (
    "rest on the value of each fold and are corrected for the overlap of training sets between folds (Nadeau and "
    "Bengio 2003)"
)

ONE_FIT = (
    "With one fit per cell there are no intervals and no tests: no other split and no other initial values were tried."
)


def methods(plan: Plan, comparisons: pd.DataFrame, looks: pd.DataFrame, seen: tuple[int, ...] = ()) -> list[str]:
    """The sentences; none without comparisons. `seen` is that of `Frames`."""
    used = set(comparisons.loc[comparisons["pairs"] > 0, "method"]) if len(comparisons) else set()
    if not used:
        return []
    if plan.split_design and plan.folds * plan.repeats == 1:
        return [ONE_FIT]
    if used == {CROSSED}:
        lines = [f"Intervals of differences {BY_IMAGE}."]
    else:
        some = f"; where {_reason(plan)}, they {BY_FOLD}" if CROSSED in used else ""
        lines = [f"Intervals of differences {BY_IMAGE}{some}."] if some else [
            f"Intervals of differences {BY_FOLD}, as {_reason(plan)}."
        ]  # fmt: skip
    return [*lines, *_part(plan), *_ratio(plan), *_level(plan, seen), *_state(plan, looks)]


def _reason(plan: Plan) -> str:
    """Why differences are not judged image by image."""
    images = plan.data.get("train", 0) + plan.data.get("validation", 0)
    if plan.split_design is not None:
        return dependence(plan.split_design)
    if plan.metric != "val_accuracy":
        return f"{plan.metric} is not the share of images that are classified correctly"
    if images < LEAST_IMAGES:
        return f"there are fewer than {LEAST_IMAGES} images"
    if plan.repeats < LEAST_REPEATS and plan.folds < LEAST_FOLDS:
        return f"{plural(plan.repeats, 'repeat')} of {plan.folds} folds cannot be judged image by image"
    return "it is not recorded which images each fit got right in a whole repeat"


def dependence(design: SplitDesign) -> str:
    """Why the answers for the images of a study that is split in this way are not judged one by one."""
    if design.groups is not False:
        return "images of one group are not independent of each other"
    if design.fold_column is not False:
        return "the folds are given, and their images need not be independent of each other"
    return "not every image validates"


def _part(plan: Plan) -> list[str]:
    """What differences are, where a part of the grid was run."""
    if not plan.subset:
        return []
    part = left_out(plan.subset, len(plan.cells))
    estimated = (
        "Differences are those of the additive model fitted to all cells, as few or none match in all factors; "
        "intervals and p have what the cells deviate from it"
    )
    return [f"A part of the grid was run: {part}.", f"{estimated}.", *(f"{_sentence(x)}." for x in limits(plan.subset))]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _ratio(plan: Plan) -> list[str]:
    """The correction, where the folds differ in size."""
    sizes = plan.data.get("fold_sizes", [])
    if plan.split_design is None or len(set(sizes)) < 2:
        return []
    spread, ratio = f"{min(sizes):,} to {max(sizes):,}", f"{plan.test_train_ratio:.3g}"
    return [f"Fits validate {spread} images; the correction takes the mean of n_test/n_train over them, {ratio}."]


def _level(plan: Plan, seen: tuple[int, ...]) -> list[str]:
    """Why the level is lower than usual; nothing if it is not."""
    if plan.most is None and not seen:
        return []
    why = "The study is looked at after each repeat and stops when it is decided"
    if plan.most is None:
        after = enumeration([str(repeats) for repeats in seen])
        noun = "repeat" if seen == (1,) else "repeats"
        why = f"Results could be read after {after} {noun}, before more were added"
    return [
        f"{why}, so that chance has several opportunities: each time, differences are tested at {LEVEL:g}, "
        f"with {confidence(LEVEL)} intervals, to err in at most {100 * ALPHA:g}% of studies."
    ]


def _state(plan: Plan, looks: pd.DataFrame) -> list[str]:
    """Whether a study that stops when it is decided has stopped."""
    if looks.empty:
        return []
    last = looks[looks["repeats"] == looks["repeats"].max()]
    count = int((last["state"] == OPEN).sum())
    repeats = f"{plan.repeats} of at most {plural(plan.most or 0, 'repeat')}"
    what = plural(count, "cell") if plan.race else f"{plural(count, 'pair')} of levels"
    still = f"{what} {'is' if count == 1 else 'are'} still open"
    return [f"Not decided after {repeats}: {still}." if count else f"Decided after {repeats}."]
