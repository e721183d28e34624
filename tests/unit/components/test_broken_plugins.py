"""Plugins as people write them wrongly: one line with the file, its line, and how to mend it. None is a traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from command import Command

from runner.components import hookspecs, mistakes
from runner.components.catalog import load_catalog

HOOKS = [name for name in vars(hookspecs) if name.startswith("register_")]
STUDY = """\
name: s
plugins: [./block.py]
dataset: digits
architecture: mine
optimizer: adam
training: {epochs: 1}
cross_validation: {folds: 2}
"""
GOOD = """\
from runner.api import *
def build(input_shape, classes, *, width: int = 3):
    return Sequential(Flatten(), Dense(classes))
@hookimpl
def register_architectures():
    yield Architecture(name="mine", build=build)
"""
HEAD = "from runner.api import *\n"
YIELD = 'yield Architecture(name="mine", build=build)'
CLASS = """\
class Mine:
    def __init__(self, width): self.width = width
    def __call__(self, input_shape, classes, *, units: int = 3):
        return Sequential(Flatten(), Dense(units), Dense(classes))
"""
Edit = tuple[str, str]


def edited(*edits: Edit) -> str:
    text = GOOD
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return text


BROKEN: dict[str, tuple[str, tuple[str, ...]]] = {
    # Hooks
    "no hookimpl": (edited(("@hookimpl\n", "")), ("register_architectures (line 4) lacks @hookimpl",)),
    "one of two hooks": (
        GOOD + "def register_optimizers():\n    yield 1\n", ("register_optimizers (line 7) lacks @hookimpl",)
    ),
    "misspelt": (
        edited(("register_architectures", "register_architecture")), ("unknown hook", "'register_architectures'?")
    ),
    "misspelt and unmarked": (
        edited(("@hookimpl\n", ""), ("register_architectures", "register_architecures")),
        ("called 'register_architecures'; did you mean 'register_architectures'?",),
    ),
    "returns one": (edited(("yield", "return")), ("returns one Architecture; yield it, or return a list",)),
    "returns a name": (edited((YIELD, "return 'mine'")), ("returns 'mine'; yield Architecture(name=",)),
    "returns a mapping": (edited((YIELD, "return {'mine': build}")), ("returns dict; yield Architecture(name=",)),
    "forgotten yield": (edited(("yield ", "")), ("returns nothing; write yield in front of Architecture(...)",)),
    "async hook": (edited(("def reg", "async def reg")), ("(line 4) is an async function; write def",)),
    "hook with arguments": (edited(("tures()", "tures(x, y=1)")), ("takes no arguments; found x",)),
    "wrong kind": (
        edited(("yield Arch", "yield Optimizer(name='o', build=build)\n    yield Arch")),
        ("yields Optimizer, not Architecture; yield it from register_optimizers",),
    ),
    "a class": (edited((YIELD, "yield Architecture")), ("yields the class Architecture", "call it: Architecture(n")),
    "another class": (edited((YIELD, "yield dict")), ("yields the class dict, not Architecture",)),
    "a function": (edited((YIELD, "yield build")), ("the function build; write Architecture(name=..., build=build)",)),
    "a list": (edited((YIELD, f"yield [{YIELD[6:]}]")), ("yields list, not Architecture; write yield from",)),
    "hookimpl on a value": (GOOD + "@hookimpl\nclass register_datasets: pass\n", ("register_datasets is no function",)),
    # Names
    "no name": (edited(('"mine"', '""')), ("architecture '' needs a name: found no text",)),
    "spaces": (edited(('"mine"', '"my net"')), ("found 'my net'; allowed: letters",)),
    "digits": (edited(('"mine"', '"12"')), ("found '12', which YAML does not read as text",)),
    "a truth value": (edited(('"mine"', '"True"')), ("found 'True', which YAML",)),
    "no text": (edited(('"mine"', "12")), ("found 12; expected text",)),
    "long": (edited(('"mine"', '"m" * 101')), ("found 101 characters; allowed: at most 100",)),
    "control": (edited(('"mine"', '"a\\nb"')), ("allowed: letters, digits",)),
    "parameter name": (edited(("width: int", "name: int")), ("a parameter of mine is called 'name'",)),
    # The function
    "async build": (edited(("def build", "async def build")), ("build (line 2) is an async function",)),
    "yielding build": (edited(("return", "yield")), ("build (line 2) has a yield; return what it builds",)),
    "called": (edited(("build=build", "build=build((1, 8, 8), 10)")), ("build is Sequential; expected build (a func",)),
    "positional": (
        edited(("*, ", "")),
        ("after a *, as the runner passes input_shape and classes alone: def build(input_shape, classes, *, width",),
    ),
    "several": (edited(("*, width", "*sizes, width")), ("found *sizes, which YAML cannot set",)),
    "without arguments": (edited(("input_shape, classes, *, width: int = 3", "")), ("must begin with input_shape",)),
    "returns a list": (
        edited(("Sequential(Flatten(), Dense(classes))", "[Flatten(), Dense(classes)]")),
        (":2 builds list, which lacks type; return layers of runner.api, or a torch module",),
    ),
    "returns itself": (edited(("return", "return build #")), ("builds the function build, which lacks type",)),
    "returns nothing": (edited(("return", "")), ("builds nothing (None); is its return missing?",)),
    "returns a class": (edited(("return", "return Sequential #")), ("builds the class Sequential; return an",)),
    "misspelt option": (edited(("Flatten()", "Conv(3, 3, stirde=2)")), ("'stirde'; did you mean 'stride'?",)),
    "misspelt name": (edited(("Dense(classes)", "Dense(clases)")), ("not defined; did you mean 'classes'?",)),
    # Types
    "unknown": (edited(("int", "'Sise'")), ("parameter 'width': the type 'Sise' is not defined; import or define it",)),
    "only for checkers": (
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
        "    from numpy import float32\n" + edited(("int", "float32")),
        ("the type 'float32' is not defined", "not only under TYPE_CHECKING"),
    ),
    "no syntax": (edited(("int", "'int['")), ("parameter 'width': its type cannot be read: SyntaxError",)),
    "set": (edited(("int = 3", "set[int] = frozenset()")), ("parameter 'width' has the type set, which YAML",)),
    "complex": (edited(("int = 3", "complex = 3j")), ("the type complex, which YAML has no values for; allowed: int",)),
    "numpy": (HEAD + "import numpy as np\n" + edited(("int", "np.float32")), ("the type numpy.float32, which YAML",)),
    "inside": (edited(("int = 3", "list[bytes] | None = None")), ("the type bytes, which YAML",)),
    "function": (edited(("int = 3", "callable = None")), ("parameter 'width' has the type callable",)),
    "own class": (HEAD + "class Own: pass\n" + edited(("int", "Own")), ("the type block.Own, which YAML",)),
    "enumeration": (
        HEAD + "from enum import Enum\nclass E(Enum):\n    A = (1, 2)\n" + edited(("int = 3", "E = E.A")),
        ("the type E, whose member A is neither text nor a number",),
    ),
    "literal": (
        HEAD + "from enum import Enum\nfrom typing import Literal\nclass E(Enum):\n    A = 'a'\n"
        + edited(("int = 3", "Literal[E.A] = E.A")), ("has the type Literal[E.A], which YAML has no values for",)
    ),
    "default": (edited(("= 3", "= None")), ("mine's parameter 'width' is invalid: found nothing; expected a whole",)),
    # Imports
    "KeyboardInterrupt": ("x = 1\nraise KeyboardInterrupt\n", ("block.py:2 raised KeyboardInterrupt", "a plugin can")),
    "SystemExit": ("raise SystemExit(3)\n", ("block.py:1 raised SystemExit: 3; a plugin cannot end the program",)),
    "syntax": ("x = 1\ndef f(:\n", ("block.py:2 raised SyntaxError: invalid syntax",)),
    "indentation": ("def f():\nx = 1\n", ("block.py:2 raised IndentationError",)),
    "syntax beside": ("\nimport bad_syntax\n", ("block.py raised SyntaxError", " in bad_syntax.py:3")),
    "error beside": ("\nimport bad_value\n", ("block.py raised ZeroDivisionError", " in bad_value.py:1")),
    "circle": ("from circle import x\ny = 1\n", ("circular import", "move what both need into a third")),
    "missing": ("import no_such_library_here\n", ("block.py:1", "install it, or put its file beside")),
    "missing beside": ("import heper\n", ("did you mean 'helper', the file beside?",)),
    "missing relative": ("from . import heper\n", ("name 'heper' from 'the folder'", "did you mean 'helper', the")),
    "misspelt of a file beside": ("from .helper import xy\n", ("cannot import name 'xy' from 'helper'",)),
    "too far up": ("from .. import helper\n", ("beyond top-level package", "list the folder above it",)),
    "api": ("from runner.api import Archtecture\n", ("did you mean 'Architecture'?",)),
    "build raises": (edited(("return", "1 / 0 #")), ("architecture mine(width=3)", "block.py:3 raised ZeroDiv")),
    "beside raises": (
        edited(("return", "import bad_value #")),
        ("block.py raised ZeroDivisionError: division by zero in bad_value.py:1",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_it_is_one_line_with_the_cure(case: str, tmp_path: Path, here: Command) -> None:
    text, fragments = BROKEN[case]
    (tmp_path / "block.py").write_text(text)
    (tmp_path / "helper.py").write_text("x = 1\n")
    (tmp_path / "bad_syntax.py").write_text("x = 1\n\ny = (\n")
    (tmp_path / "bad_value.py").write_text("1 / 0\n")
    (tmp_path / "circle.py").write_text("from block import y\nx = 1\n")
    (tmp_path / "s.yaml").write_text(STUDY)
    done = here("plan", "s.yaml", "--json")
    problem = [line for line in done.stderr.splitlines() if line.startswith("s.yaml:")]
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 == len(problem), done.stderr
    assert [fragment for fragment in fragments if fragment not in problem[0]] == [], problem[0]
    assert "block.py" in problem[0] and "runner_plugin_" not in problem[0]


WORKING = {
    "partial": HEAD + "from functools import partial\n" + edited(("build=build", "build=partial(build, width=5)")),
    "lambda": edited(("build=build", "build=lambda shape, classes: Sequential(Flatten(), Dense(classes))")),
    "an object": CLASS + edited(("build=build", "build=Mine(4)")),
    "a class": HEAD + "class Mine:\n    def __new__(cls, shape, classes, *, width: 'Count' = 3):\n"
    "        return Sequential(Flatten(), Dense(classes))\n" + edited(("build=build", "build=Mine")),
    "a method": CLASS + edited(("build=build", "build=Mine(4).__call__")),
    "decorated": "import functools\ndef same(f):\n    @functools.wraps(f)\n    def g(*a, **k): return f(*a, **k)\n"
    "    return g\n" + edited(("def build", "@same\ndef build")),
    "a list": edited((YIELD, f"return [{YIELD[6:]}]")),
    "conditional": edited(("yield", "if True: yield")),
    "future annotations": "from __future__ import annotations\n" + GOOD,
    "a return type for checkers": "from __future__ import annotations\nfrom typing import TYPE_CHECKING\n"
    "if TYPE_CHECKING:\n    from torch import nn\n" + edited(("= 3):", "= 3) -> nn.Module:")),
    "helper function": GOOD + "def register_architecture(name, build):\n    pass\n",
    "an odd value": GOOD + "from unittest.mock import MagicMock\nodd = MagicMock()\n",
}


@pytest.mark.parametrize("case", WORKING)
def test_other_ways_to_write_it_work(case: str, tmp_path: Path, here: Command) -> None:
    (tmp_path / "block.py").write_text(WORKING[case])
    (tmp_path / "s.yaml").write_text(STUDY)
    done = here("plan", "s.yaml", "--json")
    assert done.returncode == 0, done.stderr


def test_built_in_components_have_none_of_these_mistakes() -> None:
    """They are not looked at each time."""
    for (kind, name), entry in load_catalog().entries.items():
        module = sys.modules[entry.module]
        assert [*mistakes.of_hooks(module, HOOKS, [name for name in HOOKS if hasattr(module, name)])] == []
        assert mistakes.of_record(entry.component, "", kind) == "", name
        assert mistakes.of_positional(entry.component.given, entry.positional) == "" and "name" not in entry.parameters
        for parameter in entry.parameters.values():
            assert parameter.required or repr(parameter.checked(parameter.bound_default)), (name, parameter.name)


LOADS = {
    "return": "loading it returned nothing; return images, labels",
    "return images": "loading it returned ndarray; return images, labels",
    "return images, labels, 3": "loading it returned tuple; return images, labels",
}


@pytest.mark.parametrize("ending", LOADS)
def test_a_load_that_returns_too_little(ending: str, tmp_path: Path, here: Command) -> None:
    (tmp_path / "block.py").write_text(
        "import numpy as np\nfrom runner.api import Dataset, ImageData, hookimpl\ndef load():\n"
        f"    images, labels = np.zeros((40, 1, 8, 8), 'u1'), np.arange(40) % 2\n    {ending}\n"
        "def build():\n    return ImageData((1, 8, 8), ('a', 'b'), 40, load)\n"
        "@hookimpl\ndef register_datasets():\n    yield Dataset(name='own', build=build)\n"
    )
    (tmp_path / "s.yaml").write_text(STUDY.replace("digits", "own").replace("mine", "{name: stages, stages: 1}"))
    done = here("run", "s.yaml")
    assert done.returncode == 2 and LOADS[ending] in done.stderr and done.stderr.count("\n") == 1, done.stderr
