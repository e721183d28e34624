"""Repeats that stop when decided, from the command line: the same fits and tables however a run was interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from command import Command, journal_by_id, journal_lines, stable_tables
from mlflow_runs import kinds, runs_of, sqlite

from runner.flow import repeats
from runner.flow.progress import Lines
from runner.flow.repeats import Decision
from runner.journal.index import SelectedResults
from runner.planning.plan import Plan

STUDY = """\
name: study
dataset: {name: digits, subset: 120}
architecture: {name: stages, width: 2, stages: 1}
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 1, engine: numpy}
cross_validation: {folds: 2, repeats: {until: decided, most: 5}}
grid:
  architecture.convs: [1, 2, 3]
"""
Decide = Callable[[Plan, object, SelectedResults, object], Decision]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY)
    return file


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The numbers of repeats at the looks that were made; the fourth repeat decides."""
    seen: list[int] = []

    def decide(plan: Plan, fits: object, results: SelectedResults, labels: object) -> Decision:
        assert len(results) == plan.fit_count, "only complete repeats are looked at"
        seen.append(plan.repeats)
        return decided_after(4)(plan, fits, results, labels)

    monkeypatch.setattr(repeats, "decide", decide)
    yield seen


def decided_after(count: int, out: tuple[int, ...] = ()) -> Callable[[Plan, object, object, object], Decision]:
    """Three pairs, all open until there are `count` repeats; the cells with indices `out` get no more in a race."""

    def decide(plan: Plan, fits: object, results: object, labels: object) -> Decision:
        still_open = 0 if plan.repeats >= count else 3
        cells = tuple(cell.id for index, cell in enumerate(plan.cells) if index not in out)
        return Decision(not still_open, cells, still_open, 3, {})

    return decide


def report_of(file: Path, reports: str = "reports") -> Path:
    return file.parent / reports / "study"


def saved_plan(file: Path, reports: str = "reports") -> dict[str, object]:
    content = yaml.safe_load((report_of(file, reports) / "plan.yaml").read_text())
    assert isinstance(content, dict)
    return content


def test_repeats_are_added_until_decided(study: Path, here: Command, looks: list[int]) -> None:
    done = here("run", study)
    assert done.returncode == 0, done.stderr
    assert looks == [2, 3, 4] and len(journal_lines(report_of(study))) == 3 * 2 * 4
    assert "decided after 4 of at most 5 repeats" in done.stdout.splitlines()
    lines = done.stderr.splitlines()
    assert "study: 12 fits to train" in lines and "study: 6 fits to train, 12 are in the journal already" in lines
    assert "repeat 3 of at most 5: 3 of 3 pairs are still open" in lines
    counts = [int(line[1:].split("/")[0]) for line in lines if line.startswith("[")]
    assert counts == [*range(1, 25)], "each repeat goes on counting"
    plan = saved_plan(study)
    assert (plan["repeats"], plan["most"], plan["race"]) == (4, 5, False)
    again = here("run", study)
    assert again.returncode == 0 and "study: 0 fits to train, 24 are in the journal already" in again.stderr
    assert "decided after 4 of at most 5 repeats" in again.stdout and looks == [2, 3, 4, 2, 3, 4]


def test_the_fits_are_those_of_a_fixed_number_of_repeats(study: Path, here: Command, looks: list[int]) -> None:
    assert here("run", study).returncode == 0
    fixed = here("run", study, "--set", "cross_validation.repeats=4", "--reports", "fixed")
    assert fixed.returncode == 0 and "decided" not in fixed.stdout
    assert journal_by_id(report_of(study)) == journal_by_id(report_of(study, "fixed"))
    adaptive, same = stable_tables(report_of(study)), stable_tables(report_of(study, "fixed"))
    assert adaptive["fits.csv"] == same["fits.csv"], "not the comparisons, whose level differs after several looks"
    assert saved_plan(study)["fits"] == saved_plan(study, "fixed")["fits"]


@pytest.mark.parametrize("options", [("--executor", "process", "--workers", workers) for workers in (1, 2, 4)])
def test_the_executor_changes_nothing(options: tuple[str, ...], study: Path, here: Command, looks: list[int]) -> None:
    assert here("run", study).returncode == 0
    done = here("run", study, *options, "--reports", "other")
    assert done.returncode == 0, done.stderr
    assert journal_by_id(report_of(study)) == journal_by_id(report_of(study, "other"))
    assert stable_tables(report_of(study)) == stable_tables(report_of(study, "other"))


class StopAfter(Lines):
    """Interrupts the run after a number of fits, as Ctrl-C does."""

    remaining = 0

    def finished(self, result: object) -> None:
        super().finished(result)  # type: ignore[arg-type]
        type(self).remaining -= 1
        if not type(self).remaining:
            raise KeyboardInterrupt


SERIAL, PROCESS = ("--executor", "serial"), ("--executor", "process", "--workers")


