"""What goes wrong, in words for a user.

Every error a user can cause is a :class:`RunnerError`: the command line prints its one line (or lines) and exits
with its status. Any other exception is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runner.text import printable

MOST_COMPLAINTS = 100
"""So many lines of complaints are printed; what is wrong more often than that has one cause."""


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


class EndedEarly(RunnerError):
    """A fit's loss stopped being a finite number, or, where it is asked for, its accuracy never left chance."""
