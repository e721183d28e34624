"""A study's results as frames: read from its journal and the splits beside it."""

from __future__ import annotations

from pathlib import Path

from runner.data import splits_file
from runner.journal.frames import Frames, frames
from runner.journal.index import Results, SelectedResults, index
from runner.planning.plan import Plan


def read_frames(plan: Plan, folder: Path) -> Frames:
    """The frames of the journal in a study's `folder`, with the plan's fits alone."""
    return selected_frames(plan, index(folder / "journal.jsonl")[0], folder)


def selected_frames(plan: Plan, results: Results, folder: Path) -> Frames:
    """The frames of the plan's fits in `results`. Splits that are not those of the plan are not used."""
    digest = plan.data.get("splits")
    splits = splits_file.read(folder, digest) if digest else None
    return frames(planned_results(plan, results), splits, seen_before(plan, results))


def planned_results(plan: Plan, results: Results) -> SelectedResults:
    """The results of the plan's fits, in its order."""
    return results.select(fit for fit, *_ in plan.fit_keys())


def seen_before(plan: Plan, results: Results) -> tuple[int, ...]:
    """The numbers of repeats, fewer than the plan's, after which its results could be read and repeats were then added.

    Looks that the study's own rule asked for do not count, nor those at a journal that had no fit of the plan yet.
    """
    starts = [results.begun[fit] for fit, *_ in plan.fit_keys() if fit in results.positions]
    first = min(starts, default=None)
    if first is None:
        return ()
    return tuple(sorted({
        look.repeats for end, look in results.looks if not look.adaptive and look.repeats < plan.repeats and end > first
    }))  # fmt: skip
