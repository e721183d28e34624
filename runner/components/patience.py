"""What is being tried of a plugin, said when that takes long and when it is interrupted: it may never return."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from runner.components import mistakes
from runner.components.parameters import RegisteredComponent
from runner.components.records import ComponentRef

SECONDS = 10.0
"""After which a line says what is being tried."""
log = logging.getLogger("runner.plugins")


@contextmanager
def watched(entry: RegisteredComponent, ref: ComponentRef) -> Iterator[None]:
    """Within it a component is tried. A KeyboardInterrupt that leaves it has a note with the component and the line."""
    what = f"{entry.component.kind} {ref} of"
    timer = threading.Timer(SECONDS, log.warning, ("still trying %s %s; Ctrl-C says where it is", what, entry.place))
    timer.daemon = True
    timer.start()
    try:
        yield
    except KeyboardInterrupt as stop:
        place, elsewhere = mistakes.where(stop, f"{what} {entry.source}")
        stop.add_note(f"while trying {place}{elsewhere}")
        raise
    finally:
        timer.cancel()
