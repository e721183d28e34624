"""Which engines exist, what each supports, and what ``auto`` means on this machine."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from runner.errors import RunnerError
from runner.fits.records import Precision

if TYPE_CHECKING:
    from runner.engines.base import Engine

# A table here, because an engine that is asked must be imported, and planning should not import torch.
PRECISIONS: dict[str, tuple[Precision, ...]] = {
    "torch": ("float32", "bfloat16", "float64"),
    "numpy": ("float16", "float32", "float64"),
}


NUMERIC_VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
"""Environment variables by which users choose how the engines' libraries compute, and so the last bits of results."""


def numeric_settings() -> str:
    """Those of NUMERIC_VARIABLES that are set, as ``NAME=VALUE, ...``; "default" if none is."""
    chosen = [f"{name}={os.environ[name]}" for name in NUMERIC_VARIABLES if os.environ.get(name)]
    return ", ".join(chosen) or "default"


def resolve_engine(engine: str) -> str:
    """The name of an installed engine; ``auto`` is torch if it is installed, else numpy.

    Raises RunnerError if torch is requested and not installed.
    """
    installed = find_spec("torch") is not None
    if engine == "torch" and not installed:
        raise RunnerError("torch needs PyTorch, which is not installed: pip install torch, or choose numpy")
    if engine == "auto":
        return "torch" if installed else "numpy"
    return engine


def resolve_device(device: str, engine: str) -> str:
    """``cpu`` or ``cuda``; ``auto`` is the GPU if `engine` can use one.

    Raises RunnerError if cuda is requested and `engine` cannot use it.
    """
    if engine == "numpy" and device == "cuda":
        raise RunnerError("found 'cuda', but the numpy engine runs on the cpu; allowed: auto, cpu")
    # Planning should not import torch, so `auto` asks it only if a driver is present.
    if engine == "numpy" or device == "cpu" or (device == "auto" and not _driver_present()):
        return "cpu"
    from runner.engines.torch_engine import engine as torch_engine

    usable = torch_engine.cuda_available()
    if device == "cuda" and not usable:
        raise RunnerError("found 'cuda', but torch sees no CUDA device here; allowed: auto, cpu")
    return "cuda" if usable else "cpu"


def resolve_precision(precision: str, engine: str) -> str:
    """`precision`, unchanged. Raises RunnerError if `engine` does not support it."""
    if precision not in PRECISIONS[engine]:
        allowed = ", ".join(PRECISIONS[engine])
        raise RunnerError(f"found '{precision}', which the {engine} engine does not support; allowed: {allowed}")
    return precision


def _driver_present() -> bool:
    """Whether an NVIDIA driver is loaded, judged by the files that it creates."""
    from pathlib import Path

    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()


@lru_cache
def get(name: str) -> Engine:
    """The engine `name`. Its library is imported on the first call, not with this module."""
    if name == "numpy":
        from runner.engines.numpy_engine.engine import NumpyEngine

        return NumpyEngine()
    from runner.engines.torch_engine.engine import TorchEngine

    return TorchEngine()
