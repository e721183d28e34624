"""Checkpoints: the state of a group of fits, saved to a file at intervals, so that a killed fit can resume.

A file is a line ``archrunner checkpoint <format> <SHA-256 of the rest>``, then an .npz archive. The archive holds the
arrays by number and `header`, JSON with the owner of the state and everything else. Nothing is pickled, so a file from
an untrusted source cannot run code. A file is written under a temporary name and renamed: readers see a whole file or
none.
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

from runner.engines.named_tuples import is_named_tuple, named_tuple, place_of
from runner.files import untrusted
from runner.fits.records import clocks, since

# To be raised if the layout changes: the first line of older files then fails its test, and they are ignored.
FORMAT = 3
SUFFIX = ".checkpoint"
_PREFIX = f"archrunner checkpoint {FORMAT} ".encode()
log = logging.getLogger("runner.engines")


class Checkpoint:
    """The checkpoint of a group of fits, a file in `folder` named after the first of them, due every `seconds`.

    A state is loaded only if the same fits saved it with the same library `versions`: bits may differ by version.
    `spent_before` is the wall time (`seconds`) and processor time (`cpu`), in seconds, that went into the loaded state.
    """

    def __init__(self, folder: Path, fits: Sequence[str], seconds: float, versions: Mapping[str, str]) -> None:
        self.path, self.seconds = checkpoint_path(folder, fits[0]), seconds
        self.owner = {"fits": list(fits), "versions": dict(versions)}
        self.spent_before = {"seconds": 0.0, "cpu": 0.0}
        self._started, self._last_save, self._write_failed = clocks(), time.monotonic(), False

    def load(self) -> dict[str, Any] | None:
        """The last saved state; None if there is none, or none that this fit can use (then a warning says why)."""
        self._started, self._last_save = clocks(), time.monotonic()
        try:
            with self.path.open("rb") as file:
                header, arrays = _decode(file, self.owner)
            state: dict[str, Any] = _deserialise(header["standing"], arrays)
            self.spent_before = header["spent"]
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever is wrong with the file, the fit can be trained without it
            log.warning("%s is ignored and its fit starts from the beginning: %s", self.path, error)
            return None
        return state

    def discard_loaded(self) -> None:
        """Do not count the time that went into the loaded state: the fit could not resume from it."""
        self.spent_before = dict.fromkeys(self.spent_before, 0.0)

    def due(self) -> bool:
        return time.monotonic() - self._last_save >= self.seconds

    def save(self, state: dict[str, Any], learner: Callable[[], Any]) -> None:
        """Replace the file by `state`, with the result of `learner()` as its entry ``learner``.

        The learner's state is a call because it may fail too. No failure ends the fit; the first of a series is logged.
        """
        spent = {key: value + self.spent_before[key] for key, value in since(self._started).items()}
        try:
            content = _encode({"owner": self.owner, "spent": spent}, {**state, "learner": learner()})
            _replace_file(self.path, content)
            self._write_failed = False
        except Exception as error:  # e.g. a full disk, or a third-party optimizer whose state has unknown types
            if not self._write_failed:
                log.warning("%s cannot be written; the fit continues without it: %s", self.path, error)
            self._write_failed = True
        # After a failure too, so that a full disk is not tried again after every single batch.
        self._last_save = time.monotonic()


def checkpoint_path(folder: Path, fit: str) -> Path:
    return folder / f"{fit}{SUFFIX}"


def remove(folder: Path, fit: str) -> None:
    """Remove the checkpoint of a fit that no longer needs it."""
    with suppress(OSError):  # a file that stays takes disk space and changes no result
        checkpoint_path(folder, fit).unlink(missing_ok=True)


def remove_stale(folder: Path, done: Collection[str]) -> None:
    """Remove what killed runs left behind: checkpoints of fits that are `done`, and half-written files."""
    for path in folder.glob(f"*{SUFFIX}*"):
        # The name of a half-written file goes on behind SUFFIX, with the random letters of mkstemp.
        if path.stem in done or path.suffix != SUFFIX:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _replace_file(path: Path, content: bytes) -> None:
    """Replace the file atomically. mkstemp makes it readable by its owner only."""
    path.parent.mkdir(exist_ok=True)
    # A unique name: the worker of a killed run may still be writing the checkpoint of the same fit.
    descriptor, partial = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            # Without it a power failure may leave the new name with no content behind it.
            os.fsync(file.fileno())
        Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)


def _encode(header: dict[str, Any], state: Any) -> bytes:
    arrays: list[np.ndarray] = []
    header = header | {"standing": _serialise(state, arrays)}
    text, archive = np.frombuffer(json.dumps(header).encode(), np.uint8), io.BytesIO()
    np.savez(archive, allow_pickle=False, header=text, **{str(n): array for n, array in enumerate(arrays)})
    return _first_line(hashlib.sha256(archive.getbuffer()).hexdigest()) + archive.getvalue()


def _decode(file: io.BufferedReader, owner: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays. Raises ValueError if the first line does not match the rest, or if another saved it.

    Nothing is held in memory before its hash is known, and no state before its owner is.
    """
    first = file.readline(200)
    # Before the hash, which takes minutes for a hole of terabytes, and before anything is parsed, so that damage is
    # named as such and not by an error of the zip reader.
    if not first.startswith(_PREFIX) or first != _first_line(hashlib.file_digest(file, "sha256").hexdigest()):
        raise ValueError("it is damaged or was written by another version of archrunner")
    # Its arrays are not compressed, so together they are never larger than the file.
    most = file.tell()
    content = untrusted.read_arrays(file, ["header"], most)["header"]
    header = json.loads(content.tobytes())
    if header["owner"] != owner:
        raise ValueError(f"it was saved by {header['owner']}, and this fit is {dict(owner)}")
    return header, untrusted.read_arrays(file, (), most)


