"""The values of a paper that a report shows beside its own: `report.published`, checked against the planned cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from runner.errors import Complaint, InputError
from runner.experiment.grid_syntax import parse_levels
from runner.experiment.schema import Experiment
from runner.planning.plan import Plan, PlannedCell, Published
from runner.text import did_you_mean, dotted, yaml_value

PATH = ("report", "published")


def find_published(experiment: Experiment, plan: Plan) -> Published:
    """The published values by the cells' ids; raises InputError with all complaints about them."""
    given = experiment.header.report.published
    assert given is not None
    complaints = list(_metric_complaints(experiment, plan, given.metric or plan.metric))
    labels = {factor: list(dict.fromkeys(cell.levels[factor] for cell in plan.cells)) for factor in plan.factors}
    written: Any = experiment.document.value["report"].value["published"].value["cells"].value
    values: dict[str, float] = {}
    for index, entry in enumerate(given.cells):
        path = (*PATH, "cells", index)
        known = len(complaints)
        levels = parse_levels(written[index].value["cell"], dotted((*path, "cell")), labels, complaints)
        if len(complaints) > known:
            continue
        found = [cell for cell in plan.cells if levels.items() <= cell.levels.items()]
        if problem := _problem(found, levels, values):
            complaints.append(Complaint(experiment.document.find((*path, "cell")), dotted((*path, "cell")), problem))
        elif problem := _out_of_range(plan, given.metric or plan.metric, entry.value):
            complaints.append(Complaint(experiment.document.find((*path, "value")), dotted((*path, "value")), problem))
        else:
            values[found[0].id] = entry.value
    if complaints:
        raise InputError(complaints)
    return Published(given.source, given.metric or plan.metric, values)


def _metric_complaints(experiment: Experiment, plan: Plan, metric: str) -> Iterator[Complaint]:
    if metric not in plan.metrics:
        test = "; with cross_validation.test: true also those of the test images" if not plan.test else ""
        message = f"unknown metric {yaml_value(metric)}{did_you_mean(metric, plan.metrics)}{test}"
        path = (*PATH, "metric")
        yield Complaint(experiment.document.find(path), dotted(path), message)


def _problem(found: Sequence[PlannedCell], levels: dict[str, str], values: dict[str, float]) -> str:
    """Why an entry does not say what one cell has; "" if it does."""
    if not found:
        return "matches no cell of the grid"
    if len(found) > 1:
        others = [factor for factor in found[0].levels if factor not in levels]
        return f"matches {len(found)} cells; name the level of {' and of '.join(others)} too"
    return f"cell '{found[0].name}' has a published value already" if found[0].id in values else ""


def _out_of_range(plan: Plan, name: str, value: float) -> str:
    if name not in plan.metrics:  # which has a complaint of its own
        return ""
    metric = plan.find_metric(name)
    low, high = metric.limits()
    if low <= value <= high:
        return ""
    nearest = f"; did you mean {value / 100:g}?" if low <= value / 100 <= high else ";"
    return f"found {value:g}{nearest} allowed: {low:g} to {high:g}, as {name} is given"
