"""Which networks are saved in the end: a function of the results alone, whatever their order and the interruptions."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import TINY, Command, journal_lines
from hypothesis import given, settings
from networks import networks
from small_study import ACCURACY, make_plan

from runner.components.records import ComponentRef
from runner.errors import StorageError
from runner.files import atomic_write
from runner.fits.records import FitResult, FitSpec, Learned, TrainingPlan
from runner.flow.saved_networks import SavedNetworks
from runner.flow.training import _store_files
from runner.network.base import Shape
from runner.network.description import describe, parse
from runner.network.graph import Network, Sequential

PLAN = replace(
    make_plan(list(ACCURACY)[:2], repeats=2), keep="best", data={"class_names": ["a", "b"], "shape": [1, 4, 4]}
)
VALUES = [0.7, 0.9, 0.9, 0.8, 0.9, 0.1]
"""Of a cell's fits; the best is the second, as an equal one in a later fold or repeat does not beat it."""


def spec(result: FitResult) -> FitSpec:
    training, empty = TrainingPlan(1, 1, "numpy", "cpu", "float32"), np.empty(0, np.int64)
    return FitSpec(
        result.id, result.cell, result.repeat, result.fold, 0, ComponentRef("stages"), (), ComponentRef("adam"),
        training, (1, 4, 4), 2, "", empty, empty, keep=True,
    )  # fmt: skip


def all_results(values: Sequence[float] = VALUES) -> list[FitResult]:
    learned = Learned({"a": np.zeros(3, np.float32)}, describe(Sequential()), (0.5,), (1.0,))
    return [
        FitResult(
            fit, cell, repeat, fold, "ok", epochs=1, learned=learned, curves={"val_accuracy": [values[index % 6]]}
        )
        for index, (fit, cell, repeat, fold) in enumerate(PLAN.fit_keys())
    ]


def saved_in(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "fits").glob("*.safetensors")}


def train(folder: Path, groups: Sequence[Sequence[FitResult]], journal: list[FitResult], end: int = -1) -> None:
    """Store the groups that are not in the journal, as training does; killed after `end` steps unless that is -1."""
    store = SavedNetworks(PLAN, folder)
    steps = itertools.count()

    def step() -> None:
        if next(steps) == end:
            raise KeyboardInterrupt

    store.begin(journal, {result.id for result in journal})
    for group in groups:
        new = [result for result in group if result.id not in {known.id for known in journal}]
        for result in new:
            store.save(result, spec(result))
            step()
        journal += [replace(result, learned=None) for result in new]
        step()
        store.recorded(new)
        step()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [1, 3])
def test_the_best_of_each_cell_stays_whatever_the_order_and_the_kill(seed: int, size: int, tmp_path: Path) -> None:
    results = all_results()
    groups = [results[start : start + size] for start in range(0, 12, size)]
    expected = {f"id-{levels[0]}-{levels[1]}-1" for levels in list(ACCURACY)[:2]}
    rng = np.random.default_rng(seed)
    for end in range(0, 30, 3):
        folder, journal = tmp_path / str(end), list[FitResult]()
        first, second = ([groups[number] for number in rng.permutation(len(groups))] for _ in range(2))
        with suppress(KeyboardInterrupt):
            train(folder, first, journal, end)
        train(folder, second, journal)
        assert saved_in(folder) == expected, end


def test_changing_keep_removes_what_is_beaten_and_what_is_in_no_journal(tmp_path: Path) -> None:
    store = SavedNetworks(replace(PLAN, keep="all"), tmp_path)
    results = all_results()
    for result in results:
        store.save(result, spec(result))
        store.recorded([result])
    everything = {result.id for result in results}
    leftovers = ["of an earlier plan", "of a killed run"]
    for name in leftovers:
        (tmp_path / "fits" / f"{name}.safetensors").write_bytes(b"")
    assert not SavedNetworks(replace(PLAN, keep="none"), tmp_path).begin(results, everything)
    assert saved_in(tmp_path) == {*everything, *leftovers}
    for keep, expected in (("all", everything), ("best", {"id-max-1-1", "id-max-2-1"})):
        again = SavedNetworks(replace(PLAN, keep=keep), tmp_path)  # type: ignore[arg-type]
        assert not again.begin(results, {*everything, leftovers[0]})
        assert saved_in(tmp_path) == {*expected, leftovers[0]}


def test_a_lower_loss_is_better(tmp_path: Path) -> None:
    plan = replace(PLAN, metric="val_loss")
    store = SavedNetworks(plan, tmp_path)
    for result in all_results():
        result.curves["val_loss"] = result.curves["val_accuracy"]
        store.save(result, spec(result))
        store.recorded([result])
    assert saved_in(tmp_path) == {"id-max-1-5", "id-max-2-5"}


def test_a_full_disk_costs_the_file_and_not_the_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path, content: object) -> None:
        raise StorageError(path, OSError(28, "No space left on device"))

    monkeypatch.setattr(atomic_write, "write", refuse)
    result = all_results()[0]
    stored = _store_files(result, spec(result), tmp_path / "fits", SavedNetworks(replace(PLAN, keep="all"), tmp_path))
    assert stored == replace(result, learned=None) and not saved_in(tmp_path)
    assert "the fit is recorded, but its files are not: " in caplog.text and "No space left" in caplog.text


def test_keep_is_no_part_of_a_fits_identity(tiny: Path, here: Command) -> None:
    small = ["run", tiny, "--set", "training={epochs: 1, engine: numpy}", "--set", "grid={architecture.convs: [1]}"]
    report = tiny.parent / "reports" / "tiny"
    assert here(*small).returncode == 0 and not saved_in(report)
    journal = journal_lines(report)
    done = here(*small, "--set", "training.keep=all")
    assert done.returncode == 0 and journal_lines(report) == journal and not saved_in(report)
    (line,) = [line for line in done.stderr.splitlines() if "training.keep" in line]
    assert line == (
        "training.keep: all: the parameters of 3 fits in the journal were not saved; delete reports/tiny/journal.jsonl "
        "to train them again, or use another --reports folder"
    )
    done = here("predict", "tiny", tiny)
    assert done.returncode == 2 and "no parameters are saved (training.keep is all)" in done.stderr


def test_the_grid_does_not_vary_it(tmp_path: Path, here: Command) -> None:
    (tmp_path / "e.yaml").write_text(TINY.replace("  architecture.convs: [1, 2]", "  training.keep: [none, best]"))
    done = here("plan", "e.yaml")
    assert done.returncode == 2 and not done.stdout
    expected = "grid: it varies training.keep (best, none); allowed: one value for the whole study, as it changes no"
    assert done.stderr.startswith("e.yaml:9: ") and expected in done.stderr and len(done.stderr.splitlines()) == 1
    (tmp_path / "e.yaml").write_text(TINY)
    done = here("plan", "e.yaml", "--set", "training.keep=al")
    assert "training.keep: found 'al'; did you mean 'all'? allowed: all, best, none" in done.stderr


@given(networks())
@settings(max_examples=30)
def test_a_network_described_as_data_is_the_same_again(drawn: tuple[Network, Shape]) -> None:
    assert parse(json.loads(json.dumps(describe(drawn[0])))) == drawn[0]
