"""The scripts that run by hand: every name that they import from our packages exists."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from command import ROOT

OURS = ("runner", "plugins")
SCRIPTS = [path for folder in ("benchmarks", "tests/stress", "docs/tools") for path in (ROOT / folder).rglob("*.py")]


def imports(script: Path) -> Iterator[tuple[str, str]]:
    """Each name that a script imports from our packages, after its module; "" for the module itself."""
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
            yield from ((str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.split(".")[0] in OURS)


@cache
def names_in(module: str) -> set[str] | None:
    """The names in a module, read from its code, as importing all would load Ray and MLflow; None without one."""
    path = ROOT / module.replace(".", "/")
    if path.is_dir():
        inside = {found.stem for found in path.iterdir()}
        path = path / "__init__.py"
    else:
        inside, path = set(), path.with_suffix(".py")
    if not path.exists():
        return None
    # In any scope: one name too many is better than an account of what Python brings into a module.
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            inside.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            inside.add(node.id)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            inside |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return inside | {""}


def missing(script: Path) -> list[str]:
    return [f"{module}: {name}" for module, name in imports(script) if name not in (names_in(module) or ())]


# Nothing else runs them between two releases.
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_name_that_a_script_imports_exists(script: Path) -> None:
    assert missing(script) == []


def test_a_name_and_a_module_that_moved_are_found(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    moved = "from runner.workers.executors.process_pool import ENVIRONMENT\nimport runner.executors.process_pool\n"
    script.write_text(moved + "from runner.network import base\nfrom runner.seeding import stream\n")
    assert missing(script) == [
        "runner.workers.executors.process_pool: ENVIRONMENT", "runner.executors.process_pool: ",
    ]  # fmt: skip
