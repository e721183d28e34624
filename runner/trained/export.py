"""A saved network in formats that others read: ONNX, and a program of torch.export. Neither needs archrunner.

Both take raw images (N, C, H, W) of bytes, any number of them, and give the probabilities (N, classes) of the classes:
the normalisation and the softmax are inside. Numbers are float32, whatever the precision of the training.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from runner.errors import RunnerError
from runner.text import printable
from runner.trained.networks import open_network

T = TypeVar("T")
OPSET = 20
"""Of ONNX's operators. torch writes this one without a conversion."""
IMAGES, PROBABILITIES = "images", "probabilities"
MOST_BYTES = 2_000_000_000
"""The longest message of protobuf, in which ONNX is written."""


def to_onnx(path: Path, plugins: Sequence[str | Path] = ()) -> bytes:
    """The network in the file at `path` as ONNX; raises RunnerError if it cannot be exported."""
    if missing := [name for name in ("onnx", "onnxscript") if find_spec(name) is None]:
        raise RunnerError(f"export to ONNX needs {' and '.join(missing)}: pip install {' '.join(missing)}")
    program, metadata = _program(path, plugins)

    def write() -> bytes:
        import torch

        written: Any = torch.onnx.export(
            program, dynamo=True, verbose=False, opset_version=OPSET, input_names=[IMAGES],
            output_names=[PROBABILITIES],
        )  # fmt: skip
        written.model.metadata_props.update(metadata)
        content: bytes = written.model_proto.SerializeToString()
        return content

    content = _guarded(path, write)
    if len(content) > MOST_BYTES:
        raise RunnerError(f"{path}: it takes {len(content) / 1e9:.1f} GB as ONNX; allowed: 2 GB in one file")
    return content


def to_torch(path: Path, plugins: Sequence[str | Path] = ()) -> bytes:
    """The network in the file at `path` as a .pt2 file, which ``torch.export.load`` reads."""
    program, metadata = _program(path, plugins)

    def write() -> bytes:
        import torch

        content = io.BytesIO()
        torch.export.save(program, content, extra_files=metadata)
        return content.getvalue()

    return _guarded(path, write)


FORMATS: dict[str, Callable[..., bytes]] = {"onnx": to_onnx, "torch": to_torch}


def _program(path: Path, plugins: Sequence[str | Path]) -> tuple[Any, dict[str, str]]:
    """The exported program of the network, and what the file says of it."""
    network = open_network(path, plugins, engine="torch")
    import torch

    from runner.engines.torch_engine.raw_pixels import RawPixels

    facts, fitted = network.facts, network.learned.preprocessing
    raw: Any = RawPixels(network.module.network, facts.mean, facts.deviation, softmax=True, preprocessing=fitted)
    raw = raw.to("cpu", torch.float32, memory_format=torch.contiguous_format).eval().requires_grad_(False)
    # Two images, as torch takes an axis of length 1 for one that always has this length.
    images = torch.zeros((2, *network.shape), dtype=torch.uint8)

    def export() -> Any:
        return torch.export.export(raw, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))

    names = json.dumps(list(network.class_names), ensure_ascii=False)
    return _guarded(path, export), {"class_names": names, "archrunner": network.facts.text()}


def _guarded(path: Path, action: Callable[[], T]) -> T:
    """The result of `action`, without torch's remarks; whatever it raises becomes one line."""
    with _quiet():
        try:
            return action()
        except Exception as error:  # a plugin's own module may do anything that torch.export cannot follow
            reason = printable(str(error).strip().partition("\n")[0] or type(error).__name__)
            raise RunnerError(f"{path}: torch cannot export this network: {type(error).__name__}: {reason}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        # When it cannot export a module, torch prints the whole program several times.
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
