"""What goes wrong, in words for a user.

Every error a user can cause is a :class:`RunnerError`: the command line prints its one line (or lines) and exits
with its status. Any other exception is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

MOST_NAMES = 30
"""So many names of what is allowed fit on a line that is still read."""


MOST_COMPLAINTS = 100
"""So many lines of complaints are printed; what is wrong more often than that has one cause."""
LONGEST = 480
"""So many characters of a line are still read."""


class RunnerError(Exception):
    """An error with a message for the user; `exit_status` is what the command line exits with."""

    exit_status = 2


@dataclass(frozen=True)
class Where:
    """A place in a user's file (or on the command line, where `line` is 0)."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


def dotted(path: Iterable[int | str]) -> str:
    """A path as a user writes it: ``plugins[0]``, ``grid.architecture.stages``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def printable(text: str) -> str:
    """The text on one line that is still read, with nothing that a terminal would obey."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong: where it stands, its path in the file, and what is found and allowed."""

    where: Where
    path: str
    message: str

    def __str__(self) -> str:
        return printable(": ".join(part for part in (str(self.where), self.path, self.message) if part))


class InputError(RunnerError):
    """A file or an option is wrong; carries every complaint, the first of them printed a line each."""

    def __init__(self, complaints: Iterable[Complaint]) -> None:
        self.complaints = tuple(dict.fromkeys(complaints))
        more = len(self.complaints) - MOST_COMPLAINTS
        lines = [*map(str, self.complaints[:MOST_COMPLAINTS]), *([f"and {more} complaints more"] if more > 0 else [])]
        super().__init__("\n".join(lines))


class ShapeError(RunnerError):
    """A layer does not fit the shape that reaches it."""


class PluginError(RunnerError):
    """A plugin can't be loaded, breaks its contract, or conflicts with another."""


class JournalError(RunnerError):
    """The journal on disk is damaged in a way that can't be mended without losing a fit."""


class StorageError(RunnerError):
    """Something can't be written: the disk is full, or not ours to write to."""

    exit_status = 1

    def __init__(self, path: object, error: OSError) -> None:
        reason = error.strerror or str(error)
        super().__init__(f"{path}: {reason}; once that is mended the same command goes on, from all that was finished")


class Diverged(RunnerError):
    """A fit's loss stopped being a finite number, or, where it is asked for, its accuracy never left chance."""


def options(found: object, allowed: Iterable[object]) -> str:
    """What is allowed, and the nearest valid name: ``; did you mean 'max_pool'? allowed: avg_pool, max_pool``."""
    names = sorted(set(map(str, allowed)))
    if not names:
        return ""
    close = difflib.get_close_matches(str(found), names, n=1, cutoff=0.5)
    nearest = f"; did you mean '{close[0]}'?" if close else ";"
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{nearest} allowed: {', '.join(names[:MOST_NAMES])}{more}"
