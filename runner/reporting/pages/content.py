"""What a report says, for all of its formats: the answer, the listings, and how it was made."""

from __future__ import annotations

from typing import Any

import pandas as pd

from runner.fits.metrics import find_metric
from runner.planning import library_versions, plan_file
from runner.planning.plan import Plan
from runner.reporting.tables.inspected import best_cell, most_confused
from runner.reporting.tables.study_tables import Tables
from runner.reporting.text import listing, numbers, sentences
from runner.text import duration

MOST_CELLS = 100
"""Of larger plans the report names the file only."""


def context(plan: Plan, tables: Tables, journal: pd.DataFrame) -> dict[str, Any]:
    """What the templates show; `journal` is the frame of its fits."""
    statuses = tables.fits["status"].value_counts()
    best = best_cell(tables.cells, plan.metric)
    pairs = most_confused(tables.confusions[tables.confusions["cell"] == best])
    return {
        "plan": plan,
        "mixed": library_versions.warning(plan, library_versions.of_frame(plan, journal)),
        "counts": {s: int(statuses.get(s, 0)) for s in ("ok", "failed", "missing")},
        "answers": sentences.answers(plan, tables.comparisons),
        "equivalent": f"{numbers.number(plan.metric, plan.equivalent)} {find_metric(plan.metric).unit}",
        "cells": listing.leaderboard(plan, tables),
        "comparisons": listing.comparisons(plan, tables),
        "learning": listing.learning(tables),
        "confused": listing.confused(best or "", pairs),
        "failures": listing.failures(tables),
        "made": made(plan, journal),
        "resolved": plan_file.text(plan, fits=False) if len(plan.cells) <= MOST_CELLS else "",
    }


def made(plan: Plan, journal: pd.DataFrame) -> dict[str, str]:
    """How the results came about, each fact by its name."""
    facts = {
        "data": _data(plan),
        "splits": _splits(plan),
        "training": ", ".join(f"{key} {value}" for key, value in plan.training.to_dict().items()),
        "time": _time(journal[journal["id"].isin({fit for fits in plan.fits.values() for fit in fits})]),
        "made with": ", ".join(f"{name} {version}" for name, version in plan.made_with.items()),
    }
    if plan.file:
        facts["again"] = library_versions.command(plan)
    return facts


def _data(plan: Plan) -> str:
    facts = plan.data
    names = ", ".join(map(str, facts["class_names"]))
    test = f" and {facts['test_size']} to test on" if plan.test else ""
    return (
        f"{plan.dataset}, {facts['size']} images of {'×'.join(map(str, facts['shape']))}{test}, "
        f"{len(facts['class_names'])} classes ({names}), fingerprint {facts['fingerprint']}; "
        f"licence: {facts['licence']}. {facts['citation']}."
    )


def _splits(plan: Plan) -> str:
    repeats = "1 repeat" if plan.repeats == 1 else f"{plan.repeats} repeats"
    return (
        f"stratified {plan.folds}-fold cross-validation, {repeats}, about {plan.data['train']} images to train on and "
        f"{plan.data['validation']} to validate on; seed {plan.seed}. All cells share them."
    )


def _time(fits: pd.DataFrame) -> str:
    """The time that the fits took: on the clock, while any of them ran, and in sum."""
    done = fits[fits["finished"] > 0]
    ends = done["finished"] / 1000
    spans = sorted(zip(ends - done["seconds"], ends, strict=True))
    wall, until = 0.0, 0.0
    for start, end in spans:
        wall += max(0.0, end - max(start, until))
        until = max(until, end)
    cpu = f", {duration(done['cpu'].sum())} of processor time" if done["cpu"].sum() > 0 else ""
    return f"{duration(wall)} in which fits ran; {duration(done['seconds'].sum())} over all fits{cpu}"
