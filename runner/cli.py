"""The command line: its parser and its dispatch. The one place where errors become messages."""

from __future__ import annotations

import argparse
import atexit
import errno
import gc
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from runner import __version__
from runner.commands.arguments import CommandParser, Parser, examples
from runner.commands.streams import prepare_streams
from runner.errors import InputError, RunnerError
from runner.flow.signals import exit_status, stopping
from runner.text import printable

COMMANDS = {
    "run": "train what is missing, publish it to MLflow, write the report",
    "plan": "show every cell, its cost and its problems; train nothing",
    "power": "show how small a difference an experiment finds, and what more fits would buy",
    "describe": "show a component: an architecture layer by layer, an optimizer's learning rate and so on",
    "report": "write the report again from the journal",
    "publish": "publish to MLflow what it lacks; train nothing",
    "compare": "put experiments side by side where they share cells or factors",
    "plugins": "list every component, or show all that is known of one",
    "new": "write a plugin of your own, or a package of plugins, with its test",
    "schema": "write a JSON schema by which editors complete and check the YAML",
    "predict": "name the classes of images, by the saved networks of a study",
    "export": "write a saved network as ONNX, or for torch",
    "look": "draw what a saved network makes of an image, layer by layer",
    "ui": "open the MLflow UI on the store that `run` used",
    "completion": "print what bash, zsh or fish needs to complete commands, options and names",
}
"""What each does; the module of that name in `runner/commands` is imported when it is chosen."""


EXAMPLES = (
    "runner plan study.yaml",
    "runner run study.yaml --workers 4",
    "runner report study --format html,csv",
    "runner describe stages --input 1x28x28",
    "runner run --help",
)


class OneLine(logging.Formatter):
    """A message takes one line, whatever names are in it; a traceback that was asked for follows unchanged."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))


def program() -> NoReturn:
    """The command as a process of its own, which ends as soon as its work is done.

    Python would first take every loaded object apart: after MLflow and pandas that takes a second.
    """
    status = _main_with_output()
    atexit._run_exitfuncs()  # those of multiprocessing and logging
    os._exit(status)


def _main_with_output() -> int:
    """`main`, and then what it printed: as long as that is in a buffer, the disk may still be too full for it."""
    if not prepare_streams():
        print("output: standard output is closed; end the command with >/dev/null to see nothing", file=sys.stderr)
        return 2
    try:
        status = main()
    except SystemExit as stop:  # argparse
        status = int(stop.code or 0)
    except KeyboardInterrupt as stop:  # while the arguments were read: a command handles it itself
        print("interrupted", file=sys.stderr)
        status = exit_status(stop)
    try:
        sys.stdout.flush()
    except OSError as error:
        return _report_system_error(error)
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    parser = make_parser()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what may come next
        from runner.commands.completion import answer

        answer(parser)
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] in ([], ["help"]):
        words = [*words[1:2], "--help"]
    # Not parse_args: what is left over is reported by the command's own parser, which can suggest its options.
    given, unknown = parser.parse_known_args(words)
    if unknown:
        getattr(given, "parser", parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    gc.set_threshold(100_000, 20, 100)  # imports create objects that stay: collecting them often is 20% of start-up
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would read every installed package's metadata
    _set_up_logging(given.verbose)
    try:
        with stopping():
            return int(given.command(given))
    except RunnerError as error:
        logging.getLogger("runner").debug("in detail", exc_info=True)
        # Each complaint about a file is a line; any other line break is in a name or in what a plugin raised.
        lines = str(error).splitlines() if isinstance(error, InputError) else [str(error)]
        print("\n".join(map(printable, lines)), file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt as stop:
        # A plan notes what it was trying.
        print(printable(" ".join(["interrupted", *getattr(stop, "__notes__", ())])), file=sys.stderr)
        return exit_status(stop)
    except OSError as error:
        return _report_system_error(error)


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="runner",
        description="Experiments on convolutional architectures, from a YAML grid to a verdict.",
        epilog=examples(EXAMPLES),
    )
    parser.add_argument("--version", action="version", version=f"archrunner {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=CommandParser)
    for name, text in COMMANDS.items():
        commands.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", module=f"runner.commands.{name}"
        )
    return parser


def _set_up_logging(verbose: bool) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine("%(name)s: %(message)s"))
    # Only our own loggers become verbose: those of the libraries stay at warnings.
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("runner").setLevel(logging.DEBUG if verbose else logging.WARNING)


def _report_system_error(error: OSError) -> int:
    """Print what the system refused; a full disk without a file name can only be that of the output."""
    logging.getLogger("runner").debug("in detail", exc_info=True)
    if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        error.filename = "output"
        _discard_output()
    print(printable(f"{error.filename or 'system'}: {error.strerror or error}"), file=sys.stderr)
    return 2


def _discard_output() -> None:
    """Let what is left in stdout's buffer go nowhere, so that flushing it raises nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