def _first_line(digest: str) -> bytes:
    return _PREFIX + f"{digest}\n".encode()


def _serialise(value: Any, arrays: list[np.ndarray]) -> Any:
    """Nested data as JSON; its arrays are appended to `arrays` and replaced by their number.

    JSON has no tuples and only text keys, so containers are written with their type and dictionaries as pairs. Raises
    TypeError for any other type, also for one derived from these: it would come back as what it is derived from.
    """
    # An array of objects would need pickle; it falls through to the TypeError.
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        # The order of the axes in memory is stored as well: NumPy may sum in that order, and the bits depend on it.
        axes = sorted(range(value.ndim), key=lambda axis: -value.strides[axis])
        arrays.append(value.transpose(axes))
        return {"array": len(arrays) - 1, "axes": axes}
    if isinstance(value, np.generic) and not value.dtype.hasobject:
        # Not a Python number, with which another type of array would come out of the same operation.
        arrays.append(np.asarray(value))
        return {"scalar": len(arrays) - 1}
    if type(value) is dict:
        return {"dict": [[_serialise(key, arrays), _serialise(item, arrays)] for key, item in value.items()]}
    if type(value) in (list, tuple):
        return {type(value).__name__: [_serialise(item, arrays) for item in value]}
    if is_named_tuple(type(value)):
        return {"named": place_of(value), "values": [_serialise(item, arrays) for item in value]}
    # Python's JSON gives these back exactly: floats to the last bit, nan and infinity (in the curves of a fit that
    # diverged), and the 128-bit integers of a PCG64 state.
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"a value of type {type(value).__name__} cannot be saved")


def _deserialise(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The inverse of `_serialise`."""
    if not isinstance(value, dict):
        return value
    # Unambiguous: a dictionary of the state is {"dict": [...]} here, so its own keys cannot be taken for this one.
    if "array" in value:
        # argsort of a permutation is its inverse.
        return arrays[str(value["array"])].transpose(np.argsort(value["axes"]))
    if "scalar" in value:
        return arrays[str(value["scalar"])][()]
    if "named" in value:
        return named_tuple(value["named"], [_deserialise(item, arrays) for item in value["values"]])
    kind, items = next(iter(value.items()))
    if kind == "dict":
        return {_deserialise(key, arrays): _deserialise(item, arrays) for key, item in items}
    return {"list": list, "tuple": tuple}[kind](_deserialise(item, arrays) for item in items)
