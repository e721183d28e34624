"""`runner compare`: small trained experiments, and invented ones with known values."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import TINY, Command, journal_lines, run_here
from compared_studies import MADE_WITH, SETTINGS, accuracy, grid, lower, report, study, text
from scipy import stats
from single_sample import corrected

from runner.cli import main
from runner.components.records import ComponentRef
from runner.errors import RunnerError
from runner.planning import plan_file
from runner.planning.differences import SettingDifference, match_cells
from runner.planning.plan import PlannedCell
from runner.reporting.between_studies.compare import compare
from runner.reporting.between_studies.side_by_side import document, write


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reports of the tiny experiment, unchanged and on two more data sets."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(TINY)
    labels = np.arange(240) % 3
    images = np.random.default_rng(0).integers(0, 200, (240, 8, 8)) + 25 * labels[:, None, None]
    np.savez(folder / "own.npz", images=images.astype(np.uint8), labels=labels)
    changes = {"reports": [], "own": ["dataset={name: npz, file: own.npz, subset: 210}"],
               "shapes": ["dataset={name: shapes, count: 300}"]}  # fmt: skip
    for reports, overrides in changes.items():
        sets = (f"--set={text}" for text in (*overrides, "training.engine=numpy", "training.epochs=1"))
        done = run_here(folder, "run", "tiny.yaml", "--reports", reports, *sets)
        assert done.returncode == 0, done.stderr
    return folder


def test_a_report_compared_with_itself_has_no_differences(trained: Path, runner: Command) -> None:
    """The second is given as a folder, with its cells and its journal's lines in another order."""
    first = trained / "reports" / "tiny"
    other = trained / "elsewhere"
    shutil.copytree(first, other, dirs_exist_ok=True)
    (other / "journal.jsonl").write_text("".join(reversed(journal_lines(first))))
    plan = plan_file.read(other / "plan.yaml")
    plan_file.save(replace(plan, cells=plan.cells[::-1]), other / "plan.yaml")
    done = runner("compare", "tiny", other, "--reports", trained / "reports", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (pair,) = json.loads(done.stdout)["pairs"]
    assert (pair["unpaired"], pair["settings"]) == (None, [])
    assert len(pair["cells"]) == 4
    for row in pair["cells"]:
        assert (row["shared_by"], row["difference"], row["p"], row["n"]) == ("content", 0, 1, 3)
        assert row["cell_a"] == row["cell_b"]
    for row in pair["factors"]:
        assert row["difference_in_a"] == pytest.approx(row["difference_in_b"], abs=1e-12)
    assert [row["factor"] for row in pair["factors"]] == ["architecture.downsample", "architecture.convs"]


def test_three_data_sets_are_ranked_and_drawn(trained: Path, runner: Command, tmp_path: Path) -> None:
    others = [trained / name / "tiny" for name in ("own", "shapes")]
    done = runner("compare", "tiny", *others, "--reports", trained / "reports", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "Cells ranked over 3 data sets by val_accuracy" in done.stdout
    assert "different data and subset: no paired comparison" in done.stdout
    assert "dataset" in done.stdout and "shapes(figure=outlines" in done.stdout
    ranks = pd.read_csv(tmp_path / "out" / "ranks.csv")
    assert list(ranks.columns) == ["cell", "rank", "digits", "npz", "shapes"]
    assert ranks["rank"].sum() == pytest.approx(10) and ranks["rank"].is_monotonic_increasing
    expected = (-ranks[["digits", "npz", "shapes"]]).rank().mean(axis=1)
    assert ranks["rank"].tolist() == pytest.approx(expected.tolist())
    drawn = "".join(ElementTree.parse(tmp_path / "out" / "ranks.svg").getroot().itertext())
    assert all(f"{row.cell} ({row.rank:.2f})" in " ".join(drawn.split()) for row in ranks.itertuples())
    assert (tmp_path / "out" / "ranks.png").read_bytes().startswith(b"\x89PNG")
    cells = pd.read_csv(tmp_path / "out" / "cells.csv")
    assert len(cells) == 8 and cells["difference"].isna().all() and (cells["shared_by"] == "levels").all()
    assert len(pd.read_csv(tmp_path / "out" / "factors.csv")) == 4


def test_a_file_names_its_report_and_misspelt_names_get_suggestions(trained: Path, runner: Command) -> None:
    reports = ("--reports", trained / "reports")
    assert runner("compare", trained / "tiny.yaml", trained / "own" / "tiny", *reports).returncode == 0
    done = runner("compare", "tiny", "tinny", *reports)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{trained / 'reports' / 'tinny'}: no such report; did you mean 'tiny'? allowed: tiny\n"
    assert runner("report", trained / "own" / "tiny", "--format", "csv", *reports).returncode == 0


@pytest.mark.parametrize("lacks", ["plan.yaml", "journal.jsonl"])
def test_a_folder_without_a_plan_or_a_journal(lacks: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = report(tmp_path / "a", grid()), report(tmp_path / "b", grid())
    (b / lacks).unlink()
    assert main(["compare", str(a), str(b)]) == 2
    assert capsys.readouterr().err.startswith(f"{b / lacks}: no such file; ")


def test_reports_that_share_nothing_are_refused_with_the_factors_of_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = report(tmp_path / "a", grid({"pool": ("max", "avg")}))
    b = report(tmp_path / "b", grid({"pool": ("max", "none"), "width": tuple("123456789")}, mark="y"))
    assert main(["compare", str(a), str(b)]) == 2
    found = capsys.readouterr()
    assert found.out == "" and found.err.count("\n") == 1
    assert "A has pool (max, avg); B has pool (max, none), width (1, 2, 3, 4, 5, 6 and 3 more)" in found.err


def test_nothing_heavy_is_loaded(tmp_path: Path) -> None:
    a, b = report(tmp_path / "a", grid()), report(tmp_path / "b", grid(mark="y"), lower(0.1))
    code = (
        "import sys\nfrom runner.cli import main\nmain(sys.argv[1:])\n"
        "print([m for m in ('torch', 'mlflow', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, "compare", a, b], capture_output=True, text=True)
    assert done.stdout.endswith("\n[]\n"), done.stdout + done.stderr


def test_paired_differences_have_the_corrected_test() -> None:
    """The differences of each cell are .1, .11 and .12 in both repeats."""
    (pair,) = compare([study(grid()), study(grid(), lower(0.1), "b")]).pairs
    values = [0.1, 0.11, 0.12] * 2
    scale = pd.Series(values).std() * math.sqrt(1 / 6 + 1 / 2)
    low, high = stats.t.interval(0.95, 5, loc=0.11, scale=scale)
    for row in pair.cells.to_dict("records"):
        assert (row["n"], row["df"], row["shared_by"]) == (6, 5, "content")
        assert (row["difference"], row["ci_low"], row["ci_high"]) == pytest.approx((0.11, low, high))
        assert row["p"] == pytest.approx(2 * stats.t.sf(0.11 / scale, 5))
        assert row["p_holm"] == pytest.approx(4 * row["p"])
        assert row["p_better"] == pytest.approx(stats.t.sf((0.01 - 0.11) / scale, 5))
        assert row["mean_a"] - row["mean_b"] == pytest.approx(0.11)


def test_lower_is_better_for_a_loss_and_the_first_metric_is_used_for_all() -> None:
    other = grid()
    found = compare([study(grid(metric="val_loss")), study(other, lower(0.1), "b")])
    assert found.warnings == ("the metric of B is val_accuracy; all are compared by val_loss, the metric of A",)
    (pair,) = found.pairs
    assert pair.cells["difference"].tolist() == pytest.approx([-0.11] * 4)
    assert (pair.cells["p_better"] > 0.99).all()
    assert "val_loss in nats" in text(study(grid(metric="val_loss")), study(other, folder="b"))


def test_a_missing_fit_leaves_the_others_paired() -> None:
    found = compare([study(grid()), study(grid(), lower(0.1), "b", missing=[("max, 1", 2)])])
    row, *others = found.pairs[0].cells.to_dict("records")
    assert (row["cell_a"], row["n_a"], row["n_b"], row["n"]) == ("max, 1", 6, 5, 5)
    assert row["difference"] == pytest.approx((0.1 + 0.11 + 0.1 + 0.11 + 0.12) / 5)
    assert all(other["n"] == 6 for other in others)
    assert "B | study | b | digits | 23 of 24 | 4 | 3 | 2 | 0" in text(
        study(grid()), study(grid(), folder="b", missing=[("max, 1", 2)])
    )


def test_experiments_without_any_finished_fit_are_printed_without_numbers() -> None:
    nothing = [(cell.name, fit) for cell in grid().cells for fit in range(6)]
    printed = text(study(grid()), study(grid(), folder="b", missing=nothing))
    assert "max, 1 | – | – | 76.10 | – † | – | 0" in printed
    assert json.loads(json.dumps(document(compare([study(grid()), study(grid(), missing=nothing)]))))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seed": 1}, "seed"),
        ({"folds": 2}, "folds"),
        ({"repeats": 1}, "repeats"),
        ({"dataset": ComponentRef("digits", {"subset": 50})}, "subset"),
        ({"data": {"fingerprint": "f2"}, "seed": 1}, "data and seed"),
        ({"data": grid().data | {"duplicates": {"dropped": 3}}}, "deduplicate"),
        ({"data": {}}, "data"),
    ],
)
def test_fits_on_different_splits_are_not_paired(changes: dict, reason: str) -> None:
    (pair,) = compare([study(grid()), study(grid(**changes), lower(0.1), "b")]).pairs
    assert pair.unpaired == f"different {reason}: no paired comparison"
    assert pair.cells["difference"].isna().all() and pair.cells["p_holm"].isna().all() and (pair.cells["n"] == 0).all()
    own = corrected(pair.b.values([pair.b.plan.cells[0]])[0], 1 / (pair.b.plan.folds - 1))
    row = pair.cells.iloc[0]
    assert (row["mean_b"], row["ci_low_b"], row["ci_high_b"]) == pytest.approx(
        (own.mean, own.low, own.high), nan_ok=True
    )


def test_data_without_fingerprints_are_not_taken_for_the_same() -> None:
    (pair,) = compare([study(grid(data={})), study(grid(data={}), folder="b")]).pairs
    assert pair.unpaired == "different data: no paired comparison"


def test_cells_are_matched_by_content_before_levels() -> None:
    """b has the names max and avg swapped; its third cell matches the third of a by its levels only."""
    a, b = grid({"pool": ("max", "avg", "none")}), grid({"pool": ("max", "avg", "none")}, mark="y")
    swapped = {"max": a.cells[1].id, "avg": a.cells[0].id}
    cells = [replace(cell, id=swapped.get(cell.name, cell.id)) for cell in b.cells]
    matched = match_cells(a, replace(b, cells=tuple(cells)))
    assert [(one.name, other.name) for one, other in matched] == [("max", "avg"), ("avg", "max"), ("none", "none")]
    assert match_cells(a, replace(b, cells=(replace(cells[0], levels={"pool": "none"}, name="none"),))) == [
        (a.cells[1], replace(cells[0], levels={"pool": "none"}, name="none"))
    ]


def test_a_cell_under_another_name_is_printed_with_both() -> None:
    other = grid()
    cells = tuple(replace(cell, name=f"{cell.name}!") for cell in other.cells)
    printed = text(study(grid()), study(replace(other, cells=cells), folder="b"))
    assert "max, 1 (b: max, 1!)" in printed


def test_settings_that_differ_are_listed_with_their_cells() -> None:
    def changed(cell: PlannedCell) -> PlannedCell:
        net = ComponentRef("net", {"width": 8 if cell.levels["pool"] == "max" else 4})
        augmentation = (ComponentRef("shift", {"pixels": 2}), ComponentRef("flip"))
        training = replace(SETTINGS.training, epochs=3)
        changes = {"architecture": net, "augmentation": augmentation, "training": training}
        return replace(cell, settings=replace(SETTINGS, **changes))

    b = grid(mark="y", dataset=ComponentRef("shapes", {"count": 9, "root": None}))
    b = replace(b, cells=tuple(map(changed, b.cells)))
    (pair,) = compare([study(grid()), study(b, folder="b")]).pairs
    augmentation = [{"name": "shift", "pixels": 2}, {"name": "flip"}]
    assert pair.settings == (
        SettingDifference("dataset", {"name": "digits"}, {"name": "shapes", "count": 9, "root": None}),
        SettingDifference("architecture.width", 4, 8, ("max, 1", "max, 2")),
        SettingDifference("augmentation", [{"name": "none"}], augmentation),
        SettingDifference("training.epochs", 2, 3),
    )
    printed = text(study(grid()), study(b, folder="b"))
    assert "dataset | all | digits | shapes(count=9)" in printed
    assert "architecture.width | max, 1; max, 2 | 4 | 8" in printed
    assert "augmentation | all | [none] | [shift(pixels=2), flip]" in printed
    assert "the cells are matched by the names of their levels, not by their content" in printed


def test_cells_that_differ_in_no_setting_are_reported_to_differ_in_code() -> None:
    (pair,) = compare([study(grid()), study(grid(mark="y"), folder="b")]).pairs
    assert {setting.path for setting in pair.settings} == {"component code"} and len(pair.settings) == 4
    larger = grid(mark="y", data={"fingerprint": "f2", "shape": [1, 9, 9], "class_names": ["a", "b"]})
    (pair,) = compare([study(grid()), study(larger, folder="b")]).pairs
    assert [setting.path for setting in pair.settings] == ["data.fingerprint", "data.shape"]


def test_many_settings_are_counted() -> None:
    wide = {"w": [f"w{n}" for n in range(30)]}
    printed = text(study(grid(wide)), study(grid(wide, mark="y"), folder="b"))
    assert "and 10 more (use --json to list all)" in printed


def test_different_versions_give_a_warning() -> None:
    b = grid(made_with={**MADE_WITH, "torch": "2.1", "commit": "c2", "processor": "p2"})
    found = compare([study(grid()), study(b, folder="b")])
    (warning,) = found.warnings
    assert warning.startswith(
        "A and B were made with torch 2.0 and 2.1; to train either again with the installed versions, "
    )
    assert [setting.path for setting in found.pairs[0].settings] == [
        "made_with.torch", "made_with.commit", "made_with.processor",
    ]  # fmt: skip


def test_factors_are_compared_if_only_they_are_shared() -> None:
    """b has avg before max and another depth; in it max is worse by .2, a little less in later folds."""

    def other(levels: dict[str, str], repeat: int, fold: int) -> float:
        return 0.6 - (0.2 - 0.001 * fold) * (levels["pool"] == "max")

    b = grid({"pool": ("avg", "max"), "depth": ("3",)}, mark="y", folds=5, repeats=1)
    (pair,) = compare([study(grid()), study(b, other, "b")]).pairs
    assert pair.cells.empty
    (row,) = pair.factors.to_dict("records")
    assert (row["factor"], row["level_a"], row["level_b"]) == ("pool", "max", "avg")
    assert row["difference_in_a"] == pytest.approx(0.06) and row["difference_in_b"] == pytest.approx(-0.198)
    assert row["ci_low_in_b"] < row["difference_in_b"] < row["ci_high_in_b"] < 0
    assert (row["same_sign"], row["n_in_a"], row["n_in_b"]) == ("no", 6, 5)
    assert "max − avg | no | +6.00 |" in text(study(grid()), study(b, other, "b"))


def test_two_intervals_agree_only_if_both_exclude_zero() -> None:
    def unsure(levels: dict[str, str], repeat: int, fold: int) -> float:
        return 0.5 + 0.1 * (fold - 1) * (levels["pool"] == "max") + (0.1 + 0.01 * fold) * (levels["depth"] == "2")

    data = grid().data | {"validation": 1000}
    (pair,) = compare([study(grid(data=data)), study(grid(data=data), unsure, "b")]).pairs
    assert pair.factors.set_index("factor")["same_sign"].to_dict() == {"pool": "unclear", "depth": "yes"}


def test_experiments_without_factors_share_their_one_cell() -> None:
    (pair,) = compare([study(grid({})), study(grid({}, mark="y"), lower(0.1), "b")]).pairs
    (row,) = pair.cells.to_dict("records")
    assert (row["cell_a"], row["shared_by"]) == ("base", "levels") and row["difference"] == pytest.approx(0.11)
    assert pair.factors.empty


def test_a_document_has_no_numbers_that_json_lacks() -> None:
    """The same difference in every fold has no t, and a loss may be infinite."""
    others = [study(grid(), lambda *key: accuracy(*key) - 0.25, "b"), study(grid(), lambda *key: -math.inf, "c")]
    found = document(compare([study(grid(metric="val_loss")), *others]))
    first, second = (pair["cells"][0] for pair in json.loads(json.dumps(found, allow_nan=False))["pairs"])
    assert (first["difference"], first["t"], first["p"]) == (pytest.approx(-0.25), None, None)
    assert second["mean_b"] == "inf"


def test_equal_differences_between_studies_have_the_noise_of_their_images() -> None:
    data = grid().data | {"validation": 10}
    (pair,) = compare([study(grid(data=data)), study(grid(data=data), lambda *key: accuracy(*key) - 0.25, "b")]).pairs
    spread = math.sqrt((0.25 * 0.75 + 2 / 30) / 10)
    assert pair.cells["effect_size"].tolist() == pytest.approx([0.25 / spread] * 4)
    assert (pair.cells["p_holm"] > 0.4).all()


def test_what_rests_on_survivors_is_marked_between_studies() -> None:
    missing = [(cell.name, 2) for cell in grid().cells]
    found = (study(grid()), study(grid(), lower(0.1), "b", missing=missing))
    assert re.search(r"max, 1 \| .* \| 76.10 \| 65.12 † \| ", text(*found)) and "† Rests on survivors" in text(*found)
    assert re.search(r"max − avg \| .* \| \+6.00 \| .* \| \+5.80 † \| ", text(*found))
    whole = (found[0], study(grid(), lower(0.1), "b"))
    assert "†" not in text(*whole)


def test_the_written_files_have_all_pairs(tmp_path: Path) -> None:
    found = compare([study(grid(), folder=name) for name in ("a", "b", "c")])
    write(found, tmp_path / "out")
    cells = pd.read_csv(tmp_path / "out" / "cells.csv")
    assert cells[["experiment_a", "experiment_b"]].drop_duplicates().values.tolist() == [["a", "b"], ["a", "c"]]
    assert len(cells) == 8


def test_the_first_experiment_that_shares_nothing_is_named() -> None:
    alone = grid({"other": ("x", "y")}, mark="z")
    with pytest.raises(RunnerError, match="^a and c share no cell"):
        compare([study(grid()), study(grid(), folder="b"), study(alone, folder="c")])
