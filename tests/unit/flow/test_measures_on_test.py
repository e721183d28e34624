"""`cross_validation: {test: true}`: the metrics of a report are measured on the held-out test images too."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command, journal_by_id, journal_lines
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score, roc_auc_score, top_k_accuracy_score

from runner.errors import InputError
from runner.experiment.load import load
from runner.fits.answers import unpack
from runner.flow import measures
from runner.flow.saved_study import Study
from runner.journal.line import FORMAT, encode
from runner.journal.schema import parse_fit
from runner.planning import plan_file
from runner.planning.make_plan import make_plan

FOUR = ("ant", "bee", "cow", "dog")
ASKED = ["macro_f1", {"name": "recall", "of": "cow"}, {"name": "top_k", "k": 2}, "auc", "calibration_error", "cost"]
NAMES = ["balanced_accuracy", "macro_f1", "recall(of=cow)", "top_k(k=2)", "auc", "calibration_error", "cost"]
PLUGIN = """\
from runner.api import Metric, hookimpl

def cost(class_names):
    return lambda truth, said: float((5.0 * ((truth == 0) & (said != 0)) + (truth != said)).mean())

@hookimpl
def register_metrics():
    yield Metric(name="cost", build=cost, needs="answers", higher_is_better=False, highest=6, unit="EUR")
"""


def write(folder: Path, engine: str = "numpy", **sections: Any) -> None:
    base: dict[str, Any] = {
        "name": "study",
        "plugins": ["./cost.py"],
        "dataset": {"name": "npz", "file": str(folder / "d.npz")},
        "architecture": {"name": "stages", "width": 2, "stages": 1},
        "optimizer": {"name": "adam", "lr": 1e-2},
        "training": {"epochs": 2, "engine": engine, "batch_size": 20},
        "cross_validation": {"folds": 2, "test": True},
    }
    (folder / "s.yaml").write_text(json.dumps({**base, **sections}))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Noisy images of four classes, of which the test part has each in another share."""
    rng = np.random.default_rng(0)
    labels, test = np.arange(80) % 4, rng.choice(4, 37, p=[0.4, 0.3, 0.2, 0.1])
    images, others = (
        np.clip(50 * own[:, None, None] + rng.normal(0, 60, (len(own), 8, 8)), 0, 255).astype(np.uint8)
        for own in (labels, test)
    )
    np.savez(tmp_path / "d.npz", images=images, labels=labels, class_names=FOUR, test_images=others, test_labels=test)
    (tmp_path / "cost.py").write_text(PLUGIN)
    return tmp_path


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "reports" / "study" / "tables" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def calibration(truth: np.ndarray, shares: np.ndarray) -> float:
    """The expected calibration error in 15 bins, as in the paper: the bins one by one."""
    said, sure, error = shares.argmax(1), shares.max(1), 0.0
    for number in range(15):
        inside = (sure > number / 15) & (sure <= (number + 1) / 15)
        if inside.any():
            error += inside.mean() * abs((said == truth)[inside].mean() - sure[inside].mean())
    return error


