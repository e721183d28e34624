"""The views of a study in MLflow's UI: a plan in, saved views out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from runner.planning.plan import Plan
from runner.tracking.mlflow_values import CURVE_NAMES
from runner.tracking.names import safe
from runner.tracking.saved_views import CURVES, FIRST, OURS, State, View, fits_a_tag

MOST_FACTORS = 20
"""More get no view of their own: the UI saves no further views beside 40."""
MOST_LINES = 20
"""Of more cells, the charts show the first ones: MLflow's UI offers 10, 20 or all."""

CELLS = "tags.`runner.kind` = 'cell' and tags.`runner.current` = 'yes'"
FAILED = "tags.`runner.kind` = 'fit' and tags.`runner.current` = 'yes' and attributes.status = 'FAILED'"
NAME = "attributes.`Run Name`"
NARROWEST, WIDEST, CHARACTER = 190, 420, 7
"""In pixels: the column of names, and one character of a name, beside 90 for the symbols before it."""
REASON_WIDTH = 500
"""In pixels: the reason is a sentence."""
HALF_WIDTH = "half_width"
"""How the name of a metric goes on that is half the width of another's interval."""


def make_views(plan: Plan, names: Mapping[str, str]) -> list[View]:
    """The views of a study: the first is the one to open. `names` has the parameter of each factor."""
    factors = [names[factor] for factor in plan.factors]
    cells = _cells(plan, factors)
    views = [
        View(FIRST, "Cells, best first", cells),
        View(CURVES, "Curves of the best cells", cells),
        *(_by_factor(cells, factor, names[factor]) for factor in plan.factors[:MOST_FACTORS]),
        View(f"{OURS}failed", "Failed fits", _failed(factors)),
    ]
    return [view for view in views if fits_a_tag(view)]


def _column(kind: str, name: str) -> str:
    return f"{kind}.`{name}`"


def _runs(filter_: str, order: str, ascending: bool, columns: Sequence[str]) -> State:
    """The part of a state that says which runs and columns the table shows."""
    return {
        "searchFilter": filter_,
        "orderByKey": order,
        "orderByAsc": ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(columns),
        "columnOrder": [NAME, *columns],
        "runsHiddenMode": "SHOW_ALL",
    }


def _cells(plan: Plan, factors: Sequence[str]) -> State:
    """The current cells with their factors, their result and their cost, best first."""
    metrics = [
        plan.metric, f"{plan.metric}_{HALF_WIDTH}", *(name for name in plan.columns if name != plan.metric),
        *(["test_accuracy"] if plan.test else []), "fits_ok", "fits_planned", "parameters", "macs", "seconds",
    ]  # fmt: skip
    columns = [*(_column("params", name) for name in factors), *(_column("metrics", safe(name)) for name in metrics)]
    runs = _runs(CELLS, _column("metrics", safe(plan.metric)), not plan.measure.higher_is_better, columns)
    return runs | _charts(plan, factors) | {"columnWidths": {NAME: _name_width(plan)}}


def _name_width(plan: Plan) -> int:
    longest = max((len(cell.name) for cell in plan.cells), default=0)
    return min(max(NARROWEST, 90 + CHARACTER * longest), WIDEST)


def _failed(factors: Sequence[str]) -> State:
    reason = _column("tags", "runner.reason")
    columns = [*(_column("params", name) for name in (*factors, "repeat", "fold")), reason]
    runs = _runs(FAILED, _column("attributes", "start_time"), True, columns)
    return runs | {"columnWidths": {reason: REASON_WIDTH}}


def _by_factor(cells: State, factor: str, name: str) -> View:
    """The cells in groups of one level each, with the mean of every metric."""
    groups = {"aggregateFunction": "average", "groupByKeys": [{"mode": "param", "groupByData": name}]}
    key = hashlib.sha256(factor.encode()).hexdigest()[:8]
    return View(f"{OURS}by-{key}", f"By {name}", {**cells, "groupBy": groups})


def _charts(plan: Plan, factors: Sequence[str]) -> State:
    """The curves of the cells, their results, and the factors beside the result, above the charts that MLflow adds."""
    section = "runner"
    charts = [
        *(_lines(curve, section) for curve in _curves(plan)),
        _chart("BAR", plan.metric, section, metricKey=plan.metric, displayName=plan.metric),
        _chart("PARALLEL", "factors", section, selectedParams=list(factors), selectedMetrics=[plan.metric]),
        _chart(
            "DIFFERENCE", "differences", section, compareGroups=["Parameters", "Model metrics"],
            chartName="Differences between the cells", showDifferencesOnly=True, showChangeFromBaseline=True,
        ),
    ]  # fmt: skip
    first = {"uuid": section, "name": "Curves and results", "display": True, "isReordered": True, "deleted": False}
    return {
        "compareRunCharts": charts,
        "compareRunSections": [first],
        "isAccordionReordered": True,
        "runsHiddenMode": "SHOW_ALL" if len(plan.cells) <= MOST_LINES else "FIRST_20_RUNS",
    }


def _curves(plan: Plan) -> Iterator[str]:
    """The curve of the plan's metric first, then the losses."""
    yield from dict.fromkeys(CURVE_NAMES[name] for name in (plan.curve, "val_loss", "train_loss"))


def _chart(kind: str, name: str, section: str, **settings: object) -> State:
    chart = {"uuid": f"{section}-{name}", "type": kind, "metricSectionId": section, "deleted": False}
    return {**chart, "isGenerated": False, "runsCountToCompare": 100, **settings}


def _lines(metric: str, section: str) -> State:
    return _chart(
        "LINE", metric, section, metricKey=metric, displayName=metric, xAxisKey="step", lineSmoothness=0,
        scaleType="linear", xAxisScaleType="linear", range={}, useGlobalXaxisKey=True, useGlobalLineSmoothing=True,
    )  # fmt: skip
