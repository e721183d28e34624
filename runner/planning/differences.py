"""What two plans share, and in what they differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runner.planning.library_versions import Counts
from runner.planning.plan import Plan, PlannedCell
from runner.text import dotted

MOST_LEVELS = 6
"""So many levels of a factor fit into a line that is still read."""

Matched = Sequence[tuple[PlannedCell, PlannedCell]]


@dataclass(frozen=True)
class Setting:
    """A setting that is `a` in one plan and `b` in another (None where it has none); `cells` empty means all cells."""

    path: str
    a: Any
    b: Any
    cells: tuple[str, ...] = ()


def match_cells(a: Plan, b: Plan) -> Matched:
    """The cells that both plans have: those of the same content, else those of the same levels of the same factors."""
    by_id, by_levels = {cell.id: cell for cell in b.cells}, {frozenset(cell.levels.items()): cell for cell in b.cells}
    taken = by_id.keys() & {cell.id for cell in a.cells}
    matched = []
    for cell in a.cells:
        alike = by_levels.get(frozenset(cell.levels.items()))
        if cell.id in by_id:
            matched.append((cell, by_id[cell.id]))
        elif alike and alike.id not in taken:
            matched.append((cell, alike))
    return matched


def different_splits(a: Plan, b: Plan) -> str:
    """Why fits of one repeat and fold were not trained and validated on the same images in both; "" where they were."""
    causes = {
        "data": (a.data.get("fingerprint"), b.data.get("fingerprint", "unknown")),
        "subset": (a.dataset.parameters.get("subset"), b.dataset.parameters.get("subset")),
        "folds": (a.folds, b.folds),
        "repeats": (a.repeats, b.repeats),
        "seed": (a.seed, b.seed),
    }
    found = [cause for cause, (one, other) in causes.items() if one != other]
    return f"different {' and '.join(found)}: no paired comparison" if found else ""


def different_versions(a: Plan, b: Plan, fits_a: Counts, fits_b: Counts) -> str:
    """The libraries that both were made with in different versions: what their fits say counts before what their last
    runs say.
    """
    one, other = _made_with(a, fits_a), _made_with(b, fits_b)
    libraries = [name for name in one if name in other and name not in ("commit", "processor")]
    return ", ".join(f"{name} {one[name]} and {other[name]}" for name in libraries if one[name] != other[name])


def _made_with(plan: Plan, fits: Counts) -> dict[str, str]:
    return plan.made_with | {library: "/".join(found) for library, found in fits.items()}


def different_settings(a: Plan, b: Plan, matched: Matched) -> tuple[Setting, ...]:
    """First what differs between the plans, then between the cells that they share by their levels alone."""
    whole = differences(_common(a), _common(b))
    same_images = not any(setting.path in ("data.shape", "classes") for setting in whole)
    found: dict[str, Setting] = {}
    for one, other in matched:
        settings = differences(one.settings.to_dict(), other.settings.to_dict()) if one.id != other.id else []
        if one.id != other.id and not settings and same_images:
            settings = [Setting("code that makes it", f"of {one.id}", f"of {other.id}")]
        for setting in settings:
            known = found.setdefault(repr(setting), setting)
            found[repr(setting)] = replace(known, cells=(*known.cells, one.name))
    return (*whole, *(replace(s, cells=()) if len(s.cells) == len(matched) else s for s in found.values()))


def _common(plan: Plan) -> dict[str, Any]:
    """What holds for a whole plan."""
    return {
        "dataset": plan.dataset.to_dict(),
        "data": {"fingerprint": plan.data.get("fingerprint"), "shape": plan.data.get("shape")},
        "classes": len(plan.data.get("class_names", ())),
        "cross_validation": {"folds": plan.folds, "repeats": plan.repeats},
        "seed": plan.seed,
        "made_with": plan.made_with,
    }


def differences(a: Any, b: Any, path: tuple[int | str, ...] = ()) -> list[Setting]:
    """Down to the values that differ below `path`; components of different names differ as a whole."""
    inside: Iterable[int | str] = ()
    if isinstance(a, dict) and isinstance(b, dict) and a.get("name") == b.get("name"):
        inside, a, b = dict.fromkeys((*a, *b)), defaultdict(lambda: None, a), defaultdict(lambda: None, b)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b) and any(isinstance(i, dict) for i in a):
        inside = range(len(a))
    elif a != b:
        return [Setting(dotted(path), a, b)]
    return [setting for key in inside for setting in differences(a[key], b[key], (*path, key))]


def factor_list(plan: Plan) -> str:
    """The factors of a plan with their levels, in a line."""
    factors = []
    for factor in plan.factors:
        levels = list(dict.fromkeys(cell.levels[factor] for cell in plan.cells))
        more = f" and {len(levels) - MOST_LEVELS} more" if len(levels) > MOST_LEVELS else ""
        factors.append(f"{factor} ({', '.join(levels[:MOST_LEVELS])}{more})")
    return ", ".join(factors) or "no factors"
