"""Ctrl-C, SIGTERM and a closed terminal: the first one stops what runs in good order, the second one at once."""

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
"""Seconds until it is looked again whether an import is over."""


class Stopped(KeyboardInterrupt):
    """One of the signals in STOPPING came."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def exit_status(stop: KeyboardInterrupt) -> int:
    """What a shell says of a process that a signal ended: 130, 143, 129."""
    return 128 + getattr(stop, "number", signal.SIGINT)


@contextmanager
def stopping() -> Iterator[None]:
    """Within it the first of the signals raises Stopped. One that is ignored, as under nohup, stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python takes signals in its first thread alone
        return
    heeded = {number: signal.getsignal(number) for number in STOPPING if signal.getsignal(number) != signal.SIG_IGN}
    terminals = [descriptor for descriptor in (0, 1, 2) if os.isatty(descriptor)]

    def at_once(number: int, frame: FrameType | None) -> None:
        if terminals:
            os.write(terminals[-1], SHOW_CURSOR)  # a progress bar hides it
        os._exit(128 + number)  # the workers see it and end

    def in_order(number: int, frame: FrameType | None) -> None:
        for each in heeded:
            signal.signal(each, at_once)
        if number == signal.SIGHUP:
            _let_go(terminals)
        stop(number, frame)

    with _between_imports() as stop:
        for number in heeded:
            signal.signal(number, in_order)
        try:
            yield
        finally:
            for number, handler in heeded.items():
                signal.signal(number, handler)


@contextmanager
def _between_imports() -> Iterator[Callable[[int, FrameType | None], None]]:
    """Gives what raises Stopped: at once, or, amid an import, as soon as that is over."""
    alarm = signal.getsignal(signal.SIGALRM)

    def stop(number: int, frame: FrameType | None) -> None:
        if not _importing(frame):
            raise Stopped(number)
        signal.signal(signal.SIGALRM, lambda _, now: stop(number, now))
        signal.setitimer(signal.ITIMER_REAL, SOON)

    try:
        yield stop
    finally:
        if signal.getsignal(signal.SIGALRM) is not alarm:  # also where the import ended with the command
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, alarm)


def _importing(frame: FrameType | None) -> bool:
    """Whether an import is under way there. An exception that comes from nowhere may leave Python's import lock taken,
    and then every other thread that imports waits for ever.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _let_go(terminals: list[int]) -> None:
    """Nothing can be read from a closed terminal or written to it; trying would be an error."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in terminals:
        os.dup2(nothing, descriptor)
    terminals.clear()
