"""Studies that are compared by other metrics and trained with other losses, as a user runs them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command, journal_by_id, journal_lines
from sklearn.metrics import balanced_accuracy_score, f1_score

from runner.components.catalog import load_catalog
from runner.errors import InputError
from runner.experiment.load import load
from runner.fits.answers import unpack
from runner.flow.saved_study import Study
from runner.planning import plan_file
from runner.planning.make_plan import make_plan
from runner.workers import run_group

BASE: dict[str, Any] = {
    "name": "study",
    "dataset": {"name": "digits", "subset": 120},
    "architecture": {"name": "stages", "width": 2, "stages": 1},
    "optimizer": {"name": "adam", "lr": 1e-2},
    "training": {"epochs": 2, "engine": "numpy", "batch_size": 20},
    "cross_validation": {"folds": 2},
    "grid": {"architecture.kernel": [3, 5]},
}


def write(folder: Path, **sections: Any) -> None:
    (folder / "s.yaml").write_text(json.dumps({**BASE, **sections}))


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "reports" / "study" / "tables" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_metrics_of_the_answers_appear_in_the_report_of_an_old_journal(tmp_path: Path, here: Command) -> None:
    write(tmp_path)
    assert here("run", "s.yaml").returncode == 0
    report = tmp_path / "reports" / "study"
    old = journal_by_id(report)
    write(tmp_path, report={"metric": "balanced_accuracy", "metrics": ["macro_f1", "val_loss", "top5"]})
    done = here("run", "s.yaml")
    assert done.returncode == 0 and "0 fits to train" in done.stderr, done.stderr
    assert "report.metrics: 4 of 4 fits in the journal were not measured by top5, as it needs the prob" in done.stderr

    with np.load(report / "splits.npz") as splits:
        labels, fold_of = splits["labels"], splits["fold_of"][0]
    for row in table(tmp_path, "fits"):
        truth = labels[fold_of == int(row["fold"]) - 1]
        predicted = unpack(old[row["id"]]["answers"], truth, 10)
        assert float(row["balanced_accuracy"]) == pytest.approx(balanced_accuracy_score(truth, predicted))
        assert float(row["macro_f1"]) == pytest.approx(f1_score(truth, predicted, average="macro", zero_division=0))
        assert row["top5"] == ""
    cells, (pair,) = table(tmp_path, "cells"), table(tmp_path, "comparisons")
    means = [float(cell["mean"]) for cell in cells]
    assert pair["method"] == "corrected_t" and float(pair["difference"]) == pytest.approx(means[0] - means[1])
    assert "balanced_accuracy %" in done.stdout and "macro_f1 %" in done.stdout
    page = (report / "report.md").read_text()
    assert "points of balanced accuracy" in page and "balanced_accuracy is not the share of images" in page
    assert not re.search(r"balanced accuracy %", done.stdout), "the pooled one is not shown beside it"

    # A fit gets one more line, which differs in the metrics alone, and another run adds none.
    lines = journal_lines(report)
    first, added = ({(fit := json.loads(line)["fit"])["id"]: fit for line in part} for part in (lines[:4], lines[4:]))
    assert all(fit.pop("measures").keys() == {"balanced_accuracy", "macro_f1"} for fit in added.values())
    assert added == first
    assert here("run", "s.yaml").returncode == 0 and journal_lines(report) == lines
    # The report from the journal and the plan alone, which load no plugin.
    before = (report / "tables" / "cells.csv").read_text()
    assert here("report", "study").returncode == 0 and (report / "tables" / "cells.csv").read_text() == before


def test_what_old_fits_cannot_tell_is_refused_before_anything_is_trained(tmp_path: Path, here: Command) -> None:
    write(tmp_path, grid={"architecture.kernel": [3]})
    assert here("run", "s.yaml").returncode == 0
    write(tmp_path, report={"metric": "auc"})
    done = here("run", "s.yaml")
    (*_, line) = done.stderr.splitlines()
    assert done.returncode == 2 and "s.yaml:1: report.metric: 2 of 2 fits in the journal were not" in line
    assert "delete reports/study/journal.jsonl to train them again, or use another --reports folder" in line
    assert len(journal_lines(tmp_path / "reports" / "study")) == 2
    done = here("run", "s.yaml", "--reports", "new")
    assert done.returncode == 0, done.stderr
    assert all(0 < fit["measures"]["auc"] < 1 for fit in journal_by_id(tmp_path / "new" / "study").values())


def test_no_fit_is_charged_for_the_libraries_of_its_metrics(
    tmp_path: Path, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    clocks = run_group.clocks
    monkeypatch.setattr(run_group, "_loaded_metrics", set())
    monkeypatch.setattr(run_group, "load_libraries", lambda metrics, classes: events.append(f"{len(metrics)} metrics"))
    monkeypatch.setattr(run_group, "clocks", lambda: events.append("clock") or clocks())
    write(tmp_path, grid={"architecture.kernel": [3]}, report={"metrics": ["auc", "macro_f1"]})
    assert here("run", "s.yaml").returncode == 0
    assert events == ["2 metrics", "clock", "clock"]


def test_metrics_that_are_added_do_not_hide_that_results_could_be_read_before(tmp_path: Path, here: Command) -> None:
    """The added lines are after the look at the first repeat, the fits' own before it."""
    for validation in ({"folds": 2}, {"folds": 2, "repeats": 2}):
        write(tmp_path, cross_validation=validation)
        assert here("run", "s.yaml").returncode == 0
    assert table(tmp_path, "comparisons")[0]["alpha"] == "0.025"
    write(tmp_path, cross_validation=validation, report={"metric": "macro_f1"})
    assert here("run", "s.yaml").returncode == 0
    assert table(tmp_path, "comparisons")[0]["alpha"] == "0.025"


