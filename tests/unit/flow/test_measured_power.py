"""`runner power` and `runner.power`: by typical variances, by the study's own journal, by another study's."""

import json
import math

import pytest
from command import QUICK, Command, run_here
from reporting_samples import make_frames, make_plan

import runner
from runner.planning.power import HIGH, LOW, designs
from runner.reporting.statistics.comparisons import factor_pairs
from runner.reporting.statistics.metric_matrix import metric_matrix
from runner.reporting.tables.fits import fits_table
from runner.reporting.tables.measured_variances import average, measured_variances


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A folder with an experiment of two repeats that was run."""
    folder = tmp_path_factory.mktemp("studied")
    (folder / "tiny.yaml").write_text(QUICK.replace("folds: 3", "folds: 5, repeats: 2"))
    assert run_here(folder, "run", "tiny.yaml").returncode == 0
    return folder


def test_without_a_journal_there_is_a_low_and_a_high_difference(tiny, here: Command):
    document = json.loads(here("power", tiny, "--workers", 2, "--json").stdout)
    assert (document["variances"], document["source"], document["workers"]) == ("typical", None, 2)
    first = document["options"][0]
    assert first["name"] == "as planned" and first["fits"] == 12
    low, high = first["differences"]["architecture.convs"]
    assert low < high
    names = [option["name"] for option in document["options"]]
    assert names == ["as planned", "2x images", "6 folds", "2 repeats", "4 repeats"]
    images = document["options"][1]["differences"]["architecture.convs"]
    assert images == pytest.approx([low / math.sqrt(2), high / math.sqrt(2)])
    text = here("power", tiny).stdout
    assert "smallest difference that is found with 80% power, in points of accuracy" in text
    assert "Variances: low and high ones" in text and "fits" in text and "time" in text


@pytest.mark.slow
def test_a_journal_gives_the_studys_own_variances(studied):
    document = json.loads(run_here(studied, "power", "tiny.yaml", "--json").stdout)
    assert (document["variances"], document["source"]) == ("measured", "reports/tiny")
    assert all(len(values) == 1 for values in document["options"][0]["differences"].values())
    assert document["options"][0]["seconds"] > 0
    # Of another study with other factors: the average of those that were measured.
    other = QUICK.replace("name: tiny", "name: other").replace("architecture.convs: [1, 2]", "optimizer.lr: [0.1, 0.2]")
    (studied / "other.yaml").write_text(other)
    found = json.loads(run_here(studied, "power", "other.yaml", "--like", "tiny", "--json").stdout)
    assert found["source"] == "reports/tiny" and found["factors"]["optimizer.lr"]["variances"]
    assert (
        found["factors"]["architecture.downsample"]["variances"]
        == document["factors"]["architecture.downsample"]["variances"]
    )


def test_the_line_of_a_plan_with_trained_fits_says_who_goes_by_them(studied):
    (line,) = [line for line in run_here(studied, "plan", "tiny.yaml").stdout.splitlines() if "80% power" in line]
    assert line.endswith("(runner power goes by this study's own fits, and says what more would buy)")
    larger = run_here(studied, "plan", "tiny.yaml", "--set", "cross_validation.repeats=3").stdout
    assert "runner power goes by this study's own fits" in larger


def test_python_users_get_the_same(studied, monkeypatch):
    monkeypatch.chdir(studied)
    found = runner.power("tiny.yaml", workers=1)
    document = json.loads(run_here(studied, "power", "tiny.yaml", "--json", "--workers", 1).stdout)
    assert found.document() == document
    assert found.difference("architecture.convs")[0] == document["options"][0]["differences"]["architecture.convs"][0]
    assert "smallest difference" in repr(found) and "<table>" in found._repr_html_()
    assert runner.power("tiny.yaml", like="tiny").source == "reports/tiny"


def test_what_cannot_be_is_one_line(studied):
    other_metric = run_here(studied, "power", "tiny.yaml", "--like", "tiny", "--set", "report.metric=val_loss")
    assert other_metric.returncode == 2
    assert other_metric.stderr == "--like reports/tiny: no comparison of val_loss in it is finished\n"
    missing = run_here(studied, "power", "tiny.yaml", "--like", "tony")
    assert missing.returncode == 2 and "did you mean 'tiny'?" in missing.stderr
    unknown = run_here(studied, "power", "tiny.yaml", "--set", "report.metric=val_loss").stdout
    assert "No variances of val_loss are known" in unknown and "unknown" in unknown


def test_nothing_varied_finds_nothing(tiny, here: Command):
    text = tiny.read_text()
    tiny.write_text(text[: text.index("grid:")])
    assert "no two cells differ in one factor alone" in here("power", tiny).stdout


@pytest.mark.parametrize("repeats, folds, metric", [(2, 5, "val_accuracy"), (1, 5, "val_accuracy"), (2, 5, "val_loss")])
def test_the_measured_variances_give_back_what_the_report_found(repeats, folds, metric):
    """At the same design, the variance of a difference is that of the report, on average over the factor's pairs."""
    plan = make_plan({"a": ("1", "2", "3"), "b": ("x", "y")}, folds=folds, repeats=repeats, metric=metric)
    frames = make_frames(plan)
    found = measured_variances(plan, frames)
    matrix = metric_matrix(plan, fits_table(plan, frames.fits), frames)
    for factor, design in designs(plan).items():
        pairs = factor_pairs(plan, matrix, factor)
        assert design.variance(found[factor]) == pytest.approx(pairs["variance"].mean(), rel=0.35)


def test_an_average_needs_something():
    assert average({"a": LOW, "b": HIGH}).fits == pytest.approx((LOW.fits + HIGH.fits) / 2)
    with pytest.raises(ValueError, match="no variances"):
        average({})
