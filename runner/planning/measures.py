"""The metrics that an experiment asks for, by the names of its `report`: found in the catalog, bound and tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from runner.components.catalog import Catalog
from runner.components.records import ComponentRef
from runner.components.validation import InvalidValues
from runner.errors import Complaint, PluginError, RunnerError
from runner.experiment.grid_syntax import RESERVED
from runner.experiment.schema import Experiment
from runner.fits.metrics import COMPARED, METRICS, MOST_MEASURES, TEST_METRICS, Metric, of_component
from runner.text import did_you_mean, dotted, yaml_value

ALIASES = {"accuracy": "val_accuracy", "loss": "val_loss"}
"""Metrics of plugins that every fit is measured by after each epoch: the same by another name."""


def find_measures(
    experiment: Experiment, catalog: Catalog, class_names: Sequence[str], complaints: list[Complaint]
) -> tuple[str, tuple[str, ...], tuple[Metric, ...]]:
    """The column of ``report.metric``, those of ``report.metrics``, and the records of those that are a plugin's.

    With ``cross_validation.test`` the records are followed by the same ones on the held-out test images. Every name or
    parameter that is wrong is a complaint.
    """
    columns: list[str] = []
    measures: dict[str, Metric] = {}
    paths: dict[str, tuple[str | int, ...]] = {}
    for path, ref in _given(experiment):
        try:
            found = _find(ref, path[1] == "metric", catalog, class_names, experiment)
        except InvalidValues as error:
            complaints += [_complaint(experiment, (*path, *inner), text) for inner, text in error.problems]
            continue
        except RunnerError as error:
            complaints.append(_complaint(experiment, path, str(error)))
            continue
        column = found.name if isinstance(found, Metric) else found
        if column in columns[1:]:
            complaints.append(_complaint(experiment, path, f"{column} is listed twice"))
        columns.append(column)
        if isinstance(found, Metric):
            measures[column] = found
            paths[column] = path
    if experiment.header.cross_validation.test:
        measures |= _on_test(measures, paths, experiment, complaints)
    shown = tuple(column for column in columns[1:] if column != columns[0])
    return columns[0] if columns else "", shown, tuple(measures.values())


def _on_test(
    measures: Mapping[str, Metric],
    paths: Mapping[str, tuple[str | int, ...]],
    experiment: Experiment,
    complaints: list[Complaint],
) -> dict[str, Metric]:
    """The metrics `measures` on the held-out test images, by their columns."""
    found = {}
    for column, measure in measures.items():
        of_test = measure.of_test()
        try:
            _refuse_other_meaning(of_test.name, experiment, on_test=True)
        except RunnerError as error:
            complaints.append(_complaint(experiment, paths[column], str(error)))
        if of_test.name in measures:
            message = f"on the test images it has the name of the metric {of_test.name}; one of them needs another name"
            complaints.append(_complaint(experiment, paths[column], message))
        found[of_test.name] = of_test
    if len(measures) + len(found) > MOST_MEASURES:
        count = f"found {len(measures)} metrics with report.metric, each of them measured on the test images too"
        complaints.append(_complaint(experiment, ("report", "metrics"), f"{count}; allowed: {MOST_MEASURES // 2}"))
    return found


def _given(experiment: Experiment) -> Iterator[tuple[tuple[str | int, ...], ComponentRef]]:
    """The path and the reference of each metric, that of ``report.metric`` first."""
    report = experiment.header.report
    yield ("report", "metric"), report.metric
    section = experiment.document.value.get("report")
    is_list = section is not None and isinstance(section.value["metrics"].value, list) if report.metrics else False
    for index, ref in enumerate(report.metrics):
        yield ("report", "metrics", *([index] if is_list else [])), ref


def _find(
    ref: ComponentRef, compared: bool, catalog: Catalog, class_names: Sequence[str], experiment: Experiment
) -> str | Metric:
    """The column of a metric that every fit has, or the record of a plugin's. Raises InvalidValues or RunnerError."""
    known = COMPARED if compared else (*METRICS, *(TEST_METRICS if experiment.header.cross_validation.test else ()))
    if (column := ALIASES.get(ref.name, ref.name)) in known:
        if ref.parameters:
            raise InvalidValues([((name,), f"{ref.name} has no parameters") for name in ref.parameters])
        return column
    if ("metric", ref.name) not in catalog.entries:
        allowed = [*catalog.names("metric"), *known]
        plain = ref.name.removeprefix("test_")
        if plain != ref.name and ("metric", plain) in catalog.entries:
            wanted = f"name {plain}, which with cross_validation.test: true is measured on the test images too"
            raise PluginError(f"unknown metric {yaml_value(ref.name)}; {wanted}, as test_{plain}")
        raise PluginError(f"unknown metric {yaml_value(ref.name)}{did_you_mean(ref.name, allowed)}{catalog.broken()}")
    bound = catalog.bind("metric", ref)
    entry = catalog.find("metric", ref.name)
    catalog.build("metric", bound, tuple(class_names))
    measure = of_component(entry, bound)
    _refuse_other_meaning(measure.name, experiment)
    if not entry.is_ours:
        from runner.planning.plugin_trials import try_metric  # which imports NumPy

        for fault in try_metric(catalog, bound, class_names).faults:
            raise PluginError(fault)
    return measure


def _refuse_other_meaning(column: str, experiment: Experiment, on_test: bool = False) -> None:
    """Raise RunnerError if a metric has the name of another column of the tables."""
    for name in (column, f"{column}_mean", *([f"{column}_std"] if on_test else [])):
        if name in RESERVED - {"balanced_accuracy"}:
            raise RunnerError(
                f"'{name}' is a column of the tables that is something else; the metric needs another name"
            )
        if name in experiment.factors:
            raise RunnerError(f"the factor '{name}' has the name of the metric's column; rename the factor")


def _complaint(experiment: Experiment, path: tuple[str | int, ...], message: str) -> Complaint:
    return Complaint(experiment.document.find(path), dotted(path), message)
