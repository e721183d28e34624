"""Signal and exit handling of the fork server. It imports this module before any other; workers inherit the settings.

A terminal sends Ctrl-C (SIGINT) and its own closing (SIGHUP) to every process it started. The fork server and the
workers ignore both, and the driver decides and stops the workers. A worker that died of the signal would be counted as
a failed fit.
"""

import atexit
import os
import pickle
import signal
import sys
from types import TracebackType

for _number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(_number, signal.SIG_IGN)

# Skip Python's shutdown: there is nothing to clean up, and while torch is torn down the server would hold the run's
# terminal or pipe open.
atexit.register(os._exit, 0)


def _report_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print why a worker cannot start, except for errors that only mean that the driver is stopping.

    A stopping driver removes the semaphores and closes the pipe that a starting worker is about to unpickle from.
    """
    if not issubclass(kind, (FileNotFoundError, EOFError, pickle.UnpicklingError)):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _report_exception