def by_scikit_learn(truth: np.ndarray, shares: np.ndarray) -> dict[str, float]:
    said = shares.argmax(1)
    return {
        "balanced_accuracy": balanced_accuracy_score(truth, said),
        "macro_f1": f1_score(truth, said, average="macro", zero_division=0),
        "recall(of=cow)": recall_score(truth, said, labels=[2], average="macro", zero_division=0),
        "top_k(k=2)": top_k_accuracy_score(truth, shares, k=2, labels=range(4)),
        "auc": roc_auc_score(truth, shares, multi_class="ovr"),
        "calibration_error": calibration(truth, shares),
        "cost": ((truth != said) + 5 * ((truth == 0) & (said != 0))).mean(),
    }


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_every_metric_of_the_report_is_measured_on_the_test_images(data: Path, here: Command, engine: str) -> None:
    stacking = {"stacking": 2} if engine == "torch" else {}
    training = {"epochs": 2, "engine": engine, "batch_size": 20, "keep": "all", **stacking}
    write(data, training=training, report={"metric": "balanced_accuracy", "metrics": ASKED})
    done = here("run", "s.yaml")
    assert done.returncode == 0, done.stderr
    with np.load(data / "d.npz") as arrays:
        images, truth = arrays["test_images"], arrays["test_labels"]
    study, lines = Study(data / "reports" / "study"), journal_by_id(data / "reports" / "study")
    fits = table(data, "fits")
    for fold, row in enumerate(fits, 1):
        shares = study.network(study.cells.index[0], fold=fold).predict(images)
        for name, value in by_scikit_learn(truth, shares).items():
            assert float(row[f"test_{name}"]) == pytest.approx(value, abs=1e-6), name
        assert (unpack(lines[row["id"]]["test_answers"], truth, 4) == shares.argmax(1)).all()
        assert len(lines[row["id"]]["measures"]) == 2 * len(NAMES)
        assert float(row["test_auc"]) != float(row["auc"])
    (cell,) = table(data, "cells")
    for name in NAMES:
        values = [float(row[f"test_{name}"]) for row in fits]
        assert float(cell[f"test_{name}_mean"]) == pytest.approx(np.mean(values))
        assert float(cell[f"test_{name}_std"]) == pytest.approx(np.std(values, ddof=1))
        assert f"test_{name}" in study.fits and f"test_{name}_mean" in study.cells
    page = (data / "reports" / "study" / "report.md").read_text()
    assert "| test_balanced_accuracy % |" in page and "test_cost EUR" in page
    assert "On the same images, the means over fits of test_balanced_accuracy, test_macro_f1" in page
    # Another report of the journal and the plan alone has the same, and the plan is the one that was saved.
    before = (data / "reports" / "study" / "tables" / "cells.csv").read_text()
    (data / "cost.py").unlink()
    assert here("report", "study").returncode == 0
    assert (data / "reports" / "study" / "tables" / "cells.csv").read_text() == before
    plan = plan_file.read(data / "reports" / "study" / "plan.yaml")
    assert plan.test_measures == tuple(f"test_{name}" for name in NAMES)
    assert plan.find_metric("test_cost").words == "test cost" and plan.find_metric("test_cost").limits() == (0, 6)


def test_metrics_of_the_test_answers_appear_once_they_are_asked_for(data: Path, here: Command) -> None:
    write(data)
    assert here("run", "s.yaml").returncode == 0
    report = data / "reports" / "study"
    old = journal_by_id(report)
    assert all(fit["test_answers"] and "measures" not in fit for fit in old.values())
    write(data, report={"metrics": ["macro_f1", "auc", "cost"]})
    done = here("run", "s.yaml")
    assert done.returncode == 0 and "0 fits to train" in done.stderr, done.stderr
    assert "2 of 2 fits in the journal were not measured by test_auc, as it needs the prob" in done.stderr
    with np.load(data / "d.npz") as arrays:
        truth = arrays["test_labels"]
    for row in table(data, "fits"):
        said = unpack(old[row["id"]]["test_answers"], truth, 4)
        assert float(row["test_macro_f1"]) == pytest.approx(f1_score(truth, said, average="macro", zero_division=0))
        assert float(row["test_accuracy"]) == pytest.approx((said == truth).mean())
        assert row["test_cost"] and row["test_auc"] == ""
    lines = journal_lines(report)
    assert here("run", "s.yaml").returncode == 0 and journal_lines(report) == lines, "nothing is measured twice"


