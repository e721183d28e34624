"""The report's files: the content of each format, equal files for equal input, and reports on unfinished runs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pandas as pd
import pytest
from reporting_samples import FACTORS, HOSTILE, make_frames, make_plan, sample

from runner.journal.frames import Frames
from runner.planning.plan import Plan
from runner.reporting.pages.content import provenance
from runner.reporting.pages.write import FORMATS, write_report

FIGURES = {
    "effects", "differences", "interactions", "cost", "curves", "confusion", "mistakes", "filters", "activations",
    "layers",
}  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    example = sample(folder / "fits")
    write_report(example.plan, example.frames, folder, FORMATS)
    return folder


def test_every_figure_and_table_is_a_file_that_both_pages_name(report: Path) -> None:
    files, page, text = contents(report), (report / "report.html").read_text(), (report / "report.md").read_text()
    for name in FIGURES:
        assert files[f"figures/{name}.svg"].startswith(b"<svg") and files[f"figures/{name}.png"].startswith(b"\x89PNG")
        assert f"(figures/{name}.svg)" in text
    named = set(re.findall(r"tables/(\w+)\.csv", page))
    assert named == set(re.findall(r"tables/(\w+)\.csv", text))
    assert named <= {path.stem for path in report.glob("tables/*.csv")}
    assert {"cells", "comparisons", "learning", "levels", "interactions", "curves", "confusions", "layers"} <= named


def test_the_answer_comes_first_and_is_the_same_in_both_pages(report: Path) -> None:
    page, text = (report / "report.html").read_text(), (report / "report.md").read_text()
    sentences = re.findall(r"^- \*\*filters\*\*: (.*)$", text, re.MULTILINE)
    assert len(sentences) == 1 and "95% interval" in sentences[0] and re.search(r"\), with \d", sentences[0])
    assert f"<li>{sentences[0]}</li>" in page
    assert page.index(sentences[0]) < page.index("<figure>") < page.index("<table>")


def test_a_pair_that_could_not_be_compared_is_in_the_answer_and_in_the_tables(tmp_path: Path) -> None:
    example = sample(tmp_path / "fits")
    few = [example.plan.cells[index] for index in (0, 1, 8)]  # the last shares neither filters nor downsampling
    write_report(dataclasses.replace(example.plan, cells=tuple(few)), example.frames, tmp_path, FORMATS)
    page, comparisons = (tmp_path / "report.md").read_text(), pd.read_csv(tmp_path / "tables" / "comparisons.csv")
    assert "- **filters**: 7x7 vs 3x3 x 3: not compared, since no two" in page
    assert "| filters | 7x7 − 3x3 x 3 | – | – |" in page and "| 0 × 0 |" in page and "†" not in page
    assert comparisons["factor"].tolist() == list(FACTORS) and comparisons["pairs"].tolist() == [0, 0, 1]
    assert "‡ Its levels" in page and "0 $\\times$ 0" in (tmp_path / "tables" / "comparisons.tex").read_text()


def test_equal_results_in_another_order_give_equal_files(report: Path, tmp_path: Path) -> None:
    again = sample(tmp_path / "fits")
    backwards = again.frames.curves.sort_values(["id", "epoch"], ascending=[False, True])
    shuffled = Frames(again.frames.fits.iloc[::-1], backwards, again.frames.confusions.iloc[::-1])
    write_report(again.plan, shuffled, tmp_path, FORMATS)
    assert contents(tmp_path) == contents(report)


def test_figures_that_an_earlier_report_left_are_deleted(tmp_path: Path) -> None:
    example = sample(tmp_path / "fits")
    write_report(example.plan, example.frames, tmp_path)
    for path in (tmp_path / "fits").iterdir():
        path.unlink()
    write_report(example.plan, example.frames, tmp_path)
    left = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert left == FIGURES - {"mistakes", "filters", "activations", "layers"}
    assert "activations" not in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize("folds", [2, 5])
@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
@pytest.mark.parametrize("factors", [{}, {"one": ("only",)}, {"a": ("x", "y")}, FACTORS], ids=["0", "1x1", "1", "3"])
def test_partial_experiments_of_any_shape_have_a_report(
    tmp_path: Path, factors: dict[str, tuple[str, ...]], metric: str, folds: int
) -> None:
    plan = make_plan(factors, folds=folds, metric=metric)
    whole = make_frames(plan, failed=(plan.fit_keys()[-1][0],))
    for count in (0, 1, len(whole.fits) // 2, len(whole.fits)):
        known = dataclasses.replace(whole, fits=whole.fits[:count], curves=whole.curves.iloc[: 8 * count])
        write_report(plan, known, tmp_path, ("html", "md", "csv", "tex"))
        text = (tmp_path / "report.md").read_text()
        assert re.search(rf"of {plan.fit_count} fits? completed", text)
        assert ("This report is partial: " in text) == (count < plan.fit_count)
        assert ("the loss is not finite" in text) == (count == plan.fit_count)
        assert "nan" not in re.sub(r"finan\w*|tenant\w*", "", text) and "None" not in text


def test_names_are_escaped_in_latex_and_markdown(tmp_path: Path) -> None:
    plan = make_plan({"factor_1 & 50%": HOSTILE, "second": ("a", "b")}, class_names=HOSTILE)
    write_report(plan, make_frames(plan), tmp_path, ("md", "tex"))
    table = (tmp_path / "tables" / "comparisons.tex").read_text()
    body = table[table.index(r"\midrule") : table.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    columns = len(re.search(r"\\begin{tabular}{(\w+)}", table)[1])
    assert rows and all(len(re.findall(r"(?<!\\)&", row)) == columns - 1 for row in rows)
    plain = re.sub(r"\$-\$|\$\\times\$|\\[&%$#_{}]|\\text\w+|\\space", "", body)
    assert not re.search(r"[%$#_&~^]", plain.replace(" & ", " "))
    assert "−" not in table and "×" not in table
    bars: set[int] = set()
    for line in (tmp_path / "report.md").read_text().splitlines():
        assert "<script" not in line
        if line.startswith("|"):
            bars.add(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(bars) <= 1, "a name splits the row of a table"
            bars.clear()


def fits(*spans: tuple[float, float, float]) -> pd.DataFrame:
    rows = [("x", end * 1000, end - start, cpu) for start, end, cpu in spans]
    return pd.DataFrame(rows, columns=["id", "finished", "seconds", "cpu"])


def timed(*spans: tuple[float, float, float]) -> str:
    plan: Plan = dataclasses.replace(make_plan({}), fits={"cell": ["x"]})
    return provenance(plan, fits(*spans))["time"]


def test_wall_time_counts_the_time_while_any_fit_ran() -> None:
    day = 1e6
    overlapping_and_apart = timed((day, day + 60, 50), (day + 30, day + 90, 50), (day + 1000, day + 1030, 20))
    assert overlapping_and_apart == (
        "2 min 0 s of wall time while fits ran; 2 min 30 s summed over fits, 2 min 0 s of processor time"
    )
    assert timed((day, day + 60, 0)) == "1 min 0 s of wall time while fits ran; 1 min 0 s summed over fits"


def test_the_command_that_repeats_a_run_is_quoted_for_a_shell() -> None:
    plan = dataclasses.replace(make_plan({}), file="my file.yaml", overrides=("seed=1", "dataset={name: digits}"))
    assert (
        provenance(plan, fits())["command"] == "runner run 'my file.yaml' --set seed=1 --set 'dataset={name: digits}'"
    )
