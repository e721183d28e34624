"""Training on torch: data in memory as tensors, channels_last, one thread, the streams of `runner.seeding`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.torch_engine.learner import TorchLearner
from runner.engines.training_loop import train
from runner.seeding import Key, stream


def cuda_available() -> bool:
    return torch.cuda.is_available()


class TorchEngine:
    """Trains the fits of a group together."""

    name = "torch"

    def versions(self) -> dict[str, str]:
        # A plain text: torch's own type of it would make the driver, which takes it out of a pickle, import torch.
        return {"torch": str(torch.__version__), "numpy": np.__version__}

    @contextmanager
    def seeded(self, *keys: Key) -> Iterator[None]:
        """A plugin's own module draws its initial values from torch's global stream: seeded here from ours."""
        torch.manual_seed(int(stream("init", *keys).integers(2**63)))
        yield

    def out_of_memory(self, error: BaseException) -> bool:
        # On the CPU torch raises a plain RuntimeError with these words.
        words = "DefaultCPUAllocator: can't alloc"
        return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or words in str(error)

    def fit(self, group: Sequence[BuiltFit]) -> list[TrainedFit | Exception]:
        # One thread a process: on small networks a process a core beats two threads, and sums keep their order.
        torch.set_num_threads(1)
        # Not by use_deterministic_algorithms: that loads torch's compiler first, which takes as long as torch itself.
        torch.set_deterministic_debug_mode("error")
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, no product on a GPU is deterministic
        torch.backends.cudnn.allow_tf32 = False  # float32 means float32
        # That also fills every new tensor, to catch reads of memory that was never written: 10-20% of a small fit.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        try:
            return train(group, TorchLearner)
        except Exception as error:
            return [error] * len(group)
