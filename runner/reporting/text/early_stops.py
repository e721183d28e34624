"""What a report says about fits that stop early: when, on what, and for how many epochs they were trained."""

from __future__ import annotations

import pandas as pd

from runner.planning.plan import Plan
from runner.text import plural


def early_stops(plan: Plan, journal: pd.DataFrame) -> str:
    """A sentence on the plan's rule and on the fits in `journal`, the frame of fits; "" if none may stop early."""
    stops = dict.fromkeys(cell.settings.training.stop for cell in plan.cells if cell.settings.training.stop)
    if not stops:
        return ""
    rules = [f"{plural(s.patience, 'epoch')} without a lower loss on {100 * s.share:g}%" for s in stops if s]
    rule = (
        f"fits stop after {' or '.join(rules)} of each class of their training images, which are set aside for this, "
        "and have the parameters of the epoch with the lowest"
    )
    ids = {fit for cell in plan.cells if cell.settings.training.stop for fit in plan.fits.get(cell.id, ())}
    done = journal[journal["id"].isin(ids) & (journal["status"] == "ok")]
    if done.empty:
        return rule
    trained, best = (
        f"{done[name].min()} to {done[name].max()} (median {done[name].median():g})"
        for name in ("epochs", "best_epoch")
    )
    return f"{rule}; epochs trained: {trained}; epoch of the result: {best}"
