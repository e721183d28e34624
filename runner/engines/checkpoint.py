"""Checkpoints: where a fit stands, kept in a file from time to time, so that a killed fit need not begin again.

A file is a line ``archrunner checkpoint <format> <SHA-256 of the rest>`` and an .npz archive: the arrays by number, and
`header`, JSON that says whose state it is and holds everything else. Nothing in it is pickled. It is written beside its
place and renamed, so that there is a whole one or none.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from runner.fits.records import clocks, since

FORMAT = 2
SUFFIX = ".checkpoint"
log = logging.getLogger("runner.engines")


class Checkpoint:
    """The checkpoint of the fits that are trained together, in `folder`, due every `seconds`.

    Only a state that the libraries `versions` left are gone on from. `earlier` are the seconds, and the processor's,
    that they had taken when that state was kept.
    """

    def __init__(self, folder: Path, fits: Sequence[str], seconds: float, versions: Mapping[str, str]) -> None:
        self.path, self.seconds = file_of(folder, fits[0]), seconds
        self.owner = {"fits": list(fits), "versions": dict(versions)}
        self.earlier = {"seconds": 0.0, "cpu": 0.0}
        self._started, self._last, self._fails = clocks(), time.monotonic(), False

    def load(self) -> dict[str, Any] | None:
        """What was saved last; None where nothing was, or nothing that this fit can go on from (a warning says why)."""
        self._started, self._last = clocks(), time.monotonic()
        try:
            header, standing = _decoded(self.path.read_bytes())
            if header["owner"] != self.owner:
                raise ValueError(f"it is of {header['owner']}, and this fit of {self.owner}")
            self.earlier = header["spent"]
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever is the matter with the file, the fit can be trained without it
            log.warning("%s is not used, and its fit starts from the beginning: %s", self.path, error)
            return None
        return standing

    def forget(self) -> None:
        """What was loaded is not gone on from."""
        self.earlier = dict.fromkeys(self.earlier, 0.0)

    def due(self) -> bool:
        return time.monotonic() - self._last >= self.seconds

    def save(self, standing: dict[str, Any], learner: Callable[[], Any]) -> None:
        """Keep where the fit stands, and as its `learner` what that call gives. Failing costs no fit: it warns."""
        spent = {key: value + self.earlier[key] for key, value in since(self._started).items()}
        try:
            content = _encoded({"owner": self.owner, "spent": spent}, {**standing, "learner": learner()})
            _write(self.path, content)
            self._fails = False
        except Exception as error:  # a full disk, say, or the state of a stranger's optimizer
            if not self._fails:
                log.warning("%s can't be written, and the fit goes on without it: %s", self.path, error)
            self._fails = True
        self._last = time.monotonic()


def file_of(folder: Path, fit: str) -> Path:
    return folder / f"{fit}{SUFFIX}"


def remove(folder: Path, fit: str) -> None:
    """Remove the checkpoint of a fit that needs it no longer."""
    with suppress(OSError):  # what stays takes room, and changes no result
        file_of(folder, fit).unlink(missing_ok=True)


def clear(folder: Path, done: Collection[str]) -> None:
    """Remove what killed runs left: the checkpoints of fits that are `done`, and half-written ones."""
    for path in folder.glob(f"*{SUFFIX}*"):
        if path.stem in done or path.suffix != SUFFIX:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    """Replace the file as a whole; only its owner may read it."""
    path.parent.mkdir(exist_ok=True)
    # A name of its own: the worker of a run that was killed may still be at the same fit.
    descriptor, partial = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)


def _encoded(header: dict[str, Any], standing: Any) -> bytes:
    arrays: list[np.ndarray] = []
    header = header | {"standing": _plain(standing, arrays)}
    text, archive = np.frombuffer(json.dumps(header).encode(), np.uint8), io.BytesIO()
    np.savez(archive, allow_pickle=False, header=text, **{str(n): array for n, array in enumerate(arrays)})
    return _first_line(archive.getvalue()) + archive.getvalue()


def _decoded(content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    archive = content[content.find(b"\n") + 1 :]
    if not content.startswith(_first_line(archive)):
        raise ValueError("it is damaged, or of another version of archrunner")
    with np.load(io.BytesIO(archive), allow_pickle=False) as arrays:
        header = json.loads(arrays["header"].tobytes())
        return header, _lively(header.pop("standing"), arrays)


def _first_line(archive: bytes) -> bytes:
    return f"archrunner checkpoint {FORMAT} {hashlib.sha256(archive).hexdigest()}\n".encode()


def _plain(value: Any, arrays: list[np.ndarray]) -> Any:
    """Nested data as JSON, its arrays laid apart with the order of their axes in memory, on which sums may depend."""
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        axes = sorted(range(value.ndim), key=lambda axis: -value.strides[axis])
        arrays.append(value.transpose(axes))
        return {"array": len(arrays) - 1, "axes": axes}
    if isinstance(value, dict):
        return {"dict": [[key, _plain(item, arrays)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_plain(item, arrays) for item in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a {type(value).__name__} can't be kept")


def _lively(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The inverse of `_plain`."""
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[str(value["array"])].transpose(np.argsort(value["axes"]))
    kind, items = next(iter(value.items()))
    if kind == "dict":
        return {key: _lively(item, arrays) for key, item in items}
    return {"list": list, "tuple": tuple}[kind](_lively(item, arrays) for item in items)
