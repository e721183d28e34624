"""Ctrl-C, SIGTERM and a closed terminal: the first stops the run cleanly, the second ends it at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHOW_CURSOR = b"\x1b[?25h"
SOON = 0.02
"""Seconds between two checks whether an import has finished."""


class Stopped(KeyboardInterrupt):
    """One of the signals in STOPPING arrived."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def exit_status(stop: KeyboardInterrupt) -> int:
    """The status a shell gives a process that a signal ended: 130, 143 or 129."""
    return 128 + getattr(stop, "number", signal.SIGINT)


@contextmanager
def stopping() -> Iterator[None]:
    """Within it, the first of the signals raises Stopped. A signal that is ignored, as under nohup, stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to its main thread only
        return
    handlers = {number: signal.getsignal(number) for number in STOPPING if signal.getsignal(number) != signal.SIG_IGN}
    # Determined now: isatty says no once the terminal is closed, and that is when the list is needed.
    terminals = [descriptor for descriptor in (0, 1, 2) if os.isatty(descriptor)]

    def at_once(number: int, frame: FrameType | None) -> None:
        if terminals:
            os.write(terminals[-1], SHOW_CURSOR)  # a progress bar hides it
        os._exit(128 + number)  # the workers notice and end themselves

    def cleanly(number: int, frame: FrameType | None) -> None:
        # First of all: from here on a second signal, of whatever kind, ends the run without waiting for workers.
        for each in handlers:
            signal.signal(each, at_once)
        # Before Stopped is raised, as whoever catches it writes a report and prints.
        if number == signal.SIGHUP:
            _let_go(terminals)
        stop(number, frame)

    with _between_imports() as stop:
        for number in handlers:
            signal.signal(number, cleanly)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


@contextmanager
def _between_imports() -> Iterator[Callable[[int, FrameType | None], None]]:
    """A handler that raises Stopped: at once or, during an import, as soon as that has finished."""
    alarm = signal.getsignal(signal.SIGALRM)

    def stop(number: int, frame: FrameType | None) -> None:
        if not _importing(frame):
            raise Stopped(number)
        # Again by a signal: only a signal's handler can raise in the main thread, whatever that is doing.
        signal.signal(signal.SIGALRM, lambda _, now: stop(number, now))
        signal.setitimer(signal.ITIMER_REAL, SOON)

    try:
        yield stop
    finally:
        if signal.getsignal(signal.SIGALRM) is not alarm:  # the command may end before the import's check
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, alarm)


def _importing(frame: FrameType | None) -> bool:
    """Whether `frame` is inside an import of something else than a plugin.

    An exception out of the blue may leave Python's import lock taken, and every other thread that imports would then
    wait for ever. Not while a plugin's own lines run, whose end nobody knows: what they raise, an import expects.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        if hasattr(frame.f_globals.get("__loader__"), "runs_plugins"):
            return False
        frame = frame.f_back
    return False


def _let_go(terminals: list[int]) -> None:
    """Replace a closed terminal by /dev/null: reading or writing it would raise."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in terminals:
        os.dup2(nothing, descriptor)
    terminals.clear()
