"""What the command line is read with: a parser that knows the nearest word, and the types of arguments."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from runner.text import did_you_mean


class Parser(argparse.ArgumentParser):
    """Argparse without abbreviations, and with the nearest valid word for a mistyped one."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        if "invalid choice: '" in message:
            argument, _, rest = message.partition(": invalid choice: '")
            found, _, choices = rest.partition("' (choose from ")
            allowed = [choice.strip(" ')") for choice in choices.split(",")]
            message = f"{argument.removeprefix('argument ')}: unknown '{found}'{did_you_mean(found, allowed)}"
        elif message.startswith("unrecognized arguments: "):
            found = message.partition(": ")[2].split()[0]
            known = [o for action in self._actions for o in action.option_strings]
            is_option = found.startswith("-")
            nearest = did_you_mean(found.partition("=")[0], known) if is_option else ""
            message = f"{'unknown option' if is_option else 'one argument too many:'} '{found}'{nearest}"
        self.exit(2, f"{self.prog}: {message}\n")


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found '{text}'; allowed: 1 or more")
    return int(text)


def seconds(text: str) -> float:
    """A duration of 0 or more."""
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", text):
        raise argparse.ArgumentTypeError(f"found '{text}'; allowed: seconds, 0 or more")
    return float(text)


def shape(text: str) -> tuple[int, int, int]:
    """Channels, height and width, from CxHxW."""
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"found '{text}'; expected channels x height x width, such as 3x32x32")
    return int(parts[0]), int(parts[1]), int(parts[2])