def test_a_study_goes_on_until_another_metric_is_decided(tmp_path: Path, here: Command) -> None:
    validation = {"folds": 2, "repeats": {"until": "decided", "most": 3}}
    write(tmp_path, cross_validation=validation)
    assert here("run", "s.yaml").returncode == 0
    write(tmp_path, cross_validation=validation, report={"metric": "macro_f1"})
    assert here("run", "s.yaml").returncode == 0
    repeats = {row["repeats"] for row in table(tmp_path, "looks")}
    assert max(repeats) == max(row["repeat"] for row in table(tmp_path, "fits")) and len(repeats) >= 1
    assert all(row["macro_f1"] for row in table(tmp_path, "fits"))


METRIC = """
from runner.api import Metric, hookimpl

def worst(class_names, *, of: int = 2):
    def compute(truth, said):
        return 3 * sorted((said[truth == c] {what}).mean() for c in set(truth.tolist()))[of]
    return compute

@hookimpl
def register_metrics():
    yield Metric(name="worst", build=worst, unit="dB", highest=3, higher_is_better={higher}, needs="{needs}")
"""
LOSS = """
from dataclasses import dataclass
import numpy as np
from runner.api import Loss, hookimpl

@dataclass(frozen=True)
class Focal:
    gamma: float
    def values(self, scores, targets):
        p = (scores.softmax(1) * targets).sum(1)
        return -((1 - p) ** self.gamma) * p.log()

def my_focal(class_names, counts, *, gamma: float = 2.0):
    return Focal(gamma)

@hookimpl
def register_losses():
    yield Loss(name="my_focal", build=my_focal)
"""


def test_a_metric_and_a_focal_loss_of_a_stranger_in_a_grid(tmp_path: Path, here: Command) -> None:
    (tmp_path / "metric.py").write_text(METRIC.format(what="== c", higher=False, needs="answers"))
    (tmp_path / "loss.py").write_text(LOSS)
    write(
        tmp_path,
        plugins=["./metric.py", "./loss.py"],
        training={"epochs": 1, "engine": "torch", "batch_size": 20},
        grid={"loss": ["cross_entropy", {"name": "focal", "gamma": 2}, "my_focal"]},
        report={"metric": {"name": "worst", "of": 3}, "metrics": ["calibration_error"]},
    )
    done = here("run", "s.yaml", publish=False)
    assert done.returncode == 0, done.stderr
    rows = {row["cell"]: row for row in table(tmp_path, "cells")}
    assert [*rows] == ["cross_entropy", "focal(gamma=2)", "my_focal"]
    # The same formula twice: equal up to rounding, and unlike the plain cross-entropy.
    losses = [float(row["val_loss_mean"]) for row in rows.values()]
    assert losses[1] == pytest.approx(losses[2], rel=1e-4) and losses[0] != pytest.approx(losses[1], rel=1e-4)
    page = (tmp_path / "reports" / "study" / "report.md").read_text()
    assert "dB of worst" in page and "worst(of=3) dB" in page and "calibration_error %" in page
    assert "every loss in this report is the plain cross-entropy" in page
    # Lower is better, so the first row of the page has the smallest mean.
    (first,) = re.findall(r"\| (\S+) \|.*\n", page[page.index("| cell |") :].split("\n", 2)[2])[:1]
    assert float(rows[first]["mean"]) == min(float(row["mean"]) for row in rows.values())

    # An edited metric is another one: values from recorded answers are computed again, and nothing is trained.
    (tmp_path / "metric.py").write_text(METRIC.format(what="!= c", higher=True, needs="answers"))
    before = {name: float(row["mean"]) for name, row in rows.items()}
    done = here("run", "s.yaml")
    assert done.returncode == 0 and "0 fits to train" in done.stderr, done.stderr
    assert {row["cell"]: float(row["mean"]) for row in table(tmp_path, "cells")} != before


