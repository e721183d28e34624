"""The report step: written from the journal, unless the files on disk are already what would be written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from runner.data.splits_file import NAME
from runner.files import build_stamp
from runner.files.content_hash import content_id
from runner.journal.index import SelectedResults
from runner.planning import plan_file
from runner.planning.plan import Plan
from runner.reporting.journal_frames import seen_before, selected_frames

if TYPE_CHECKING:
    from runner.reporting.tables.study_tables import Tables
    from runner.reporting.text.verdict import Verdict

OUTPUTS = ("report.html", "report.md", "tables/*.csv", "figures/*.svg")


def load_in_background() -> None:
    """Import the report's libraries while fits train; after the last fit, a user would wait for them."""

    def load() -> None:
        with suppress(Exception):  # whatever is wrong, writing the report will say it
            import_module("runner.reporting.pages.write")

    # A daemon, so that a command that ends early does not wait for the imports.
    threading.Thread(target=load, daemon=True).start()


def write(plan: Plan, results: SelectedResults, folder: Path) -> tuple[Verdict, Callable[[], Tables]]:
    """Write the report if it would change; returns what it says and a function that makes its tables."""
    key, stamp = _key(plan, results, folder), folder / ".report.made"
    verdict = build_stamp.read_stamp(stamp, key)
    if verdict:
        return verdict, partial(_tables, plan, results, folder)
    # Only now: an unchanged report is answered from its stamp, without pandas, SciPy and matplotlib.
    from runner.reporting.pages.write import write_report
    from runner.reporting.text.verdict import verdict as verdict_of

    tables = write_report(plan, selected_frames(plan, results.results, folder), folder)
    verdict = verdict_of(plan, tables)
    build_stamp.write_stamp(stamp, key, chain.from_iterable(map(folder.glob, OUTPUTS)), verdict)
    return verdict, lambda: tables


def _key(plan: Plan, results: SelectedResults, folder: Path) -> str:
    """Identifies everything that the report is made from: plan, results, the fits' arrays and our own code."""
    arrays = [
        file for file in (*(folder / "fits").glob("*.npz"), folder / NAME) if file.exists() and file.stat().st_size
    ]
    program = Path(__file__).parents[1]
    # With the code, or a new version of ours would leave the reports of the old one as they are.
    code = [file for file in (program / "reporting").rglob("*") if file.suffix in (".py", ".j2", ".css", ".js")]
    states = [build_stamp.file_states(arrays, folder), build_stamp.file_states(code, program)]
    seen = seen_before(plan, results.results)
    return content_id([plan_file.digest(plan), results.results.digest(results.fits), list(seen), *states])


def _tables(plan: Plan, results: SelectedResults, folder: Path) -> Tables:
    from runner.reporting.tables.study_tables import make_tables

    return make_tables(plan, selected_frames(plan, results.results, folder), folder / "fits")
