"""How much memory this process has used at most."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes of one unit of `ru_maxrss`: see getrusage(2) of each system."""


def forget_peak() -> None:
    """Let the peak start anew from what is in use now; only Linux can (proc(5), clear_refs), else it is all so far."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak() -> int:
    """The largest resident set so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
