"""What a person sees in MLflow's UI behind the address that `runner ui` prints, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browsed_study import make_study, publish_study
from browser import chromium, needs_browser, wait_for
from command import run_here
from mlflow_runs import free_port, ui
from team_server import mlflow_server, postgresql, skip_without

from runner.cli import main
from runner.tracking.colours import PALETTE
from runner.tracking.new_store import create_store
from runner.tracking.saved_views import CURVES, FIRST, OURS
from runner.tracking.ui_address import Server, view_page

pytestmark = [needs_browser, pytest.mark.figures]
NAME = "filters"
WIDE = (1920, 1080)
"""The table leaves out the columns for which the window has no room."""


@contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    """The store that `runner run` writes; its page is served by `runner ui`."""
    publish_study(folder / "reports", NAME)
    with ui(folder) as (_, address, lines):
        assert address, lines
        yield address


@contextmanager
def team(folder: Path) -> Iterator[str]:
    """A team's server on PostgreSQL, through which the artifacts go; `runner ui` prints its page."""
    skip_without("psycopg")
    artifacts = ("--artifacts-destination", str(folder / "artifacts"))
    with (
        postgresql("mlflow") as databases,
        mlflow_server(folder, *artifacts, MLFLOW_BACKEND_STORE_URI=f"{databases}/mlflow") as server,
    ):
        publish_study(folder / "reports", NAME, server)
        opened = run_here(folder, "ui", publish=True, MLFLOW_TRACKING_URI=server)
        assert opened.stderr == ""
        yield opened.stdout.strip()


