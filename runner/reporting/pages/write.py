"""Writes the files of a report from a plan and its journal: tables, figures, report.md and report.html."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import jinja2

from runner.files import atomic_write
from runner.journal.frames import Frames
from runner.planning.plan import Plan
from runner.reporting.figures.draw import DARK_CSS, Picture, make_figures
from runner.reporting.pages import content
from runner.reporting.pages.formats import DEFAULT_FORMATS
from runner.reporting.tables.study_tables import Tables, make_tables
from runner.reporting.text.latex import latex
from runner.text import markdown, markdown_code, plural


def write_report(plan: Plan, journal: Frames, folder: Path, formats: Iterable[str] = DEFAULT_FORMATS) -> Tables:
    """Write the report of `plan` into `folder` in the given formats; equal input gives equal files.

    `html` and `md` come with their figures as SVG; `png` writes the figures as PNG, too. `csv` and `tex` write the
    tables. `folder` has the arrays of the fits in ``fits/``. Raises RunnerError if one of those files is damaged.
    """
    formats = set(formats)
    tables = make_tables(plan, journal, folder / "fits")
    context = content.context(plan, tables, journal)
    if "csv" in formats:
        tables.write(folder / "tables")
    if "tex" in formats:
        for name in ("cells", "comparisons", "learning"):
            atomic_write.write(folder / "tables" / f"{name}.tex", latex(context[name]))
    # Drawing takes half a second for 30 fits, and tables alone do not need it.
    if not formats & {"html", "md", "png"}:
        return tables
    figures = make_figures(plan, tables, folder / "fits", png="png" in formats)
    _write_figures(figures, folder / "figures")
    for kind in formats & {"html", "md"}:
        text = make_template(f"report.{kind}.j2", kind == "html").render(**context, figures=figures, dark=DARK_CSS)
        atomic_write.write(folder / f"report.{kind}", text)
    return tables


def _write_figures(figures: dict[str, Picture], folder: Path) -> None:
    """Write the figures, and delete those of an earlier report that this one does not have."""
    for old in folder.glob("*.svg"):
        if old.stem not in figures:
            old.unlink()
    for name, picture in figures.items():
        atomic_write.write(folder / f"{name}.svg", picture.svg + "\n")
        if picture.png:
            atomic_write.write(folder / f"{name}.png", picture.png)


@cache
def make_template(name: str, escape: bool) -> jinja2.Template:
    """A template of this folder; `escape` for HTML."""
    loader = jinja2.PackageLoader("runner.reporting.pages", "templates")
    environment = jinja2.Environment(loader=loader, autoescape=escape, trim_blocks=True, lstrip_blocks=True)
    # Jinja escapes for HTML only; the Markdown template uses these filters.
    environment.filters |= {"markdown": markdown, "markdown_code": markdown_code, "plural": plural}
    return environment.get_template(name)
