"""How far the fits of a group are, in a small file beside their checkpoint, so that long ones can be watched.

A file works for every executor alike, costs a worker less than a millisecond in `INTERVAL` seconds, and nothing waits
for a reader.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runner.fits.records import Curves, FitSpec, now

INTERVAL = 5.0
"""Seconds between two states that a worker writes; a fit that ends sooner writes only that it began."""

SUFFIX = ".live"
MOST_BYTES = 50_000_000
"""A larger file is no state that a worker wrote."""


@dataclass(frozen=True)
class Watched:
    """The state of a group of fits: their ids, when they began and when this was written (milliseconds since 1970)."""

    fits: tuple[str, ...]
    began: int
    written: int
    curves: tuple[Curves, ...] = ()


class LiveFile:
    """Writes the state of a group; does nothing if nobody watches. Named after the group's first fit."""

    def __init__(self, group: Sequence[FitSpec]) -> None:
        self._fits = [fit.id for fit in group]
        self._path = Path(group[0].folder) / f"{group[0].id}{SUFFIX}" if group[0].watched else None
        self._began, self._last = now(), time.monotonic()
        self._write([])

    def offer(self, curves: Sequence[Curves]) -> None:
        """The curves of every fit so far, after an epoch; written if the last state is old enough."""
        if self._path is not None and time.monotonic() - self._last >= INTERVAL:
            self._last = time.monotonic()
            self._write(curves)

    def _write(self, curves: Sequence[Curves]) -> None:
        if self._path is None:
            return
        state = {"fits": self._fits, "began": self._began, "written": now(), "curves": list(curves)}
        partial = self._path.with_suffix(".live-part")
        # Without syncing: after a crash the fit begins again. And a full disk must not end a fit.
        with suppress(OSError):
            partial.write_text(json.dumps(state), encoding="utf-8")
            partial.replace(self._path)


def read_all(folder: Path) -> Iterator[Watched]:
    """The states of the groups that are being trained, or were when a run was killed."""
    for file in sorted(folder.glob(f"*{SUFFIX}")):
        # A file may vanish at any moment, as its group ends.
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            if file.stat().st_size <= MOST_BYTES:
                state = json.loads(file.read_text(encoding="utf-8"))
                yield Watched(tuple(state["fits"]), state["began"], state["written"], tuple(state["curves"]))


def remove(folder: Path, first: str = "*") -> None:
    """Delete the state of the group whose first fit has this id; without one, all that earlier runs have left."""
    for file in folder.glob(f"{first}{SUFFIX}*"):
        file.unlink(missing_ok=True)
