"""What a plan should make its reader wary of, in sentences: the same in `plan`, in `run` and in the report."""

from __future__ import annotations

from collections.abc import Iterator

from runner.planning.class_balance import largest_class
from runner.planning.plan import Plan
from runner.text import plural


def plan_warnings(plan: Plan) -> list[str]:
    """What is known before training: of networks, each once for all cells that have it, of settings and of the data."""
    cells: dict[str, list[str]] = {}
    for cell in plan.cells:
        for warning in cell.warnings:
            cells.setdefault(warning, []).append(cell.name)
    lines = []
    for warning, names in cells.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        lines.append(f"cell '{names[0]}'{more}: {warning}")
    return [*lines, *plan.warnings, *_imbalance(plan), *_lacking(plan), *_ungrouped(plan), *_duplicates(plan)]


def _imbalance(plan: Plan) -> Iterator[str]:
    largest = largest_class(plan.data.get("class_names", ()), plan.data.get("class_counts", []))
    if largest and largest.is_imbalanced:
        yield (
            f"imbalance: {100 * largest.share:.1f}% of the images are of class '{largest.name}', so a network that "
            "always names it is right that often; look at the balanced accuracy"
        )


def _lacking(plan: Plan) -> Iterator[str]:
    """Of validation parts without images of some class, which only groups, given folds and splits may have."""
    if count := plan.data.get("folds_lacking"):
        parts = plural(len(plan.data["fold_sizes"]), "validation part")
        yield f"splits: {count:,} of {parts} have no image of some class, so that those fits say nothing of it"


def _ungrouped(plan: Plan) -> Iterator[str]:
    """Of a held-out test part that cannot be compared with the groups that are trained on."""
    if plan.data.get("test_groups") == 0:
        yield (
            "groups: the data set does not say which groups its held-out test images are of, so that some may be of "
            "groups that are trained on, which makes test accuracies too high"
        )


def _duplicates(plan: Plan) -> list[str]:
    """Of images that stand more than once in the data, or in the test images too."""
    found, lines = plan.data.get("duplicates", {}), []
    if found.get("images"):
        sets, contradictory = plural(found.get("sets", 0), "set"), found.get("contradictory", 0)
        labels = f", {contradictory:,} of them with different labels" if contradictory else ""
        line = f"duplicates: {found['images']:,} images have equal pixels to another ({sets}{labels})"
        if leaked := found.get("leaked"):
            share = f"{leaked:,} of the {plan.data['size']:,} validation images of a repeat"
            line += f", and {share} stand in their training part too, which makes accuracies too high"
        lines.append(f"{line}; dataset.deduplicate: true uses one of each")
    if found.get("test"):
        share = f"{found['test']:,} of the {plan.data.get('test_size', 0):,} held-out test images"
        lines.append(
            f"duplicates: {share} stand in the data that is trained on too, which makes test accuracies too high; "
            "dataset.deduplicate: true leaves those out"
        )
    return lines
