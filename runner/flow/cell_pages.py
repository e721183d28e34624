"""The pages of single cells that are published: their networks analysed, their results read from the report."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import RunnerError
from runner.planning.plan import Plan, PlannedCell

if TYPE_CHECKING:
    from runner.components.records import ComponentRef
    from runner.network.analysis import Analysis
    from runner.reporting.pages.cells import CellPage, Reported


class CellPages:
    """Makes the pages of cells, once the report is in `folder`."""

    def __init__(self, folder: Path, plugin_files: tuple[str, ...] = ()) -> None:
        self._folder, self._plugin_files = folder, plugin_files
        self._analyses: dict[str, Analysis | None] = {}

    def __call__(self, plan: Plan, cell: PlannedCell) -> CellPage | None:
        """The page of a cell; None if the saved arrays of its first fit are damaged."""
        from runner.reporting.pages.cells import cell_page

        with suppress(RunnerError):  # the report, which needs the same files, says what is wrong with them
            return cell_page(plan, cell, self._report, self._analysis(plan, cell.settings.architecture))
        return None

    @cached_property
    def _report(self) -> Reported:
        from runner.reporting.pages.cells import Reported

        return Reported.read(self._folder)

    def _analysis(self, plan: Plan, architecture: ComponentRef) -> Analysis | None:
        key = str(architecture)
        if key not in self._analyses:
            self._analyses[key] = _analysis(plan, architecture, self._plugin_files)
        return self._analyses[key]


def _analysis(plan: Plan, architecture: ComponentRef, plugin_files: tuple[str, ...]) -> Analysis | None:
    """The analysis of a network of layers. None if it is a module, or of a plugin that is not at hand."""
    from runner.components.catalog import load_catalog
    from runner.network.analysis import analyse
    from runner.network.graph import Network

    shape, classes = plan.data.get("shape"), len(plan.data.get("class_names", ()))
    with suppress(RunnerError):
        built = load_catalog(plugin_files).build("architecture", architecture, tuple(shape or ()), classes)
        if isinstance(built, Network):
            return analyse(built, tuple(shape or ()), classes)
    return None
