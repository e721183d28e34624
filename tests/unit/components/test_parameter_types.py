"""Parameters that are no plain numbers or texts: in YAML, `--set`, plan.yaml, identity, `describe` and MLflow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from command import Command

from runner.planning import plan_file
from runner.tracking.parameters import Parameters

PLUGIN = """\
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, Union
import numpy as np
from runner.api import Augmentation, Positive, hookimpl

class Mode(Enum):
    WRAP = "wrap"
    CUT = "cut"

class Size(IntEnum):
    SMALL = 1
    LARGE = 2

@dataclass(frozen=True)
class Range:
    low: float = 0
    high: Annotated[float, "at most"] = 1
    mode: Mode = Mode.WRAP
    file: Path = Path("a")

Pixels = NewType("Pixels", int)

@dataclass(frozen=True)
class Same:
    given: Any
    def draw(self, rng, count, shape):
        return {}
    def apply(self, images, draws):
        return images

def build(*, value: TYPE = DEFAULT):
    assert CHECK, repr(value)
    return Same(repr(value))

@hookimpl
def register_augmentations():
    yield Augmentation(name="own", build=build)
"""
STUDY = """\
name: s
plugins: [./block.py]
dataset: {name: digits, subset: 60}
architecture: {name: stages, width: 2, stages: 1}
augmentation: {name: own}
optimizer: adam
training: {epochs: 1, engine: numpy}
cross_validation: {folds: 2}
"""

# type, default, (a value in YAML, what it is in Python), (a wrong value, the end of its message)
TYPES: dict[str, tuple[str, str, tuple[str, str], tuple[str, str]]] = {
    "enum": ("Mode", "Mode.CUT", ("wrap", "Mode.WRAP"), ("warp", "found 'warp'; did you mean 'wrap'? allowed: cut")),
    "numbers": ("Size", "Size.SMALL", ("2", "Size.LARGE"), ("3", "found 3; allowed: 1, 2")),
    "optional enum": ("Optional[Mode]", "None", ("cut", "Mode.CUT"), ("x", "found 'x'; allowed: cut, wrap")),
    "several enums": ("list[Mode]", "[Mode.CUT]", ("[wrap]", "[Mode.WRAP]"), ("[x]", "found 'x'; allowed: cut, wrap")),
    "path": ("Path", "Path('a')", ("b/c", "Path('b/c')"), ("3", "found 3; expected text")),
    "dataclass": ("Range", "Range(0, 2)", ("{high: 3}", "Range(0., 3.)"), ("{hig: 3}", "mean 'high'? allowed: file")),
    "inner enum": ("Range", "Range()", ("{mode: cut}", "Range(mode=Mode.CUT)"), ("{mode: x}", "found 'x'; allowed: c")),
    "no dataclass": ("Range | None", "None", ("{}", "Range()"), ("3", "found 3; expected a mapping")),
    "dataclasses": ("dict[str, Range]", "{}", ("{a: {low: 1}}", "{'a': Range(1.)}"), ("{a: 1}", "expected a mapping")),
    "union": ("Union[int, list[int]]", "3", ("[4]", "[4]"), ("x", "found 'x'; allowed: int | list of int")),
    "union of kinds": ("Mode | int", "3", ("cut", "Mode.CUT"), ("x", "found 'x'; allowed: wrap | cut | int")),
    "literal": ("Literal['a', 2]", "'a'", ("2", "2"), ("3", "found 3; allowed: 2, a")),
    "tuple": ("tuple[int, int]", "(1, 2)", ("[3, 4]", "(3, 4)"), ("[3]", "is required, but missing")),
    "new type": ("Pixels", "Pixels(3)", ("4", "4"), ("x", "found 'x'; expected a whole number")),
    "numpy default": ("float", "np.float32(0.5)", ("2", "2.0"), ("x", "found 'x'; expected a number")),
    "array default": ("list[Positive]", "np.ones(2)", ("[3]", "[3.0]"), ("[0]", "found 0; allowed: more than 0")),
    "any": ("Any", "None", ("{a: [1]}", "{'a': [1]}"), ("", "")),
}  # fmt: skip


def write(folder: Path, case: str, check: str = "True", value: str | None = None) -> None:
    kind, default, *_ = TYPES[case]
    text = PLUGIN.replace("TYPE", kind).replace("DEFAULT", default).replace("CHECK", check)
    (folder / "block.py").write_text(text)
    given = "{name: own}" if value is None else f"{{name: own, value: {value}}}"
    (folder / "s.yaml").write_text(STUDY.replace("{name: own}", given))


def cell_id(text: str) -> str:
    return str(json.loads(text)["cells"][0]["id"])


@pytest.mark.parametrize("case", TYPES)
def test_on_the_command_line_and_in_the_identity(case: str, tmp_path: Path, here: Command) -> None:
    _, default, (value, python), (wrong, message) = TYPES[case]
    given = f"(value == {python} and type(value) is type({python}))"
    write(tmp_path, case, f"{given} or repr(value) == repr(np.asarray({default}).tolist()) or value == {default}")
    plans = [here("plan", "s.yaml", "--json", *more) for more in ((), ("--set", f"augmentation.value={value}"))]
    assert [plan.returncode for plan in plans] == [0, 0], plans
    assert len({cell_id(plan.stdout) for plan in plans}) == 2
    if wrong:
        refused = here("plan", "s.yaml", "--set", f"augmentation.value={wrong}")
        assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and message in refused.stderr, refused.stderr


def test_in_a_study(tmp_path: Path, here: Command) -> None:
    """In plan.yaml it is plain data, so that the next run finds nothing to do; MLflow gets the same."""
    write(tmp_path, "dataclass", "value == Range(0.0, 3.0, Mode.CUT, Path('b'))", "{high: 3, mode: cut, file: b}")
    done = here("run", "s.yaml")
    assert done.returncode == 0, done.stderr
    file = tmp_path / "reports" / "s" / "plan.yaml"
    saved = yaml.safe_load(file.read_text())["cells"][0]["settings"]["augmentation"][0]["value"]
    assert saved == {"low": 0.0, "high": 3.0, "mode": "cut", "file": "b"}
    assert "0 fits to train" in here("plan", "s.yaml").stdout
    plan = plan_file.read(file)
    assert Parameters(plan).of_cell(plan.cells[0])["augmentation"] == f"own(value={saved})"


RANGE = {"low": 0, "high": 2, "mode": "wrap", "file": "a"}
SHOWN = {
    "enum": ("wrap | cut", "cut"),
    "path": ("path", "a"),
    "dataclass": ("mapping of low: float, high: float, mode: wrap | cut, file: path", RANGE),
    "numpy default": ("float", 0.5),
}


@pytest.mark.parametrize("case", SHOWN)
def test_described(case: str, tmp_path: Path, here: Command) -> None:
    write(tmp_path, case)
    kind, default = SHOWN[case]
    described = json.loads(here("describe", "own", "--plugin", "block.py", "--json").stdout)
    assert [(p["type"], p["default"]) for p in described["parameters"]] == [(kind, default)]
    listed = here("plugins", "own", "--plugin", "block.py")
    (row,) = [line for line in listed.stdout.splitlines() if line.startswith("value ")]
    assert listed.returncode == 0 and " ".join(row.split()).startswith(f"value {kind} ")


def test_a_default_that_is_written_out_is_the_same_cell(tmp_path: Path, here: Command) -> None:
    write(tmp_path, "dataclass")
    default = cell_id(here("plan", "s.yaml", "--json").stdout)
    for value in ("{high: 2}", "{low: 0, high: 2.0, mode: wrap}"):
        written = here("plan", "s.yaml", "--json", "--set", f"augmentation.value={value}")
        assert cell_id(written.stdout) == default
