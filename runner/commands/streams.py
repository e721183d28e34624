"""Standard output and standard error of the program, whatever they are: closed, a full disk, or a pipe nobody reads."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

MODES = {"stdin": "r", "stdout": "w", "stderr": "w"}
"""The streams in the order of their descriptors, 0 to 2."""
ACCEPTED: dict[str, type[OSError]] = {"stdout": BrokenPipeError, "stderr": OSError}


class Lenient(io.TextIOWrapper):
    """A stream that drops what it cannot write because of an error of the kind `accepted`."""

    accepted: type[OSError] = OSError

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except self.accepted:
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except self.accepted:
            return


def prepare_streams() -> bool:
    """Open what is closed and accept what need not end a command; False if standard output was closed.

    If the reader of stdout has left, nobody needs the rest of it. What cannot be written to stderr, such as a run's
    progress, is worth no fit. In both cases the command goes on, and its exit status says how it went.
    """
    closed = [name for name in MODES if getattr(sys, name) is None]
    for name, mode in MODES.items():
        if name in closed:
            # Otherwise a file opened later, the journal, say, has this number, and gets what libraries print.
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)  # workers need it as much
            setattr(sys, name, os.fdopen(descriptor, mode))
        elif name in ACCEPTED:
            setattr(sys, name, _lenient(getattr(sys, name), ACCEPTED[name]))
    return "stdout" not in closed


def _lenient(stream: TextIO, accepted: type[OSError]) -> Lenient:
    # On the same buffer, not detached from it: libraries ask the old stream for the width of the terminal.
    errors = "backslashreplace" if stream.errors == "strict" else stream.errors  # a locale may have no ×
    lenient = Lenient(stream.buffer, stream.encoding, errors, line_buffering=bool(stream.line_buffering))
    lenient.accepted = accepted
    return lenient
