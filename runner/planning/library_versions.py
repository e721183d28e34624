"""Library versions of the fits that a report compares, and warnings if they differ.

Versions are not part of a fit's id, so one journal may hold fits that were trained with different versions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from runner.planning.plan import Plan
from runner.text import plural

# For annotations only: `runner plan` answers without loading pandas (tests/system/test_latency.py).
if TYPE_CHECKING:
    import pandas as pd

Counts = dict[str, dict[str, int]]
"""The number of successful fits by library, then by version."""


def count_versions(fits: Iterable[Mapping[str, str]]) -> Counts:
    """Counts the versions; `fits` has the library versions of each fit."""
    counts: Counts = {}
    for versions in fits:
        for library, version in versions.items():
            by_version = counts.setdefault(library, {})
            by_version[version] = by_version.get(version, 0) + 1
    return {library: dict(sorted(by_version.items())) for library, by_version in sorted(counts.items())}


def count_versions_in_frame(plan: Plan, fits: pd.DataFrame) -> Counts:
    """The versions of the plan's successful fits in `fits`, the journal's frame; the last row of each fit counts."""
    planned = {fit for cell in plan.fits.values() for fit in cell}
    # A fit that was trained again, after a failure, has several rows.
    last = fits[fits["id"].isin(planned)].drop_duplicates("id", keep="last")
    return count_versions(last["versions"][last["status"] == "ok"])


def describe_mixture(counts: Counts) -> str:
    """``torch 2.12.0 (40 fits) and 2.13.0 (20 fits)``; "" if all fits have the same version of each library."""
    return "; ".join(
        f"{library} {' and '.join(_version_text(version, count) for version, count in by_version.items())}"
        for library, by_version in counts.items()
        if len(by_version) > 1
    )


def mixture_warning(plan: Plan, counts: Counts) -> str:
    """The warning for a reader of the plan's results; "" if all fits have the same versions."""
    mixture = describe_mixture(counts)
    if not mixture:
        return ""
    others = [what for what, is_there in _OTHERS.items() if is_there(counts)]
    consequence = f"so differences between cells may come from {' or '.join(others)}"
    return f"these results were made with {mixture}, {consequence}. {retrain_hint(plan)}"


_OTHERS: dict[str, Callable[[Counts], bool]] = {
    "the libraries": lambda counts: any(len(by) > 1 for library, by in counts.items() if library != "processor"),
    "the processors": lambda counts: len(counts.get("processor", ())) > 1,
}
"""What fits may differ by beside their cells, and whether they do."""


def mixture_warnings_before_training(
    plan: Plan, finished: Iterable[Mapping[str, str]], remaining: int, installed: Mapping[str, str]
) -> list[str]:
    """A warning if training the `remaining` fits with the `installed` versions will mix versions; otherwise none.

    `finished` has the library versions of each finished fit.
    """
    others = {
        library: [
            _version_text(version, count)
            for version, count in by_version.items()
            if not _may_be_same(version, installed[library])
        ]
        for library, by_version in count_versions(finished).items()
        # On a cluster the fits are trained on other processors than this one; the report warns of those that it finds.
        if installed.get(library, "unknown") != "unknown" and library != "processor"
    }
    others = {library: versions for library, versions in others.items() if versions}
    if not others or not remaining:
        return []
    before = "; ".join(f"{library} {' and '.join(versions)}" for library, versions in others.items())
    now = ", ".join(f"{library} {installed[library]}" for library in others)
    return [
        f"warning: the journal has fits made with {before}; the remaining {remaining} will be made with {now}, "
        f"so comparisons will mix versions. {retrain_hint(plan)}"
    ]


def processors_so_far(finished: Iterable[Mapping[str, str]]) -> list[str]:
    """The line on which kinds of processors the finished fits were trained, if a cluster's nodes recorded several."""
    kinds = count_versions(finished).get("processor", {})
    if len(kinds) < 2:
        return []
    return [f"trained so far: on {' and '.join(_version_text(kind, count) for kind, count in kinds.items())}"]


def _may_be_same(one: str, other: str) -> bool:
    """Whether two versions may be the same: a library may report its build, ``2.13.0+cu130``, and its package not."""
    both_have_build = "+" in one and "+" in other
    return one == other if both_have_build else one.partition("+")[0] == other.partition("+")[0]


def retrain_hint(plan: Plan) -> str:
    """The sentence that says how to train all fits of the plan with the same versions."""
    again = run_command(plan, "--reports", "NEWDIR") if plan.file else "runner.run(..., reports='NEWDIR')"
    fits = f"all {plural(plan.fit_count, 'fit')}" if plan.fit_count > 1 else "the fit"
    return f"`{again}` trains {fits} with the installed versions."


def run_command(plan: Plan, *options: str) -> str:
    """The command that runs the plan, quoted for a shell."""
    import shlex  # rarely needed

    sets = [word for override in plan.overrides for word in ("--set", override)]
    return shlex.join(["runner", "run", plan.file, *sets, *options])


def _version_text(version: str, count: int) -> str:
    return f"{version} ({count} {'fit' if count == 1 else 'fits'})"
