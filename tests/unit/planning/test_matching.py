"""`match` in a grid: what a plan solves, how close it comes, and what it refuses."""

from __future__ import annotations

import json
from functools import partial

import pytest
from matched_study import BASE, WIDTH, planned

from runner.errors import InputError
from runner.experiment.load import load
from runner.planning import plan_file
from runner.planning.changes import describe
from runner.planning.make_plan import make_plan

LARGE, STACK = {"architecture.kernel": 7, "architecture.convs": 1}, {"architecture.kernel": 3, "architecture.convs": 3}
RULE = {"vary": "architecture.width", "keep": "macs", "like": "7x7", "within": "2%"}
THREE = {"7x7": LARGE, "3x3 x 3": STACK, "3x3 x 3 (matched)": {**STACK, "match": RULE}}


@pytest.fixture
def plan(tmp_path):
    return partial(planned, tmp_path)


@pytest.fixture
def refusal(plan):
    def of(**sections):
        with pytest.raises(InputError) as raised:
            plan(**sections)
        return str(raised.value)

    return of


def by_name(plan):
    return {cell.name: cell for cell in plan.cells}


def solved(plan):
    return {cell.name: cell.matched and cell.matched.values for cell in plan.cells}


def test_a_level_can_be_matched_beside_the_same_one_unmatched(plan):
    cells = by_name(plan(grid={"filters": THREE}))
    assert [cell.settings.architecture.parameters["width"] for cell in cells.values()] == [16, 16, 13]
    matched = cells["3x3 x 3 (matched)"].matched
    assert (matched.keep, matched.like, matched.within) == ("macs", {"filters": "7x7"}, 0.02)
    assert matched.values == {WIDTH: 13}
    assert matched.found == (cells["3x3 x 3 (matched)"].macs,) and matched.target == (cells["7x7"].macs,)
    assert matched.off == pytest.approx(cells["3x3 x 3 (matched)"].macs / cells["7x7"].macs - 1)
    assert cells["7x7"].matched is None and cells["3x3 x 3"].matched is None


def test_a_factors_rule_is_that_of_all_its_levels_but_the_one_to_match(plan):
    filters = {"7x7": LARGE, "3x3 x 3": STACK, "match": {**RULE, "like": {"filters": "7x7"}}}
    assert solved(plan(grid={"filters": filters})) == {"7x7": None, "3x3 x 3": {WIDTH: 13}}


def test_cells_are_matched_with_the_cell_that_has_their_other_levels(plan):
    grid = {"filters": {**THREE}, "widths": {"small": {WIDTH: 16}, "large": {WIDTH: 32}}}
    grid["filters"]["3x3 x 3 (matched)"] = {**STACK, "match": {**RULE, "within": "4%"}}
    cells = by_name(plan(grid=grid))
    for size in ("small", "large"):
        assert cells[f"3x3 x 3 (matched), {size}"].matched.target == (cells[f"7x7, {size}"].macs,)


def test_like_may_name_a_level_of_another_factor(plan):
    """Depth at equal parameters, for both filters: the cells at one stage are what the others are matched with."""
    depth = {
        "two": {"architecture.stages": 2},
        "three": {"architecture.stages": 3},
        "match": {**RULE, "keep": "parameters", "like": {"depth": "two", "filters": "7x7"}, "within": "5%"},
    }
    cells = by_name(plan(grid={"filters": {"7x7": LARGE, "3x3 x 3": STACK}, "depth": depth}))
    target = cells["7x7, two"].parameters
    assert cells["7x7, two"].matched is None
    assert {cell.matched.target for cell in cells.values() if cell.matched} == {(target,)}
    assert all(abs(cell.parameters / target - 1) <= 0.05 for cell in cells.values())


def test_a_matched_cell_is_the_same_written_by_hand(plan):
    by_rule = by_name(plan(grid={"filters": THREE}))["3x3 x 3 (matched)"]
    by_hand = by_name(plan(grid={"filters": {"7x7": LARGE, "by hand": {**STACK, WIDTH: 13}}}))["by hand"]
    assert by_rule.id == by_hand.id and by_rule.settings == by_hand.settings