def test_studies_are_compared_by_a_metric_that_both_have(tmp_path: Path, here: Command) -> None:
    for name, report in (("a", {"metric": "macro_f1"}), ("b", {"metrics": ["macro_f1"]}), ("c", {})):
        write(tmp_path, name=name, report=report, grid={"architecture.kernel": [3]})
        assert here("run", "s.yaml").returncode == 0
    done = here("compare", "a", "b")
    assert done.returncode == 0 and "macro_f1 in %" in done.stdout, done.stderr
    done = here("compare", "a", "c")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "c: its fits were not measured by macro_f1, the metric of" in done.stderr


def test_the_plan_says_all_that_a_report_needs(tmp_path: Path, here: Command) -> None:
    write(tmp_path, report={"metric": "calibration_error", "metrics": ["auc"]}, loss={"label_smoothing": 0.1})
    assert here("run", "s.yaml").returncode == 0
    folder = tmp_path / "reports" / "study"
    plan = plan_file.read(folder / "plan.yaml")
    assert [m.name for m in plan.measures] == ["calibration_error", "auc"] and not plan.measure.higher_is_better
    assert plan.cells[0].settings.loss and plan.cells[0].settings.loss.parameters["label_smoothing"] == 0.1
    study = Study(folder)
    assert {"calibration_error", "auc"} <= set(study.fits.columns) and "auc_mean" in study.cells.columns
    text = (folder / "plan.yaml").read_text()
    for old, new, words in (
        ("  highest: 1.0", "  highest: .nan", "expected a range"),
        ("auc", "val_loss", "each with a name of its own"),
        ("metric: calibration_error", "metric: speed", "metric is speed; allowed: val_accuracy"),
    ):
        (folder / "plan.yaml").write_text(text.replace(old, new))
        done = here("report", "study")
        assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_the_default_loss_written_out_changes_no_fit() -> None:
    def ids(**sections: Any) -> list[str]:
        return [cell.id for cell in make_plan(load({**BASE, **sections})).cells]

    plain = ids()
    assert ids(loss="cross_entropy") == ids(loss={"label_smoothing": 0}) == plain
    assert ids(loss={"name": "cross_entropy", "class_weights": None}, report={"metric": "auc"}) == plain
    assert len({*plain, *ids(loss="focal"), *ids(loss={"class_weights": "balanced"})}) == 6
    grid = {"loss.label_smoothing": [0, 0.1]}
    assert ids(grid=grid)[0] == ids(grid={})[0] and len(set(ids(grid=grid))) == 2
    union = [{"architecture.kernel": [3]}, {"loss": ["focal"]}, {"loss.label_smoothing": [0.1]}]
    levels = [cell.levels for cell in make_plan(load({**BASE, "grid": union})).cells]
    assert len(levels) == 3 and levels[1]["loss"] == "focal"


