"""Converts plans and fits into MLflow parameters, metrics and tags, without any call to a server."""

from __future__ import annotations

import getpass
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.files.content_hash import content_id
from runner.fits.grouping import split_into_groups
from runner.fits.records import FitResult
from runner.planning.plan import Plan, PlannedCell
from runner.text import markdown
from runner.tracking.experiment import NOTE
from runner.tracking.names import safe, shortened
from runner.tracking.stored_runs import KIND, PARENT, Expected

CURVE_NAMES = {
    "val_accuracy": "val/accuracy",
    "val_loss": "val/loss",
    "train_accuracy": "train/accuracy",
    "train_loss": "train/loss",
    "inner_accuracy": "inner/accuracy",
    "inner_loss": "inner/loss",
}
"""The MLflow metric of each curve. The slash makes MLflow's UI group them by the part that they are measured on."""

MOST_CHARACTERS = 200
"""Of a cell's name. The data bases of servers hold 250 characters of a run's name, and that of a fit is longer."""


MADE_WITH = "runner.made_with."
"""How the tags of the environment begin that the plan records."""


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


def plan_id(plan: Plan) -> str:
    """Tells a plan from another of the same name. It stays as it is while the repeats of an adaptive study grow."""
    return content_id([cell_key(plan, cell) for cell in plan.cells])


def expected_runs(plan: Plan) -> Expected:
    """The runs that a plan has in the store."""
    cells = {cell_key(plan, cell): [f"fit:{fit}" for fit in plan.fits[cell.id]] for cell in plan.cells}
    id = plan_id(plan)
    return Expected(plan.name, id, cells, f"report:{id}")


def fits_hash(fits: Sequence[FitResult]) -> str:
    return content_id([fit_key(fit) for fit in fits])


def start_times(fits: Sequence[FitResult], plan: Plan, cell: PlannedCell) -> dict[str, int]:
    """When each fit of a cell started, in milliseconds since 1970, by id.

    Fits that are trained together share their time: each has its part as `seconds`, but all of them began at once.
    """
    ended = {fit.id: fit for fit in fits}
    starts: dict[str, int] = {}
    for group in split_into_groups(plan.fits[cell.id], cell.settings.training.stacking, plan.folds):
        members = [ended[id] for id in group if id in ended]
        if members:
            begin = max(fit.finished for fit in members) - int(sum(fit.seconds for fit in members) * 1000)
            starts |= dict.fromkeys((fit.id for fit in members), begin)
    return starts


def status(*fits: FitResult) -> str:
    """MLflow's status of a run: FAILED if no fit is successful."""
    return "FINISHED" if any(fit.status == "ok" for fit in fits) else "FAILED"


def cell_tags(cell: PlannedCell) -> dict[str, str]:
    return {KIND: "cell", "runner.cell": cell.id}


def cell_name(cell: PlannedCell) -> str:
    return shortened(cell.name, MOST_CHARACTERS)


def fit_name(cell: PlannedCell, repeat: int, fold: int) -> str:
    return f"{cell_name(cell)} · repeat {repeat + 1} fold {fold + 1}"


def fit_identity(cell: PlannedCell, fit: str, parent_run: str) -> dict[str, str]:
    """The tags of a fit that are known before it is trained."""
    return {KIND: "fit", "runner.cell": cell.id, "runner.fit": fit, PARENT: parent_run}


def fit_tags(cell: PlannedCell, fit: FitResult, parent_run: str) -> dict[str, str]:
    return {
        **fit_identity(cell, fit.id, parent_run),
        **({"runner.reason": fit.reason[:5000], NOTE: f"Failed: {markdown(fit.reason[:5000])}"} if fit.reason else {}),
        **{f"runner.version.{library}": version for library, version in fit.versions.items()},
    }


def source_tags(plan: Plan) -> dict[str, str]:
    """Who published it, from which file, and the environment that the plan records.

    MLflow's UI shows the commit as the version of the source.
    """
    commit = plan.made_with.get("commit")
    return {
        **{f"{MADE_WITH}{name}": version for name, version in plan.made_with.items()},
        "runner.host": platform.node(),
        "mlflow.user": _user(),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": Path(plan.file).name if plan.file else "archrunner",
        **({"mlflow.source.git.commit": commit} if commit else {}),
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        return "unknown"


def metric_points(metrics: Mapping[str, float], time: int) -> Iterator[Any]:
    """MLflow metrics at step 0. `time` is in milliseconds since 1970."""
    from mlflow.entities import Metric

    return (Metric(safe(name), rounded(value), time, 0) for name, value in metrics.items() if math.isfinite(value))


def rounded(value: float) -> float:
    """A number as people read it: MLflow's UI shows every digit it gets, as in 0.8779999999999999."""
    return value if float(value).is_integer() else float(f"{value:.6g}")


def curve_points(curves: Mapping[str, Sequence[float]], time: int, after: int = 0) -> Iterator[Any]:
    """MLflow metrics with one point per epoch `after` that one.

    All points have the same `time`, so that logging twice adds nothing.
    """
    from mlflow.entities import Metric

    return (
        Metric(CURVE_NAMES[name], rounded(value), time, epoch)
        for name, values in curves.items()
        if name in CURVE_NAMES  # test metrics have one value, that of the result, and thus no curve
        for epoch, value in enumerate(values, 1)
        # MLflow returns an infinity as 1.8e308, which sorts before every true value, and a filter never finds a NaN.
        if epoch > after and math.isfinite(value)
    )


def dataset_input(plan: Plan) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    name = plan.dataset.name
    data = Dataset(name, plan.data["fingerprint"], "local", f"archrunner dataset {name}")
    return DatasetInput(data, [InputTag("mlflow.data.context", "cross-validation")])
