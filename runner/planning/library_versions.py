"""Which versions of libraries made the fits of one comparison: several are told wherever the comparison is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from runner.planning.plan import Plan

if TYPE_CHECKING:
    import pandas as pd

Counts = dict[str, dict[str, int]]
"""By library and then version: how many good fits were made with it."""


def counted(made: Iterable[Mapping[str, str]]) -> Counts:
    """`made`: of each fit the versions of its libraries."""
    counts: Counts = {}
    for versions in made:
        for library, version in versions.items():
            known = counts.setdefault(library, {})
            known[version] = known.get(version, 0) + 1
    return {library: dict(sorted(known.items())) for library, known in sorted(counts.items())}


def of_frame(plan: Plan, fits: pd.DataFrame) -> Counts:
    """Of the plan's good fits in the journal's frame; of two rows for a fit the later one counts."""
    planned = {fit for cell in plan.fits.values() for fit in cell}
    last = fits[fits["id"].isin(planned)].drop_duplicates("id", keep="last")
    return counted(last["versions"][last["status"] == "ok"])


def mixture(counts: Counts) -> str:
    """``torch 2.12.0 (40 fits) and 2.13.0 (20 fits)``; "" where one version of each library made all."""
    mixed = {library: known for library, known in counts.items() if len(known) > 1}
    return "; ".join(
        f"{library} {' and '.join(_fits(version, count) for version, count in known.items())}"
        for library, known in mixed.items()
    )


def warning(plan: Plan, counts: Counts) -> str:
    """What a reader of the plan's results must know; "" where there is nothing to say."""
    mixed = mixture(counts)
    words = "so differences between cells may come from the libraries"
    return f"these results were made with {mixed}, {words}. {anew(plan)}" if mixed else ""


def mixture_ahead(plan: Plan, made: Iterable[Mapping[str, str]], left: int, today: Mapping[str, str]) -> list[str]:
    """A warning if training `left` fits with the libraries of `today` mixes versions with those that `made` the others.

    `made` has the versions of each fit that is finished.
    """
    counts = counted(made)
    other = {
        library: [_fits(version, count) for version, count in found.items() if not _same(version, today[library])]
        for library, found in counts.items()
        if today.get(library, "unknown") != "unknown"
    }
    told = [f"{library} {' and '.join(found)}" for library, found in other.items() if found]
    if not told or not left:
        return []
    now = ", ".join(f"{library} {today[library]}" for library, found in other.items() if found)
    kept = f"warning: the journal has fits made with {'; '.join(told)}"
    return [f"{kept}; the {left} left will be made with {now}, so comparisons will mix them. {anew(plan)}"]


def _same(one: str, other: str) -> bool:
    """Whether two versions may be one: a library may tell its build (``2.13.0+cu130``) where its package does not."""
    whole = "+" in one and "+" in other
    return one == other if whole else one.partition("+")[0] == other.partition("+")[0]


def anew(plan: Plan) -> str:
    """How all fits of the plan come to be made with the same versions."""
    return f"`{command(plan, '--reports', 'NEWDIR')}` trains all {plan.fit_count} fits with those that are installed."


def command(plan: Plan, *options: str) -> str:
    """The command that runs the plan, as a shell takes it."""
    import shlex  # only where there is something to say

    sets = [word for override in plan.overrides for word in ("--set", override)]
    return shlex.join(["runner", "run", plan.file or f"{plan.name}.yaml", *sets, *options])


def _fits(version: str, count: int) -> str:
    return f"{version} ({count} {'fit' if count == 1 else 'fits'})"
