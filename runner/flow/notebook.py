"""Progress for Python users: a line that is updated in place in a notebook, else what the command shows."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from runner.fits.records import FitResult
from runner.flow.progress import Lines, Live, Progress
from runner.text import printable

BAR = 24
"""The width of the bar in characters."""


def progress_for(wanted: bool | Progress) -> Progress:
    """The progress that suits where the program runs; one that prints nothing if it is not `wanted`."""
    if isinstance(wanted, Progress):
        return wanted
    if not wanted:
        return Progress()
    if in_notebook():
        return Notebook()
    return Live() if sys.stderr is not None and sys.stderr.isatty() else Lines()


def in_notebook() -> bool:
    """Whether a notebook shows what this process prints."""
    # Without importing IPython: in a notebook it is there, and elsewhere nobody should wait for it.
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class Notebook(Lines):
    """A bar and counts in one output that is updated; remarks and failures are lines above it.

    It is plain text, so that every notebook can show it and a saved one has its last state; ipywidgets is not needed.
    """

    def __init__(self) -> None:
        self._output: Any = None

    def show_start(self, known: int) -> None:
        super().show_start(known)
        self._output = None  # a new line for each repeat
        if self.todo:
            self._show("starting")

    def show_result(self, result: FitResult) -> None:
        if result.status == "failed":
            self._print(self.words(result))
        failed = f"{self.failed} failed" if self.failed else ""
        self._show(" · ".join(filter(None, [failed, f"{self.left()} left", self.best()])))

    def _show(self, words: str) -> None:
        display = import_module("IPython.display").display  # there is a notebook, so it is installed
        filled = BAR * self.done // max(self.total, 1)
        line = printable(f"{'█' * filled}{'░' * (BAR - filled)} {self.done}/{self.total} · {words}")
        if self._output is None:
            self._output = display({"text/plain": line}, raw=True, display_id=True)
        else:
            self._output.update({"text/plain": line}, raw=True)

    def _print(self, text: str) -> None:
        # Not to stderr, which notebooks show as an error.
        print(printable(text), flush=True)
