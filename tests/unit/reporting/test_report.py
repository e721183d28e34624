"""The report's files: the content of each format, equal files for equal input, and reports on unfinished runs."""

from __future__ import annotations

import dataclasses
import re
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from reporting_samples import FACTORS, HOSTILE, make_frames, make_plan, sample

from runner.journal.frames import Frames
from runner.planning.plan import Plan
from runner.reporting.pages.content import provenance
from runner.reporting.pages.formats import FORMATS
from runner.reporting.pages.write import write_report
from runner.text import markdown, markdown_code
from runner.tracking.experiment import open_experiment

pytestmark = pytest.mark.figures

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
    write_report(dataclasses.replace(example.plan, cells=tuple(few)), example.frames, tmp_path, ("md", "csv", "tex"))
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("factors", "metric", "folds"),
    [
        ({}, "val_accuracy", 2), ({}, "val_loss", 5), ({"one": ("only",)}, "val_loss", 2),
        ({"a": ("x", "y")}, "val_accuracy", 5), (FACTORS, "val_accuracy", 2), (FACTORS, "val_loss", 5),
    ],
    ids=["0-accuracy", "0-loss", "1x1", "1", "3-accuracy", "3-loss"],
)  # fmt: skip
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


MARKUP = (
    "![x](http://e.org/a.png)", "[x](http://e.org)", "[x]: http://e.org", "<img src=x onerror=alert(1)>", "&lt;b&gt;",
    "<http://e.org>", "http://e.org/a?b", "//e.org", "www.e.org", "me@e.org", "e.org", "`<b>`", "``` x", "~~~", "~~x~~",
    "*x* **y** ***", "_x_ __y__ a_b_", "# x #", "> x", "- x", "+ x", "1. x", "2) x", "---", "***", "a | b", "|---|",
    "\\", "\\`x\\`", "a\n\n# b", "    code", "$x$", "<!-- x", "x\\", "depth=20",
)  # fmt: skip
TEXT = st.sampled_from(MARKUP) | st.text("*_`[]()!<>&;#~|$\\/@:.-+= \n1ax")


def rendered(text: str) -> list[Token]:
    """The tokens of a renderer with all of GitHub's extensions, raw HTML, and addresses made links if it can."""
    renderer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    if find_spec("linkify_it"):
        renderer.options["linkify"] = True
        renderer.enable("linkify")
    return [part for token in renderer.parse(text) for part in (token, *(token.children or ()))]


def kinds(text: str) -> list[str]:
    return [token.type for token in rendered(text) if token.type != "text"]


@pytest.mark.slow
@given(TEXT)
@example("\\")
def test_any_text_is_displayed_as_it_is_wherever_markdown_has_it(text: str) -> None:
    shown = " ".join(" ".join(text.splitlines()).split(" ")).strip()
    for around in ("{}", "# {}", "- **n**: {}", "*x {} x*", "| a |\n|---|\n| {} |"):
        tokens = rendered(around.format(markdown(text)))
        assert [t.type for t in tokens if t.type != "text"] == kinds(around.format(text and "w" * bool(shown)))
        assert shown in "".join(t.content for t in tokens if t.type == "text")
    code = [t.content for t in rendered(f"- command: {markdown_code(text)}") if t.type == "code_inline"]
    assert not text.strip() or [c.strip() for c in code] == [" ".join(text.splitlines()).strip()]


def test_no_name_description_or_reason_adds_an_element_to_the_markdown_report(tmp_path: Path) -> None:
    """The same elements as with words in their place."""
    kinds_of = []
    for names in (MARKUP, [f"word{index}" for index in range(len(MARKUP))]):
        names = [" ".join(name.split()) for name in names]
        plan = make_plan({names[0]: tuple(names[:4]), names[5]: tuple(names[6:8])}, class_names=names)
        plan = dataclasses.replace(plan, description=names[0], file=f"{names[11]}.yaml")
        frames = make_frames(plan, failed=(plan.fit_keys()[-1][0],))
        frames.fits.loc[frames.fits["status"] == "failed", "reason"] = names[3]
        write_report(plan, frames, tmp_path, ("md",))
        kinds_of.append(kinds((tmp_path / "report.md").read_text()))
    assert kinds_of[0] == kinds_of[1] and "html_inline" not in kinds_of[0] and "link_open" not in kinds_of[0]
    assert kinds_of[0].count("image") == len(list((tmp_path / "figures").iterdir()))


@pytest.mark.parametrize("description", MARKUP)
def test_the_description_is_plain_text_in_the_note_of_the_mlflow_experiment(description: str, tmp_path: Path) -> None:
    client = Mock()
    client.get_experiment_by_name.return_value = None
    plan = dataclasses.replace(make_plan({}), description=description)
    open_experiment(Mock(client=client, uri="sqlite:///s.db"), plan, "s", tmp_path, restore=False)
    assert kinds(client.create_experiment.call_args.kwargs["tags"]["mlflow.note.content"]) == kinds("word")


def test_an_entry_in_brackets_is_no_option_of_the_row_before_in_latex(tmp_path: Path) -> None:
    plan = make_plan({"widths": ("[16, 32]", "*", r"\input{x}^^5c%")})
    write_report(plan, make_frames(plan), tmp_path, ("tex",))
    table = (tmp_path / "tables" / "cells.tex").read_text()
    assert "\n{}[16, 32] &" in table and "\n{}* &" in table
    assert r"\textbackslash input\{x\}\textasciicircum \textasciicircum 5c\% &" in table


def fits(*spans: tuple[float, float, float]) -> pd.DataFrame:
    rows = [("x", end * 1000, end - start, cpu, f"{worker}") for worker, (start, end, cpu) in enumerate(spans)]
    return pd.DataFrame(rows, columns=["id", "finished", "seconds", "cpu", "worker"])


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
