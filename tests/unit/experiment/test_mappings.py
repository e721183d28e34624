"""Experiments given in Python: a mapping or typed objects mean what the YAML file with the same says."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command import TINY
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.components.records import ComponentRef
from runner.errors import InputError
from runner.experiment import load as loading
from runner.experiment import typed
from runner.experiment.load import load
from runner.experiment.python_values import document, override_texts
from runner.experiment.schema import Experiment
from runner.experiment.typed import Component, CrossValidation, ReportSettings, Search, Training, UntilDecided
from runner.files.yaml_nodes import parse
from runner.planning.make_plan import make_plan

MAPPING: dict[str, Any] = parse(TINY, "").to_data()


def content(experiment: Experiment) -> dict[str, Any]:
    """All that an experiment says, without where it was read."""
    plain = {name: getattr(experiment, name) for name in ("header", "exclude", "plugin_files", "overrides")}
    blocks = [{k: [(level.label, [*level.settings]) for level in v] for k, v in b.items()} for b in experiment.blocks]
    return plain | {"document": experiment.document.to_data(), "blocks": blocks}


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029\ufeff\ufffe\uffff"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@given(VALUES)
def test_values_are_those_of_a_file_with_the_same(value: Any) -> None:
    """Floats are written in YAML with all their digits, so equal means equal to the last bit."""
    assert document({"key": value}).to_data() == {"key": value}
    (text,) = override_texts({"key": value})
    assert parse(text.partition("=")[2], "").to_data() == value


GRIDS = st.fixed_dictionaries(
    {},
    optional={
        "architecture.kernel": st.lists(st.sampled_from([1, 3, 5]), min_size=1, max_size=2, unique=True),
        "architecture.downsample": st.lists(st.sampled_from(["max_pool", "avg_pool"]), min_size=1, unique=True),
        "optimizer.lr": st.lists(st.floats(1e-5, 1), min_size=1, max_size=2, unique=True),
        "named": st.dictionaries(
            st.sampled_from(["small", "7x7", "3", "on"]),
            st.fixed_dictionaries({"architecture.width": st.integers(1, 4)}),
            min_size=1,
            max_size=2,
        ),
    },
)


@settings(max_examples=25)
@given(grid=GRIDS, seed=st.integers(0, 9), lr=st.sampled_from([None, 0.1, 1e-5]))
def test_a_mapping_gives_the_plan_of_the_file(
    grid: dict[str, Any], seed: int, lr: float | None, tmp_path_factory: Any
) -> None:
    mapping = {**MAPPING, "grid": grid, "seed": seed}
    overrides = {"training.epochs": 3} | ({} if lr is None or "optimizer.lr" in grid else {"optimizer.lr": lr})
    file = tmp_path_factory.getbasetemp() / "e.yaml"
    file.write_text(yaml.safe_dump(mapping, sort_keys=False))

    from_mapping, from_file = load(mapping, overrides), load(file, [f"{k}={v}" for k, v in overrides.items()])

    assert content(from_mapping) == content(from_file)
    outcomes = []
    for experiment in (from_mapping, from_file):
        try:
            plan = make_plan(experiment)
            outcomes.append(dataclasses.replace(plan, file=""))
        except InputError as error:  # two levels may give one cell
            outcomes.append([(c.path, c.message) for c in error.complaints])
    assert outcomes[0] == outcomes[1]


def test_typed_objects_say_the_same_as_the_mapping() -> None:
    objects = typed.Experiment(
        name="tiny",
        description=MAPPING["description"],
        plugins=[],
        dataset=Component("digits"),
        architecture=Component("stages", width=4, stages=1),
        optimizer=ComponentRef("adam", {"lr": 1e-2}),
        training=Training(epochs=2, batch_size=100),
        cross_validation=CrossValidation(folds=3),
        grid=MAPPING["grid"],
    )

    assert content(load(objects))["header"] == content(load(MAPPING))["header"]
    assert content(load(objects))["blocks"] == content(load(MAPPING))["blocks"]
    assert make_plan(load(objects)) == make_plan(load(MAPPING))


def test_every_key_of_the_file_is_a_field() -> None:
    assert {field.name for field in dataclasses.fields(typed.Experiment)} == set(loading._TOP_KEYS)


def test_sections_hold_only_what_they_were_given() -> None:
    repeats = UntilDecided(until="decided")
    sections = {
        "training": Training(epochs=1, timeout="2min"),  # type: ignore[arg-type]
        "cross_validation": CrossValidation(repeats=repeats),
        "report": ReportSettings(),
        "search": Search(race="best"),
    }

    assert document(sections).to_data() == {
        "training": {"epochs": 1, "timeout": 120.0},
        "cross_validation": {"repeats": {"until": "decided"}},
        "report": {},
        "search": {"race": "best"},
    }


class Pool(str, enum.Enum):  # noqa: UP042 (one whose str() is its name)
    MAX = "max_pool"


class Size(enum.IntEnum):
    SMALL = 3


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (np.int64(3), 3),
        (np.float64(0.1), 0.1),
        (np.float32(0.1), 0.10000000149011612),
        (np.bool_(True), True),
        (np.str_("adam"), "adam"),
        (np.array([1, 2]), [1, 2]),
        (np.array(3), 3),
        ((1, 2), [1, 2]),
        (range(1, 4), [1, 2, 3]),
        (Path("a/b"), "a/b"),
        (Pool.MAX, "max_pool"),
        (Size.SMALL, 3),
        ({3: "x"}, {"3": "x"}),
        ({np.int64(3): (np.float64(2),)}, {"3": [2.0]}),
        (Component("sgd", lr=np.float64(1)), {"name": "sgd", "lr": 1.0}),
    ],
)
def test_what_stands_plainly_for_a_value_is_taken_for_it(value: Any, meaning: Any) -> None:
    found = document({"key": value}).to_data()["key"]

    assert found == meaning and type(found) is type(meaning)


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": {1}}, "seed: found a set {1}; expected text, a number"),
        ({"grid": {"optimizer.lr": [Fraction(1, 2)]}}, "grid.optimizer.lr[0]: found a Fraction Fraction(1, 2)"),
        ({"grid": (x for x in "ab")}, "grid: found a generator"),
        ({"seed": np.datetime64("2026-01-01")}, "seed: found a date"),
        ({"seed": 10**5000}, "seed: found a whole number of more than 4000 digits"),
        ({"name": "\ud800"}, "name: found half a surrogate pair"),
        ({"grid": {0.5: [1]}}, "grid: a key must be text; found a float 0.5"),
        ({True: 1}, "a key must be text; found a bool True"),
        ({"grid": {3: [1], "3": [2]}}, "grid.3: duplicate key '3'"),
        ({"grid": CYCLE}, "grid: nested deeper than 40 levels"),
        ({"seed": range(10**6)}, "seed: more than 100000 values"),
        ({"training": {"epoch": 3}}, "training.epoch: unknown key 'epoch'; did you mean 'epochs'?"),
        ({"plugins": ["./none.py"]}, "plugins[0]: no file './none.py'"),
        ({"optimizer": 3}, "optimizer: found 3; expected a name"),
    ],
)
def test_errors_name_the_experiment_and_the_path(given: dict[Any, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        load({**MAPPING, **given})

    assert f"experiment: {message}" in str(refused.value).splitlines()[0] + "\n" + str(refused.value)


@pytest.mark.parametrize("given", [None, 3, [], object()])
def test_what_is_no_experiment_is_refused(given: Any) -> None:
    with pytest.raises(InputError, match="^experiment: found (nothing|3; expected a mapping|a )"):
        load(given)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Training(epoch=3), "Training: epoch: unknown key 'epoch'; did you mean 'epochs'?"),
        (lambda: Training(epochs="3"), "Training: epochs: found '3'; expected a whole number"),
        (lambda: CrossValidation(repeats={"until": "x"}), "CrossValidation: repeats.until: found 'x'"),
        (lambda: typed.Experiment(nam="x"), "Experiment: nam: unknown key 'nam'; did you mean 'name'? allowed: arch"),
        (lambda: Search(race="worst"), "Search: race: found 'worst'"),
    ],
)
def test_a_wrong_section_is_refused_where_it_is_made(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError) as refused:
        make()

    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"training.epochs": "3"}, "overrides training.epochs=\"3\": training.epochs: found '3'"),
        ({"training.epoch": 3}, "overrides training.epoch=3: training.epoch: unknown key 'epoch'"),
        ({"architecture.convs": 3}, "overrides architecture.convs=3: the grid varies architecture.convs"),
        ({"training.epochs": {3}}, "overrides: training.epochs: found a set {3}"),
    ],
)
def test_errors_in_overrides_name_them(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        load(MAPPING, overrides)

    assert message in str(refused.value)


def test_plugins_are_relative_to_the_current_folder_or_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = tmp_path / "block.py"
    plugin.write_text("")
    monkeypatch.chdir(tmp_path)

    for written in ("./block.py", plugin, str(plugin)):
        assert load({**MAPPING, "plugins": [written]}).plugin_files == (str(plugin),)