@pytest.fixture(scope="module", params=[sqlite, pytest.param(team, marks=pytest.mark.long)])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address that `runner ui` prints for a study of twelve cells."""
    folder = tmp_path_factory.mktemp("study")
    make_study(folder / "reports", NAME)
    with request.param(folder) as address:
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("browser"), WIDE) as driver:
        driver.get(f"{address.partition('#')[0]}static-files/favicon.ico")
        # At the first visit a chat opens in a third of the window.
        for key, value in (("fab.autoOpenedOnFirstLoad", "true"), ("panelOpen", "false")):
            driver.execute_script(f"localStorage.setItem('mlflow.assistant.{key}_v1', '{value}')")
        yield driver


def rows(page: Any) -> list[dict[str, str]]:
    """The table's rows from top to bottom: the text below each column's title, from left to right."""
    # As pairs: an object would come back with its keys sorted. A cell with a colour has its code as a line of its own.
    found = page.execute_script(
        """const left = (element) => element.getBoundingClientRect().left;
        const titles = [...document.querySelectorAll(".ag-header-cell")].sort((a, b) => left(a) - left(b));
        const rows = {};
        for (const row of document.querySelectorAll(".ag-row")) {
          const cells = Object.fromEntries([...row.querySelectorAll("[col-id]")].map(
            (cell) => [cell.getAttribute("col-id"), cell.innerText.replace(/^#.*\\n/, "")]));
          Object.assign(rows[row.getAttribute("row-index")] ??= {}, cells);
        }
        return Object.keys(rows).sort((a, b) => a - b).map((index) => titles
          .map((title) => [title.innerText.trim(), rows[index][title.getAttribute("col-id")]])
          .filter(([title, text]) => title && text !== undefined));"""
    )
    return [dict(row) for row in found]


def visit(page: Any, address: str) -> None:
    page.get("about:blank")  # the addresses of one page differ behind the # only, which alone loads nothing
    page.get(address)


def opened(page: Any, address: str, count: int) -> list[dict[str, str]]:
    """The rows that the page at `address` shows, once they are `count`."""
    visit(page, address)
    return wait_for(lambda: rows(page), lambda found: len(found) == count)


def other_view(address: str, key: str) -> str:
    chart = "&compareRunsMode=CHART" if key == CURVES else ""
    return address.replace(FIRST, key) + chart


def open_cell(page: Any, address: str) -> str:
    """Open the page of the best cell; returns its name."""
    name = opened(page, address, 12)[0]["Run Name"]
    page.find_element("link text", name).click()
    wait_for(lambda: page.find_element("xpath", "//*[text()='About this run']"))
    return name


def text(page: Any) -> str:
    return str(page.find_element("tag name", "body").text)


def test_the_printed_address_shows_all_cells_with_their_factors_best_first(browser: Any, address: str) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#/experiments/\d+/runs\?\S+", address)
    columns = ["Run Name", "Created", "filters", "downsample", "optimizer", "val_accuracy"]
    opened(browser, address, 12)
    cells = wait_for(lambda: rows(browser), lambda found: [*found[0]][:6] == columns)
    assert len(cells) == 12 and [*cells[0]][:6] == columns
    assert len({(cell["filters"], cell["downsample"], cell["optimizer"]) for cell in cells}) == 12
    accuracies = [float(cell["val_accuracy"]) for cell in cells]
    assert accuracies == sorted(accuracies, reverse=True) and len(set(accuracies)) == 12
    assert {"fits_ok", "fits_planned", "parameters", "macs"} <= cells[0].keys()
    assert "12 matching runs" in text(browser)


def lines(page: Any) -> dict[str, int]:
    """How many lines each chart has, by its title."""
    found = page.execute_script(
        """return [...document.querySelectorAll(".js-plotly-plot")].map((plot) => [
          plot.closest("[data-testid=experiment-view-compare-runs-card]").innerText.split("\\n")[0],
          [...plot.querySelectorAll(".scatterlayer .trace")].filter((line) => line.querySelector(".point")).length]);"""
    )
    return dict(found)


def colours(page: Any) -> set[str]:
    """Of the lines of the first chart, as in ``#0072b2``."""
    found = page.execute_script(
        """return [...document.querySelector(".js-plotly-plot").querySelectorAll(".scatterlayer .trace .js-line")]
          .map((line) => line.style.stroke.match(/\\d+/g).map(Number));"""
    )
    return {"#" + "".join(f"{part:02x}" for part in colour[:3]) for colour in found}


def test_the_curves_of_all_cells_are_lines_and_those_of_four_are_four(browser: Any, address: str) -> None:
    visit(browser, other_view(address, CURVES))
    charts = wait_for(lambda: lines(browser), lambda found: found.get("val/accuracy") == 12)
    assert list(charts)[:3] == ["val/accuracy", "val/loss", "train/loss"] and charts["val/accuracy"] == 12
    assert colours(browser) == set(PALETTE)
    box = browser.find_element("css selector", "[data-testid=search-box]")
    box.send_keys(" and params.filters = '7x7'\n")
    charts = wait_for(lambda: lines(browser), lambda found: found.get("val/accuracy") == 4)
    assert charts["val/accuracy"] == 4 and len(rows(browser)) == 4


def test_each_factor_has_a_view_whose_groups_are_its_levels(browser: Any, address: str) -> None:
    opened(browser, address, 12)
    browser.find_element("css selector", "[data-testid=saved-views-trigger]").click()
    menu = wait_for(lambda: [item.text for item in browser.find_elements("css selector", "[role=menuitem]")], len)
    names = [line for item in menu for line in item.splitlines() if re.match(r"Cells|Curves|By |Failed", line)]
    assert names == [
        "Cells, best first", "Curves of the best cells", "By filters", "By downsample", "By optimizer", "Failed fits",
    ]  # fmt: skip
    browser.find_element("xpath", "//*[text()='By filters']").click()
    found = wait_for(lambda: rows(browser), lambda found: len(found) == 15)
    groups = [row["Run Name"] for row in found if "Group" in row["Run Name"]]
    assert [group.split() for group in groups] == [["Group:", level, "4"] for level in ("7x7", "5x5", "3x3")]


def test_a_failed_fit_is_found_with_its_reason(browser: Any, address: str) -> None:
    (fit,) = opened(browser, other_view(address, f"{OURS}failed"), 1)
    assert (fit["filters"], fit["downsample"], fit["optimizer"]) == ("7x7", "strided_conv", "sgd")
    assert (fit["repeat"], fit["fold"]) == ("1", "2")
    assert fit["runner.reason"] == "the loss is not finite"


def test_the_page_of_a_cell_has_its_result_its_factors_and_its_fits(browser: Any, address: str) -> None:
    name = open_cell(browser, address)
    shown = wait_for(lambda: text(browser), lambda found: "val_accuracy" in found and "downsample" in found)
    assert "val_accuracy" in shown and "downsample\nstrided_conv" in shown
    assert re.search(r"Does it matter\?\nValidation accuracy: \S+ \(\d of 3 fits", shown), "the description"
    assert re.search(r"Metric\nValue\nval_accuracy\n", shown), "the metric of the study comes first"
    fits = [link.text for link in browser.find_elements("partial link text", "fold ")]
    assert sorted(fits) == [f"{name} · repeat 1 fold {fold}" for fold in (1, 2, 3)]
    browser.find_element("link text", fits[0]).click()
    assert "Parent run" in wait_for(lambda: text(browser), lambda found: "Parent run" in found)


def test_two_cells_are_compared_by_their_factors(browser: Any, address: str) -> None:
    opened(browser, address, 12)
    for box in browser.find_elements("css selector", ".ag-row .ag-checkbox-input")[:2]:
        browser.execute_script("arguments[0].click()", box)
    wait_for(lambda: browser.find_element("xpath", "//button[contains(., 'Compare')]")).click()
    shown = wait_for(lambda: text(browser), lambda found: "Comparing 2 Runs" in found and "downsample" in found)
    assert "Comparing 2 Runs from 1 Experiment" in shown
    assert {"filters", "downsample", "optimizer"} <= set(shown.split())
    assert "Metrics:\nval_accuracy\nClear All" in shown, "the metric that the chart opens on"


def test_the_report_and_its_pictures_are_a_click_away(browser: Any, address: str) -> None:
    opened(browser, address, 12)
    # It opens in a tab of its own.
    report = wait_for(lambda: browser.find_element("link text", "Report")).get_attribute("href")
    visit(browser, report)
    frame = wait_for(lambda: browser.find_element("css selector", "iframe"))
    browser.switch_to.frame(frame)
    try:
        assert wait_for(lambda: browser.find_element("tag name", "h1").text) == NAME
        heights = browser.execute_script(
            "return [...document.querySelectorAll('figure > svg')].map((f) => f.getBoundingClientRect().height)"
        )
        assert len(heights) >= 5 and min(heights) > 50
    finally:
        browser.switch_to.default_content()


def test_a_ui_of_an_unknown_version_shows_the_cells_in_the_same_order(browser: Any, address: str) -> None:
    base = address.partition("/#/")[0]
    page = view_page(base, Server(base).find_study(NAME), "9.9.9")
    best = [cell["Run Name"] for cell in opened(browser, address, 12)]
    assert [cell["Run Name"] for cell in opened(browser, page.address, 12)] == best


def test_names_and_ports_that_cannot_be_are_one_line(address: str, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    base = address.partition("/#/")[0]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", base)
    for given in (["ui"], ["ui", NAME]):
        assert main(given) == 0 and capsys.readouterr() == (f"{address}\n", "")
    assert main(["ui", "fitlers"]) == 2
    line = f"{base}: no study 'fitlers'; did you mean '{NAME}'? allowed: {NAME}\n"
    assert capsys.readouterr() == ("", line)
    (tmp_path / "some.db").touch()
    port = base.rpartition(":")[2]
    assert main(["ui", "--tracking-uri", f"sqlite:///{tmp_path / 'some.db'}", "--port", port]) == 2
    assert capsys.readouterr().err == f"127.0.0.1:{port}: Address already in use; `--port N` takes another port\n"


def test_a_server_that_cannot_start_is_one_line(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here for a setting of MLflow's own that it refuses."""
    create_store(tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_WORKERS", "many")
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert main(["ui", "--tracking-uri", store, "--port", str(free_port())]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and printed.startswith("the MLflow server ended with status ")
    assert "many" in printed
