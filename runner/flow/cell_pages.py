"""The pages of single cells that are published: their networks analysed, their results read from the report."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import RunnerError
from runner.planning.plan import Plan, PlannedCell

if TYPE_CHECKING:
    from runner.components.records import ComponentRef
    from runner.network.analysis import Analysis
    from runner.reporting.pages.cells import CellPage


def page_maker(folder: Path, plugin_files: tuple[str, ...] = ()) -> Callable[[Plan, PlannedCell], CellPage | None]:
    """A function that makes the page of a cell once the report is in `folder`; None if its saved arrays are damaged."""

    def make(plan: Plan, cell: PlannedCell) -> CellPage | None:
        from runner.reporting.pages.cells import cell_page

        with suppress(RunnerError):  # the report, which needs the same files, says what is wrong with them
            return cell_page(plan, cell, folder, analyse(plan, cell.settings.architecture))
        return None

    known: dict[str, Analysis | None] = {}

    def analyse(plan: Plan, architecture: ComponentRef) -> Analysis | None:
        key = f"{architecture}"
        if key not in known:
            known[key] = _analysis(plan, architecture, plugin_files)
        return known[key]

    return make


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
