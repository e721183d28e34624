"""What the components share that build the networks of other libraries: torch modules, by the library's own names."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any

from runner.api import RunnerError

_declared: list[Any] = []
"""Declarations of operators, which last as long as their objects."""
RGB = 3
"""The channels of the images that the published weights are for."""


def version_of(library: str) -> str:
    """The installed version, by which fits are identified; "" if the library is not installed."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""


def imported(library: str) -> Any:
    """The library; raises RunnerError if it is not installed, or does not fit torch."""
    if find_spec(library) is None:
        raise RunnerError(f"{library} is not installed; install it with: pip install 'archrunner[zoo]'")
    try:
        try:
            return import_module(library)
        except RuntimeError as error:
            if "operator torchvision::" not in str(error):
                raise
            _declare_operators()
            return import_module(library)
    except Exception as error:  # whatever an import of thousands of lines may raise
        reason = f"{type(error).__name__}: {error}"
        raise RunnerError(f"{library} {version_of(library)} cannot be imported with this torch: {reason}") from error


def _declare_operators() -> None:
    """Declare what torchvision asks torch for, and only its detectors use.

    It is in its compiled part, which does not load with another build of torch than it was made for (one for CUDA, with
    torch for CPUs alone). The networks for classification, and timm, which imports torchvision, do without.
    """
    from torch.library import Library

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # what was imported before it failed
    library = Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)


def check_name(name: str, names: Iterable[str], library: str, what: str = "network") -> None:
    """Raise RunnerError, with the nearest name, unless `name` is one of `names`."""
    known = {each.lower(): each for each in names}
    if name in known.values():
        return
    close = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    nearest = f"; did you mean {' or '.join(known[each] for each in close)}?" if close else ""
    listed = f" allowed: {', '.join(known.values())}" if len(known) <= 12 else ""
    raise RunnerError(
        f"unknown {what} '{name}' of {library} {version_of(library)}{nearest or ';' * bool(listed)}{listed}"
    )


def only_described() -> bool:
    """Whether the network is built to be measured: its parameters are on torch's meta device, without numbers."""
    from torch import nn

    return nn.Linear(1, 1).weight.device.type == "meta"


@contextmanager
def refusals(network: str, options: Mapping[str, Any]) -> Iterator[None]:
    """Turn what a library raises while it builds `network` into a RunnerError."""
    try:
        yield
    except RunnerError:
        raise
    except TypeError as error:
        if not options:
            raise
        raise RunnerError(f"{network} does not take the options {', '.join(options)}: {error}") from error
    except OSError as error:
        raise RunnerError(f"the weights of {network} cannot be loaded: {error}") from error
