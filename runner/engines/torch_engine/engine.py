"""The torch engine: sets torch up for deterministic, single-threaded training, and trains groups of fits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.torch_engine import own_layer
from runner.engines.torch_engine.images import Normalisation
from runner.engines.torch_engine.learner import TorchLearner
from runner.engines.training_loop import train
from runner.errors import RunnerError
from runner.fits.records import Learned
from runner.network.analysis import LayerWithInput
from runner.seeding import Key, stream


def cuda_available() -> bool:
    return torch.cuda.is_available()


class TorchEngine:
    """Trains the fits of a group together on torch; see `runner.engines.base.Engine`."""

    name = "torch"

    def versions(self) -> dict[str, str]:
        # A plain str: unpickling torch's own version type would make the driver import torch.
        return {"torch": str(torch.__version__), "numpy": np.__version__}

    @contextmanager
    def seeded(self, *keys: Key) -> Iterator[None]:
        """Seed torch's global generator, from which a plugin's own module draws its initial values."""
        # Not set back at the end: in training a plugin's own module goes on drawing from it, for example for dropout.
        seed = int(stream("init", *keys).integers(2**63))
        # Not torch.manual_seed: without a GPU that formats the whole call stack three times, which takes milliseconds
        # deep in a program; see findings/torch_manual_seed_formats_the_call_stack.sh.
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_available():
            torch.cuda.manual_seed_all(seed)
        yield

    def is_out_of_memory(self, error: BaseException) -> bool:
        # On the CPU torch has no exception type for this, only a RuntimeError with these words.
        words = "DefaultCPUAllocator: can't alloc"
        return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or words in str(error)

    def device_memory(self, device: str) -> dict[str, int]:
        """Of what torch reserved: no other process can have that, even where no tensor is."""
        if device != "cuda" or not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            return {}
        peak, total = torch.cuda.max_memory_reserved(), torch.cuda.get_device_properties(device).total_memory
        torch.cuda.reset_peak_memory_stats()
        return {"device_memory": peak, "device_total": total}

    def layer_problem(self, entry: LayerWithInput) -> str:
        return own_layer.problem(entry)

    @contextmanager
    def computing(self) -> Iterator[None]:
        threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
        self._set_up()
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_deterministic_debug_mode(mode)

    def _set_up(self) -> None:
        # On small networks one process per core is faster than two threads, and a fixed number of threads fixes the
        # order in which sums are computed.
        torch.set_num_threads(1)
        # Not use_deterministic_algorithms: that loads torch's compiler first, which takes as long as importing torch.
        torch.set_deterministic_debug_mode("error")
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with this
        torch.backends.cudnn.allow_tf32 = False  # TF32 would round the float32 inputs of convolutions to 10 bits
        # Deterministic mode also fills every new tensor, to expose reads of uninitialised memory. That takes 10-20% of
        # the time of a small fit.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

    def load(self, group: Sequence[BuiltFit], learned: Learned) -> TorchLearner:
        training = group[0].spec.training
        dtype = torch.float64 if training.precision == "float64" else torch.float32
        normalisation = Normalisation.given(learned, len(group), dtype, torch.device(training.device))
        learner = TorchLearner(group, normalisation)
        learner.load(learned)
        return learner

    def fit(self, group: Sequence[BuiltFit]) -> list[TrainedFit | Exception]:
        self._set_up()
        try:
            return train(group, TorchLearner)
        except Exception as error:
            # torch has no exception type for this, only words. A plan refuses it too, where it knows the batches.
            if "Expected more than 1 value per channel when training" in str(error):
                error = RunnerError(
                    f"a batch has one image, too few for BatchNorm; change training.batch_size: {error}"
                )
            # The fits of a group share one module, so what ends one ends all.
            return [error] * len(group)
