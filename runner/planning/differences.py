"""Compares two plans: the cells that they share and the settings that differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runner.planning.library_versions import Counts
from runner.planning.plan import Plan, PlannedCell
from runner.text import dotted

MAX_LEVELS = 6
"""The most levels of a factor that one line lists."""

MatchedCells = Sequence[tuple[PlannedCell, PlannedCell]]
"""Pairs of corresponding cells, one of each plan."""


@dataclass(frozen=True)
class SettingDifference:
    """A setting with the values `a` and `b` in two plans; None means not set.

    `cells` are the names of the cells that differ; if it is empty, all of them do.
    """

    path: str
    a: Any
    b: Any
    cells: tuple[str, ...] = ()


def match_cells(a: Plan, b: Plan) -> MatchedCells:
    """The cells that correspond to each other in two plans: by the same id, or else by the same levels."""
    by_id, by_levels = {cell.id: cell for cell in b.cells}, {frozenset(cell.levels.items()): cell for cell in b.cells}
    same_id = by_id.keys() & {cell.id for cell in a.cells}
    matched = []
    for cell in a.cells:
        same_levels = by_levels.get(frozenset(cell.levels.items()))
        if cell.id in by_id:
            matched.append((cell, by_id[cell.id]))
        elif same_levels and same_levels.id not in same_id:
            # Unless another cell matches that one by its id: no cell is matched twice.
            matched.append((cell, same_levels))
    return matched


def different_splits(a: Plan, b: Plan) -> str:
    """Why the fits of a repeat and fold used different images in the two plans; "" if they used the same."""
    causes = {
        # "unknown": a plan without a fingerprint matches no other, not even one that has none either.
        "data": (a.data.get("fingerprint"), b.data.get("fingerprint", "unknown")),
        "subset": (a.dataset.parameters.get("subset"), b.dataset.parameters.get("subset")),
        # Not the setting, which changes nothing in data without duplicates.
        "deduplicate": (dropped(a), dropped(b)),
        "folds": (a.folds, b.folds),
        "repeats": (a.repeats, b.repeats),
        "seed": (a.seed, b.seed),
        "way of splitting": tuple(plan.split_design and plan.data.get("splits", "unknown") for plan in (a, b)),
    }
    differing = [cause for cause, (one, other) in causes.items() if one != other]
    return f"different {' and '.join(differing)}: no paired comparison" if differing else ""


def design_settings(plan: Plan) -> dict[str, bool | str | float]:
    """The settings of `cross_validation` by which a plan splits other than by single images."""
    return plan.split_design.to_dict() if plan.split_design else {}


def dropped(plan: Plan) -> int:
    """The number of images that `deduplicate` left out."""
    return int(plan.data.get("duplicates", {}).get("dropped", 0))


def different_versions(a: Plan, b: Plan, fits_a: Counts, fits_b: Counts) -> str:
    """The libraries whose versions differ, ``torch 2.12.0 and 2.13.0``; "" if none does.

    The versions recorded with the fits take precedence over those that the plan's last run recorded.
    """
    one, other = _made_with(a, fits_a), _made_with(b, fits_b)
    # These two are in `made_with` too, but are no libraries.
    libraries = [name for name in one if name in other and name not in ("commit", "processor")]
    return ", ".join(f"{name} {one[name]} and {other[name]}" for name in libraries if one[name] != other[name])


def _made_with(plan: Plan, fits: Counts) -> dict[str, str]:
    return plan.made_with | {library: "/".join(versions) for library, versions in fits.items()}


def different_settings(a: Plan, b: Plan, matched: MatchedCells) -> tuple[SettingDifference, ...]:
    """The settings of the whole plan that differ, followed by those that differ between `matched` cells."""
    plan_differences = differences(_plan_settings(a), _plan_settings(b))
    same_images = not any(setting.path in ("data.shape", "classes") for setting in plan_differences)
    cell_differences: dict[str, SettingDifference] = {}
    for one, other in matched:
        settings = differences(one.settings.to_dict(), other.settings.to_dict()) if one.id != other.id else []
        if one.id != other.id and not settings and same_images:
            # The ids differ although the settings and images are the same, so the code of a component must differ.
            settings = [SettingDifference("component code", f"of {one.id}", f"of {other.id}")]
        for setting in settings:
            # By repr, because values such as lists cannot be hashed.
            difference = cell_differences.setdefault(repr(setting), setting)
            cell_differences[repr(setting)] = replace(difference, cells=(*difference.cells, one.name))
    merged = (replace(d, cells=()) if len(d.cells) == len(matched) else d for d in cell_differences.values())
    return (*plan_differences, *merged)


def _plan_settings(plan: Plan) -> dict[str, Any]:
    """The settings that all cells of a plan share."""
    return {
        "dataset": plan.dataset.to_dict(),
        "data": {"fingerprint": plan.data.get("fingerprint"), "shape": plan.data.get("shape")},
        "classes": len(plan.data.get("class_names", ())),
        "cross_validation": {"folds": plan.folds, "repeats": plan.repeats_setting, **design_settings(plan)},
        "search": {"race": "best" if plan.race else None},
        "seed": plan.seed,
        "made_with": plan.made_with,
    }


def differences(a: Any, b: Any, path: tuple[int | str, ...] = ()) -> list[SettingDifference]:
    """The differences between two pieces of nested data, one per innermost value; `path` is prepended to their paths.

    Components with different names are one difference, because their parameters do not correspond.
    """
    keys: Iterable[int | str] = ()
    if isinstance(a, dict) and isinstance(b, dict) and a.get("name") == b.get("name"):
        # A key that one side lacks counts as None.
        keys, a, b = dict.fromkeys((*a, *b)), defaultdict(lambda: None, a), defaultdict(lambda: None, b)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b) and any(isinstance(i, dict) for i in a):
        # Lists of components are compared one by one; a list of plain values, such as a kernel, is one value.
        keys = range(len(a))
    elif a != b:
        return [SettingDifference(dotted(path), a, b)]
    return [setting for key in keys for setting in differences(a[key], b[key], (*path, key))]


def factor_list(plan: Plan) -> str:
    """The factors of a plan with their levels on one line: ``width (4, 8), kernel (3, 5)``."""
    factors = []
    for factor in plan.factors:
        levels = list(dict.fromkeys(cell.levels[factor] for cell in plan.cells))
        more = f" and {len(levels) - MAX_LEVELS} more" if len(levels) > MAX_LEVELS else ""
        factors.append(f"{factor} ({', '.join(levels[:MAX_LEVELS])}{more})")
    return ", ".join(factors) or "no factors"
