"""`runner completion`: what a shell needs to complete commands, options, files and names; and the answers to it.

The shell asks the program itself, through argcomplete, so that names of studies and components are those there are.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from runner.commands.studies import study_names

SHELLS = ("bash", "zsh", "fish")
EXAMPLES = (
    'eval "$(runner completion bash)"  # in ~/.bashrc',
    'eval "$(runner completion zsh)"   # in ~/.zshrc',
    "runner completion fish > ~/.config/fish/completions/runner.fish",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help="bash, zsh or fish")


def run(given: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    # Without readline's own completion: after --workers no file is to be offered.
    print(shellcode(["runner"], shell=given.shell, complete_arguments=["-o", "nospace"]))
    return 0


def answer(parser: argparse.ArgumentParser) -> None:
    """Print what may come next in the command line that the shell asks about, and end the process."""
    from argcomplete import autocomplete
    from argcomplete.completers import ChoicesCompleter

    (commands,) = (action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    # The others stay empty: a command's module is imported only for its own arguments.
    for word in os.environ.get("COMP_LINE", "").split()[1:2]:
        if command := commands.get(word):
            command.fill()
            for action in command._actions:
                action.completer = COMPLETERS.get(action.dest)
    autocomplete(parser, always_complete_options=False, default_completer=ChoicesCompleter({}))


def _files(*suffixes: str) -> Callable[..., Iterable[str]]:
    """A completer of folders and of files with these suffixes."""

    def complete(prefix: str, **_: object) -> Iterator[str]:
        head, slash, stem = prefix.rpartition("/")
        try:
            entries = sorted(os.scandir(Path(head + slash or ".").expanduser()), key=lambda entry: entry.name)
        except (OSError, RuntimeError):
            return
        for entry in entries:
            if entry.name.startswith(stem) and (stem or not entry.name.startswith(".")):
                if entry.is_dir():
                    yield f"{head}{slash}{entry.name}/"
                elif entry.name.endswith(suffixes) and suffixes:
                    yield f"{head}{slash}{entry.name}"

    return complete


def _studies(prefix: str, parsed_args: argparse.Namespace, **_: object) -> Iterator[str]:
    """Names first: folders and files only if none begins so."""
    names = study_names(Path(getattr(parsed_args, "reports", None) or "reports"))
    found = [name for name in names if name.startswith(prefix)]
    yield from found or _files(".yaml", ".yml")(prefix)


def _components(*kinds: str) -> Callable[..., Iterable[str]]:
    """A completer of the names of installed components; of these kinds, or of the one that --kind names."""

    def complete(prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
        from runner.components.catalog import load_catalog

        wanted = [chosen] if (chosen := getattr(parsed_args, "kind", None)) and not kinds else kinds
        return sorted({name for kind, name in load_catalog().entries if not wanted or kind in wanted})

    return complete


def _formats(prefix: str, **_: object) -> list[str]:
    """The formats of a list that are not in it yet."""
    head, comma, _last = prefix.rpartition(",")
    return [f"{head}{comma}{name}" for name in ("html", "md", "csv", "tex", "png") if name not in head.split(",")]


COMPLETERS: dict[str, Callable[..., Iterable[str]]] = {
    "file": _files(".yaml", ".yml"),
    "experiment": _studies,
    "study": _studies,
    "first": _studies,
    "others": _studies,
    "name": _components(),
    "dataset": _components("dataset"),
    "plugin": _files(".py"),
    "image": _files(""),
    "images": _files(""),
    "reports": _files(),
    "out": _files(".png"),
    "format": _formats,
}
"""By the name of an argument, what may stand there. Choices are completed by themselves."""
