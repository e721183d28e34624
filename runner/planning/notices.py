"""Notices before training: what a plan should make its reader wary of, what changed, library versions that differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from runner.fits.records import FitResult, FitSpec
from runner.planning import library_versions
from runner.planning.changes import since_last_run
from runner.planning.plan import Plan
from runner.planning.plan_warnings import plan_warnings


def before_training(
    folder: Path,
    plan: Plan,
    results: Mapping[str, FitResult],
    versions: Collection[Mapping[str, str]],
    missing: Collection[FitSpec],
) -> list[str]:
    """The lines to print before the `missing` fits of `plan` are trained.

    `results` are all results in the journal of `folder`, by fit id; `versions` has the library versions of each of the
    plan's fits that is already trained.
    """
    # If every missing fit has a result, only failed fits are trained again and nothing has changed.
    new = any(fit.id not in results for fit in missing)
    changes = since_last_run(folder, plan, results).lines if new else []
    return [
        *(f"warning: {line}" for line in plan_warnings(plan) if missing),
        *changes,
        *library_versions.mixture_warnings_before_training(plan, versions, len(missing), plan.made_with),
        *library_versions.processors_so_far(versions),
    ]
