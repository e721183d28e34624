"""A study of 200 cells x 10 fits in MLflow's UI: how long a browser takes to show each view that publishing writes.

    .venv/bin/python benchmarks/mlflow_ui.py [CELLS]

Needs chromium and chromedriver. Publishing the 2,000 fits first takes about a minute and a half on 2 cores.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import time
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


def main() -> None:
    cells = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as name:
        reports = Path(name) / "reports"
        fits = make_study(reports / "large", cells)
        print(f"{cells} cells x {FITS} fits, load average {os.getloadavg()[0]:.1f}")
        start = time.process_time()
        publish(reports / "large", f"sqlite:///{reports / 'mlflow.db'}")
        print(f"published with {1000 * (time.process_time() - start) / fits:.1f} ms of CPU time per fit")
        start = time.perf_counter()
        with ui(Path(name)) as (process, address, _):
            print(f"{time.perf_counter() - start:5.1f} s until `runner ui` printed the address")
            with chromium(Path(name) / "browser", (1920, 1080)) as page:
                first = "in a browser without a cache"
                for title, key, rows in (
                    (f"cells, {first}", FIRST, 15), ("cells again", FIRST, 15), ("curves", CURVES, 15),
                    ("failed fits", f"{OURS}failed", 1),
                ):  # fmt: skip
                    chart = key == CURVES
                    shown = address.replace(FIRST, key) + ("&compareRunsMode=CHART" if chart else "")
                    print(f"{seconds_to_show(page, shown, rows, chart):5.1f} s  {title}")
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            memory = " + ".join(f"{each.memory_info().rss / 1e6:.0f}" for each in family)
            print(f"{memory} MB: `runner ui`, MLflow's command, its worker")


if __name__ == "__main__":
    main()
