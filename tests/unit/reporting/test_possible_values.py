"""No page, figure or printed line has a number that cannot be: degenerate results of every kind."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_study import make_plan

from runner.fits.metrics import CURVES
from runner.fits.records import FitResult
from runner.journal.frames import frames
from runner.reporting.pages.content import context
from runner.reporting.pages.write import write_report
from runner.reporting.tables.study_tables import make_tables
from runner.reporting.text.verdict import verdict

DATA = {
    "shape": [1, 8, 8], "class_names": ["a", "b"], "size": 20, "test_size": 0, "licence": "", "citation": "",
    "fingerprint": "0" * 16, "train": 10, "validation": 10,
}  # fmt: skip
GRID = [(pool, depth) for pool in ("max", "avg") for depth in "12"]
WORDS = re.compile(r"(?<![\w.=])-?(nan|inf|None|NaN|Infinity)(?![\w])")
SINGULAR = re.compile(
    r"(?<![\d.,])1 (?:more |matched |held-out |other )?(?:fits|cells|folds|repeats|images|layers|"
    r"levels|pairs|workers|epochs|classes|others|comparisons|survivors)\b"
)


def text_of(page: str) -> str:
    """The text of the page that a reader sees, captions and figures included."""
    page = re.sub(r"<(style|script|pre|details)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"<[^>]*>", "\n", page).replace("&#39;", "'")


def check_range(line: str, most: float, accuracy: bool) -> None:
    for low, high in re.findall(r"(?<![\d+−.])(−?\d+\.\d+) to (−?\d+\.\d+)", line):
        ends = [float(end.replace("−", "-")) for end in (low, high)]
        assert ends[0] <= ends[1] and (not accuracy or -most <= ends[0] <= ends[1] <= most), line
    for sign, value in re.findall(r"([+−]?)(\d+\.\d+) (?:points|%)", line):
        assert not accuracy or float(value) <= most, (sign, line)


def check(text: str, accuracy: bool, cells: int) -> None:
    assert not WORDS.search(text), WORDS.search(text)
    assert not SINGULAR.search(text), SINGULAR.search(text)
    assert "-0.00" not in text and "−0.00" not in text and "licence: ." not in text
    assert not re.search(r"−\d+(\.\d+)? (s|min)\b", text), "a negative time"
    for line in text.splitlines():
        # How far two differences are apart: from -100 to 100 is 200.
        check_range(line, 200 if " apart, " in line else 100, accuracy)
    for low, high in re.findall(r"^(\d+)–(\d+)$", text, re.MULTILINE):
        assert 1 <= int(low) <= int(high) <= cells, (low, high)


@st.composite
def degenerate(draw):
    """Studies of few fits on few images: all right, all wrong, equal, or at chance; some fits failed or missing."""
    combinations = draw(st.sampled_from([GRID, GRID[:3], GRID[:1], GRID[:2]]))
    metric = draw(st.sampled_from(["val_accuracy", "val_accuracy", "val_loss"]))
    plan = make_plan(combinations, metric=metric, folds=draw(st.integers(2, 3)), repeats=draw(st.integers(1, 2)))
    images = draw(st.sampled_from([1, 2, 10]))
    plan = replace(plan, data={**DATA, "validation": images, "train": images, "size": 2 * images})
    kind = draw(st.sampled_from(["right", "wrong", "equal", "any", "extreme"]))
    rng, results = np.random.default_rng(draw(st.integers(0, 99))), []
    for fit, cell, repeat, fold in plan.fit_keys():
        ending = draw(st.sampled_from(["ok"] * 6 + ["failed", "missing"]))
        right = {"right": images, "wrong": 0, "equal": images // 2, "any": int(rng.integers(images + 1))}
        right["extreme"] = images * (cell == plan.cells[0].id)
        accuracy = right[kind] / images
        loss = 0.0 if kind == "right" else float(rng.choice([0, 1e-9, 0.7, 1e6]))
        epochs = draw(st.sampled_from([2, 2, 2, 1]))
        curves = {name: [accuracy if "acc" in name else loss] * epochs for name in CURVES}
        facts = {"seconds": float(rng.choice([0, 0.01, 5])), "worker": "1", "finished": 1_700_000_000_000}
        if ending == "ok":
            results.append(FitResult(fit, cell, repeat, fold, "ok", "", epochs, curves, **facts))
        elif ending == "failed":
            results.append(FitResult(fit, cell, repeat, fold, "failed", "it diverged", **facts))
    return plan, frames(results)


def every_text(context) -> str:
    """All texts of a report's pages, without its figures: sentences, tables, notes and facts."""
    tables = [context[name] for name in ("cells", "comparisons", "learning", "confused", "failures")]
    parts = [text for table in tables for text in (table.note, *(entry for row in table.texts() for entry in row))]
    sentences = [line for lines in context["answers"].values() for line in lines]
    return "\n".join([*parts, *sentences, *context["methods"], context["equivalent"], *context["provenance"].values()])


@pytest.mark.slow
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(degenerate())
def test_no_text_or_table_has_an_impossible_value(study) -> None:
    plan, found = study
    tables = make_tables(plan, found)
    check(every_text(context(plan, tables, found)), plan.metric == "val_accuracy", len(plan.cells))
    check("\n".join(verdict(plan, tables)["answers"]), plan.metric == "val_accuracy", len(plan.cells))
    for name in ("levels", "interactions", "cells", "comparisons", "curves", "cell_comparisons"):
        table = getattr(tables, name)
        for column in (c for c in table if c in ("mean", "ci_low", "ci_high", "difference") or "val_acc" in c):
            of_accuracy = plan.metric == "val_accuracy" or "val_acc" in column
            known = table[column].dropna().astype(float).abs()
            assert not of_accuracy or (known <= 1).all(), (name, column)
    assert (tables.cells["rank_high"].dropna() <= len(plan.cells)).all()


@pytest.mark.parametrize("kind", ["right", "wrong", "one"])
def test_no_figure_or_page_has_an_impossible_value(tmp_path: Path, kind: str) -> None:
    plan = replace(make_plan(GRID[:1] if kind == "one" else GRID, folds=2), data=DATA)
    accuracy, results = float(kind == "right"), []
    for fit, cell, repeat, fold in plan.fit_keys():
        curves = {name: [0.5, accuracy if "acc" in name else 0.0] for name in CURVES}
        results.append(FitResult(fit, cell, repeat, fold, "ok", "", 2, curves, finished=1_700_000_000_000))
    write_report(plan, frames(results), tmp_path)
    for text in (text_of((tmp_path / "report.html").read_text()), (tmp_path / "report.md").read_text()):
        check(text, True, len(plan.cells))
    for file in (tmp_path / "figures").glob("*.svg"):
        axis = [float(n.replace("−", "-")) for n in re.findall(r">([−\d.]+)</text>", file.read_text())]
        assert len(axis) > 2, "the axis has labels"
        assert file.stem in ("cost", "confusion") or all(-100 <= number <= 100 for number in axis), (file.stem, axis)
