"""Plan and journal -> the files of a report: tables, figures, report.md and report.html."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from runner.frozen_plan import Plan
from runner.journal import Frames
from runner.reporting import words
from runner.reporting.figures import make_figures
from runner.reporting.tables import Tables, make_tables, records

FORMATS = ("html", "md", "csv")


def write_report(plan: Plan, journal: Frames, folder: Path, formats: Iterable[str] = FORMATS) -> Tables:
    """Write the report of `plan` into `folder` in the given formats; equal input gives equal files."""
    formats = set(formats)
    tables = make_tables(plan, journal.fits)
    if "csv" in formats:
        tables.write(folder / "tables")
    if not formats & {"html", "md"}:
        return tables
    figures = make_figures(plan, tables)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for name, svg in figures.items():
        (folder / "figures" / f"{name}.svg").write_text(svg + "\n", encoding="utf-8")
    content = context(plan, tables)
    if "md" in formats:
        (folder / "report.md").write_text(_template("report.md.j2", False).render(**content, figures=figures), "utf-8")
    if "html" in formats:
        page = _template("report.html.j2", True).render(**content, figures=figures)
        (folder / "report.html").write_text(page, "utf-8")
    return tables


def context(plan: Plan, tables: Tables) -> dict[str, Any]:
    """What both templates show, as text."""
    statuses = tables.fits["status"].value_counts()
    failures = tables.fits[tables.fits["status"] == "failed"]
    return {
        "plan": plan,
        "counts": {s: int(statuses.get(s, 0)) for s in ("ok", "failed", "missing")},
        "answers": answers(plan, tables),
        "cells": leaderboard(plan, tables),
        "comparisons": comparison_rows(plan, tables),
        "failures": failures[["cell", "repeat", "fold", "reason"]].to_dict("records"),
        "metric": plan.metric,
        "metric_unit": "%" if words.is_percentage(plan.metric) else "nats",
        "difference_unit": words.unit(plan.metric),
        "equivalent": words.number(plan.metric, plan.equivalent),
        "left_out": int((tables.comparisons["pairs"] > tables.comparisons["cells"]).sum()),
        "dataset": named(plan.dataset),
        "training": ", ".join(f"{key} {value}" for key, value in plan.training.items()),
    }


def answers(plan: Plan, tables: Tables) -> dict[str, list[str]]:
    """The sentences of each factor."""
    return {
        str(factor): [words.sentence(plan.metric, plan.equivalent, row) for row in records(rows)]
        for factor, rows in tables.comparisons.groupby("factor", sort=False)
    }


def leaderboard(plan: Plan, tables: Tables) -> list[dict[str, str]]:
    """The cells, best first."""
    best_first = tables.cells.sort_values("mean", ascending=plan.metric == "val_loss", kind="stable")
    return [
        {
            "cell": row["cell"],
            "mean": words.number(plan.metric, row["mean"]),
            "std": words.number(plan.metric, row["std"]),
            "interval": words.interval(plan.metric, row["ci_low"], row["ci_high"]),
            "parameters": words.count(row["parameters"]),
            "macs": words.count(row["macs"]),
            "field": str(row["receptive_field"]).replace("x", "×") or "–",
            "seconds": "–" if pd.isna(row["seconds"]) else f"{row['seconds']:.1f}",
            "fits": f"{row['ok']} of {row['fits']}",
            "test": words.number("test_accuracy", row.get("test_accuracy_mean", math.nan)),
        }
        for row in records(best_first)
    ]


def comparison_rows(plan: Plan, tables: Tables) -> list[dict[str, str]]:
    return [
        {
            "factor": row["factor"],
            "pair": f" {words.MINUS} ".join(words.pair(row)),
            "difference": words.number(plan.metric, row["difference"], sign=True),
            "interval": words.interval(plan.metric, row["ci_low"], row["ci_high"], sign=True),
            "p_holm": words.probability(row["p_holm"]),
            "chances": " / ".join(words.probability(row[key]) for key in ("p_better", "p_same", "p_worse")),
            "cells": f"{row['cells']} × {row['n']}",
        }
        for row in records(tables.comparisons)
    ]


def named(settings: dict[str, Any]) -> str:
    """A component's settings as ``name(parameter=value)``, without those that say nothing."""
    inside = ", ".join(f"{key}={value}" for key, value in settings.items() if key != "name" and value is not None)
    return f"{settings['name']}({inside})" if inside else str(settings["name"])


def _template(name: str, escape: bool) -> jinja2.Template:
    loader = jinja2.PackageLoader("runner.reporting", "templates")
    environment = jinja2.Environment(loader=loader, autoescape=escape, trim_blocks=True, lstrip_blocks=True)
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
    return environment.get_template(name)
