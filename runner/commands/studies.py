"""What an argument stands for: the file of an experiment, or the folder of a study, however either is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import RunnerError
from runner.text import MOST_NAMES, did_you_mean

if TYPE_CHECKING:
    from runner.experiment.schema import Experiment

PLAN, JOURNAL = "plan.yaml", "journal.jsonl"
_EXPERIMENT = (".yaml", ".yml")


def study_names(reports: Path) -> list[str]:
    """The names of the studies in a reports folder."""
    return sorted(path.parent.name for path in reports.glob(f"*/{PLAN}"))


def report_folder(reports: Path, given: str) -> Path:
    """The folder of the study that an experiment's file, a name, a folder or a file in it stands for.

    A word alone is a name first, and a path, such as ``./word``, is a path first. Raises RunnerError if there is no
    such study, if its folder belongs to another file of the same name, and for links in it as `refuse_links`.
    """
    from runner.files.own_files import refuse_links

    folder = _find_folder(reports, given)
    refuse_links(folder)
    return folder


def _find_folder(reports: Path, given: str) -> Path:
    path, named = Path(given), reports / given
    is_experiment = given.endswith(_EXPERIMENT) and path.is_file() and not _is_plan(path)
    places = [named, path] if path.name == given else [path, named]
    found = [place for place in places if _is_study(place)]
    if found and not is_experiment:
        return found[0]
    if path.is_file():
        if not is_experiment and (study := _study_with(path)):
            return study
        return _folder_of_file(reports, path)
    folders = [place for place in places if place.is_dir()]
    if folders and (inner := study_names(folders[0])):
        raise RunnerError(f"{folders[0]}: a folder of studies; name one of them: {_listed(inner)}")
    if named in folders:
        return named  # of a run that was stopped before anything was saved; whoever reads it says what is missing
    if folders:
        studies = f"; the studies in {reports}: {_listed(study_names(reports))}" if study_names(reports) else ""
        raise RunnerError(f"{given}: not the folder of a study, as it has no {PLAN}{studies}")
    if given.endswith(_EXPERIMENT):
        from runner.experiment.read import near

        stem = path.name.removesuffix(path.suffix)
        nearest = f"; the study '{stem}' is in {reports}" if (reports / stem / PLAN).is_file() else near(path)
        raise RunnerError(f"{path}: no such file{nearest}")
    missing = named if path.name == given else given  # a path is written as it was given
    raise RunnerError(f"{missing}: no such report{did_you_mean(named.name, study_names(reports))}")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{', '.join(names[:MOST_NAMES])}{more}"


def _study_with(file: Path) -> Path | None:
    """The study whose folder has a file: its journal or page, or, one folder below, a table, a figure or a fit's."""
    return next((folder for folder in list(file.parents)[:2] if _is_study(folder)), None)


def _folder_of_file(reports: Path, path: Path) -> Path:
    from runner.experiment.load import load

    experiment = load(path)
    folder = reports / experiment.name
    if not folder.is_dir():
        raise RunnerError(f"{folder}: no such report{did_you_mean(experiment.name, study_names(reports))}")
    _refuse_other_file(folder, path, experiment)
    return folder


def _refuse_other_file(folder: Path, path: Path, experiment: Experiment) -> None:
    """Raise RunnerError if the study in `folder` is that of another file than `path` with the same name in it."""
    planned = planned_file(folder)
    other = Path(planned)
    if not planned or (other.exists() and other.samefile(path)):
        return
    # The same file as seen from elsewhere, edited perhaps. A file of another name may be this one, renamed.
    if not other.exists() and other.name == path.name:
        return
    from runner.planning import plan_file
    from runner.planning.make_plan import make_plan

    old, new = plan_file.read(folder / PLAN), make_plan(experiment)
    if {cell.id for cell in old.cells} == {cell.id for cell in new.cells} and old.dataset.name == new.dataset.name:
        return
    message = f"{folder} is the study of {planned}, which has the name '{experiment.name}' too, and other cells"
    raise RunnerError(f"{path}: {message}; give that name for its report, or give one of the files another name")


def check_experiment_file(file: str, reports: Path) -> None:
    """Raise RunnerError that says what to give instead, if `file` is a study or a part of one."""
    path, named = Path(file), reports / file
    if path.is_dir():
        if _is_study(path):
            raise RunnerError(f"{file}: the folder of a study; expected an experiment's file{_from(path)}")
        near = did_you_mean(file, map(str, [*path.glob("*.yaml"), *path.glob("*.yml")]))
        raise RunnerError(f"{file}: a folder; expected an experiment's file{near}")
    study = _study_with(path) if path.is_file() else None
    if study and (_is_plan(path) or not file.endswith(_EXPERIMENT)):
        raise RunnerError(f"{file}: a file of a study's folder; expected an experiment's file{_from(study)}")
    if not path.exists() and _is_study(named):
        raise RunnerError(f"{file}: the name of a study; expected an experiment's file{_from(named)}")


def _from(folder: Path) -> str:
    """The end of a message: the file that the study in `folder` was made from."""
    planned = planned_file(folder)
    return f", such as {planned}, which it is made from" if planned else ""


def planned_file(folder: Path) -> str:
    """The experiment's file of the study in `folder`, as it was given then; "" if that is unknown."""
    from runner.planning import plan_file

    return plan_file.read_entry(folder / PLAN, "file")


def _is_study(folder: Path) -> bool:
    return (folder / JOURNAL).is_file() or _is_plan(folder / PLAN)


def _is_plan(path: Path) -> bool:
    """Whether a file is a plan that a run wrote: an experiment may be called plan.yaml too."""
    if path.name != PLAN or not path.is_file():
        return False
    with path.open("rb") as file:
        return bool(re.search(rb"^factors:", file.read(1_000_000), re.MULTILINE))
