"""Settings of the whole process that a plugin must leave alone, as other fits are trained in it too."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Setting = tuple[str, str, Callable[[Any], Any], Callable[[Any, Any], Any]]
"""The name of its library, what sets it, how to read it and how to set it; both get the library."""
SETTINGS: tuple[Setting, ...] = (
    ("os", "os.chdir", lambda os: os.getcwd(), lambda os, value: os.chdir(value)),
    ("numpy", "numpy.seterr", lambda np: np.geterr(), lambda np, value: np.seterr(**value)),
    (
        "torch", "torch.set_grad_enabled",
        lambda torch: torch.is_grad_enabled(), lambda torch, value: torch.set_grad_enabled(value),
    ),
    (
        "torch", "torch.set_default_dtype",
        lambda torch: torch.get_default_dtype(), lambda torch, value: torch.set_default_dtype(value),
    ),
)  # fmt: skip


@contextmanager
def unchanged(error: Callable[[str], Exception]) -> Iterator[None]:
    """Within it a plugin's code runs. Raises `error(text)` if it changed one of SETTINGS, which is set back."""
    before, changed = _read(), ""
    try:
        yield
    finally:
        after = _read()
        for library, setter, _, write in SETTINGS:
            if setter in before and setter in after and after[setter] != before[setter]:
                changed = changed or setter
                write(os if library == "os" else sys.modules[library], before[setter])
    if changed:
        raise error(f"it calls {changed} for the whole process, and so for all other fits; set nothing of that kind")


def _read() -> dict[str, Any]:
    """The settings by what sets them, of the libraries that are loaded."""
    found: dict[str, Any] = {}
    for library, setter, read, _ in SETTINGS:
        loaded = os if library == "os" else sys.modules.get(library)
        try:
            found |= {setter: read(loaded)} if loaded is not None else {}
        except (OSError, AttributeError):  # the folder is deleted, or the library is still being imported
            continue
    return found
