"""What a user should know before fits are trained: what changed since the last run, and libraries that differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from runner.fits.records import FitResult, FitSpec
from runner.planning import library_versions
from runner.planning.changes import since_last_run
from runner.planning.plan import Plan


def before_training(
    folder: Path,
    plan: Plan,
    results: Mapping[str, FitResult],
    versions: Collection[Mapping[str, str]],
    missing: Collection[FitSpec],
) -> list[str]:
    """The lines to show before the `missing` fits of `plan` are trained beside those of `results`.

    `versions` are those of the libraries that made the plan's fits so far.
    """
    new = any(fit.id not in results for fit in missing)
    changes = since_last_run(folder, plan, results).lines if new else []
    return [*changes, *library_versions.mixture_ahead(plan, versions, len(missing), plan.made_with)]
