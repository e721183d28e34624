"""`runner schema`: every file that the plan takes is valid, and what an editor should underline is not."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Annotated, Any

import pytest
from command import ROOT, TINY, Command
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from runner.components.catalog import load_catalog
from runner.components.parameters import Parameter
from runner.experiment.component_schemas import parameter_schema
from runner.experiment.json_schema import COMMENT, experiment_schema
from runner.experiment.load import load
from runner.files.yaml_nodes import parse

PLUGIN = """\
from dataclasses import dataclass
from typing import Annotated
from pydantic import BeforeValidator
from runner.api import Architecture, Count, Dense, Flatten, Sequential, hookimpl

@dataclass
class Block:
    width: Count = 3

def mine(input_shape, classes, *, block: Block, either: Count | list[Count] = 3,
         own: Annotated[int, BeforeValidator(lambda v: len(v) if v else v)] = 0):
    return Sequential(Flatten(), Dense(classes))

@hookimpl
def register_architectures():
    yield Architecture(name="mine", build=mine)
"""


class Tree(BaseModel):
    width: Annotated[int, Field(ge=1)] = 3
    branches: list[Tree] = []
    made: Any = object()


# pydantic warns of what its schemas cannot hold; on a terminal that would be a line about nothing.
pytestmark = pytest.mark.filterwarnings("error::UserWarning")


@functools.cache
def validator() -> Draft202012Validator:
    schema = experiment_schema(load_catalog())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(json.loads(json.dumps(schema)))


def problems(text: str, check: Draft202012Validator | None = None) -> list[str]:
    """The paths of what the schema refuses in a YAML text."""
    data: Any = parse(text, "test.yaml").to_data()
    return [error.json_path for error in (check or validator()).iter_errors(data)]


@pytest.mark.parametrize("file", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda file: file.name)
def test_every_experiment_here_is_valid(file: Path) -> None:
    assert not problems(file.read_text())


VALID = {
    "tiny": TINY,
    "variables": TINY + "seed: ${SEED:-0}\nreport: {equivalent: ${E}}",
    "a variable for a choice": TINY.replace("epochs: 2", "epochs: ${N}, engine: ${ENGINE}, timeout: ${T}"),
    "durations": TINY.replace("epochs: 2", "epochs: 2, timeout: 1.5h, checkpoint: 600"),
    "a union": "\n".join(TINY.splitlines()[:-2]) + "\n  - {architecture.convs: [1, 2]}\n  - {optimizer.lr: [0.1]}\n",
    "a factor that sets whole components": TINY + "  optimizer: [adam, {name: sgd, lr: 0.1}]\n",
    "named levels": TINY + "  clipping: {off: {}, on: {optimizer.clip: 1.0, training.stop.patience: 1}}\n",
    "what torch's optimizers take": TINY + "  optimizer.betas: [[0.9, 0.99]]\n",
    "repeats until decided": TINY.replace("folds: 3", "folds: 3, repeats: {until: decided, most: 4}")
    + "search: {race: best}\n",
    "columns of a data set, or none": TINY.replace("folds: 3", "groups: writer, fold_column: null, split: null"),
    "a part": TINY.replace("folds: 3", "groups: true, split: 0.2"),
    "early stopping or not": TINY + "  training.stop: [null, {patience: 1, on: inner}]\n",
    "a list of augmentations": TINY + "augmentation: [none, {name: shift, pixels: 1}]\n",
    "a schedule": TINY.replace("lr: 1e-2", "schedule: {name: cosine, warmup: 1}"),
    "one number or two": TINY.replace(": digits", ": {name: image-folder, root: a, size: 8, scale: uint16}"),
    "parameters of every kind": TINY.replace(": digits", ": {name: digits, subset: 90, deduplicate: true}").replace(
        "width: 4", "width: 4, strict: true"
    ),
    "what extends another file": "extends: [a.yaml, b.yaml]\narchitecture: {width: 4}\nreport: null\n"
    "grid: {architecture.convs: null}\n",
    "excluded levels": TINY + "exclude: [{architecture.convs: 2}]\n",
    "a factor's rule": TINY + "  filters: {7x7: {architecture.kernel: 7}, 3x3: {}, match: {vary: architecture.width,"
    " keep: macs, like: {filters: 7x7}, within: 2%}}\n",
    "a level's rule": TINY + "  filters: {1: {}, 2: {architecture.kernel: 5, match: {vary: [architecture.width],"
    " keep: parameters, like: 1, within: 0.1}}}\n",
    "a level called match": TINY + "  filters: {match: {architecture.kernel: 7}, other: {}}\n",
    "a variable in a rule": TINY + "  filters: {a: {}, b: {architecture.kernel: 7}, match: {vary: architecture.width,"
    " keep: '${KEEP}', like: a}}\n",
    "what the grid gives": TINY.replace("training: {epochs: 2, batch_size: 100}\n", "") + "  training.epochs: [1, 2]\n",
    "a key that the grid gives": TINY.replace("epochs: 2, ", "") + "  training.epochs: [1, 2]\n",
    "parts of a section that extends others": "extends: a.yaml\ntraining: {batch_size: 10, stop: {'on': inner}}\n"
    "cross_validation: {repeats: {most: 3}}\nreport: {published: {metric: val_loss}}\n",
}  # fmt: skip


@pytest.mark.parametrize("case", VALID)
def test_what_the_plan_takes_is_valid(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"N": "1", "E": "0.1", "KEEP": "macs", "ENGINE": "numpy", "T": "3min"}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "case.yaml").write_text(VALID[case])
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(TINY.replace("name: tiny\n", ""))
    if "extends" not in case:
        load(tmp_path / "case.yaml")
    assert not problems(VALID[case])


BROKEN = {
    "an unknown key": (TINY + "sed: 0\n", "$"),
    "a missing key": (TINY.replace("dataset: digits\n", ""), "$"),
    "an unknown component": (TINY.replace("name: stages", "name: stagse"), "$.architecture"),
    "an unknown name alone": (TINY.replace("dataset: digits", "dataset: digit"), "$.dataset"),
    "an unknown parameter": (TINY.replace("width: 4", "widht: 4"), "$.architecture"),
    "a parameter of another component": (TINY.replace("name: stages", "name: lenet5"), "$.architecture"),
    "a wrong type": (TINY.replace("width: 4", "width: wide"), "$.architecture"),
    "out of its bounds": (TINY.replace("lr: 1e-2", "lr: -1"), "$.optimizer"),
    "not one of the choices": (TINY.replace("epochs: 2", "epochs: 2, engine: tensor"), "$.training"),
    "a parameter that is missing": (TINY.split("grid")[0].replace("adam, lr: 1e-2", "sgd"), "$.optimizer"),
    "a name that needs parameters": (TINY.split("grid")[0].replace("dataset: digits", "dataset: npz"), "$.dataset"),
    "a section's key that is missing": (TINY.split("grid")[0].replace("epochs: 2, ", ""), "$.training"),
    "a key that is missing further in": (
        TINY.replace("folds: 3", "folds: 3, repeats: {most: 3}"),
        "$.cross_validation.repeats",
    ),
    "a key that is missing in a list": (TINY + "report: {published: {source: x, cells: [{value: 1}]}}\n", "$.report"),
    "a mapping without a name": (TINY.split("grid")[0].replace("name: stages, ", ""), "$.architecture"),
    "one fold": (TINY.replace("folds: 3", "folds: 1"), "$.cross_validation"),
    "no duration": (TINY.replace("epochs: 2", "epochs: 2, timeout: soon"), "$.training"),
    "a level of the wrong type": (TINY + "  architecture.kernel: [3, five]\n", "$.grid"),
    "a path that no component has": (TINY + "  architecture.kernl: [3]\n", "$.grid"),
    "a factor without named levels": (TINY + "  filters: [3, 5]\n", "$.grid"),
    "a level that is no path": (TINY + "  filters: {a: {kernel: 3}}\n", "$.grid"),
    "the data set in the grid": (TINY + "  dataset: [digits, mnist-5k]\n", "$.grid"),
    "a reserved factor": (TINY + "  fold: {a: {architecture.kernel: 3}}\n", "$.grid"),
    "a rule's key": (TINY + "  f: {a: {}, match: {vary: architecture.width, kepe: macs, like: a}}\n", "$.grid"),
    "a quantity": (TINY + "  f: {a: {}, match: {vary: architecture.width, keep: mac, like: a}}\n", "$.grid"),
    "a rule's path": (TINY + "  f: {a: {match: {vary: optimizer.lr, keep: macs, like: b}}, b: {}}\n", "$.grid"),
    "an empty factor": (TINY + "  architecture.kernel: []\n", "$.grid"),
    "a name that is no folder": (TINY.replace("name: tiny", "name: ../tiny"), "$.name"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_underlined(case: str) -> None:
    text, where = BROKEN[case]
    found = problems(text)
    assert found and all(path.startswith(where) for path in found), found


def test_names_come_with_the_first_line_of_their_docstrings() -> None:
    names = validator().schema["$defs"]["architecture"]["anyOf"]
    stages = next(name for name in names if name.get("const") == "stages")
    assert stages["description"].startswith("`stages` stages of `convs` convolutions")


@pytest.mark.slow
def test_the_schema_of_a_file_knows_its_plugins(tmp_path: Path, here: Command) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    # Unfinished, as a file is that somebody is writing.
    (tmp_path / "mine.yaml").write_text("plugins: [./mine.py]\narchitecture: {name: mi\n".replace("{name: mi", "mi"))
    done = here("schema", "mine.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "wrote runner.schema.json; editors complete and check mine.yaml with this as its first line:",
        "# yaml-language-server: $schema=./runner.schema.json",
    ]
    schema = json.loads((tmp_path / "runner.schema.json").read_text())
    check = Draft202012Validator(schema)
    check.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    whole = TINY.replace("{name: stages, width: 4, stages: 1}", "{name: mine, block: {width: 1}, own: [1], either: 2}")
    whole = whole.split("grid")[0]
    assert not problems(whole, check) and problems(whole) == ["$.architecture"]
    assert problems(whole.replace("width: 1", "width: 0"), check) == ["$.architecture"]
    assert problems(whole.replace("block: {width: 1}, ", ""), check) == ["$.architecture"]
    assert not problems(whole.replace("either: 2", "either: [2, 3]"), check)


def test_a_type_that_contains_itself_is_anything_within_itself() -> None:
    check = Draft202012Validator(parameter_schema(Parameter("tree", Tree, object())))
    assert check.is_valid({"width": 1, "branches": [{"width": 0}]}) and not check.is_valid({"width": 0})
    assert parameter_schema(Parameter("code", Draft202012Validator)) == {} and "default" not in check.schema


def test_where_the_schema_is_written(tmp_path: Path, here: Command) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "s.json").write_text(json.dumps({"$comment": COMMENT}))  # an earlier one, which is replaced
    done = here("schema", "--out", "sub/s.json")
    assert (done.returncode, done.stdout.splitlines()[1]) == (0, "# yaml-language-server: $schema=./sub/s.json")
    assert json.loads(here("schema", "--out", "-").stdout) == json.loads((tmp_path / "sub" / "s.json").read_text())
    (tmp_path / "package.json").write_text("{}")
    done = here("schema", "--out", "package.json")
    assert done.returncode == 2 and (tmp_path / "package.json").read_text() == "{}"
    assert done.stderr == "package.json exists and is no schema of experiments; choose another file with --out\n"
    done = here("schema", "--out", "s.yaml")
    assert done.returncode == 2 and "allowed: the name of a JSON file" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plugins: [3]\n", "e.yaml:1: plugins[0]: found 3; expected text"),
        ("plugins: [./none.py]\n", "e.yaml:1: plugins[0]: no file './none.py'"),
        ("plugins: ['${NONE_SUCH}']\n", "e.yaml:1: plugins[0]: the environment variable 'NONE_SUCH' is not set"),
        ("[]\n", "e.yaml:1: found a list; expected a mapping with keys such as name"),
    ],
)
def test_plugins_that_cannot_be_read(text: str, message: str, tmp_path: Path, here: Command) -> None:
    (tmp_path / "e.yaml").write_text(text)
    done = here("schema", "e.yaml")
    assert done.returncode == 2 and done.stderr.startswith(message) and done.stderr.count("\n") == 1
