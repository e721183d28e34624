"""What `predict`, `export` and `look` share: which saved fits of which study are meant."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runner.commands.arguments import add_plugin, add_reports, plugin_files, positive, report_folder

if TYPE_CHECKING:
    from runner.planning.plan import Plan, PlannedCell
    from runner.trained.networks import TrainedNetwork


def add_saved(parser: argparse.ArgumentParser, fits: str) -> None:
    """STUDY[/CELL] and the options that choose among its saved fits; `fits` says which is the default."""
    study = "an experiment's file or name, or a report's folder; then the name or id of a cell (default: the best)"
    parser.add_argument("study", metavar="STUDY[/CELL]", help=study)
    parser.add_argument("--repeat", type=positive, metavar="R", help=f"of the fit, from 1 (default: {fits})")
    parser.add_argument("--fold", type=positive, metavar="F", help="of the fit, from 1")
    add_plugin(parser)
    add_reports(parser)


@dataclass(frozen=True)
class ChosenFits:
    """Saved fits of one cell: their (repeat, fold), from 0, and their files. `plugins` are the files of plugins."""

    plan: Plan
    cell: PlannedCell
    fits: list[tuple[int, int]]
    paths: list[Path]
    plugins: tuple[str, ...]

    def networks(self) -> list[TrainedNetwork]:
        from runner.trained.networks import open_network

        return [open_network(path, self.plugins, path.stem) for path in self.paths]


def chosen_fits(given: argparse.Namespace, several: bool = False) -> ChosenFits:
    """The best of the saved fits that the arguments choose, or with `several` all of them; raises RunnerError."""
    from runner.trained import file
    from runner.trained.choose import SavedFits

    folder, cell_name, experiment = _study_and_cell(given.reports, given.study)
    saved = SavedFits.open(folder)
    cell = saved.cell(cell_name)
    ids = saved.saved(cell, given.repeat, given.fold)
    ids = ids if several else [saved.best_of(ids)]
    numbers = {fit: (repeat, fold) for fit, _, repeat, fold in saved.plan.fit_keys()}
    plugins = (*plugin_files(given), *_plugins_of(experiment))
    return ChosenFits(
        saved.plan, cell, [numbers[fit] for fit in ids], [file.path_of(folder, fit) for fit in ids], plugins
    )


def _study_and_cell(reports: Path, given: str) -> tuple[Path, str | None, str]:
    """The report's folder and the cell in ``STUDY/CELL``, and the experiment's file, "" if that is not given.

    Both may have further slashes, so the longest study counts. Raises RunnerError if there is no such report.
    """
    parts = given.split("/")
    for end in range(len(parts), 0, -1):
        study = "/".join(parts[:end])
        is_file = study.endswith((".yaml", ".yml")) and Path(study).is_file()
        if is_file or any((place / "plan.yaml").is_file() for place in (reports / study, Path(study))):
            return report_folder(reports, study), "/".join(parts[end:]) or None, study if is_file else ""
    return report_folder(reports, given), None, ""  # raises, and names the nearest report


def _plugins_of(experiment: str) -> tuple[str, ...]:
    """The plugin files of an experiment that the user has named; a report's folder names none that would be run."""
    if not experiment:
        return ()
    from runner.experiment.load import load

    return load(experiment).plugin_files


def plugins_of_study(given: argparse.Namespace, folder: Path) -> tuple[str, ...]:
    """The files of the --plugin options, and those of the experiment if its file was given and not its study."""
    path = Path(given.experiment)
    is_experiment = path.is_file() and not path.resolve().is_relative_to(folder.resolve())
    return (*plugin_files(given), *_plugins_of(given.experiment if is_experiment else ""))


def named(fit: tuple[int, int]) -> str:
    """``repeat 1 fold 2``"""
    return f"repeat {fit[0] + 1} fold {fit[1] + 1}"
