"""A study of 200 cells x 10 fits in MLflow's UI: how long a browser takes to show each view that publishing writes.

    .venv/bin/python benchmarks/mlflow_ui.py [CELLS]

Needs chromium and chromedriver. Publishing the 2,000 fits first takes one to three minutes on 2 cores.
The figures are saved in benchmarks/results/mlflow_ui.csv.
"""

from __future__ import annotations

import csv
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

HELPERS = Path(__file__).parents[1] / "tests" / "helpers"
sys.path.insert(0, str(HELPERS))

from browser import chromium, wait_for  # noqa: E402
from mlflow_runs import ui  # noqa: E402
from reporting_samples import make_plan, results  # noqa: E402

from runner.flow.publishing import publish  # noqa: E402
from runner.journal.journal import open_journal  # noqa: E402
from runner.planning import plan_file  # noqa: E402
from runner.tracking.saved_views import CURVES, FIRST, OURS  # noqa: E402

RESULT = Path(__file__).parent / "results" / "mlflow_ui.csv"
FITS = 10
FACTORS = {"architecture.width": 10, "architecture.kernel": 5, "optimizer.lr": 4}
"""The levels of each factor: 200 cells."""


def make_study(folder: Path, cells: int) -> int:
    """Write a finished study whose cells are the first ones of the grid; returns how many fits it has."""
    factors = {name: tuple(map(str, range(count))) for name, count in FACTORS.items()}
    plan = make_plan(factors, folds=5, repeats=FITS // 5, name="large")
    plan = replace(plan, cells=plan.cells[:cells], fits=dict(itertools.islice(plan.fits.items(), cells)))
    folder.mkdir(parents=True)
    plan_file.save(plan, folder / "plan.yaml")
    failed = (plan.fits[plan.cells[0].id][3],)
    with open_journal(folder) as journal:
        journal.append(*(replace(result, finished=1_700_000_000_000) for result in results(plan, failed=failed)))
    return plan.fit_count


def seconds_to_show(page: Any, address: str, rows: int, chart: bool = False) -> float:
    """From the visit until the page shows at least `rows` rows of runs and, with `chart`, a line for each of 20."""
    count = """return [document.querySelectorAll(".ag-pinned-left-cols-container .ag-row").length,
        [...document.querySelectorAll(".js-plotly-plot .scatterlayer .trace .point")].length]"""
    page.get("about:blank")
    start = time.perf_counter()
    page.get(address)
    found = wait_for(
        lambda: page.execute_script(count), lambda found: found[0] >= rows and (not chart or found[1]), 120
    )
    assert found[0] >= rows, found
    return time.perf_counter() - start


def measure(folder: Path, cells: int) -> Iterator[tuple[str, float, str]]:
    """What is measured, its value and its unit."""
    reports = folder / "reports"
    fits = make_study(reports / "large", cells)
    start = time.process_time()
    publish(reports / "large", f"sqlite:///{reports / 'mlflow.db'}")
    yield "publishing a fit, CPU time", 1000 * (time.process_time() - start) / fits, "ms"
    start = time.perf_counter()
    with ui(folder) as (process, address, _):
        yield "`runner ui` until it prints the address", time.perf_counter() - start, "s"
        with chromium(folder / "browser", (1920, 1080)) as page:
            for title, key, rows in (
                ("cells, in a browser without a cache", FIRST, 15), ("cells again", FIRST, 15),
                ("curves", CURVES, 15), ("failed fits", f"{OURS}failed", 1),
            ):  # fmt: skip
                chart = "&compareRunsMode=CHART" if key == CURVES else ""
                yield title, seconds_to_show(page, address.replace(FIRST, key) + chart, rows, bool(chart)), "s"
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for name, each in zip(("`runner ui`", "MLflow's command", "its worker"), family, strict=True):
            yield f"memory of {name}", each.memory_info().rss / 1e6, "MB"


def main() -> None:
    cells = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    lines = [["cells", "fits per cell", "load average", "what", "value", "unit"]]
    with tempfile.TemporaryDirectory() as name:
        for what, value, unit in measure(Path(name), cells):
            lines.append([str(cells), str(FITS), f"{os.getloadavg()[0]:.1f}", what, f"{value:.1f}", unit])
            print(f"{value:6.1f} {unit:2}  {what}", flush=True)
    with RESULT.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


if __name__ == "__main__":
    main()
