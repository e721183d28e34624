"""The errors that a user can cause or fix.

Each is a :class:`RunnerError`: the command line prints its message, one line per problem, and exits with its status.
Any other exception is a bug in the runner and is shown with its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runner.text import plural, printable

MOST_COMPLAINTS = 100
"""At most this many lines are printed: more problems than that in one file usually have a single cause."""


class RunnerError(Exception):
    """An error with a message for the user; `exit_status` is the exit status of the command line."""

    exit_status = 2


@dataclass(frozen=True)
class Location:
    """A line of a user's file; `line` is 0 for the file as a whole, or for an option of the command line."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Complaint:
    """One problem in a user's input: its line, its path in the document, and what was found and is allowed."""

    where: Location
    path: str
    message: str

    def __str__(self) -> str:
        return printable(": ".join(part for part in (str(self.where), self.path, self.message) if part))


class InputError(RunnerError):
    """A file or an option is wrong. Carries every complaint; the message has one line per complaint, up to a limit."""

    def __init__(self, complaints: Iterable[Complaint]) -> None:
        # Without duplicates, in order: cells that share a value share its complaint.
        self.complaints = tuple(dict.fromkeys(complaints))
        more = len(self.complaints) - MOST_COMPLAINTS
        lines = [
            *map(str, self.complaints[:MOST_COMPLAINTS]),
            *([f"and {plural(more, 'more problem')}"] if more > 0 else []),
        ]
        super().__init__("\n".join(lines))


class ShapeError(RunnerError):
    """A layer cannot be applied to its input's shape, or one of its fields is invalid."""


class PluginError(RunnerError):
    """A plugin cannot be loaded, breaks its interface, or conflicts with another."""


class DataError(RunnerError):
    """The files of a data set, or the cache's copy of it, changed while they were in use."""

    # Not 2, as the input is right: the same command continues with the files as they are now.
    exit_status = 1


class ChangedCodeError(RunnerError):
    """The code of a plugin changed after the run was planned."""

    # Not 2, as the input is right: the same command continues with the code as it is now.
    exit_status = 1


class ClusterError(RunnerError):
    """The cluster that fits are trained on was lost during the run."""

    # Not 2, as the input is right: the same command continues once the cluster is up.
    exit_status = 1


class JournalError(RunnerError):
    """The journal on disk is damaged, and cannot be repaired without losing a fit."""


class StorageError(RunnerError):
    """A file cannot be written: the disk is full, say, or permission is missing."""

    # Not 2, as the input is right: fits or files are missing, and the same command makes them.
    exit_status = 1

    def __init__(self, path: object, error: OSError) -> None:
        # An OSError that a library raised with a text alone has no strerror.
        reason = error.strerror or str(error)
        super().__init__(f"{path}: {reason}; once this is fixed, run the same command again to continue")


class EndedEarly(RunnerError):
    """A fit was ended early: its loss is no longer finite, or, if `stuck_after` is set, its accuracy is at chance."""