WEIGHTS = "balanced, a list of a number above 0 for each class, or a mapping from classes to such numbers"


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"loss": "crossentropy"}, "loss: unknown loss 'crossentropy'; did you mean 'cross_entropy'? allowed:"),
        ({"loss": {"name": "focal", "gama": 2}}, "loss.gama: focal has no parameter 'gama'; did you mean 'gamma'?"),
        ({"loss": {"label_smoothing": 1.5}}, "loss.label_smoothing: found 1.5; allowed: less than 1"),
        ({"loss": {"class_weights": "balance"}}, f'loss.class_weights: found "balance"; allowed: {WEIGHTS}'),
        ({"loss": {"class_weights": [1, 0]}}, f"loss.class_weights: found [1, 0]; allowed: {WEIGHTS}"),
        ({"loss": {"class_weights": [1, 2]}}, "loss: class_weights: found 2 numbers; expected 10, one a class"),
        ({"loss": {"class_weights": {"10": 2}}}, "loss: class_weights: unknown class '10'; "),
        ({"loss": 3}, "loss: found 3; expected a name, or a mapping with a name and parameters"),
        ({"grid": {"loss.gamma": [1]}}, "loss.gamma: cross_entropy has no parameter 'gamma'"),
        ({"report": {"metric": "balanced_acuracy"}}, "report.metric: unknown metric 'balanced_acuracy'; did you"),
        ({"report": {"metrics": ["auc", "f1"]}}, "report.metrics[1]: unknown metric 'f1'"),
        ({"report": {"metrics": ["auc", "auc"]}}, "report.metrics[1]: auc is listed twice"),
        ({"report": {"metric": {"name": "top_k", "k": 10}}}, "report.metric: top 10 of 10 classes is always right"),
        ({"report": {"metrics": {"name": "recall", "of": "x"}}}, "report.metrics: recall: unknown class 'x'"),
        ({"report": {"metric": "recall"}}, "report.metric: recall needs the parameter 'of' (text)"),
        ({"report": {"metric": {"name": "val_loss", "of": 1}}}, "report.metric.of: val_loss has no parameters"),
        ({"report": {"metric": "train_loss"}}, "report.metric: unknown metric 'train_loss'"),
        ({"report": {"metrics": ["auc"] * 51}}, "report.metrics: found 51 metrics; allowed: at most 50"),
        ({"metrics": ["auc"]}, "metrics: unknown key 'metrics'; did you mean 'report.metrics'?"),
        (
            {"report": {"metrics": ["auc"]}, "grid": {"auc": {"x": {"architecture.kernel": 3}}}},
            "report.metrics[0]: the factor 'auc' has the name of the metric's column; rename the factor",
        ),
    ],
)
def test_a_wrong_loss_or_metric_is_one_line(sections: dict[str, Any], message: str, tmp_path: Path) -> None:
    write(tmp_path, **sections)
    (line,) = refusal(tmp_path)
    assert message in line and line.startswith(f"{tmp_path}/s.yaml:"), line


def refusal(folder: Path) -> list[str]:
    """The lines with which the experiment is refused."""
    with pytest.raises(InputError) as error:
        make_plan(load(folder / "s.yaml"))
    return str(error.value).splitlines()


