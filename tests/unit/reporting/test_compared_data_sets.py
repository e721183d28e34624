"""`runner compare` on several data sets: cells are ranked over them, or it says why not."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from compared_studies import grid, on, report, study

from runner.cli import main
from runner.reporting.between_studies.compare import compare


def test_data_sets_are_ranked_by_their_means() -> None:
    found = compare([study(on(name), folder=name) for name in ("one", "two", "three")])
    assert found.refused == "" and found.ranks is not None and found.warnings == ()
    assert found.ranks.result.ranks.to_dict() == {"max, 2": 1, "avg, 2": 2, "max, 1": 3, "avg, 1": 4}
    assert found.ranks.result.difference == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 3)), abs=0.001)  # Demsar's q
    assert found.ranks.result.groups == (("max, 2", "avg, 2", "max, 1"), ("avg, 2", "max, 1", "avg, 1"))
    by_loss = [study(on(name, metric="val_loss"), folder=name) for name in ("one", "two", "three")]
    assert compare(by_loss).ranks.result.ranks.equals(found.ranks.result.ranks)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("plans", "reason"),
    [
        (["one", "two"], "ranks on 2 data sets"),
        (["one", "two", "one"], "'one' occurs more than once"),
        (["one", "one", "one"], "'one' occurs more than once"),
        (["one", "one"], ""),
    ],
)
def test_why_there_are_no_ranks(plans: list[str], reason: str) -> None:
    found = compare([study(on(name), folder=f"{name}{index}") for index, name in enumerate(plans)])
    assert found.ranks is None and reason in found.refused and bool(reason) == bool(found.refused)
    assert len(found.pairs) == len(plans) - 1


def test_one_shared_cell_is_not_ranked() -> None:
    one, two = (grid({"pool": levels}, data={"fingerprint": levels[1]}) for levels in (("max", "avg"), ("max", "none")))
    found = compare([study(one), study(two, folder="b")])
    assert len(found.pairs[0].cells) == 1 and (found.ranks, found.refused) == (None, "")


def test_the_reason_for_no_ranks_is_printed_with_the_rest_of_the_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(report(tmp_path / name, on(name))) for name in ("one", "two")]
    assert main(["compare", *folders, "--out", str(tmp_path / "out")]) == 0
    found = capsys.readouterr()
    assert (
        found.err.startswith("no critical-difference diagram: with 4 levels, ")
        and "Cells that A and B share" in found.out
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cells.csv", "factors.csv"]


def test_data_with_one_name_or_one_source() -> None:
    """Data sets with one name are different if their fingerprints differ; one citation for several gives a warning."""
    plans = [
        replace(on("npz"), data={"fingerprint": fingerprint, "citation": "me"}) for fingerprint in ("f1", "f2", "f3")
    ]
    found = compare([study(plan, folder=str(index)) for index, plan in enumerate(plans)])
    assert found.ranks is not None and list(found.ranks.means.index) == ["npz", "npz f2", "npz f3"]
    assert found.warnings == (
        "A and B and C have data from the same source, which the ranks count as independent data sets: me",
    )


HOSTILE = ("<script>alert(1)</script>", "a|b & [red]", "$x_1$", "two\nlines \x1b[31m")


def test_hostile_names_are_printed_and_written_literally(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("o[bold]ne", "t|wo", "<three>")
    plans = [replace(on(name), name=name) for name in names]
    plans = [replace(grid({"<b>": HOSTILE}, mark=plan.name), name=plan.name, data=plan.data, dataset=plan.dataset)
             for plan in plans]  # fmt: skip
    folders = [str(report(tmp_path / str(n), plan, _by_position)) for n, plan in enumerate(plans)]
    assert main(["compare", *folders, "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    for name in (*names, *HOSTILE[:3], "two lines \\x1b[31m"):
        assert name in out
    assert "\x1b" not in out
    written = pd.read_csv(tmp_path / "out" / "cells.csv")
    assert set(written["cell_a"]) == set(HOSTILE)
    root = ElementTree.parse(tmp_path / "out" / "ranks.svg").getroot()
    assert not [element for element in root.iter() if element.tag.endswith("script")]
    assert "<script>alert(1)</script>" in "".join(root.itertext())
    assert main(["compare", *folders, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ranks"]["data_sets"] == list(names)


def _by_position(levels: dict[str, str], repeat: int, fold: int) -> float:
    return 0.5 + 0.1 * HOSTILE.index(levels["<b>"]) + 0.01 * fold
