"""How the images of a plan are split, where that is not by stratified k-fold cross-validation of single images."""

from __future__ import annotations

from runner.fits.records import SplitDesign
from runner.planning.plan import Plan
from runner.text import plural


def design_text(plan: Plan) -> str:
    """``5-fold cross-validation of whole groups, folds of 18 to 22 images; 37 groups``; numbers once they are known."""
    design = plan.split_design
    assert design is not None, "other plans have a text of their own"
    sizes = plan.data.get("fold_sizes", [])
    if design.split is not False:
        text = _one_fold(design)
        if sizes:
            text += f"; {_span(sizes)} of {plural(plan.data['size'], 'image')} validate"
    else:
        text = f"{plan.folds} given folds{_named(design.fold_column)}"
        if design.fold_column is False:
            text = f"{plan.folds}-fold cross-validation of whole groups{_named(design.groups)}"
        if sizes:
            text += f", folds of {_span(sizes)} images"
    if "groups" in plan.data:
        text += f"; {plural(plan.data['groups'], 'group')}"
        text += ", none of them divided" if design.is_given or design.split is not False else ""
        if others := plan.data.get("test_groups"):
            text += f", and {plural(others, 'other')} in the held-out test part"
    return text


def _one_fold(design: SplitDesign) -> str:
    if isinstance(design.split, float):
        whole = f" in whole groups{_named(design.groups)}" if design.groups is not False else ""
        return f"one part of {100 * design.split:g}% for validation, drawn{whole} for each repeat"
    return f"the given split into a training and a validation part{_named(design.split)}"


def _named(column: bool | str | float) -> str:
    return f" (column '{column}')" if isinstance(column, str) else ""


def _span(sizes: list[int]) -> str:
    low, high = min(sizes), max(sizes)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