def test_several_widths_keep_their_proportion(plan):
    levels = {"one": {"architecture.dense": [64, 32, 48]},
              "deep": {"architecture.dense": [64, 32, 48], "architecture.stages": 3,
                       "match": {"vary": "architecture.dense", "keep": "parameters", "like": "one"}}}  # fmt: skip
    (found,) = filter(None, solved(plan(grid={"form": levels})).values())
    largest, smaller, middle = found["architecture.dense"]
    assert (smaller, middle) == ((largest + 1) // 2, (3 * largest + 2) // 4) and largest > 64


def test_several_paths_are_solved_by_one_multiplier(plan):
    rule = {**RULE, "vary": ["architecture.filters", "architecture.hidden"], "like": "large", "keep": "parameters"}
    levels = {"large": {"architecture.kernel": 7}, "small": {"architecture.kernel": 3, "match": rule}}
    architecture = {"name": "simple_convnet", "filters": 20, "hidden": 50}
    cell = by_name(plan(architecture=architecture, grid={"kernel": levels}))["small"]
    filters, hidden = cell.matched.values.values()
    assert filters == (2 * 20 * hidden + 50) // 100 and abs(cell.matched.off) <= 0.02


def test_a_number_with_a_fraction_is_solved_in_hundredths(plan):
    rule = {"vary": "architecture.alpha", "keep": "parameters", "like": "v2", "within": "5%"}
    levels = {"v2": {"architecture": {"name": "mobilenet_v2", "stem": "small", "alpha": 0.5}},
              "v1": {"architecture": {"name": "mobilenet_v1"}, "match": rule}}  # fmt: skip
    cell = by_name(plan(dataset="cifar10", grid={"version": levels}))["v1"]
    alpha = cell.matched.values["architecture.alpha"]
    assert alpha == round(alpha, 2) == cell.settings.architecture.parameters["alpha"]
    assert abs(cell.matched.off) <= 0.05


def test_seconds_are_those_of_the_plans_estimate(plan):
    """Sharpness-aware minimisation takes two gradients a step, so half the epochs take as long."""
    rule = {"vary": "training.epochs", "keep": "seconds", "like": "plain", "within": 0}
    levels = {"plain": {}, "sam": {"optimizer.sam": {"rho": 0.05}, "match": rule}}
    cell = by_name(plan(training={"epochs": 10, "engine": "numpy"}, grid={"rule": levels}))["sam"]
    assert cell.settings.training.epochs == 5
    assert cell.matched.found == cell.matched.target == (10 * by_name(plan())["base"].macs,)


def test_a_receptive_field_is_kept(plan):
    rule = {"vary": "architecture.convs", "keep": "receptive_field", "like": "7x7", "within": 0}
    levels = {"7x7": LARGE, "3x3": {"architecture.kernel": 3, "match": rule}}
    cells = by_name(plan(grid={"filters": levels}))
    assert cells["3x3"].matched.values == {"architecture.convs": 3}
    assert cells["3x3"].receptive_field == cells["7x7"].receptive_field


def test_excluded_cells_need_not_be_matched(plan, refusal):
    grid = {"filters": THREE, "depth": {"one": {"architecture.stages": 1}, "two": {}}}
    assert "cell '3x3 x 3 (matched), one' cannot have the 646,016 MACs of 7x7 within 2%" in refusal(grid=grid)
    cells = plan(grid=grid, exclude=[{"filters": "3x3 x 3 (matched)", "depth": "one"}]).cells
    assert [cell.matched.values for cell in cells if cell.matched] == [{WIDTH: 13}]


def test_a_cell_that_is_left_out_can_be_matched(plan):
    cells = plan(grid={"filters": THREE}, exclude=[{"filters": "7x7"}]).cells
    assert [cell.matched and cell.matched.values for cell in cells] == [None, {WIDTH: 13}]


def test_one_block_of_a_union_may_match(plan):
    grid = [{"filters": {"7x7": LARGE, "3x3 x 3": STACK}, WIDTH: [8, 16]},
            {"filters": {"7x7": LARGE, "matched": {**STACK, "match": RULE}}}]  # fmt: skip
    cells = by_name(plan(grid=grid))
    assert cells["matched, width=base"].matched.values == {WIDTH: 13} and len(cells) == 5


def test_two_blocks_may_not_give_one_name_two_rules(refusal):
    other = {**STACK, "match": {**RULE, "keep": "parameters", "within": "5%"}}
    grid = [{"filters": {"7x7": LARGE, "matched": {**STACK, "match": RULE}}},
            {"filters": {"7x7": LARGE, "matched": other}, "optimizer.lr": [0.1]}]  # fmt: skip
    assert "two blocks give the levels 'matched' different settings" in refusal(grid=grid)


def test_the_rule_can_be_set_on_the_command_line(plan):
    filters = {"7x7": LARGE, "3x3 x 3": STACK, "match": {**RULE, "keep": "parameters", "within": "5%"}}
    overrides = [f"grid.filters={json.dumps(filters)}"]
    (matched,) = (cell.matched for cell in plan(overrides, grid={"filters": THREE}).cells if cell.matched)
    assert matched.keep == "parameters"


def test_an_extending_file_may_replace_a_factor_with_a_matched_one(tmp_path):
    (tmp_path / "base.yaml").write_text(json.dumps(BASE | {"grid": {"filters": {"7x7": LARGE, "3x3 x 3": STACK}}}))
    extending = {"name": "fair", "extends": "base.yaml", "grid": {"filters": THREE}}
    (tmp_path / "fair.yaml").write_text(json.dumps(extending))
    assert solved(make_plan(load(tmp_path / "fair.yaml")))["3x3 x 3 (matched)"] == {WIDTH: 13}


def test_a_solved_cell_that_equals_the_one_beside_it_is_refused(refusal):
    same = {"7x7": LARGE, "wide": {**LARGE, "match": {**RULE, "like": "7x7"}}}
    assert "cell 'wide'" in (message := refusal(grid={"filters": same}))
    assert "is the same as cell '7x7'" in message


def test_a_level_may_be_called_match(plan):
    """As it could before rules existed."""
    for settings in ({}, {WIDTH: 4}):
        assert [*by_name(plan(grid={"style": {"match": settings, "other": {WIDTH: 5}}}))] == ["match", "other"]


def test_the_plan_file_records_what_was_solved(plan, tmp_path):
    made = plan(grid={"filters": THREE})
    text = plan_file.text(made)
    assert "matched:\n    keep: macs\n" in text and text.count("matched:") == 1
    (cell,) = (cell for cell in plan_file._parse(json.loads(json.dumps(plan_file._to_dict(_with_fits(made))))).cells
               if cell.matched)  # fmt: skip
    assert cell.matched == by_name(made)["3x3 x 3 (matched)"].matched


def _with_fits(plan):
    from dataclasses import replace

    fits = {cell.id: [f"{cell.id}{fold}" for fold in range(plan.folds)] for cell in plan.cells}
    data = plan.data | {"fingerprint": "f", "train": 8, "validation": 2}
    return replace(plan, fits=fits, data=data)


def test_a_change_of_what_is_solved_is_named(plan):
    old = _with_fits(plan(grid={"filters": THREE}))
    other = {**STACK, "match": {**RULE, "within": "10%"}}
    new = plan(grid={"filters": {**THREE, "7x7": {"architecture.kernel": 5}, "3x3 x 3 (matched)": other}})
    done = [_result(cell.id, fit, index) for cell in old.cells for index, fit in enumerate(old.fits[cell.id])]
    (line,) = (line for line in describe(old, new, done) if "matched" in line)
    assert "architecture.width 13 -> 9 (solved by match)" in line


def _result(cell, fit, fold):
    from runner.fits.records import FitResult

    return FitResult(fit, cell, 0, fold, "ok", epochs=2, seconds=1.0)


MISTAKES = {
    "unknown key": ({"varry": WIDTH}, "unknown key 'varry'; did you mean 'vary'?"),
    "no vary": ({"vary": None}, "is missing vary; expected a mapping such as {vary:"),
    "no keep": ({"keep": None}, "is missing keep"),
    "no like": ({"like": None}, "is missing like"),
    "keep": ({"keep": "mac"}, "match.keep: found 'mac'; did you mean 'macs'? allowed: activations, macs, param"),
    "vary, a parameter": (
        {"vary": "architecture.widht"},
        "stages has no parameter 'widht'; did you mean 'width'?",
    ),
    "vary, a section": ({"vary": "optimizer.lr"}, "vary: found 'optimizer.lr'; allowed: a parameter of the archit"),
    "vary, twice": ({"vary": [WIDTH, WIDTH]}, "expected one path, or a list of different ones"),
    "vary, no number": (
        {"vary": "architecture.downsample"},
        "architecture.downsample of stages is 'max_pool'; allowed:",
    ),
    "vary, empty list": ({"vary": "architecture.dense"}, "architecture.dense of stages is []; allowed:"),
    "vary, no effect": ({"vary": "architecture.dropout"}, "architecture.dropout does not change the MACs of stages"),
    "vary, epochs": ({"vary": "training.epochs"}, "training.epochs changes nothing but seconds; keep is macs"),
    "like, a level": ({"like": "7x8"}, "like: unknown level '7x8' of factor 'filters'; did you mean '7x7'?"),
    "like, a factor": ({"like": {"filter": "7x7"}}, "like: unknown factor 'filter'; did you mean 'filters'?"),
    "like, itself": ({"like": "matched"}, "like: names the level itself; expected another one"),
    "like, a list": ({"like": ["7x7"]}, 'like: found ["7x7"]; expected a level of this factor, or a mapping such as'),
    "within, a number": (
        {"within": 2},
        "within: found 2; did you mean 2%? allowed: a percentage from 0% and below 100",
    ),
    "within, a text": ({"within": "2 %%"}, "within: found '2 %%'; allowed: a percentage"),
    "within, below 0": ({"within": -0.1}, "within: found -0.1; allowed: a percentage"),
    "unreachable": (
        {"within": "0.1%"},
        "cell 'matched' cannot have the 5,547,584 MACs of 7x7 within 0.1%; the nearest is width=13 with 5,470,556 MACs"
        " (−1.4%)",
    ),
}


@pytest.mark.parametrize("change", MISTAKES)
def test_a_mistake_is_one_line_with_its_place(change, refusal, tmp_path):
    given, message = MISTAKES[change]
    rule = {key: value for key, value in {**RULE, **given}.items() if value is not None}
    text = refusal(grid={"filters": {"7x7": LARGE, "matched": {**STACK, "match": rule}}})
    assert message in text and text.count("\n") == 0, text
    file, line, rest = text.split(":", 2)
    assert file == str(tmp_path / "study.yaml") and rest.startswith(" grid.filters.matched.match")
    shown = (tmp_path / "study.yaml").read_text().splitlines()[int(line) - 1].strip()
    assert shown.startswith(('"match"', *(f'"{key}"' for key in rule))), shown


def test_a_rule_is_a_mapping(refusal):
    message = refusal(grid={"filters": {"7x7": LARGE, "matched": {**STACK, "match": "macs"}}})
    assert "filters.matched.match: found 'macs'; expected a mapping such as {vary: architecture.width" in message


def test_a_level_does_not_set_what_is_solved(refusal):
    message = refusal(grid={"filters": {"7x7": LARGE, "matched": {**STACK, WIDTH: 8, "match": RULE}}})
    assert "filters.matched: sets architecture.width, which match solves; leave it out there" in message


def test_no_other_factor_varies_what_is_solved(refusal):
    message = refusal(grid={"filters": THREE, WIDTH: [8, 16]})
    assert "factor 'architecture.width' varies it too" in message and "name them: widths: {small: {arch" in message


def test_one_factor_has_a_rule(refusal):
    depth = {"one": {}, "two": {"architecture.stages": 3, "match": {**RULE, "like": "one"}}}
    message = refusal(grid={"filters": THREE, "depth": depth})
    assert "grid.depth.two.match: factor 'filters' has a match too; allowed: one factor with match" in message


def test_no_level_is_matched_with_a_matched_one(refusal):
    levels = {**THREE, "5x5": {"architecture.kernel": 5, "match": {**RULE, "like": "3x3 x 3 (matched)"}}}
    message = refusal(grid={"filters": levels})
    assert "like: level '3x3 x 3 (matched)' of factor 'filters' is matched itself; allowed: 3x3 x 3, 7x7" in message


def test_a_rule_needs_a_level_to_match(refusal):
    message = refusal(grid={"filters": {"7x7": LARGE, "match": RULE}})
    assert "grid.filters.match: there is no level to match; expected one beside that of like" in message


def test_the_other_cell_must_be_valid(refusal):
    levels = {"7x7": {**LARGE, "architecture.stages": 9}, "matched": {**STACK, "match": RULE}}
    message = refusal(grid={"filters": levels})
    assert "match.like: the cell that 7x7 has is not valid: layer stage5/max_pool1: " in message


def test_a_cell_that_is_not_valid_has_its_own_message(refusal):
    levels = {"7x7": LARGE, "matched": {"architecture.kernle": 3, "match": RULE}}
    message = refusal(grid={"filters": levels})
    assert "stages has no parameter 'kernle'" in message and "\n" not in message
