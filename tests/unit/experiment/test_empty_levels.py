"""A level that sets nothing, ``"off": {}``, and names of levels that YAML 1.1 took for true and false."""

import json

import pytest

from runner.errors import InputError
from runner.experiment.load import load
from runner.planning.make_plan import make_plan

BASE = """\
name: study
dataset: digits
architecture: {name: stages, width: 2, stages: 1}
optimizer: adam
training: {epochs: 1, engine: numpy}
"""


@pytest.fixture
def plan(tmp_path):
    def create(grid, base=BASE):
        (tmp_path / "study.yaml").write_text(f"{base}{grid}")
        return make_plan(load(tmp_path / "study.yaml"))

    return create


def test_a_level_may_set_nothing(plan):
    made = plan("grid: {clipping: {off: {}, on: {optimizer.clip: 1.0}}}")
    assert [cell.name for cell in made.cells] == ["off", "on"]
    assert [cell.settings.optimizer.parameters["clip"] for cell in made.cells] == [None, 1.0]
    # What the file says stays, whatever the default is.
    kept = plan("grid: {clipping: {off: {}, on: {optimizer.clip: 1.0}}}", BASE.replace("adam", "{name: adam, clip: 3}"))
    assert [cell.settings.optimizer.parameters["clip"] for cell in kept.cells] == [3.0, 1.0]


@pytest.mark.parametrize("names", ["on off", "yes no", "y n", "true false", "null ~", "1 0"])
def test_names_of_levels_are_text_as_they_are_written(plan, names):
    one, other = names.split()
    made = plan(
        f"grid: {{clipping: {{{one}: {{optimizer.clip: 1.0}}, {other}: {{}}}}}}\nexclude: [{{clipping: {one}}}]"
    )
    assert [cell.levels for cell in made.cells] == [{"clipping": other}]
    assert made.excluded == {f"clipping={one}": 1}


def test_two_levels_that_set_nothing_are_the_same_cell(plan):
    with pytest.raises(InputError, match="is the same as cell"):
        plan("grid: {clipping: {off: {}, none: {}}}")
    for empty in ("null", "", "[]", "3"):
        with pytest.raises(InputError, match=r"study.yaml:6: grid.f.a: found .*expected a mapping .*, or \{\}"):
            plan(f"grid: {{f: {{a: {empty}}}}}")


UNION = {
    "the level that sets nothing, where a block leaves the factor out":
        ([{"f": {"off": {}, "on": {"optimizer.clip": 1}}}, {"architecture.width": [3]}], ["off", "on", "off"]),
    "the level that sets it, in whatever order they are written":
        ([{"f": {"off": {}, "on": {"optimizer.clip": 1}}},
          {"optimizer.clip": [1.0], "architecture.width": [3]}], ["off", "on", "on"]),
    "base, as the block sets something else":
        ([{"f": {"off": {}, "on": {"optimizer.clip": 1}}},
          {"optimizer.clip": [2.0], "architecture.width": [3]}], ["off", "on", "base"]),
}  # fmt: skip


@pytest.mark.parametrize("case", UNION)
def test_in_a_union(plan, case):
    blocks, expected = UNION[case]
    made = plan(f"grid: {json.dumps(blocks)}")
    assert [cell.levels["f"] for cell in made.cells] == expected


def test_what_each_exclusion_leaves_out_is_counted_once(plan):
    made = plan(
        "grid: {architecture.width: [1, 2, 3], architecture.convs: [1, 2]}\n"
        "exclude: [{architecture.width: 1}, {architecture.convs: 2, architecture.width: 1}, {architecture.convs: 2}]"
    )
    width, both, convs = made.excluded.values()
    assert (width, both, convs, len(made.cells)) == (2, 0, 2, 2)
    assert list(made.excluded)[1] == "architecture.convs=2, architecture.width=1"
