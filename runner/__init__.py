"""archrunner: experiments on convolutional architectures, from a YAML grid to a verdict.

For Python users (docs/reference/python.md)::

    import runner

    plan = runner.plan("experiments/pooling_vs_stride.yaml")
    study = runner.run("experiments/pooling_vs_stride.yaml", workers=2)
    study.cells  # a pandas DataFrame
    study = runner.load("reports/pooling-vs-stride")

Importing it loads nothing else; each function imports what it needs when it is called.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

if TYPE_CHECKING:
    from os import PathLike

    from runner.errors import RunnerError as RunnerError
    from runner.experiment.load import Given
    from runner.experiment.typed import Component as Component
    from runner.experiment.typed import ComponentLike
    from runner.experiment.typed import CrossValidation as CrossValidation
    from runner.experiment.typed import Experiment as Experiment
    from runner.experiment.typed import ReportSettings as ReportSettings
    from runner.experiment.typed import Search as Search
    from runner.experiment.typed import Training as Training
    from runner.experiment.typed import UntilDecided as UntilDecided
    from runner.flow.description import Description
    from runner.flow.outcome import Outcome
    from runner.flow.power import Power
    from runner.flow.progress import Progress
    from runner.flow.saved_study import Study, StudyResults
    from runner.planning.plan import Plan
    from runner.reporting.between_studies.compare import Comparison

    AnyPath = str | PathLike[str]
    AnyStudy = Given | StudyResults

__version__ = "0.1.0"

_TYPED = (
    "Component", "CrossValidation", "Experiment", "ReportSettings", "Search", "Training", "UntilDecided",
)  # fmt: skip
_LAZY = dict.fromkeys(_TYPED, "runner.experiment.typed") | {"RunnerError": "runner.errors"}
"""Names that are imported when they are used, and from where."""

__all__ = ["compare", "describe", "load", "plan", "power", "report", "run", *_LAZY]  # noqa: PLE0604

P = ParamSpec("P")
R = TypeVar("R")


def _checks_names(function: Callable[P, R]) -> Callable[P, R]:
    """Refuse an unknown option with the nearest right name, which Python itself suggests from 3.13 on only."""
    code: Any = getattr(function, "__code__")  # noqa: B009 (a callable need not have one)
    allowed = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    @functools.wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> R:
        for name in options:
            if name not in allowed:
                from runner.text import did_you_mean

                message = f"runner.{function.__name__}: unknown option '{name}'{did_you_mean(name, allowed)}"
                raise TypeError(message)
        return function(*arguments, **options)

    return call


@_checks_names
def run(
    experiment: Given,
    *,
    overrides: Mapping[str, Any] | Sequence[str] = (),
    workers: int | None = None,
    executor: Literal["process", "serial", "ray"] | None = None,
    reports: AnyPath = "reports",
    tracking_uri: AnyPath | None = None,
    only_failed: bool = False,
    fail_fast: bool = False,
    publish_wait: float = 10.0,
    progress: bool | Progress = True,
    address: str = "auto",
    allow_mixed: bool = False,
) -> Outcome:
    """Train what is missing of an experiment, publish it to MLflow and write its report, as `runner run` does.

    `experiment` is the path of a YAML file, a mapping with the keys of the file, or an `Experiment`. `overrides` sets
    values first: ``{"training.epochs": 3}`` or ``["training.epochs=3"]``. `workers` is the number of worker processes,
    one per core if None; with ``executor="serial"`` everything is trained in this process, and with "ray" on the Ray
    cluster at `address`, by as many workers as it has room for. `tracking_uri` is an address, the path of an sqlite
    file, or ``"none"``. ``progress=False`` shows no progress.

    A fit that fails is recorded and raises nothing: see `Outcome.failed`. Raises RunnerError for wrong input, before
    anything is trained, and KeyboardInterrupt, after the report of what is finished is written, if it is interrupted.
    """
    from runner.flow import study
    from runner.flow.notebook import progress_for
    from runner.flow.outcome import Options

    where: Any = {"reports": reports, "tracking_uri": tracking_uri}  # of wider types, which it converts
    how: Any = {"only_failed": only_failed, "fail_fast": fail_fast, "publish_wait": publish_wait}
    options = Options(workers, executor or "", **where, **how, address=address, allow_mixed=allow_mixed)
    outcome = study.run(experiment, overrides, options, progress_for(progress))
    if outcome.stopped:
        raise KeyboardInterrupt(f"{outcome.progress}; the same call trains the rest")
    return outcome


@_checks_names
def plan(experiment: Given, *, overrides: Mapping[str, Any] | Sequence[str] = ()) -> Plan:
    """The plan of an experiment, given as for `run`: every cell with its cost, nothing trained and no data read.

    Raises RunnerError for wrong input. A cell that cannot be built is not raised but says so in its `problem`.
    """
    from runner.experiment.load import load as load_experiment
    from runner.planning.make_plan import make_plan

    return make_plan(load_experiment(experiment, overrides))


@_checks_names
def power(
    experiment: Given,
    *,
    overrides: Mapping[str, Any] | Sequence[str] = (),
    like: AnyStudy | None = None,
    reports: AnyPath = "reports",
    workers: int | None = None,
) -> Power:
    """The smallest difference that an experiment, given as for `run`, finds with 80% power, for each factor.

    By the variances in the journal of `like`, a study as for `load`; else of the experiment's own journal, if it has
    one. Raises RunnerError for wrong input.
    """
    from runner.experiment.load import load as load_experiment
    from runner.flow.power import power as power_of
    from runner.planning.estimate import default_workers
    from runner.planning.make_plan import runnable_plan

    planned = runnable_plan(load_experiment(experiment, overrides))
    other = None if like is None else _folder(like, reports)
    return power_of(planned, Path(reports) / planned.name, other, workers or default_workers())


@_checks_names
def load(study: AnyStudy, *, reports: AnyPath = "reports") -> Study:
    """A study that was run before, from its folder, the name of its experiment, or the experiment itself.

    Raises RunnerError if there is none.
    """
    from runner.flow.saved_study import Study

    return Study(_folder(study, reports))


@_checks_names
def report(
    study: AnyStudy,
    *,
    formats: str | Sequence[str] = ("html", "md", "csv"),
    reports: AnyPath = "reports",
) -> Path:
    """Write a study's report again, from its journal; returns the page or, without html, the folder.

    `study` is as for `load`, or what `load` or `run` returned. `formats` are of html, md, csv, tex and png.
    """
    from runner.flow.saved_study import Study

    return Study(_folder(study, reports)).write_report(formats)


@_checks_names
def compare(
    first: AnyStudy,
    *others: AnyStudy,
    out: AnyPath | None = None,
    reports: AnyPath = "reports",
) -> Comparison:
    """Put the first of two or more studies, each as for `report`, beside each of the others.

    With `out`, the tables and the diagram of ranks are written to that folder. Raises RunnerError if they share neither
    a cell nor two levels of a factor.
    """
    from runner.errors import RunnerError
    from runner.reporting.between_studies import compare, side_by_side

    if not others:
        raise RunnerError("compare: found one study; expected two or more")
    folders = [_folder(study, reports) for study in (first, *others)]
    studies = [compare.read_report(folder) for folder in folders]
    compare.refuse_same(studies, folders)
    found = compare.compare(studies)
    if out is not None:
        side_by_side.write(found, Path(out))
    return found


@_checks_names
def describe(
    architecture: ComponentLike,
    *,
    input: Sequence[int] = (3, 32, 32),
    classes: int = 10,
    plugins: Sequence[AnyPath] = (),
) -> Description:
    """An architecture layer by layer, for images of the shape `input` (channels, height, width).

    `architecture` is a name, a mapping with its name and parameters, or ``Component("stages", width=8)``. `plugins` are
    files that provide more architectures.
    """
    from runner.flow import description

    return description.describe(architecture, input, classes, plugins)


def _folder(study: AnyStudy, reports: AnyPath) -> Path:
    """The folder of a study."""
    from runner.commands.arguments import report_folder
    from runner.experiment.load import load as load_experiment
    from runner.flow.saved_study import StudyResults

    if isinstance(study, StudyResults):
        return study.folder
    is_path = isinstance(study, str) or hasattr(study, "__fspath__")
    return report_folder(Path(reports), str(study) if is_path else load_experiment(study).name)


if not TYPE_CHECKING:  # for which every name would exist

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module 'runner' has no attribute '{name}'")
        return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_LAZY]
