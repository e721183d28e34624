"""Unions of blocks: the level of a factor is what a cell's bound settings amount to, however they are written."""

import itertools
import json
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import InputError
from runner.experiment.expand import expand
from runner.experiment.load import load
from runner.planning.make_plan import make_plan

BASE = {
    "name": "study",
    "dataset": "digits",
    "architecture": {"name": "stages", "width": 4, "stages": 1},
    "optimizer": "adam",
    "training": {"epochs": 1, "engine": "numpy"},
}
KERNEL, POOLING, WIDTH, LR = "architecture.kernel", "architecture.downsample", "architecture.width", "optimizer.lr"
MEET = [{KERNEL: [3, 5]}, {POOLING: ["max_pool", "avg_pool"]}]
SGD = {"name": "sgd", "lr": 0.1}


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "study.yaml"

    def create(overrides=(), **sections):
        path.write_text(json.dumps(BASE | sections))
        return make_plan(load(path, overrides))

    return create


@pytest.fixture
def levels(plan):
    return lambda **sections: [tuple(cell.levels.values()) for cell in plan(**sections).cells]


def facts(plan):
    return [(cell.id, cell.name, cell.levels, cell.settings) for cell in plan.cells]


def test_blocks_that_meet_in_one_cell_plan_it_once(plan):
    planned = plan(grid=MEET)
    assert [cell.name for cell in planned.cells] == ["kernel=3, max_pool", "kernel=5, max_pool", "kernel=3, avg_pool"]
    written = BASE["architecture"] | {"kernel": 3, "downsample": "max_pool"}
    assert facts(plan(grid=MEET, architecture=written)) == facts(planned)
    assert facts(plan(["architecture.kernel=3"], grid=MEET)) == facts(planned)


def test_every_factor_of_a_larger_union_has_matched_pairs(plan):
    width = {"a": {WIDTH: 4}, "b": {WIDTH: 8}}
    cells = plan(
        architecture="stages", grid=[{"x": width, "architecture.stages": [1, 2]}, {"x": width, KERNEL: [5]}]
    ).cells
    expected = [*itertools.product("ab", "12", ["base"]), ("a", "2", "5"), ("b", "2", "5")]
    assert [tuple(cell.levels.values()) for cell in cells] == expected
    for factor in ("x", "architecture.stages", KERNEL):
        differing = [{f for f in a.levels if a.levels[f] != b.levels[f]} for a, b in itertools.combinations(cells, 2)]
        assert {factor} in differing


@pytest.mark.parametrize(("factor", "values", "expected"), [
    (KERNEL, [3, 5], "3"),
    (KERNEL, [5, 7], "base"),
    ("architecture.dense", [[8], []], "[]"),
    ("optimizer.weight_decay", [0.5, 0], "0"),
    ("architecture", ["simple_convnet", {"name": "stages", "stages": 1, "width": 4, "kernel": 3}],
     "stages(stages=1, width=4, kernel=3)"),
    ("filters", {"7": {KERNEL: 7}, "3 x 1": {KERNEL: 3, "architecture.convs": 1}}, "3 x 1"),
    ("filters", {"7": {KERNEL: 7}, "3 x 2": {KERNEL: 3, "architecture.convs": 2}}, "base"),
    ("optimizer.clip", [1.0, None], "null"),
    ("optimizer", [SGD, {"name": "adam", "schedule": {"name": "constant"}}], "adam(schedule=constant)"),
    ("optimizer", [SGD, {"name": "adam", "lr": 0.1}], "base"),
    ("augmentation", ["flip", []], "[]"),
    ("training.stuck_after", [1, None], "null"),
    ("training.device", ["cpu"], "cpu"),  # auto is the processor for this engine
])  # fmt: skip
def test_a_block_that_leaves_a_factor_out_is_at_the_level_that_its_defaults_amount_to(levels, factor, values, expected):
    assert levels(grid=[{factor: values}, {"training.batch_size": [33]}])[-1] == (expected, "33")


def test_a_parameter_that_the_component_lacks_has_no_level(levels):
    grid = [{"architecture": ["simple_convnet"], "architecture.filters": [16, 8]}, {KERNEL: [3]}]
    assert levels(grid=grid)[-1] == ("base", "base", "3")
    assert levels(grid=grid)[0] == ("simple_convnet", "16", "base")  # whose kernel is another one


@pytest.mark.parametrize(("grid", "expected"), [
    ([{LR: [1, 0.5]}, {LR: [1.0], WIDTH: [4, 8]}], [("1", "4"), ("0.5", "4"), ("1", "8")]),
    ([{"optimizer": ["adam", SGD]}, {"optimizer": [{"name": "adam", "lr": 0.001}], WIDTH: [4, 8]}],
     [("adam", "4"), ("sgd(lr=0.1)", "4"), ("adam", "8")]),
    ([{"augmentation": ["none", "flip"]}, {"augmentation": [[]], WIDTH: [4, 8]}],
     [("none", "4"), ("flip", "4"), ("none", "8")]),
    # A whole component is at the level that gives the cell together with the factors of its parameters.
    ([{"optimizer": ["adam", SGD]}, {LR: [0.001, 0.5]}],
     [("adam", "0.001"), ("sgd(lr=0.1)", "base"), ("adam", "0.5")]),
    ([{"optimizer": [SGD, "adam"], LR: [1, 0.1]}, {LR: [0.1]}],
     [("sgd(lr=0.1)", "1"), ("sgd(lr=0.1)", "0.1"), ("adam", "1"), ("adam", "0.1")]),
    ([{"f": {"a": {LR: 1}}}, {LR: [1.0, 2]}], [("a", "1.0"), ("base", "2")]),
    ([{}, {KERNEL: [3, 5]}], [("3",), ("5",)]),
])  # fmt: skip
def test_one_level_written_in_two_ways_is_one_level(levels, grid, expected):
    assert levels(grid=grid) == expected


