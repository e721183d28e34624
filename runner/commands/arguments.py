"""What the commands share in reading arguments: the parser, types, and options that several commands have."""

from __future__ import annotations

import argparse
import itertools
import re
import shutil
import textwrap
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from runner.commands.studies import report_folder as report_folder
from runner.errors import RunnerError
from runner.text import did_you_mean, printable

WIDE = 70
"""In a terminal of fewer columns, help begins on the line below an option, as beside it only a few words would fit."""


class Help(argparse.HelpFormatter):
    """Help whose lines that begin with two spaces are commands: they stay as they are, or are continued by ``\\``."""

    def __init__(self, prog: str, **settings: Any) -> None:
        width = shutil.get_terminal_size().columns - 2
        super().__init__(prog, width=width, max_help_position=24 if width >= WIDE else 14, **settings)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(self._fill_line(line, width) for line in text.splitlines())

    def _fill_line(self, line: str, width: int) -> str:
        is_command = line.startswith("  ")
        width, later = (width - 2, "      ") if is_command else (width, "")
        lines = textwrap.wrap(
            line,
            max(width, 20),
            subsequent_indent=later,
            break_on_hyphens=False,
            break_long_words=False,
            replace_whitespace=False,
        )
        return (" \\\n" if is_command else "\n").join(lines)


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations; a mistyped word gets the nearest valid one."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False, formatter_class=Help)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {printable(self._reworded(message))}\n")

    def _reworded(self, message: str) -> str:
        """argparse's sentence with what it lacks; it passes on nothing else, so the words are cut out of it."""
        if "invalid choice: '" in message:
            argument, _, rest = message.partition(": invalid choice: '")
            found, _, choices = rest.partition("' (choose from ")
            allowed = [choice.strip(" ')") for choice in choices.split(",")]
            return f"{argument.removeprefix('argument ')}: unknown '{found}'{did_you_mean(found, allowed)}"
        if message.startswith("unrecognized arguments: "):
            found = message.partition(": ")[2].split()[0]
            known = [o for action in self._actions for o in action.option_strings]
            is_option = found.startswith("-")
            nearest = did_you_mean(found.partition("=")[0], known) if is_option else ""
            return f"{'unknown option' if is_option else 'one argument too many:'} '{found}'{nearest}"
        if message.startswith("the following arguments are required: "):
            example = (self.epilog or "").partition("\n  ")[2].partition("\n")[0]
            return f"missing: {message.partition(': ')[2]}; for example: {example}"
        argument, _, rest = message.removeprefix("argument ").partition(": ")
        action = next((action for action in self._actions if argument in action.option_strings), None)
        if action and rest == "expected one argument":
            return f"{argument} needs a value: {argument} {action.metavar or '|'.join(action.choices or ())}"
        if action and rest.startswith("ignored explicit argument "):
            return f"{argument} takes no value; found {rest.removeprefix('ignored explicit argument ')}"
        return message


class CommandParser(Parser):
    """The parser of one command, whose module is imported when its arguments are read: `runner --help` loads none."""

    def __init__(self, module: str, **settings: Any) -> None:
        super().__init__(**settings)
        self._module, self._is_filled = module, False

    def fill(self) -> None:
        """Import the command's module and add its arguments and examples, once."""
        if self._is_filled:
            return
        self._is_filled = True
        command = import_module(self._module)
        command.add_arguments(self)
        self.add_argument("--verbose", action="store_true", help="log tracebacks of plugins and errors")
        self.set_defaults(command=command.run, parser=self)
        self.epilog = examples(getattr(command, "EXAMPLES", ()))

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.fill()
        self._refuse_repeated(args or ())
        return super().parse_known_args(args, namespace)

    def _refuse_repeated(self, words: Iterable[str]) -> None:
        """End the program if an option that has one value is given twice: argparse would take the last in silence."""
        single = [
            o for action in self._actions if type(action).__name__ == "_StoreAction" for o in action.option_strings
        ]
        given = [word.partition("=")[0] for word in itertools.takewhile(lambda word: word != "--", words)]
        for option in single:
            if given.count(option) > 1:
                self.error(f"{option} is given {given.count(option)} times; expected once")


def examples(commands: Iterable[str]) -> str:
    """The end of a help text: a heading with a command per line below it."""
    return "\n".join(["examples:", *(f"  {command}" for command in commands)])


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found '{text}'; allowed: 1 or more")
    return int(text)


def port(text: str) -> int:
    """The number of a port."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"found '{text}'; allowed: 1 to 65535")
    return int(text)


def some_text(text: str) -> str:
    """Text that is not empty, as that of a variable that is not set would be."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"found '{text}'; expected a value")
    return text


def folder_path(text: str) -> Path:
    """The path of a folder."""
    return Path(some_text(text))


def seconds(text: str) -> float:
    """A duration of 0 or more."""
    # float() alone would accept nan, inf and 1e999.
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", text):
        raise argparse.ArgumentTypeError(f"found '{text}'; allowed: seconds, 0 or more")
    return float(text)


def address(text: str) -> str:
    """The address of a Ray cluster."""
    from runner.workers.executors.choose import check_address

    try:
        check_address(text)
    except RunnerError as error:
        raise argparse.ArgumentTypeError(str(error).partition(": ")[2]) from None
    return text


def shape(text: str) -> tuple[int, int, int]:
    """Channels, height and width, from CxHxW."""
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"found '{text}'; expected channels x height x width, such as 3x32x32")
    return int(parts[0]), int(parts[1]), int(parts[2])


def output_file(text: str) -> Path:
    """The path of a file to write."""
    path = folder_path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"found '{text}', a folder; expected the name of a file, such as {path}/out")
    return path


def picture(text: str) -> Path:
    """The path of a PNG file."""
    if not text.lower().endswith(".png"):
        raise argparse.ArgumentTypeError(f"found '{text}'; allowed: the name of a PNG file, such as picture.png")
    return output_file(text)


def json_file(text: str) -> Path:
    """The path of a JSON file, or - for the standard output."""
    if text != "-" and not text.lower().endswith(".json"):
        raise argparse.ArgumentTypeError(f"found '{text}'; allowed: the name of a JSON file, or - to print it")
    return Path(text)


def add_experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the experiment, a YAML file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="set a value of the file first"
    )


def add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", metavar="FILE-or-NAME", help="an experiment's file, or its name")


def add_reports(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reports",
        type=folder_path,
        default=Path("reports"),
        metavar="DIR",
        help="the folder of the reports (%(default)s)",
    )


def add_tracking(parser: argparse.ArgumentParser) -> None:
    text = "MLflow store, or none (default: $MLFLOW_TRACKING_URI, or mlflow.db in the reports)"
    parser.add_argument("--tracking-uri", type=some_text, metavar="URI", help=text)


def add_plugin(parser: argparse.ArgumentParser) -> None:
    text = "load a plugin file, or folder, too"
    parser.add_argument("--plugin", action="append", default=[], metavar="FILE", help=text)


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def plugin_files(given: argparse.Namespace) -> tuple[str, ...]:
    """The files of the --plugin options as absolute paths; raises RunnerError for one that does not exist."""
    from runner.components.plugin_paths import find_plugin

    files = []
    for plugin in given.plugin:
        try:
            files.append(str(find_plugin(plugin)))
        except RunnerError as error:
            raise RunnerError(f"--plugin {plugin}: {error}") from None
    return tuple(files)
