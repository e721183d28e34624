"""The grid: from factors and levels to cells, their names and their ids."""

import itertools
import json

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
    "architecture": {"name": "stages", "width": 4, "kernel": 3, "stages": 1},
    "optimizer": {"name": "adam", "lr": 0.001},
    "training": {"epochs": 1},
}
FILTERS = {
    "7x7": {"architecture.kernel": 7, "architecture.convs": 1},
    "3x3 x 3": {"architecture.kernel": 3, "architecture.convs": 3},
}
LEVELS = {
    "architecture.width": [1, 2, 3, 4],
    "architecture.kernel": [1, 3, 5],
    "architecture.downsample": ["max_pool", "avg_pool", "strided_conv"],
    "architecture.dense": [[], [8], [8, 4]],
    "optimizer.lr": [0.1, 0.01],
    "training.epochs": [1, 2, 3],
}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Creates an experiment from BASE with some sections replaced. JSON is valid YAML."""

    def create(file="study.yaml", **sections):
        path = tmp_path_factory.mktemp("study") / file
        path.write_text(json.dumps(BASE | sections))
        return load(path)

    return create


@pytest.fixture
def levels(experiment):
    return lambda **sections: [tuple(cell.levels.values()) for cell in expand(experiment(**sections))]


@pytest.fixture
def ids(experiment):
    return lambda **sections: sorted(cell.id for cell in make_plan(experiment(**sections)).cells)


def test_no_grid_is_one_cell(experiment):
    (cell,) = expand(experiment())
    assert cell.levels == {}
    assert cell.settings.architecture.parameters["kernel"] == 3


def test_a_mapping_is_a_product_in_the_order_of_the_file(experiment):
    cells = expand(experiment(grid={"architecture.kernel": [5, 3], "training.epochs": [2, 1]}))
    set_to = [(c.settings.architecture.parameters["kernel"], c.settings.training.epochs) for c in cells]
    assert set_to == [(5, 2), (5, 1), (3, 2), (3, 1)]
    assert [c.levels for c in cells][1] == {"architecture.kernel": "5", "training.epochs": "1"}
    assert all(c.settings.architecture.parameters["width"] == 4 for c in cells)


def test_a_named_level_sets_all_its_paths(experiment):
    cells = expand(experiment(grid={"filters": FILTERS}))
    parameters = {c.levels["filters"]: c.settings.architecture.parameters for c in cells}
    assert [(p["kernel"], p["convs"]) for p in parameters.values()] == [(7, 1), (3, 3)]
    assert list(parameters) == ["7x7", "3x3 x 3"]


def test_a_union_gives_a_shared_cell_once(levels):
    grid = [
        {"architecture.kernel": [3, 5], "training.epochs": [1, 2]},
        {"training.epochs": [2, 3], "architecture.kernel": [5]},
    ]
    assert levels(grid=grid) == [("3", "1"), ("3", "2"), ("5", "1"), ("5", "2"), ("5", "3")]


def test_a_factor_that_a_block_does_not_vary_has_the_level_of_the_base_file(levels):
    grid = [{"architecture.kernel": [5, 3]}, {"training.epochs": [1, 2]}, {"optimizer.lr": [0.1]}]
    assert levels(grid=grid) == [("5", "1", "base"), ("3", "1", "base"), ("3", "2", "base"), ("3", "1", "0.1")]


def test_a_named_level_is_recognised_in_the_base_file(levels):
    base = {"name": "stages", "kernel": 3, "convs": 3}
    grid = [{"filters": FILTERS}, {"training.epochs": [1, 2]}]
    assert levels(grid=grid, architecture=base) == [("7x7", "1"), ("3x3 x 3", "1"), ("3x3 x 3", "2")]


def test_a_whole_component_is_set_before_its_parameters(experiment):
    grid = {"optimizer.lr": [0.5], "optimizer": ["sgd", {"name": "adam", "beta1": 0.5}]}
    optimizers = [c.settings.optimizer for c in expand(experiment(grid=grid))]
    assert [(o.name, dict(o.parameters)) for o in optimizers] == [
        ("sgd", {"lr": 0.5}),
        ("adam", {"beta1": 0.5, "lr": 0.5}),
    ]


def test_an_exclusion_may_name_some_of_the_factors(levels):
    grid = {"filters": FILTERS, "architecture.stages": [1, 2], "training.epochs": [1, 2]}
    exclude = [{"filters": "7x7", "architecture.stages": 2}, {"training.epochs": 2, "filters": "3x3 x 3"}]
    assert levels(grid=grid, exclude=exclude) == [
        ("7x7", "1", "1"),
        ("7x7", "1", "2"),
        ("3x3 x 3", "1", "1"),
        ("3x3 x 3", "2", "1"),
    ]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"exclude": [{"architecture.kernel": 3}, {"architecture.kernel": 5}]}, "excludes every cell"),
        ({"exclude": [{"architecture.kernel": 7}]}, "unknown level '7' of factor 'architecture.kernel'; allowed: 3, 5"),
        ({"exclude": [{"architecture.kernal": 3}]}, "did you mean 'architecture.kernel'"),
        ({"grid": {"architecture.kernel": [3, 3]}}, "level 3 is listed twice"),
        ({"grid": {"architecture.kernel": []}}, "expected a list of values"),
        ({"grid": {"kernel": [3]}}, "'kernel' is not a path"),
        ({"grid": {"dataset": ["digits", "mnist-5k"]}}, "cannot vary within an experiment"),
        ({"grid": {"filters": FILTERS, "architecture.kernel": [5]}}, "which factor 'filters' also sets"),
        ({"grid": {"training.epochs": [1, 0]}}, "found 0; allowed: 1 or more"),
        (
            {"grid": {"training.epochs": list(range(1, 401)), "architecture.width": list(range(1, 401))}},
            "expands to 160000 cells",
        ),
        (
            {"grid": [{"architecture.kernel": [3], "training.epochs": [1]}], "exclude": [{"training.epochs": 2}]},
            "unknown level '2' of factor",
        ),
    ],
)
def test_invalid_grids_are_refused(experiment, sections, message):
    with pytest.raises(InputError, match=message):
        expand(experiment(**{"grid": {"architecture.kernel": [3, 5]}} | sections))


def test_two_levels_with_the_same_settings_are_refused(experiment):
    grid = {"filters": {"a": {"architecture.kernel": 3}, "b": {"architecture.convs": 1}}}
    with pytest.raises(InputError, match="cell 'b': is the same as cell 'a': both have the same settings"):
        make_plan(experiment(grid=grid))


@st.composite
def grids(draw):
    factors = draw(st.lists(st.sampled_from(list(LEVELS)), min_size=1, max_size=3, unique=True))
    return {f: draw(st.lists(st.sampled_from(LEVELS[f]), min_size=1, unique_by=str)) for f in factors}


@st.composite
def grids_and_exclusions(draw):
    grid = draw(grids())
    rule = st.lists(st.sampled_from(list(grid)), min_size=1, unique=True).flatmap(
        lambda factors: st.fixed_dictionaries({f: st.sampled_from(grid[f]) for f in factors})
    )
    return grid, draw(st.lists(rule, max_size=3))


@settings(max_examples=60)
@given(grids_and_exclusions())
def test_cells_are_the_product_minus_the_exclusions(experiment, drawn):
    grid, exclude = drawn
    product = [dict(zip(grid, combination, strict=True)) for combination in itertools.product(*grid.values())]
    remaining = [c for c in product if not any(c | rule == c for rule in exclude)]
    study = experiment(grid=grid, exclude=exclude)
    if not remaining:
        with pytest.raises(InputError, match="excludes every cell"):
            expand(study)
        return
    cells = expand(study)
    assert len(cells) == len(remaining)
    for cell, levels in zip(cells, remaining, strict=True):
        data = cell.document.to_data()
        assert all(data[path.split(".")[0]][path.split(".")[1]] == level for path, level in levels.items())


@settings(max_examples=20)
@given(grids(), st.data())
def test_ids_are_unique_and_depend_neither_on_the_order_of_the_grid_nor_on_names(experiment, grid, data):
    def ids(**sections):
        return sorted(cell.id for cell in make_plan(experiment(**sections)).cells)

    shuffled = {f: data.draw(st.permutations(grid[f])) for f in data.draw(st.permutations(list(grid)))}
    named = {f"factor {i}": {f"level {j}": {f: v} for j, v in enumerate(grid[f])} for i, f in enumerate(grid)}
    cells = make_plan(experiment(grid=grid)).cells
    expected = sorted(cell.id for cell in cells)
    assert len({cell.id for cell in cells}) == len({cell.name for cell in cells}) == len(cells)
    assert ids(grid=shuffled) == expected
    assert ids(grid=named, name="other", file="other.yml", description="in other words") == expected


def test_ids_do_not_change_when_cells_are_added(ids):
    assert set(ids(grid={"training.epochs": [1]})) < set(ids(grid={"training.epochs": [1, 2]}))


@pytest.mark.parametrize(
    "sections",
    [
        {"architecture": BASE["architecture"] | {"width": 5}},
        {"architecture": BASE["architecture"] | {"downsample": "avg_pool"}},
        {"augmentation": "flip"},
        {"augmentation": ["flip", "shift"]},
        {"optimizer": {"name": "adam", "lr": 0.002}},
        {"training": {"epochs": 2}},
        {"training": {"epochs": 1, "batch_size": 50}},
        {"training": {"epochs": 1, "precision": "bfloat16"}},
        {"training": {"epochs": 1, "stuck_after": 1}},
    ],
)
def test_an_id_changes_with_what_determines_the_result(ids, sections):
    assert ids(**sections) != ids()


@pytest.mark.parametrize(
    "sections",
    [
        {"architecture": BASE["architecture"] | {"convs": 1}},
        {"augmentation": ["none"]},
        {"training": {"epochs": 1, "timeout": "5min", "retries": 3}},
        {"training": {"epochs": 1, "checkpoint": "10min"}},
        {"training": {"epochs": 1, "engine": "torch"}},
        {"report": {"metric": "val_loss"}},
    ],
)
def test_an_id_does_not_depend_on_how_settings_are_written_or_on_other_settings(ids, sections):
    assert ids(**sections) == ids()


def test_names_are_short(experiment):
    grid = {
        "filters": FILTERS,
        "architecture.stages": [2],
        "architecture.downsample": ["max_pool"],
        "architecture.dense": [[8]],
        "augmentation": [["flip", {"name": "shift", "pixels": 2}]],
    }
    names = [cell.name for cell in make_plan(experiment(grid=grid)).cells]
    assert names == [f"{f}, stages=2, max_pool, dense=8, flip+shift(pixels=2)" for f in FILTERS]


def test_names_are_unique_even_if_levels_contain_commas(experiment):
    widths = {"a": {"architecture.width": 2}, "a, b": {"architecture.width": 3}}
    epochs = {"b, c": {"training.epochs": 1}, "c": {"training.epochs": 2}}
    cells = make_plan(experiment(grid={"w": widths, "e": epochs})).cells
    assert len({cell.name for cell in cells}) == 4


def test_the_one_cell_without_a_grid_is_named_base(experiment):
    assert [cell.name for cell in make_plan(experiment()).cells] == ["base"]


SAME_NAME = [{"size": {"small": {"architecture.width": 2}}}, {"size": {"small": {"architecture.width": 3}}}]
NAMED_BASE = [{"rate": {"base": {"optimizer.lr": 0.1}}}, {"training.epochs": [1]}]


@pytest.mark.parametrize("grid", [SAME_NAME, NAMED_BASE], ids=["same name", "named base"])
def test_blocks_that_give_the_same_name_to_different_settings_are_refused(experiment, grid):
    with pytest.raises(InputError, match="two blocks give the levels .* different settings"):
        expand(experiment(grid=grid))


def test_a_cell_is_not_labelled_with_a_level_that_it_does_not_have(experiment):
    grid = [{"filters": {"7x7": {"architecture.kernel": 7}}}, {"architecture.kernel": [3, 5]}]
    cell = expand(experiment(grid=grid))[0]
    assert cell.settings.architecture.parameters["kernel"] == 7
    assert cell.levels["architecture.kernel"] == "base"
