"""The NumPy engine against the torch engine, training steps on one thread, as ratios in one run.

    .venv/bin/python benchmarks/engines.py [ROUNDS]

Network: conv 16 - relu - pool - conv 32 - relu - pool - dense, 3x3 and 2x2, batch 32, SGD with momentum. Rounds of
both engines are interleaved, so that what else the machine does falls on both.
"""

from __future__ import annotations

import sys
import time
from statistics import median, quantiles

import numpy as np
import torch

from runner.api import Conv, Dense, Flatten, MaxPool, ReLU, Sequential, Shape
from runner.catalog import load_catalog
from runner.components import ComponentRef
from runner.engines.base import Job
from runner.engines.numpy_engine.engine import NumpyLearner
from runner.engines.torch_engine.engine import TorchLearner
from runner.fit import FitSpec, TrainingPlan

BATCH, STEPS = 32, 20
CLASSES = 10


def job(engine: str, shape: Shape) -> Job:
    rng = np.random.default_rng(0)
    count = BATCH * STEPS
    catalog = load_catalog()
    optimizer = catalog.bind("optimizer", ComponentRef("sgd", {"lr": 0.01, "momentum": 0.9}))
    spec = FitSpec(
        id="", cell="", repeat=0, fold=0, seed=0, architecture=ComponentRef(""), augmentation=(), optimizer=optimizer,
        training=TrainingPlan(10**6, BATCH, engine, "cpu", "float32"), shape=shape, classes=CLASSES, data="",
        train=np.arange(count), validation=np.arange(count),
    )  # fmt: skip
    stages = [layer for filters in (16, 32) for layer in (Conv(filters, 3), ReLU(), MaxPool(2))]
    return Job(
        spec=spec,
        network=Sequential(*stages, Flatten(), Dense(CLASSES)),
        transforms=(),
        rule=catalog.build("optimizer", optimizer),
        images=rng.integers(0, 256, (count, *shape), dtype=np.uint8),
        labels=rng.integers(0, CLASSES, count),
    )


def seconds(learner: NumpyLearner | TorchLearner) -> float:
    """For STEPS training steps."""
    order = np.arange(BATCH * STEPS).reshape(STEPS, BATCH)
    start = time.perf_counter()
    for index in order:
        learner.step(index, ())
    return time.perf_counter() - start


def main(rounds: int = 40) -> None:
    torch.set_num_threads(1)
    print("image    numpy ms   torch ms   numpy / torch (median of paired rounds, middle half)")
    for shape in ((1, 28, 28), (1, 8, 8)):
        numpy, torched = NumpyLearner(job("numpy", shape)), TorchLearner(job("torch", shape))
        pairs = [(seconds(numpy), seconds(torched)) for _ in range(rounds)][2:]  # the first two warm up
        ratios = [a / b for a, b in pairs]
        low, _, high = quantiles(ratios)
        times = [1000 * median(times) / STEPS for times in zip(*pairs, strict=True)]
        size = "x".join(map(str, shape))
        print(f"{size:8} {times[0]:8.2f}   {times[1]:8.2f}   {median(ratios):.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        main(*map(int, sys.argv[1:2]))