@pytest.mark.parametrize(
    ("every", "options"),
    [(1, SERIAL), (5, SERIAL), (6, SERIAL), (12, SERIAL), (18, SERIAL), (7, (*PROCESS, 2)), (13, (*PROCESS, 4))],
)
def test_an_interrupted_run_comes_to_the_same(
    every: int,
    options: tuple[str, ...],
    study: Path,
    here: Command,
    looks: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also if it is interrupted between two repeats, after 12 and 18 fits."""
    assert here("run", study, "--reports", "undisturbed").returncode == 0
    monkeypatch.setattr("runner.flow.progress.Lines", StopAfter)
    status, runs = 130, 0
    while status == 130:
        StopAfter.remaining, runs = every, runs + 1
        done = here("run", study, *options)
        status = done.returncode
        assert "trained again" not in done.stderr and "are new" not in done.stderr, "nothing has changed"
        assert status in (0, 130) and ("interrupted: " in done.stderr) == (status == 130)
        assert ("decided after" in done.stdout) == (status == 0)
    assert runs == 24 // every + 1
    assert journal_by_id(report_of(study)) == journal_by_id(report_of(study, "undisturbed"))
    assert stable_tables(report_of(study)) == stable_tables(report_of(study, "undisturbed"))
    assert saved_plan(study)["fits"] == saved_plan(study, "undisturbed")["fits"]


def test_ctrl_c_during_a_look_writes_the_report(
    study: Path, here: Command, looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(plan: Plan, fits: object, results: SelectedResults, labels: object) -> Decision:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(repeats, "decide", interrupted)
        done = here("run", study)
    assert done.returncode == 130 and (report_of(study) / "report.html").exists()
    assert here("run", study).returncode == 0 and looks == [2, 3, 4]


def test_the_most_repeats_end_an_undecided_study(study: Path, here: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "decide", decided_after(9))
    done = here("run", study, "--set", "cross_validation.repeats.most=3")
    line = "not decided after 3 repeats, the most that the experiment allows: 3 of 3 pairs are still open"
    assert done.returncode == 0 and line in done.stdout.splitlines()
    assert len(journal_lines(report_of(study))) == 18
    more = here("run", study, "--set", "cross_validation.repeats.most=4")
    settings = "cross_validation.repeats {until: decided, most: 3} -> {until: decided, most: 4}"
    assert f"6 of 24 fits are new: {settings} (all cells)" in more.stderr.splitlines()
    assert "not decided after 4 repeats" in more.stdout and len(journal_lines(report_of(study))) == 24


def test_a_fixed_number_of_repeats_becomes_until_decided(study: Path, here: Command, looks: list[int]) -> None:
    assert here("run", study, "--set", "cross_validation.repeats=3").returncode == 0 and not looks
    planned = here("plan", study)
    assert "unused" not in planned.stdout, "the third repeat may still be needed"
    done = here("run", study)
    lines = done.stderr.splitlines()
    change = "cross_validation.repeats 3 -> {until: decided, most: 5}"
    assert f"6 of 24 fits are new: {change} (all cells)" in lines
    assert "study: 6 fits to train, 18 are in the journal already" in lines
    assert "decided after 4 of at most 5 repeats" in done.stdout
    back = here("run", study, "--set", "cross_validation.repeats=5")
    change = "cross_validation.repeats {until: decided, most: 5} -> 5"
    assert f"6 of 30 fits are new: {change} (all cells)" in back.stderr.splitlines()


def test_a_decided_study_leaves_further_results_unused(
    study: Path, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "decide", decided_after(2))
    assert here("run", study, "--set", "cross_validation.repeats=3").returncode == 0
    done = here("run", study)
    assert done.returncode == 0 and "decided after 2 of at most 5 repeats" in done.stdout
    assert saved_plan(study)["repeats"] == 2 and len(journal_lines(report_of(study))) == 18


def test_a_race_gives_no_more_repeats_to_cells_that_are_out(
    study: Path, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "decide", decided_after(4, out=(1,)))
    assert here("run", study, "--set", "search.race=best").returncode == 0
    plan = saved_plan(study)
    fits = plan["fits"]
    assert isinstance(fits, dict) and [len(ids) for ids in fits.values()] == [8, 4, 8] and plan["race"] is True
    again = here("run", study, "--set", "search.race=best")
    assert again.returncode == 0 and "study: 0 fits to train, 20 are in the journal already" in again.stderr
    without = here("run", study)
    assert "2 of 18 fits are new: search.race best -> none (cell 'convs=2')" in without.stderr.splitlines()
    assert len(journal_lines(report_of(study))) == 24


FAULTY = """\
from dataclasses import dataclass
from pathlib import Path
from runner.api import Augmentation, hookimpl

@dataclass(frozen=True)
class Faulty:
    def draw(self, rng, count, shape):
        return {}

    def apply(self, images, draws):
        if len(images) <= 8:  # where the plan tries it
            return images
        if not Path("healed").exists():
            raise ValueError("not yet")
        return images

@hookimpl
def register_augmentations():
    yield Augmentation(name="faulty", build=lambda: Faulty())
"""


@pytest.fixture
def faulty(study: Path) -> Path:
    (study.parent / "faulty.py").write_text(FAULTY)
    study.write_text(STUDY.replace("[1, 2, 3]\n", "[1, 2]\n  augmentation: [none, faulty]\nplugins: [./faulty.py]\n"))
    return study


def test_failed_fits_count_as_results(faulty: Path, here: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "decide", decided_after(3))
    done = here("run", faulty)
    assert done.returncode == 1 and "12 of 24 fits failed" in done.stderr
    assert "decided after 3 of at most 5 repeats" in done.stdout


def test_fail_fast_stops_before_any_look(faulty: Path, here: Command, looks: list[int]) -> None:
    done = here("run", faulty, "--fail-fast")
    assert done.returncode == 1 and looks == [] and "decided" not in done.stdout


@pytest.mark.parametrize("count", [2, 3, 4])
def test_only_failed_trains_those_and_then_looks_again(
    count: int, faulty: Path, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new results may decide sooner than the failed ones did, or leave the study open."""
    monkeypatch.setattr(repeats, "decide", decided_after(3))
    assert here("run", faulty).returncode == 1
    (faulty.parent / "healed").touch()

    def decide(plan: Plan, fits: object, results: SelectedResults, labels: object) -> Decision:
        failed = any(result.status == "failed" for result in results)
        return decided_after(3 if failed else count)(plan, fits, results, labels)

    monkeypatch.setattr(repeats, "decide", decide)
    done = here("run", faulty, "--only", "failed")
    assert "study: 12 fits to train" in done.stderr and len(journal_lines(report_of(faulty))) == 24 + 12
    assert saved_plan(faulty)["repeats"] == min(count, 3)
    if count < 4:
        assert done.returncode == 0 and f"decided after {count} of at most 5 repeats" in done.stdout
    else:
        assert done.returncode == 1 and "not decided after 3 of at most 5 repeats" in done.stdout
        assert "`runner run" in done.stderr and "trains another repeat" in done.stderr
        assert "decided after 4 of" in here("run", faulty).stdout


def test_the_plan_gives_the_first_the_usual_and_the_worst_cost(study: Path, here: Command) -> None:
    done = here("plan", study)
    assert done.returncode == 0, done.stderr
    assert "12 fits at first (2 repeats), at most 30 (5 repeats)" in done.stdout
    assert "as a rule about 3 repeats: 18 fits to train, about" in done.stdout
    assert "at most 5 repeats: 30 fits to train, about" in done.stdout
    document = json.loads(here("plan", study, "--json").stdout)
    assert (document["fits"], document["fits_at_most"]) == (12, 30)
    fixed = json.loads(here("plan", study, "--json", "--set", "cross_validation.repeats=3").stdout)
    assert (fixed["fits"], fixed["fits_at_most"]) == (18, 18)


def test_the_fits_of_all_repeats_are_published(study: Path, here: Command, looks: list[int]) -> None:
    done = here("run", study, publish=True)
    assert done.returncode == 0 and "not everything is in MLflow" not in done.stderr
    runs = runs_of(sqlite(study), "study")
    names = [run.info.run_name for run in runs if run.data.tags["runner.kind"] == "fit"]
    assert len(names) == len(set(names)) == 24 and any("repeat 4 fold 2" in name for name in names)
    # A cell's run grows with its repeats, and is closed when there are no more.
    assert kinds(runs) == {"cell": 3, "fit": 24, "report": 1} and {run.info.status for run in runs} == {"FINISHED"}
    (report,) = [run for run in runs if run.data.tags["runner.kind"] == "report"]
    assert report.data.tags["runner.state"] == "decided after 4 of at most 5 repeats"
    cells = [run for run in runs if run.data.tags["runner.kind"] == "cell"]
    assert {run.data.params["repeats"] for run in cells} == {"{until: decided, most: 5}"}
    assert all("val/accuracy" in run.data.metrics for run in cells)


def test_a_study_that_is_continued_by_hand_publishes_its_cells_once(
    study: Path, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "decide", decided_after(9))
    most = ("--set", "cross_validation.repeats.most=3")
    assert here("run", study, *most, publish=True).returncode == 0
    assert here("run", study, publish=True).returncode == 0
    runs = runs_of(sqlite(study), "study")
    assert kinds(runs) == {"cell": 3, "fit": 30, "report": 1}


def test_python_users_see_whether_it_is_decided(study: Path, looks: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    import runner

    monkeypatch.chdir(study.parent)
    outcome = runner.run(study, executor="serial", tracking_uri="none")
    assert outcome.decided == "decided after 4 of at most 5 repeats" and not outcome.goes_on
    assert outcome.trained == outcome.ok == 24 and outcome.exit_status == 0
