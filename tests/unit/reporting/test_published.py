"""Published values beside those found: the numbers, the order, and what is refused, in one line each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import Command
from statsmodels.stats.proportion import proportion_confint

from runner.reporting.tables.published import image_noise

STUDY = """\
name: published
dataset: {name: digits, subset: 300}
architecture: {name: stages, width: 4, stages: 1}
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 2, engine: numpy}
cross_validation: {folds: 3}
grid:
  kernels: {small: {architecture.kernel: 3}, large: {architecture.kernel: 5}}
  architecture.downsample: [max_pool, avg_pool]
report:
  published:
    source: Somebody 1998, table 3
    cells:
      - {cell: {kernels: small, architecture.downsample: max_pool}, value: 0.9}
      - {cell: {kernels: small, architecture.downsample: avg_pool}, value: 0.8}
      - {cell: {kernels: large, architecture.downsample: max_pool}, value: 0.7}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY)
    return file


def run(here: Command, study: Path, *options: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, str]:
    assert here("run", study, *options).returncode == 0
    folder = study.parent / "reports" / "published"
    tables = (pd.read_csv(folder / "tables" / f"{name}.csv") for name in ("published", "published_order", "cells"))
    assert "Somebody 1998, table 3" in (folder / "report.html").read_text()
    return *tables, (folder / "report.md").read_text()


def test_published_values_stand_beside_those_found(study: Path, here: Command) -> None:
    published, order, cells, page = run(here, study)
    assert list(published["cell"]) == ["small, max_pool", "small, avg_pool", "large, max_pool"]
    found = cells.set_index("cell").loc[published["cell"]]
    assert list(published["published"]) == [0.9, 0.8, 0.7] and list(published["published_rank"]) == [1, 2, 3]
    for ours, theirs in (("mean", "mean"), ("ci_low", "ci_low"), ("ci_high", "ci_high")):
        assert np.array_equal(published[ours], found[theirs])
    assert np.allclose(published["difference_high"], published["ci_high"] - published["published"])
    assert list(published["interval"]) == ["fits"] * 3 and "those of the table of cells" in page
    assert list(published["rank"]) == list(published["mean"].rank(ascending=False, method="min"))
    rows = {(row["factor"], row["at"]): row for _, row in order.iterrows()}
    assert list(rows) == [
        ("kernels", "architecture.downsample=max_pool"), ("architecture.downsample", "kernels=small"),
    ], "the others have one level with a published value"  # fmt: skip
    for row in rows.values():
        assert row["same"] == (row["found"] == row["published"]) and row["pairs"] == 1
    assert rows["architecture.downsample", "kernels=small"]["published"] == "max_pool > avg_pool"


def test_a_single_fit_has_the_noise_of_its_images(study: Path, here: Command) -> None:
    published, order, _, page = run(here, study, "--set", "cross_validation={split: 0.2}")
    assert list(published["interval"]) == ["images"] * 3 and "too narrow" in page
    for mean, low, high in published[["mean", "ci_low", "ci_high"]].itertuples(index=False):
        assert high - low == pytest.approx(2 * image_noise(np.array(mean), 60))
    assert order["shown"].isna().all()


def test_the_noise_is_that_of_statsmodels() -> None:
    low, high = proportion_confint(870, 1000, method="agresti_coull")
    assert image_noise(np.array(0.87), 1000) == pytest.approx((high - low) / 2, rel=0.01)


def test_published_values_train_nothing_again(study: Path, here: Command) -> None:
    run(here, study)
    study.write_text(STUDY.replace("0.7}", "0.75}"))
    again = here("run", study)
    assert "0 fits to train, 12 are in the journal already" in again.stderr
    study.write_text(STUDY.partition("report:")[0])
    assert here("run", study).returncode == 0
    assert not list((study.parent / "reports" / "published" / "tables").glob("published*"))


FIRST, AT = "{cell: {kernels: small, architecture.downsample: max_pool}, value: 0.9}", "study.yaml:14: report.published"
REFUSED = {
    "a factor": (
        FIRST.replace("kernels", "kernel"),
        f"{AT}.cells[0].cell: unknown factor 'kernel'; did you mean 'kernels'? allowed: architecture.downsample, "
        "kernels",
    ),
    "a level": (
        FIRST.replace("small", "smal"),
        f"{AT}.cells[0].cell: unknown level 'smal' of factor 'kernels'; did you mean 'small'? allowed: large, small",
    ),
    "a key": (
        FIRST.replace("value", "valeu"),
        f"{AT}.cells[0].valeu: unknown key 'valeu'; did you mean 'value'? allowed: cell, value",
    ),
    "too few": (
        "{cell: {kernels: small}, value: 0.9}",
        f"{AT}.cells[0].cell: matches 2 cells; name the level of architecture.downsample too",
    ),
    "percent": (
        FIRST.replace("0.9", "90"),
        f"{AT}.cells[0].value: found 90; did you mean 0.9? allowed: 0 to 1, as val_accuracy is given",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_matches_no_cell_is_refused_in_one_line(case: str, study: Path, here: Command) -> None:
    entry, message = REFUSED[case]
    study.write_text(STUDY.replace(FIRST, entry))
    planned = here("plan", study)
    assert planned.returncode == 2 and message in planned.stderr


@pytest.mark.parametrize(("old", "new", "message"), [
    ("    source: Somebody 1998, table 3\n", "", "report.published.source: is required, but missing"),
    ("    cells:", "    metric: val_acuracy\n    cells:", "unknown metric 'val_acuracy'; did you mean 'val_accuracy'?"),
    ("    cells:", "    metric: test_accuracy\n    cells:", "with cross_validation.test: true also those of the test"),
    ("0.8}", f"0.8}}\n      - {FIRST}", "cell 'small, max_pool' has a published value already"),
])  # fmt: skip
def test_what_is_incomplete_or_repeated_is_refused(
    old: str, new: str, message: str, study: Path, here: Command
) -> None:
    study.write_text(STUDY.replace(old, new, 1))
    planned = here("plan", study)
    assert planned.returncode == 2 and message in planned.stderr
