"""`runner new`: a plugin with one component, or a package of plugins, that runs as it is and has its test.

What is written comes from the templates beside this file. A kind of component has a template of its name, and a line
in `USES`.
"""

from __future__ import annotations

import argparse
import importlib.util
import keyword
import re
from pathlib import Path
from typing import NamedTuple

from runner import __version__
from runner.commands.output import print_line
from runner.errors import RunnerError

EXAMPLES = (
    "runner new architecture my_block",
    "runner new augmentation my_noise",
    "runner new package my-blocks",
)


class Use(NamedTuple):
    """What a component of a kind is used by: a line of YAML, and a command that shows what it does."""

    yaml: str
    command: str


USES = {
    "architecture": Use("architecture: {name}", "runner describe {name} --input 1x28x28 --plugin {file}"),
    "augmentation": Use("augmentation: {name}", "runner describe {name} --dataset digits --plugin {file}"),
    "optimizer": Use("optimizer: {name}", "runner describe {name} --plugin {file}"),
    "dataset": Use("dataset: {name}", "runner describe {name} --plugin {file}"),
    "metric": Use("report: {{metrics: [{name}]}}", "runner describe {name} --plugin {file}"),
    "loss": Use("loss: {name}", "runner describe {name} --plugin {file}"),
}
"""By kind; for each there is a template of that name."""
PACKAGE = "package"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from runner.components.records import KINDS

    parser.add_argument("kind", metavar="KIND", choices=[*KINDS, PACKAGE], help="%(choices)s")
    parser.add_argument(
        "own_name", metavar="NAME", type=plugin_name, help="its name in YAML files; also that of the file"
    )


def run(given: argparse.Namespace) -> int:
    from runner.components.catalog import load_catalog

    name, kind = given.own_name, "architecture" if given.kind == PACKAGE else given.kind
    taken = load_catalog().entries.get((kind, name))
    if taken:
        raise RunnerError(f"{kind} '{name}' is provided by {taken.source} already; choose another name")
    if given.kind == PACKAGE:
        files, lines = _package(name)
    else:
        files, lines = _plugin(kind, name)
    _write(files)
    print_line(f"wrote {', '.join(map(str, files))}")
    print("\n".join(lines))
    return 0


def plugin_name(text: str) -> str:
    """A name for a component and for a module; raises ArgumentTypeError for one that YAML or Python reads otherwise."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,99}", text):
        allowed = "letters, digits, '-' and '_', at most 100, beginning with a letter"
        raise argparse.ArgumentTypeError(f"found '{text}'; allowed: {allowed}")
    module = _module(text)
    if keyword.iskeyword(module) or text.lower() in ("true", "false", "null"):
        raise argparse.ArgumentTypeError(f"'{text}' is a word of Python or YAML; choose another name")
    if importlib.util.find_spec(module):
        # pytest imports the test beside the plugin, where the file would be found in the place of that module.
        raise argparse.ArgumentTypeError(f"'{module}' is the name of an installed module; choose another name")
    return text


def _module(name: str) -> str:
    return name.replace("-", "_")


def _names(kind: str, name: str) -> dict[str, str]:
    """A component's kind and its names: in YAML, of its module, and of the suite that tries it."""
    suite = "".join(word[0].upper() + word[1:] for word in re.split("[_-]+", name) if word)
    return {"kind": kind, "name": name, "module": _module(name), "suite": suite}


def _plugin(kind: str, name: str) -> tuple[dict[Path, str], list[str]]:
    """A plugin file and its test by path, and what to do next."""
    file, test = f"{_module(name)}.py", f"test_{_module(name)}.py"
    values = {**_names(kind, name), "plugin_file": file, "test_file": test}
    files = {Path(file): _render(f"{kind}.py.j2", values), Path(test): _render("test.py.j2", values)}
    use = USES[kind]
    return files, [
        f"plugins: [./{file}]  # in an experiment beside it, with: {use.yaml.format(name=name)}",
        f"{use.command.format(name=name, file=file)}  # then: pytest {test}",
    ]


def _package(name: str) -> tuple[dict[Path, str], list[str]]:
    """The files of a package by path, and what to do next."""
    module, root = _module(name), Path(name)
    if root.exists():
        raise RunnerError(f"{root} exists already; nothing was written")
    test = f"tests/test_{module}.py"
    values = {**_names("architecture", name), "plugin_file": "", "test_file": test, "version": __version__}
    templates = {
        "pyproject.toml": "package/pyproject.toml.j2",
        "README.md": "package/README.md.j2",
        ".github/workflows/tests.yml": "package/tests.yml.j2",
        f"src/{module}/__init__.py": "package/init.py.j2",
        f"src/{module}/architectures.py": "architecture.py.j2",
        test: "test.py.j2",
    }
    files = {root / path: _render(template, values) for path, template in templates.items()}
    return files, [
        f"architecture: {name}  # in any experiment, once the package is installed",
        f"cd {name} && pip install -e '.[test]' && pytest  # then: runner plugins {name}",
    ]


def _render(template: str, values: dict[str, str]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("runner.commands", "templates")
    environment = Environment(
        loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.get_template(template).render(values)


def _write(files: dict[Path, str]) -> None:
    """Write all files, or none if one of them exists."""
    for path in files:
        if path.exists() or path.is_symlink():
            raise RunnerError(f"{path} exists already; nothing was written")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
