"""The NumPy engine against the torch engine: training steps on one thread, compared within one run.

    .venv/bin/python benchmarks/engines.py [ROUNDS]

Network: conv 16 - relu - pool - conv 32 - relu - pool - dense, 3x3 and 2x2, batch 32, SGD with momentum. The engines
alternate round by round, so that other load on the machine affects both alike.
"""

from __future__ import annotations

import sys
import time
from statistics import median, quantiles

import numpy as np
import torch
from noise_fits import noise_fit

from runner.engines.numpy_engine.engine import NumpyLearner
from runner.engines.torch_engine.learner import TorchLearner

BATCH, STEPS = 32, 20


def seconds(learner: NumpyLearner | TorchLearner) -> float:
    """Seconds for STEPS training steps."""
    order = np.arange(BATCH * STEPS).reshape(STEPS, BATCH)
    start = time.perf_counter()
    for index in order:
        learner.step([index], [()])
    return time.perf_counter() - start


def main(rounds: int = 40) -> None:
    torch.set_num_threads(1)
    print("image    numpy ms/step   torch ms/step   numpy / torch (median and quartiles of paired rounds)")
    for shape in ((1, 28, 28), (1, 8, 8)):
        numpy_learner, torch_learner = (
            learner([noise_fit(engine, shape, BATCH, STEPS)])
            for engine, learner in (("numpy", NumpyLearner), ("torch", TorchLearner))
        )
        pairs = [(seconds(numpy_learner), seconds(torch_learner)) for _ in range(rounds)][2:]  # the first two warm up
        ratios = [a / b for a, b in pairs]
        low, _, high = quantiles(ratios)
        times = [1000 * median(times) / STEPS for times in zip(*pairs, strict=True)]
        size = "x".join(map(str, shape))
        print(f"{size:8} {times[0]:13.2f}   {times[1]:13.2f}   {median(ratios):.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        main(*map(int, sys.argv[1:2]))
