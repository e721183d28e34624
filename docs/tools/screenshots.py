"""The pictures of docs/how-to/browse.md: the gallery's study of pooling in MLflow's UI. Run after a change to views.

    .venv/bin/python docs/tools/screenshots.py

Needs chromium and chromedriver. Look at the pictures before committing them.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from browser import chromium, wait_for  # noqa: E402
from mlflow_runs import ui  # noqa: E402

from runner.flow.publishing import publish  # noqa: E402
from runner.tracking.saved_views import CURVES, FIRST, OURS, PREFIX  # noqa: E402

STUDY = "pooling-vs-stride-fashion"
PICTURES = ROOT / "docs" / "how-to" / "browse"
SIZE = (1500, 900)
COLOURS = 200
"""A page has few; the file is half as large."""
SETTLED = 3.0
"""Seconds in which a page moves its charts and columns to their places."""


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        reports = Path(name) / "reports"
        shutil.copytree(ROOT / "reports" / "gallery" / STUDY, reports / STUDY)
        publish(reports / STUDY, f"sqlite:///{reports / 'mlflow.db'}")
        with ui(Path(name), STUDY) as (_, address, _), chromium(Path(name) / "browser", SIZE) as page:
            page.get(f"{address.partition('#')[0]}static-files/favicon.ico")
            for key, value in (("fab.autoOpenedOnFirstLoad", "true"), ("panelOpen", "false")):
                page.execute_script(f"localStorage.setItem('mlflow.assistant.{key}_v1', '{value}')")
            take(page, "cells", address, ".ag-row")
            take(page, "curves", address.replace(FIRST, CURVES) + "&compareRunsMode=CHART", ".js-plotly-plot")
            page.get(address)
            report = wait_for(lambda: page.find_element("link text", "Report")).get_attribute("href")
            take(page, "factor", address.replace(FIRST, first_factor(page)), ".ag-row")
            take(page, "report", report, "iframe", show_figures)


def first_factor(page: Any) -> str:
    """The key of the view of the first factor, from the list of views that the page has read."""
    tags = page.execute_async_script(
        """const done = arguments[0];
        fetch("ajax-api/2.0/mlflow/experiments/search", {method: "POST", headers: {"Content-Type": "application/json"},
          body: JSON.stringify({max_results: 1000})}).then((answer) => answer.json())
          .then((answer) => done(answer.experiments.flatMap((experiment) => experiment.tags ?? [])));"""
    )
    return next(tag["key"].removeprefix(PREFIX) for tag in tags if f"{PREFIX}{OURS}by-" in tag["key"])


def show_figures(page: Any) -> None:
    """Scroll the report to its first figure, and leave out the artifact's path, which is that of a temporary folder."""
    page.execute_script(
        "for (const text of document.querySelectorAll('*')) {"
        "  if (!text.children.length && text.textContent.startsWith('Path:')) text.style.visibility = 'hidden'; }"
    )
    page.switch_to.frame(page.find_element("css selector", "iframe"))
    page.execute_script("document.querySelector('figure').scrollIntoView()")
    page.switch_to.default_content()


def take(page: Any, name: str, address: str, shown: str, prepare: Callable[[Any], None] = lambda page: None) -> None:
    """Save the page at `address` once an element with the selector `shown` is there."""
    page.get("about:blank")
    page.get(address)
    wait_for(lambda: page.find_element("css selector", shown))
    time.sleep(SETTLED)
    prepare(page)
    file = PICTURES / f"{name}.png"
    picture = Image.open(io.BytesIO(page.get_screenshot_as_png())).convert("RGB")
    # This method keeps the colours of small dots, which are those of the cells.
    picture.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
