"""The report in a real browser: no requests, sortable tables, every image visible, and no name run as code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, needs_browser
from reporting_samples import HOSTILE, sample

from runner.reporting.pages.write import write_report

pytestmark = [needs_browser, pytest.mark.figures]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of 60 fits whose levels and classes have names that a page without escaping would run as code."""
    folder = tmp_path_factory.mktemp("report")
    factors = {"<b>first</b>": HOSTILE[:2], "second": HOSTILE[2:], "third": ("1", "2", "3")}
    example = sample(folder / "fits", factors, class_names=HOSTILE)
    assert example.plan.fit_count == 60
    write_report(example.plan, example.frames, folder)
    return folder / "report.html"


@pytest.fixture
def page(browser: Any, report: Path) -> Any:
    for log in ("browser", "performance"):
        browser.get_log(log)
    colours(browser, "light")
    browser.get(report.as_uri())
    return browser


def colours(browser: Any, scheme: str, medium: str = "") -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium, "features": features})


def column(page: Any, table: int, title: str) -> list[str]:
    script = """const table = document.querySelectorAll("table")[arguments[0]];
    const index = [...table.tHead.rows[0].cells].findIndex((head) => head.innerText.trim().startsWith(arguments[1]));
    return [...table.tBodies[0].rows].map((row) => row.cells[index].dataset.key);"""
    return page.execute_script(script, table, title)


def test_the_page_makes_no_requests_and_has_no_errors(page: Any, report: Path) -> None:
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert report.as_uri() in urls
    assert [url for url in urls if url != report.as_uri() and not url.startswith("data:")] == []
    assert page.get_log("browser") == []


def test_a_click_sorts_by_number_and_another_reverses_the_order(page: Any) -> None:
    parameters = page.find_element("xpath", "//table//button[text()='parameters']")
    before = column(page, 0, "parameters")
    parameters.click()
    assert column(page, 0, "parameters") == sorted(before, key=float, reverse=True) != before
    parameters.click()
    assert column(page, 0, "parameters") == sorted(before, key=float)
    page.find_element("xpath", "//table//button[text()='cell']").click()
    assert column(page, 0, "cell") == page.execute_script(
        "return arguments[0].sort((a, b) => a.localeCompare(b))", column(page, 0, "cell")
    )
    assert page.find_element("css selector", "th[aria-sort]").text.startswith("cell")


def test_every_image_is_visible(page: Any) -> None:
    sizes = page.execute_async_script(
        """const done = arguments[0], images = [...document.querySelectorAll("svg image, img")];
        Promise.all(images.map(async (image) => {
          const copy = new Image();
          copy.src = image.href ? image.href.baseVal : image.src;
          await copy.decode();
          return copy.naturalWidth * image.getBoundingClientRect().width;
        })).then(done, (error) => done([String(error)]));"""
    )
    assert len(sizes) > 10 and all(isinstance(size, (int, float)) and size > 0 for size in sizes)
    figures = page.find_elements("css selector", "figure > svg")
    assert len(figures) >= 10 and all(figure.size["height"] > 50 for figure in figures)


def test_names_are_displayed_and_not_run(page: Any) -> None:
    text = page.find_element("tag name", "body").text
    for name in HOSTILE:
        assert name in text
    assert not page.find_elements("css selector", "h1 b, strong b, td b, th b")
    assert len(page.find_elements("tag name", "script")) == 1


def test_it_fits_a_phone(page: Any) -> None:
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    )
    wide = page.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide[0] <= wide[1]


def test_every_table_and_figure_fits_paper(page: Any) -> None:
    colours(page, "dark", "print")
    a4 = {"width": 718, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", a4)
    widths = page.execute_script("return [...document.querySelectorAll('table, svg')].map((part) => part.clientWidth)")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert len(widths) > 10 and max(widths) <= 718


def contrast(page: Any) -> list[float]:
    """The difference in brightness (0 to 255) between the background and the text of the page and of its figures."""
    return page.execute_script(
        """const brightness = (colour) => {
          const [r, g, b] = colour.match(/[\\d.]+/g).map(Number); return 0.3 * r + 0.59 * g + 0.11 * b; };
        const ground = brightness(getComputedStyle(document.body).backgroundColor);
        const texts = [...document.querySelectorAll("figure svg text")].map((text) => getComputedStyle(text).fill);
        return [getComputedStyle(document.body).color, ...texts].map((c) => Math.abs(brightness(c) - ground));"""
    )


def test_text_is_readable_in_light_and_dark_and_on_paper(page: Any) -> None:
    backgrounds = []
    for scheme, medium in (("light", ""), ("dark", ""), ("dark", "print")):
        colours(page, scheme, medium)
        backgrounds.append(page.execute_script("return getComputedStyle(document.body).backgroundColor"))
        differences = contrast(page)
        assert len(differences) > 50
        assert sum(difference < 70 for difference in differences) <= len(differences) // 10  # text on a coloured field
    assert backgrounds[0] == backgrounds[2] == "rgb(255, 255, 255)" != backgrounds[1]


def test_the_page_is_below_3_mb(report: Path) -> None:
    assert report.stat().st_size < 3_000_000
