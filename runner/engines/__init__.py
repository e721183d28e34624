"""Engines train networks. Which there are, and which one ``auto`` means on this machine."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from runner.errors import RunnerError

if TYPE_CHECKING:
    from runner.engines.base import Engine


def resolve(engine: str) -> str:
    """The engine's name with ``auto`` decided; raises RunnerError where it is not installed."""
    if find_spec("torch") is None:
        raise RunnerError(f"{engine} needs PyTorch, which is not installed: pip install torch")
    return "torch"


def resolve_device(device: str) -> str:
    """The device with ``auto`` decided: the GPU where there is one that torch can use."""
    if device == "cpu" or (device == "auto" and not _driver_present()):
        return "cpu"
    from runner.engines.torch_engine import engine as torch_engine

    usable = torch_engine.cuda_available()
    if device == "cuda" and not usable:
        raise RunnerError("found 'cuda', but torch sees no CUDA device here; allowed: auto, cpu")
    return "cuda" if usable else "cpu"


def _driver_present() -> bool:
    """Whether an NVIDIA driver is loaded: a file to look at, so that planning does not import torch."""
    from pathlib import Path

    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()


@lru_cache
def get(name: str) -> Engine:
    """The engine `name`, its library imported now."""
    from runner.engines.torch_engine.engine import TorchEngine

    assert name == "torch"
    return TorchEngine()
