"""Parameters that are no plain numbers or texts: in YAML, `--set`, plan.yaml, identity, `describe` and MLflow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from command import Command

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
    "dataclass": ("Range", "Range(0, 2)", ("{high: 3}", "Range(0., 3.)"), ("{hig: 3}", "mean 'high'? allowed: high")),
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


def cell_ids(text: str) -> list[str]:
    return [cell["id"] for cell in json.loads(text)["cells"]]


@pytest.mark.parametrize("case", TYPES)
def test_in_yaml_on_the_command_line_and_in_the_identity(case: str, tmp_path: Path, here: Command) -> None:
    _, default, (value, python), (wrong, message) = TYPES[case]
    write(tmp_path, case, f"value == ({python}) and type(value) is type({python})", value)
    planned = here("plan", "s.yaml", "--json")
    assert planned.returncode == 0, planned.stderr
    assert cell_ids(planned.stdout) == cell_ids(here("plan", "s.yaml", "--json").stdout)
    write(tmp_path, case, f"repr(value) == repr(np.asarray({default}).tolist()) or value == {default}")
    left_out = here("plan", "s.yaml", "--json")
    assert left_out.returncode == 0, left_out.stderr
    write(tmp_path, case, "True")
    by_option = here("plan", "s.yaml", "--json", "--set", f"augmentation.value={value}")
    assert len({*cell_ids(by_option.stdout), *cell_ids(here("plan", "s.yaml", "--json").stdout)}) == 2
    if wrong:
        refused = here("plan", "s.yaml", "--set", f"augmentation.value={wrong}")
        assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and message in refused.stderr, refused.stderr


@pytest.mark.parametrize("case", ["enum", "path", "dataclass"])
def test_in_a_study(case: str, tmp_path: Path, here: Command) -> None:
    """In plan.yaml as it is written, so that the next run finds nothing to do; a default written out is the default."""
    value, python = TYPES[case][2]
    write(tmp_path, case, f"value == {python}", value)
    done = here("run", "s.yaml", "--tracking-uri", "sqlite:///m.db" if case == "dataclass" else "none")
    assert done.returncode == 0, done.stderr
    plan = yaml.safe_load((tmp_path / "reports" / "s" / "plan.yaml").read_text())
    saved = plan["cells"][0]["settings"]["augmentation"][0]["value"]
    assert saved == (yaml.safe_load(value) if case != "dataclass" else {"low": 0.0, "high": 3.0, "mode": "wrap"})
    assert "0 fits to train" in here("plan", "s.yaml").stdout


SHOWN = {
    "enum": ("wrap | cut", "cut"),
    "path": ("path", "a"),
    "dataclass": ("mapping of low: float, high: float, mode: wrap | cut", {"low": 0, "high": 2, "mode": "wrap"}),
    "numpy default": ("float", 0.5),
}


@pytest.mark.parametrize("case", SHOWN)
def test_described(case: str, tmp_path: Path, here: Command) -> None:
    write(tmp_path, case)
    kind, default = SHOWN[case]
    described = json.loads(here("describe", "own", "--plugin", "block.py", "--json").stdout)
    assert [(p["type"], p["default"]) for p in described["parameters"]] == [(kind, default)]
    listed = here("plugins", "--plugin", "block.py")
    assert listed.returncode == 0 and f"value: {kind} = " in listed.stdout


def test_a_default_that_is_written_out_is_the_same_cell(tmp_path: Path, here: Command) -> None:
    write(tmp_path, "dataclass")
    default = cell_ids(here("plan", "s.yaml", "--json").stdout)
    for value in ("{high: 2}", "{low: 0, high: 2.0, mode: wrap}"):
        written = here("plan", "s.yaml", "--json", "--set", f"augmentation.value={value}")
        assert cell_ids(written.stdout) == default
