"""The content of a report for all of its formats: answers, tables, and what it takes to reproduce them."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from runner.journal.frames import Frames
from runner.planning import library_versions, plan_file
from runner.planning.class_balance import counts_text
from runner.planning.plan import Plan
from runner.planning.split_text import design_text
from runner.reporting.tables.inspected import best_cell, most_confused
from runner.reporting.tables.study_tables import Tables
from runner.reporting.text import equal_cost, numbers, published, text_tables
from runner.reporting.text.early_stops import early_stops
from runner.reporting.text.methods import methods
from runner.reporting.text.verdict import all_answers
from runner.reporting.text.warnings import warnings
from runner.text import duration, plural

MAX_CELLS = 100
"""The report includes the whole plan only up to this many cells."""


def context(plan: Plan, tables: Tables, frames: Frames) -> dict[str, Any]:
    """The variables of the templates."""
    journal = frames.fits
    statuses = tables.fits["status"].value_counts()
    best = best_cell(tables.cells, plan.measure)
    pairs = most_confused(tables.confusions[tables.confusions["cell"] == best])
    return {
        "plan": plan,
        "mixed_versions": library_versions.mixture_warning(
            plan, library_versions.count_versions_in_frame(plan, journal)
        ),
        "warnings": warnings(plan, tables),
        "counts": {s: int(statuses.get(s, 0)) for s in ("ok", "failed", "missing")},
        "answers": all_answers(plan, tables),
        "methods": methods(plan, tables.comparisons, tables.looks, frames.seen),
        "equivalent": f"{numbers.number(plan.measure, plan.equivalent)} {plan.measure.unit}".rstrip(),
        "cells": text_tables.leaderboard(plan, tables, equal_cost.cell_columns(plan)),
        "comparisons": text_tables.comparisons(plan, tables, equal_cost.comparison_columns(tables)),
        "matched": equal_cost.table(plan, tables),
        "contrasts": text_tables.contrasts(plan, tables),
        "published": published.published(plan, tables),
        "published_order": published.order(plan, tables),
        "learning": text_tables.learning(tables),
        "recall": text_tables.class_recall(best or "", tables.recall),
        "confused": text_tables.confused_classes(best or "", pairs),
        "failures": text_tables.failures(tables),
        "provenance": provenance(plan, journal),
        "resolved_plan": plan_file.text(plan, fits=False) if len(plan.cells) <= MAX_CELLS else "",
    }


def provenance(plan: Plan, journal: pd.DataFrame) -> dict[str, str]:
    """What the results were computed from and with, by topic; `journal` is the frame of the fits."""
    facts = {
        "data": _data(plan),
        "splits": _splits(plan),
        "training": ", ".join(f"{key} {value}" for key, value in plan.training.to_dict().items() if key != "stop"),
        # The journal may also have fits that are no longer in the plan.
        "time": _time(journal[journal["id"].isin({fit for fits in plan.fits.values() for fit in fits})]),
        "environment": ", ".join(f"{name} {version}" for name, version in plan.made_with.items()),
    }
    losses = dict.fromkeys(str(cell.settings.loss or "cross_entropy") for cell in plan.cells)
    if any(cell.settings.loss for cell in plan.cells):
        facts["loss"] = f"{' or '.join(losses)} is made small; every loss in this report is the plain cross-entropy"
    if stopped := early_stops(plan, journal):
        facts["early stopping"] = stopped
    if plan.file:
        facts["command"] = library_versions.run_command(plan)
    return facts


def _data(plan: Plan) -> str:
    facts = plan.data
    names = ", ".join(map(str, facts["class_names"]))
    size = "×".join(map(str, facts["shape"]))
    test = f" and {plural(facts['test_size'], 'held-out test image')}" if plan.test else ""
    counts = f"; images of each class: {text}" if (text := counts_text(plan)) else ""
    # A user's own images, as a rule, have neither a licence nor a citation.
    licence = f"; licence: {facts['licence']}" if facts["licence"] else ""
    citation = f" {facts['citation'].rstrip('.')}." if facts["citation"] else ""
    return (
        f"{plan.dataset}, {plural(facts['size'], 'image')} of {size}{test}, "
        f"{plural(len(facts['class_names']), 'class', 'classes')} ({names}){counts}; "
        f"fingerprint {facts['fingerprint']}{licence}.{citation}"
    )


def _splits(plan: Plan) -> str:
    sizes = f"{plan.data['train']:,} training and {plural(plan.data['validation'], 'validation image')} per fit"
    if plan.split_design:
        return f"{design_text(plan)}; {plural(plan.repeats, 'repeat')}; seed {plan.seed}; the same splits for all cells"
    return (
        f"stratified {plan.folds}-fold cross-validation, {plural(plan.repeats, 'repeat')}, about {sizes}; "
        f"seed {plan.seed}; the same splits for all cells"
    )


def _spans(fits: pd.DataFrame) -> list[tuple[float, float]]:
    """Start and end of each fit in seconds, sorted. A worker trains one after another, or several that end together:
    each of those has its share of their seconds, and they are laid end to end.
    """
    spans, latest = [], fits.sort_values("finished", ascending=False, kind="stable")
    free: dict[str, float] = {}  # by worker, when its next fit started
    for fit, worker, finished, seconds in latest[["id", "worker", "finished", "seconds"]].itertuples(index=False):
        end = min(finished / 1000, free.get(worker or fit, math.inf))
        free[worker or fit] = end - seconds
        spans.append((end - seconds, end))
    return sorted(spans)


def _time(fits: pd.DataFrame) -> str:
    """The time that the fits took: by the clock, while at least one of them ran, and in total."""
    done = fits[fits["finished"] > 0]
    # Fits of several workers run side by side, so the length of the union of their spans is less than the sum.
    wall, covered_until = 0.0, 0.0
    for start, end in _spans(done):
        wall += max(0.0, end - max(start, covered_until))
        covered_until = max(covered_until, end)
    cpu = f", {duration(done['cpu'].sum())} of processor time" if done["cpu"].sum() > 0 else ""
    return f"{duration(wall)} of wall time while fits ran; {duration(done['seconds'].sum())} summed over fits{cpu}"
