"""How the images are spread over the classes, and what that alone makes of an accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from runner.planning.plan import Plan

IMBALANCE = 0.05
"""The largest class may hold this share of the images beyond its equal share 1 / K: who always names it gets 5 points
more accuracy than with equal classes, for nothing. MNIST (11.2% of 10%) is below it, SVHN (18.9%) above."""
MOST_CLASSES = 10
"""With more classes, only the largest and the smallest are named."""


class LargestClass(NamedTuple):
    """The class with the most images, and its share of all of them: the accuracy of always naming it."""

    name: str
    share: float
    is_imbalanced: bool


def largest_class(class_names: Sequence[Any], counts: Sequence[int]) -> LargestClass | None:
    """None if nothing is known of the images, or if there is only one class."""
    total = sum(counts)
    if not total or len(counts) < 2:
        return None
    most = max(range(len(counts)), key=lambda number: counts[number])
    share = counts[most] / total
    return LargestClass(str(class_names[most]), share, share > 1 / len(counts) + IMBALANCE)


def counts_text(plan: Plan) -> str:
    """``cats 200, coins 6``; with many classes the largest and the smallest; "" if the counts are not known."""
    counts, names = plan.data.get("class_counts", []), plan.data["class_names"]
    if not counts:
        return ""
    if len(counts) <= MOST_CLASSES:
        return ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True))
    most, least = (pick(range(len(counts)), key=lambda number: counts[number]) for pick in (max, min))
    if counts[most] == counts[least]:
        return f"{counts[most]:,} of each class"
    return f"{counts[least]:,} ({names[least]}) to {counts[most]:,} ({names[most]}) of a class"