def test_a_journal_without_answers_for_the_test_images_is_read(data: Path, here: Command) -> None:
    """As versions wrote it that measured the test images by accuracy and loss alone."""
    write(data)
    assert here("run", "s.yaml").returncode == 0
    report = data / "reports" / "study"
    fits = [json.loads(line)["fit"] for line in journal_lines(report) if '"fit"' in line]
    old = [parse_fit({key: value for key, value in fit.items() if key != "test_answers"}) for fit in fits]
    assert all("test_answers" not in json.loads(encode(fit))["fit"] for fit in old) and FORMAT == 2
    (report / "journal.jsonl").write_bytes(b"".join(map(encode, old)))
    before = table(data, "fits")
    write(data, report={"metric": "balanced_accuracy", "metrics": ["cost"]})
    done = here("run", "s.yaml")
    assert done.returncode == 0 and "0 fits to train" in done.stderr, done.stderr
    words = "2 of 2 fits in the journal were not measured by test_cost, as they have no answers for the test images; "
    assert f"report.metrics: {words}delete reports/study/journal.jsonl" in done.stderr
    for row, was in zip(table(data, "fits"), before, strict=True):
        assert row["balanced_accuracy"] and row["cost"] and not row["test_balanced_accuracy"] and not row["test_cost"]
        assert all(row[name] == was[name] for name in ("id", "test_accuracy", "test_loss", "val_accuracy"))
    # Answers that cannot be those for the test images are not taken for them.
    (report / "journal.jsonl").write_bytes(b"".join(encode(replace(fit, test_answers="AAAA")) for fit in old))
    done = here("run", "s.yaml")
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "its answers are not those for 37 images; the journal is not of this study" in done.stderr
    with pytest.raises(ValueError, match="test_answers is 3; expected text"):
        parse_fit(fits[0] | {"test_answers": 3})


def test_the_metrics_of_the_test_change_no_fit_and_no_other_plan(data: Path) -> None:
    plans = {}
    for test in (True, False):
        for name, report in (("plain", {}), ("asked", {"metric": "auc", "metrics": ["cost"]})):
            write(data, report=report, cross_validation={"folds": 2, "test": test})
            plans[test, name] = make_plan(load(data / "s.yaml"))
    assert len({plan.cells[0].id for plan in plans.values()}) == 1
    assert [measure.name for measure in plans[True, "asked"].measures] == ["auc", "cost", "test_auc", "test_cost"]
    assert plans[False, "asked"].test_measures == () == plans[True, "plain"].measures
    assert "on_test" not in plan_file.text(plans[False, "asked"])
    assert plan_file.text(plans[True, "asked"]).count("on_test: true") == 2


OTHER = PLUGIN + '    yield Metric(name="test_cost", build=cost, highest=6, needs="answers")\n'
OTHER += '    yield Metric(name="accuracy_noise", build=cost, highest=6, needs="answers")\n'


def test_a_line_of_the_journal_never_has_more_metrics_than_are_read(
    data: Path, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are no longer asked for make room, the oldest first."""
    monkeypatch.setattr(measures, "MOST_MEASURES", 3)
    for metrics in (["macro_f1"], ["cost"]):
        write(data, report={"metrics": metrics})
        assert here("run", "s.yaml").returncode == 0
    found = json.loads(journal_lines(data / "reports" / "study")[-1])["fit"]["measures"]
    names = [key.removeprefix("test ").partition(" ")[0] for key in found]
    assert names == ["macro_f1", "cost", "cost"] and len(set(found)) == 3


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"report": {"metric": "auc", "metrics": [{"name": "calibration_error", "bins": n} for n in range(2, 52)]}},
         "report.metrics: found 51 metrics with report.metric, each of them measured on the test images too; allo"),
        ({"report": {"metrics": ["auc", "test_macro_f1"]}}, "report.metrics[1]: unknown metric 'test_macro_f1'; name m"
         "acro_f1, which with cross_validation.test: true is measured on the test images too, as test_macro_f1"),
        ({"report": {"metric": "test_auc"}}, "report.metric: unknown metric 'test_auc'; name auc, which with "),
        ({"report": {"metrics": ["cost", "test_cost"]}}, "report.metrics[0]: on the test images it has the name of the "
         "metric test_cost; one of them needs another name"),
        ({"report": {"metrics": ["accuracy_noise"]}}, "report.metrics[0]: 'test_accuracy_noise' is a column of the "),
        ({"report": {"metrics": ["auc"]}, "grid": {"test_auc_std": {"x": {"architecture.kernel": 3}}}},
         "report.metrics[0]: the factor 'test_auc_std' has the name of the metric's column; rename the factor"),
    ],
)  # fmt: skip
def test_a_name_that_would_mean_two_things_is_one_line(sections: dict[str, Any], message: str, data: Path) -> None:
    (data / "cost.py").write_text(OTHER)
    write(data, **sections)
    with pytest.raises(InputError) as error:
        make_plan(load(data / "s.yaml"))
    (line,) = str(error.value).splitlines()
    assert message in line and line.startswith(f"{data}/s.yaml:1: "), line
