"""`runner schema`: a JSON schema of experiment files, by which editors complete and check the YAML."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from runner.commands.arguments import add_plugin, json_file, plugin_files
from runner.commands.output import print_line
from runner.errors import RunnerError
from runner.files import atomic_write

DEFAULT = "runner.schema.json"
EXAMPLES = ("runner schema", "runner schema study.yaml", "runner schema --plugin my_block.py --out - > schema.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="an experiment, whose plugins the schema knows too")
    parser.add_argument(
        "--out", type=json_file, metavar="FILE", help=f"where to write it, .json ({DEFAULT}; beside FILE); - prints it"
    )
    add_plugin(parser)


def run(given: argparse.Namespace) -> int:
    folder = Path(given.file).parent if given.file else Path()
    out: Path = given.out or folder / DEFAULT
    _refuse_others(out)
    text = _schema(given)
    if out == Path("-"):
        print(text, end="")
        return 0
    atomic_write.write(out, text)
    print_line(f"wrote {out}; editors complete and check {given.file or 'an experiment'} with this as its first line:")
    print(f"# yaml-language-server: $schema={_reference(out, folder)}")
    return 0


def _schema(given: argparse.Namespace) -> str:
    """The text of the schema for the plugins that are installed, that the file lists, and that the options name."""
    from runner.components.catalog import load_catalog
    from runner.experiment.json_schema import experiment_schema
    from runner.experiment.load import listed_plugins

    files = dict.fromkeys((*(listed_plugins(given.file) if given.file else ()), *plugin_files(given)))
    return json.dumps(experiment_schema(load_catalog(tuple(files))), indent=1) + "\n"


def _refuse_others(file: Path) -> None:
    """Raise RunnerError if there is a file that is no schema of ours: only an earlier one is replaced."""
    from runner.experiment.json_schema import COMMENT

    if not file.exists():
        return
    try:
        earlier = json.loads(file.read_bytes())
    except ValueError:
        earlier = None
    if not isinstance(earlier, dict) or earlier.get("$comment") != COMMENT:
        raise RunnerError(f"{file} exists and is no schema of experiments; choose another file with --out")


def _reference(schema: Path, folder: Path) -> str:
    """The path by which an editor finds the schema from an experiment in `folder`."""
    try:
        return f"./{schema.resolve().relative_to(folder.resolve())}"
    except ValueError:
        return str(schema.resolve())
