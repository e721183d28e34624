"""`runner new`: what it writes runs as it is, and nothing that exists is touched."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest
from command import TINY, Command

from runner.commands.new import PACKAGE
from runner.components.records import KINDS
from runner.testing import PluginSuite


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_runs_and_so_does_its_test(
    kind: str, tmp_path: Path, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = here("new", kind, "my-own")
    assert (done.returncode, done.stderr) == (0, "")
    wrote, yaml, command = done.stdout.splitlines()
    assert wrote == "wrote my_own.py, test_my_own.py"
    # The two lines work as they are.
    setting = re.search(r"with: (.*)", yaml)
    assert setting and yaml.startswith("plugins: [./my_own.py]  # ")
    shown = here(*shlex.split(command, comments=True)[1:])
    assert shown.returncode == 0 and "my-own" in shown.stdout, shown.stderr
    text = "".join(line for line in TINY.splitlines(True) if not line.startswith((setting[1].split(":")[0], "plugins")))
    (tmp_path / "e.yaml").write_text(f"{yaml}\n{setting[1]}\n{text.split('grid:')[0]}")
    planned = here("plan", "e.yaml")
    assert planned.returncode == 0, planned.stderr
    # The test that it writes, by pytest's rules but in this process.
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "test_my_own", raising=False)
    tests = importlib.import_module("test_my_own")
    suite = tests.TestMyOwn()
    assert issubclass(tests.TestMyOwn, PluginSuite) and [case[:2] for case in suite.cases()] == [(kind, "my-own")]
    for case in suite.cases():
        suite.test_component(*case)
    assert [name for name in vars(tests) if name.startswith("test_")] == ["test_every_fit_ends_well"]
    tests.test_every_fit_ends_well(tmp_path / "reports")


@pytest.mark.parametrize(
    ("existing", "kind", "name"),
    [("my_own.py", "optimizer", "my-own"), ("test_my_own.py", "dataset", "my_own"), ("my-own", PACKAGE, "my-own")],
)
def test_nothing_is_overwritten(existing: str, kind: str, name: str, tmp_path: Path, here: Command) -> None:
    (tmp_path / existing).write_text("mine")
    done = here("new", kind, name)
    assert done.returncode == 2 and done.stderr == f"{existing} exists already; nothing was written\n"
    assert [path.name for path in tmp_path.iterdir()] == [existing] and (tmp_path / existing).read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("architecture", "stages"), "architecture 'stages' is provided by archrunner "),
        (("architecture", ""), "runner new: argument NAME: found ''; allowed: letters, digits, '-' and '_'"),
        (("architecture", "my block"), "runner new: argument NAME: found 'my block'; allowed: letters"),
        (("architecture", "7x7"), "runner new: argument NAME: found '7x7'; allowed: letters"),
        (("architecture", "../up"), "runner new: argument NAME: found '../up'; allowed: letters"),
        (("dataset", "class"), "runner new: argument NAME: 'class' is a word of Python or YAML"),
        (("optimizer", "null"), "runner new: argument NAME: 'null' is a word of Python or YAML"),
        (("optimizer", "numpy"), "runner new: argument NAME: 'numpy' is the name of an installed module"),
        (("optimiser", "mine"), "runner new: KIND: unknown 'optimiser'; did you mean 'optimizer'? allowed: "),
        (("optimizer",), "runner new: missing: NAME; for example: runner new architecture my_block"),
    ],
)
def test_names_that_would_not_work(arguments: tuple[str, ...], message: str, tmp_path: Path, here: Command) -> None:
    done = here("new", *arguments)
    assert done.returncode == 2 and done.stderr.startswith(message) and done.stderr.count("\n") == 1, done.stderr
    assert not list(tmp_path.iterdir())


def test_a_package_names_itself_throughout(tmp_path: Path, here: Command) -> None:
    done = here("new", PACKAGE, "my-blocks")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == [
        "architecture: my-blocks  # in any experiment, once the package is installed",
        "cd my-blocks && pip install -e '.[test]' && pytest  # then: runner plugins my-blocks",
    ]
    root = tmp_path / "my-blocks"
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert files == {
        "pyproject.toml", "README.md", ".github/workflows/tests.yml", "src/my_blocks/__init__.py",
        "src/my_blocks/architectures.py", "tests/test_my_blocks.py",
    }  # fmt: skip
    assert all("{{" not in (root / file).read_text().replace("${{ matrix.python }}", "") for file in files)
