"""The report's files: what every format says, that it says it twice alike, and what there is of unfinished studies."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pandas as pd
import pytest
from reporting_samples import FACTORS, HOSTILE, make_frames, make_plan, sample

from runner.journal.frames import Frames
from runner.planning.plan import Plan
from runner.reporting.pages.content import made
from runner.reporting.pages.write import FORMATS, write_report

FIGURES = {
    "effects", "differences", "interactions", "cost", "curves", "confusion", "mistakes", "filters", "activations",
    "layers",
}  # fmt: skip


def written(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    made_up = sample(folder / "fits")
    write_report(made_up.plan, made_up.frames, folder, FORMATS)
    return folder


def test_every_figure_and_table_is_a_file_that_both_pages_name(report: Path) -> None:
    files, page, text = written(report), (report / "report.html").read_text(), (report / "report.md").read_text()
    for name in FIGURES:
        assert files[f"figures/{name}.svg"].startswith(b"<svg") and files[f"figures/{name}.png"].startswith(b"\x89PNG")
        assert f"(figures/{name}.svg)" in text
    named = set(re.findall(r"tables/(\w+)\.csv", page))
    assert named == set(re.findall(r"tables/(\w+)\.csv", text))
    assert named <= {path.stem for path in report.glob("tables/*.csv")}
    assert {"cells", "comparisons", "learning", "levels", "interactions", "curves", "confusions", "layers"} <= named


def test_the_answer_comes_first_and_both_pages_give_the_same_one(report: Path) -> None:
    page, text = (report / "report.html").read_text(), (report / "report.md").read_text()
    sentences = re.findall(r"^- \*\*filters\*\*: (.*)$", text, re.MULTILINE)
    assert len(sentences) == 1 and "95% interval" in sentences[0] and "for +" in sentences[0]
    assert f"<li>{sentences[0]}</li>" in page
    assert page.index(sentences[0]) < page.index("<figure>") < page.index("<table>")


def test_equal_results_in_another_order_give_equal_files(report: Path, tmp_path: Path) -> None:
    again = sample(tmp_path / "fits")
    backwards = again.frames.curves.sort_values(["id", "epoch"], ascending=[False, True])
    shuffled = Frames(again.frames.fits.iloc[::-1], backwards, again.frames.confusions.iloc[::-1])
    write_report(again.plan, shuffled, tmp_path, FORMATS)
    assert written(tmp_path) == written(report)


def test_what_there_is_nothing_to_draw_of_any_more_goes(tmp_path: Path) -> None:
    made_up = sample(tmp_path / "fits")
    write_report(made_up.plan, made_up.frames, tmp_path)
    for path in (tmp_path / "fits").iterdir():
        path.unlink()
    write_report(made_up.plan, made_up.frames, tmp_path)
    left = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert left == FIGURES - {"mistakes", "filters", "activations", "layers"}
    assert "activations" not in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize("folds", [2, 5])
@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
@pytest.mark.parametrize("factors", [{}, {"one": ("only",)}, {"a": ("x", "y")}, FACTORS], ids=["0", "1x1", "1", "3"])
def test_partial_studies_of_any_shape_have_a_report(
    tmp_path: Path, factors: dict[str, tuple[str, ...]], metric: str, folds: int
) -> None:
    plan = make_plan(factors, folds=folds, metric=metric)
    whole = make_frames(plan, failed=(plan.fit_keys()[-1][0],))
    for count in (0, 1, len(whole.fits) // 2, len(whole.fits)):
        known = dataclasses.replace(whole, fits=whole.fits[:count], curves=whole.curves.iloc[: 8 * count])
        write_report(plan, known, tmp_path, ("html", "md", "csv", "tex"))
        text = (tmp_path / "report.md").read_text()
        assert f"of {plan.fit_count} fits are good" in text
        assert ("are missing, so this report is partial" in text) == (count < plan.fit_count)
        assert ("the loss is not finite" in text) == (count == plan.fit_count)
        assert "nan" not in re.sub(r"finan\w*|tenant\w*", "", text) and "None" not in text


def test_names_are_written_out_in_latex_and_markdown(tmp_path: Path) -> None:
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
            assert len(bars) <= 1, "a name parts the row of a table"
            bars.clear()


def fits(*spans: tuple[float, float, float]) -> pd.DataFrame:
    rows = [("x", end * 1000, end - start, cpu) for start, end, cpu in spans]
    return pd.DataFrame(rows, columns=["id", "finished", "seconds", "cpu"])


def timed(*spans: tuple[float, float, float]) -> str:
    plan: Plan = dataclasses.replace(make_plan({}), fits={"cell": ["x"]})
    return made(plan, fits(*spans))["time"]


def test_the_time_is_that_in_which_any_fit_ran() -> None:
    day = 1e6
    apart_and_beside = timed((day, day + 60, 50), (day + 30, day + 90, 50), (day + 1000, day + 1030, 20))
    assert apart_and_beside == "2 min 0 s in which fits ran; 2 min 30 s over all fits, 2 min 0 s of processor time"
    assert timed((day, day + 60, 0)) == "1 min 0 s in which fits ran; 1 min 0 s over all fits"


def test_the_command_that_repeats_it_is_one_that_a_shell_takes() -> None:
    plan = dataclasses.replace(make_plan({}), file="my file.yaml", overrides=("seed=1", "dataset={name: digits}"))
    assert made(plan, fits())["again"] == "runner run 'my file.yaml' --set seed=1 --set 'dataset={name: digits}'"