def test_equal_cells_of_one_block_are_refused_in_a_union_too(plan):
    with pytest.raises(InputError, match=r"cell 'lr=1.0, width=4': is the same as cell 'lr=1, width=4'"):
        plan(grid=[{LR: [1, 1.0]}, {WIDTH: [4]}])
    grid = [{"optimizer": ["adam"]}, {"optimizer": [{"name": "adam", "lr": 0.001}, {"name": "adam", "beta1": 0.9}]}]
    with pytest.raises(InputError, match=r"cell 'adam\(beta1=0.9\)': is the same as cell 'adam\(lr=0.001\)'"):
        plan(grid=grid)
    assert len(plan(grid=grid, exclude=[{"optimizer": {"name": "adam", "beta1": 0.9}}]).cells) == 1


def test_exclusions_match_what_the_settings_amount_to(levels):
    assert levels(grid=MEET, exclude=[{KERNEL: 3, POOLING: "avg_pool"}]) == [("3", "max_pool"), ("5", "max_pool")]
    grid = [{LR: [1, 0.1]}, {LR: [1.0], WIDTH: [4, 8]}]
    for value in (1, 1.0):  # by the level's name in the tables, and as the block writes it
        assert levels(grid=grid, exclude=[{LR: value, WIDTH: 8}]) == [("1", "4"), ("0.1", "4")]


@pytest.mark.parametrize("grid", [
    [{"size": {"small": {WIDTH: 2}}, "training.epochs": [1]}, {"size": {"small": {WIDTH: 3}}, "training.epochs": [2]}],
    [{"rate": {"base": {LR: 0.1}}, "training.epochs": [1]}, {"training.epochs": [2]}],
])  # fmt: skip
def test_a_name_has_one_meaning_in_the_whole_grid(plan, grid):
    with pytest.raises(InputError, match="two blocks give the levels '.*' different settings .*; rename one of them"):
        plan(grid=grid)


def test_a_name_may_be_written_in_two_ways(levels):
    small = [{"small": {WIDTH: 2}}, {"small": {WIDTH: 2, KERNEL: 3}}]
    grid = [{"size": size, "training.epochs": [epochs]} for epochs, size in enumerate(small, start=1)]
    assert levels(grid=grid) == [("small", "1"), ("small", "2")]


def test_expand_alone_knows_the_defaults_too(tmp_path):
    (tmp_path / "study.yaml").write_text(json.dumps(BASE | {"grid": MEET}))
    assert len(expand(load(tmp_path / "study.yaml"))) == 3


FACTORS = {
    KERNEL: [1, 3, 5],
    WIDTH: [2, 4, 16],
    POOLING: ["max_pool", "avg_pool"],
    "architecture.dense": [[], [8]],
    "optimizer": ["adam", {"name": "adam", "beta1": 0.9}, {"name": "sgd", "lr": 0.001}],
    LR: [0.001, 1, 1.0],
    "optimizer.clip": [None, 1],
    "augmentation": ["none", "flip"],
    "training.batch_size": [100, 50],
    "size": {"small": {WIDTH: 4, "architecture.convs": 1}, "large": {WIDTH: 16, "architecture.convs": 2}},
}


@st.composite
def blocks(draw):
    names = draw(st.lists(st.sampled_from(list(FACTORS)), min_size=1, max_size=3, unique=True))
    names = [name for name in names if not (name == WIDTH and "size" in names)]  # two factors may not set one path
    block = {}
    for name in names:
        chosen = draw(st.lists(st.sampled_from(list(FACTORS[name])), min_size=1, max_size=2, unique_by=str))
        block[name] = {level: FACTORS[name][level] for level in chosen} if name == "size" else chosen
    return block


def bound_on(cell, factor):
    """The values of a planned cell on the paths that the factor sets, as text."""
    values = cell.settings.to_dict()
    values["augmentation"] = [ref for ref in values["augmentation"] if ref["name"] != "none"]
    paths = (WIDTH, "architecture.convs") if factor == "size" else (factor,)
    return json.dumps([reduce(lambda section, key: section[key], path.split("."), values) for path in paths])


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.lists(blocks(), min_size=2, max_size=3),
    st.sampled_from(["stages", {"name": "stages", "width": 4}, {"name": "stages", "kernel": 5, "dense": [8]}]),
    st.sampled_from(["adam", {"name": "adam", "lr": 1}, {"name": "sgd", "lr": 0.5}]),
)
def test_a_union_is_the_union_of_the_sets_of_its_blocks_cells(plan, grid, architecture, optimizer):
    def cells(grid):
        try:
            return plan(grid=grid, architecture=architecture, optimizer=optimizer).cells
        except InputError as error:
            assert all("is the same as cell" in complaint.message for complaint in error.complaints), error
            return None

    alone, together = [cells([block]) for block in grid], cells(grid)
    assert (together is None) == (None in alone)
    if together is None:
        return
    assert {cell.id for cell in together} == {cell.id for block in alone for cell in block}
    assert len(together) == len({cell.id for cell in together}) == len({tuple(c.levels.values()) for c in together})
    for factor in together[0].levels:
        found = {(bound_on(cell, factor), cell.levels[factor]) for cell in together}
        assert len({values for values, _ in found}) == len(found), factor
