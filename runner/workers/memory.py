"""The peak memory of this process."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes per unit of `ru_maxrss`, which getrusage(2) defines in bytes on macOS and in KiB on Linux."""


def reset_peak() -> None:
    """Reset the peak to the memory in use now.

    Only Linux can do this (proc(5), clear_refs). On other systems the peak stays that of the process's whole life.
    """
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_bytes() -> int:
    """The largest resident set size since the last reset, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT
