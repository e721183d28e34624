"""Converts plans and fits into MLflow parameters, metrics and tags, without any call to a server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner.files.content_hash import content_id
from runner.fits.records import FitResult
from runner.planning.plan import Plan, PlannedCell
from runner.text import markdown

CURVE_NAMES = {
    "val_accuracy": "val/accuracy",
    "val_loss": "val/loss",
    "train_accuracy": "train/accuracy",
    "train_loss": "train/loss",
    "inner_accuracy": "inner/accuracy",
    "inner_loss": "inner/loss",
}
"""The MLflow metric of each curve. The slash makes MLflow's UI group them by the part that they are measured on."""


def cell_key(plan: Plan, cell: PlannedCell) -> str:
    """The key of a cell's run. A cell with other fits, such as more repeats, gets a run of its own.

    Not in a study whose repeats stop when it is decided: a run grows with its cell, and is known by its first fits.
    """
    fits = plan.fits[cell.id]
    return f"cell:{content_id([cell.id, fits if plan.most is None else [*fits[: plan.folds], 'until decided']])}"


def fit_key(fit: FitResult) -> tuple[str, str]:
    """The key of a fit's run, and a hash of its result.

    The hash leaves out times and the worker: a fit that is trained again with the same bits is already published.
    """
    return f"fit:{fit.id}", content_id([fit.status, fit.reason, fit.curves, *([fit.measures] if fit.measures else [])])


def fits_hash(fits: Sequence[FitResult]) -> str:
    return content_id([fit_key(fit) for fit in fits])


def start_time(fit: FitResult) -> int:
    """When the fit started, in milliseconds since 1970."""
    return fit.finished - int(fit.seconds * 1000)


def status(*fits: FitResult) -> str:
    """MLflow's status of a run: FAILED if no fit is successful."""
    return "FINISHED" if any(fit.status == "ok" for fit in fits) else "FAILED"


def parameters(plan: Plan, cell: PlannedCell) -> dict[str, str]:
    """The cell's levels and all settings of its fits, flattened to text within MLflow's limits."""
    flat: dict[str, Any] = {"dataset": plan.dataset.name}
    if any(other.settings.loss for other in plan.cells):
        flat["loss"] = "cross_entropy"  # replaced by the cell's own, if it has one
    for section, settings in cell.settings.to_dict().items():
        if section == "augmentation":
            flat[section] = " + ".join(map(str, cell.settings.augmentation))
            continue
        for key, value in settings.items():
            flat[section if key == "name" else f"{section}.{key}"] = value
    for key, value in plan.dataset.to_dict().items():
        flat["dataset" if key == "name" else f"dataset.{key}"] = value
    flat |= {"folds": plan.folds, "repeats": plan.repeats_setting, "seed": plan.seed}
    # A factor that is a path, such as optimizer.lr, is among the settings already.
    levels = {factor: level for factor, level in cell.levels.items() if factor not in flat}
    return {_key(key): str(value)[:6000] for key, value in {**flat, **levels}.items()}


def _key(name: str) -> str:
    """The name of a parameter or a metric: MLflow allows only these characters, 250 of them, and 6000 in a value."""
    return re.sub(r"[^\w\-./ ]", "_", name)[:250]


def fit_tags(cell: PlannedCell, fit: FitResult, parent_run: str) -> dict[str, str]:
    return {
        "runner.kind": "fit",
        "runner.cell": cell.id,
        "runner.fit": fit.id,
        "mlflow.parentRunId": parent_run,
        **({"runner.reason": fit.reason[:5000]} if fit.reason else {}),
        **{f"runner.version.{library}": version for library, version in fit.versions.items()},
    }


def experiment_tags(plan: Plan) -> dict[str, str]:
    """The description, which MLflow's UI renders as Markdown: an image in it would be loaded from its address."""
    return {"mlflow.note.content": markdown(plan.description)}


def source_tags(plan: Plan) -> dict[str, str]:
    """The environment that the plan records; MLflow's UI shows the commit as the version of the source."""
    commit = plan.made_with.get("commit")
    return {
        **{f"runner.made_with.{name}": version for name, version in plan.made_with.items()},
        "mlflow.source.name": "archrunner",
        **({"mlflow.source.git.commit": commit} if commit else {}),
    }


def metric_points(metrics: Mapping[str, float], time: int) -> Iterator[Any]:
    """MLflow metrics at step 0. `time` is in milliseconds since 1970."""
    from mlflow.entities import Metric

    return (Metric(_key(name), value, time, 0) for name, value in metrics.items())


def curve_points(curves: Mapping[str, Sequence[float]], time: int) -> Iterator[Any]:
    """MLflow metrics with one point per epoch. All points have the same `time`, so that logging twice adds nothing."""
    from mlflow.entities import Metric

    return (
        Metric(CURVE_NAMES[name], value, time, epoch)
        for name, values in curves.items()
        if name in CURVE_NAMES  # test metrics have one value, that of the result, and thus no curve
        for epoch, value in enumerate(values, 1)
    )


def dataset_input(plan: Plan) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    name = plan.dataset.name
    data = Dataset(name, plan.data["fingerprint"], "local", f"archrunner dataset {name}")
    return DatasetInput(data, [InputTag("mlflow.data.context", "cross-validation")])
