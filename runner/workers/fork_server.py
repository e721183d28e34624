"""Imported by the fork server alone, before anything else.

Ctrl-C and a closed terminal reach every process of the terminal. What to do then is the driver's to decide; it stops
the workers. They inherit this from the server: a worker that died of it would be taken for a fit that failed.
"""

import atexit
import os
import pickle
import signal
import sys
from types import TracebackType

for _number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(_number, signal.SIG_IGN)

# It has nothing to put in order, and a terminal or a pipe of the run would stay open while Python took torch apart.
atexit.register(os._exit, 0)


def _shown(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A worker that can't begin says why, but not where its driver took back what it was given: it stops just now."""
    if not issubclass(kind, (FileNotFoundError, EOFError, pickle.UnpicklingError)):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _shown
