"""What `match` solved and how close that is, in words, for messages, plans and reports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from runner.fits.records import Matched
from runner.planning.plan import Plan
from runner.text import level_name, plural

MINUS = "\N{MINUS SIGN}"
NAMES = {
    "parameters": "parameters",
    "macs": "MACs",
    "activations": "activations",
    "seconds": "estimated training time",
    "receptive_field": "receptive field",
}
"""How the quantities are called in sentences: at equal MACs."""
SAME = 0.0005
"""Smaller differences are written as 0.0% and count as none."""


def quantity_text(keep: str, values: tuple[int, ...]) -> str:
    """``1,234 MACs``, ``15×15 pixels``; of seconds, what they are proportional to."""
    if keep == "receptive_field":
        return f"{'×'.join(map(str, values))} pixels of receptive field"
    unit = "training multiply-adds per image" if keep == "seconds" else NAMES[keep]
    return f"{values[0]:,} {unit}"


def solved_text(matched: Matched) -> str:
    """``width=11``, ``dense=[32, 16]``."""
    written = {
        path.rpartition(".")[2]: list(value) if isinstance(value, tuple) else value
        for path, value in matched.values.items()
    }
    return ", ".join(f"{key}={value}" for key, value in written.items())


def off_text(off: float) -> str:
    """A difference as a fraction, with its sign: ``+0.8%``, ``equal``."""
    if abs(off) < SAME:
        return "equal" if not off else "less than 0.1%"
    return f"{100 * off:+.1f}%".replace("-", MINUS)


def like_text(matched: Matched) -> str:
    """The levels of the other cell: ``7x7``."""
    return ", ".join(level_name(factor, level) for factor, level in matched.like.items())


def against_text(matched: Matched) -> str:
    """``MACs of 7x7 (−0.8%)``."""
    return f"{NAMES[matched.keep]} of {like_text(matched)} ({off_text(matched.off)})"


def equal_text(keep: str, off: float = 0.0) -> str:
    """``at equal MACs``; from half a per cent on with the difference: ``at equal MACs (within 0.8%)``."""
    return f"at equal {NAMES[keep]}{f' (within {100 * abs(off):.1f}%)' if abs(off) >= 0.005 else ''}"


def plan_columns(
    plan: Plan, titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The titles and the rows of the table of cells, with what was solved in each and how close it came."""
    found = [(solved_text(m), against_text(m)) if (m := cell.matched) else ("", "") for cell in plan.cells]
    return (*titles, "solved", "to match"), [(*row, *more) for row, more in zip(rows, found, strict=True)]


def plan_lines(plan: Plan) -> Iterator[str]:
    """One line per quantity that cells have in common: in how many cells, by which setting, and how close."""
    groups: dict[str, list[Matched]] = defaultdict(list)
    for cell in plan.cells:
        if cell.matched:
            groups[cell.matched.keep].append(cell.matched)
    for keep, matched in groups.items():
        paths = dict.fromkeys(path for each in matched for path in each.values)
        furthest = max((each.off for each in matched), key=abs)
        cells = f"{plural(len(matched), 'cell')} {'has' if len(matched) == 1 else 'have'}"
        yield (
            f"matched: {cells} {' and '.join(paths)} solved {equal_text(keep)}, at most {100 * abs(furthest):.1f}% off"
        )
