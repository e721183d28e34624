"""Repeats, folds and epochs count from 1 wherever people read them; the journal counts from 0, as it always has."""

import json
import re
from pathlib import Path

import pandas as pd
from command import Command, journal_lines


def test_a_run_counts_alike_in_its_progress_its_messages_and_its_tables(tmp_path: Path, here: Command) -> None:
    (tmp_path / "s.yaml").write_text(
        "name: s\ndataset: {name: digits, subset: 60}\narchitecture: {name: stages, width: 2, stages: 1}\n"
        "optimizer: {name: adam, lr: 1e38}\ntraining: {epochs: 2, engine: numpy, stacking: 1}\n"
        "cross_validation: {folds: 2, repeats: 2}\n"
    )
    done = here("run", tmp_path / "s.yaml")
    report = tmp_path / "reports" / "s"
    places = {(repeat, fold) for repeat in (1, 2) for fold in (1, 2)}
    progress = re.findall(r"\[(\d)/4\] .*repeat (\d) fold (\d)", done.stderr)
    assert {(int(repeat), int(fold)) for _, repeat, fold in progress} == places
    assert [number for number, _, _ in progress] == list("1234")
    fits = pd.read_csv(report / "tables" / "fits.csv")
    assert set(zip(fits["repeat"], fits["fold"], strict=True)) == places
    failed = re.findall(r"^failed: .*repeat (\d) fold (\d)", done.stderr, re.MULTILINE)
    bad = fits[fits["status"] == "failed"]
    assert len(bad)
    assert [(int(r), int(f)) for r, f in failed] == list(zip(bad["repeat"], bad["fold"], strict=True))
    journal = [json.loads(line)["fit"] for line in journal_lines(report)]
    assert {(fit["repeat"] + 1, fit["fold"] + 1) for fit in journal} == places, "as it always has"
    curves = pd.read_csv(report / "tables" / "curves.csv")
    assert curves.empty or curves["epoch"].min() == 1