WRONG_METRICS = {
    "lambda truth, said: 2.5": "it is 2.5, and not in 0 to 1; expected a number, 0 to 1",
    "lambda truth, said: None": "tried on random probabilities (N, classes): it returns nothing; end it",
    "lambda truth: 0.5": "(truth) is called as compute(truth, probabilities); write it so",
    "lambda truth, said: truth[999]": "IndexError: index 999 is out of bounds",
    "lambda truth, said: np.random.default_rng().random()": "for the same answers; it must not draw random numbers",
    "None": "builds nothing (None); is its return missing?",
}
WRONG_LOSSES = {
    "scores.softmax(1).log().sum()": "values gives shape (); expected a tensor (8,), one loss for each image",
    "1.0": "values gives float; expected a tensor (8,)",
    "scores.detach().sum(1)": "values has no derivatives; use torch's operations",
    "((scores - scores.mean(0)) ** 2).sum(1)": "an image's loss depends on the other images of its batch",
    "scores.sum(1) * float('nan')": "it gives losses or derivatives that are not finite",
    "(scores * targets.mul_(2)).sum(1)": "it changes the scores or the targets in place",
    "scores.nosuch()": "values raised AttributeError: 'Tensor' object has no attribute 'nosuch'",
}


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plugin that has all of these, numbered."""
    code = "import numpy as np\nfrom runner.api import Loss, Metric, hookimpl\n"
    for number, body in enumerate(WRONG_METRICS):
        code += f"def metric{number}(class_names): return {body}\n"
    for number, body in enumerate(WRONG_LOSSES):
        code += f"class Loss{number}:\n    def values(self, scores, targets): return {body}\n"
        code += f"def loss{number}(class_names, counts): return Loss{number}()\n"
    metrics, losses = (range(len(bodies)) for bodies in (WRONG_METRICS, WRONG_LOSSES))
    code += (
        f"@hookimpl\ndef register_metrics(): return [Metric(f'm{{n}}', globals()[f'metric{{n}}']) for n in {metrics}]\n"
    )
    code += f"@hookimpl\ndef register_losses(): return [Loss(f'l{{n}}', globals()[f'loss{{n}}']) for n in {losses}]\n"
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "p.py").write_text(code)
    return folder


@pytest.mark.parametrize("body", WRONG_METRICS)
def test_a_wrong_metric_of_a_plugin_is_one_line_before_anything_is_trained(body: str, wrong: Path) -> None:
    write(wrong, plugins=["./p.py"], report={"metric": f"m{list(WRONG_METRICS).index(body)}"})
    (line,) = refusal(wrong)
    assert "s.yaml:1: report.metric: metric m" in line and "p.py" in line and WRONG_METRICS[body] in line


@pytest.mark.parametrize("body", WRONG_LOSSES)
def test_a_wrong_loss_of_a_plugin_is_one_line_before_anything_is_trained(body: str, wrong: Path) -> None:
    training = {"epochs": 1, "engine": "torch"}
    write(wrong, plugins=["./p.py"], loss=f"l{list(WRONG_LOSSES).index(body)}", training=training)
    (line,) = refusal(wrong)
    assert f"tried on random scores (8, 10): {WRONG_LOSSES[body]}" in line and "p.py" in line


def test_a_wrong_record_of_a_metric_is_one_line(tmp_path: Path) -> None:
    for fields, message in (
        ("needs='answer'", "needs 'answer'; did you mean 'answers'? allowed: answers, probabilities"),
        ("lowest=1", "lowest 1, highest 1.0: expected two numbers, the lower one first"),
        ("higher_is_better=1", "higher_is_better 1: allowed: True, False"),
        ("unit='a\\nb'", "title and unit: expected text on one line"),
    ):
        code = "from runner.api import Metric, hookimpl\n@hookimpl\ndef register_metrics():\n"
        (tmp_path / "p.py").write_text(f"{code}    yield Metric(name='m', build=lambda class_names: max, {fields})\n")
        write(tmp_path, plugins=["./p.py"])
        load_catalog.cache_clear()
        (line,) = refusal(tmp_path)
        assert f"s.yaml:1: plugins[0]: {tmp_path}/p.py: metric 'm': {message}" in line


def test_a_wrong_derivative_of_a_plugin_is_found(tmp_path: Path, here: Command) -> None:
    rule = "    def value_and_gradient(self, scores, targets): return ((scores - targets) ** 2).sum(1), {}\n"
    for gradient, status in (("2 * (scores - targets)", 0), ("scores - targets", 2)):
        code = LOSS.replace("    gamma: float\n", "    gamma: float\n" + rule.format(gradient))
        (tmp_path / "loss.py").write_text(code)
        write(tmp_path, plugins=["./loss.py"], loss="my_focal")
        done = here("plan", "s.yaml")
        assert done.returncode == status, done.stderr
    assert "value_and_gradient gives a derivative of " in done.stderr and "but the losses change by" in done.stderr


def test_a_loss_of_a_plugin_that_only_torch_can_train(tmp_path: Path, here: Command) -> None:
    (tmp_path / "loss.py").write_text(LOSS)
    write(tmp_path, plugins=["./loss.py"], loss="my_focal")
    done = here("plan", "s.yaml")
    assert done.returncode == 2
    message = "loss: my_focal has no value_and_gradient, so it needs the torch engine; training.engine is numpy"
    assert message in done.stderr
    (tmp_path / "loss.py").write_text(LOSS.replace("class_names, counts, *", "*"))
    done = here("plan", "s.yaml")
    assert (
        "the parameters of my_focal must begin with class_names and counts: def build(class_names, counts, *, ...)"
        in done.stderr
    )


def test_what_changes_and_is_without_effect_is_said(tmp_path: Path, here: Command) -> None:
    write(tmp_path, grid={"architecture.kernel": [3]})
    assert here("run", "s.yaml").returncode == 0
    write(tmp_path, grid={"architecture.kernel": [3]}, loss={"name": "focal", "class_weights": [1.0] * 10})
    done = here("plan", "s.yaml")
    assert "trained again: loss cross_entropy -> focal(" in done.stdout, done.stdout
