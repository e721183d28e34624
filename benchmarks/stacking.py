"""Five fits trained together against one after another, by the cost of a batch.

    .venv/bin/python benchmarks/stacking.py [ROUNDS]

The limits in runner/planning/stacking.py come from these figures. CPU seconds on one thread, with the memory-allocator
settings of the workers (the program restarts itself to set them). Networks: `stages` of several widths and depths, two
stages, SGD with momentum.

A second table compares groups of ten and twenty fits with groups of five, as a group across the cells of an optimizer's
or an augmentation's levels would be.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from dataclasses import replace
from statistics import median

import numpy as np
import torch
from noise_fits import CLASSES, noise_fit

from runner.components.records import ComponentRef
from runner.engines.torch_engine.learner import TorchLearner
from runner.network.analysis import Analysis, analyse
from runner.network.base import Shape
from runner.planning.stacking import MAX_ACTIVATIONS, MAX_MACS
from runner.workers.executors.worker import ENVIRONMENT

TOGETHER, STEPS, LEAST_STEPS = 5, 10, 2
SHAPES = ((1, 8, 8), (3, 16, 16), (1, 28, 28), (3, 32, 32))
LARGER = (10, 20)
LARGEST = 4.5e6
"""Limit on height x width x batch x filters x convolutions: larger ones take minutes and show nothing new."""


def learner(shape: Shape, batch: int, network: ComponentRef, precision: str, fits: int) -> TorchLearner:
    """A learner that trains `fits` fits together."""
    fit = noise_fit("torch", shape, batch, STEPS, network)
    training = replace(fit.spec.training, precision=precision)
    specs = [replace(fit.spec, training=training, fold=fold) for fold in range(fits)]
    return TorchLearner([replace(fit, spec=spec) for spec in specs])


def seconds(together: TorchLearner, batch: int) -> float:
    """CPU seconds per step and fit."""
    fits = len(together.group)
    steps = np.arange(batch * STEPS).reshape(STEPS, batch)[: max(STEPS // fits, LEAST_STEPS)]
    start = time.process_time()
    for index in steps:
        together.step([index] * fits, [()] * fits)
    return (time.process_time() - start) / len(steps) / fits


def speedup(shape: Shape, batch: int, network: ComponentRef, precision: str, rounds: int) -> tuple[float, Analysis]:
    """How many times as fast TOGETHER fits train together as one after another, and the network's analysis."""
    learners = [learner(shape, batch, network, precision, fits) for fits in (1, TOGETHER)]
    return median(ratios(learners, batch, rounds)[0]), analyse(learners[0].group[0].network, shape, CLASSES)


def ratios(learners: list[TorchLearner], batch: int, rounds: int) -> list[list[float]]:
    """For each learner but the first the rounds' ratios: how many times as fast it is as the first, per fit."""
    found = [[seconds(one, batch) for one in learners] for _ in range(rounds + 1)][1:]  # the first warms up
    first, *others = zip(*found, strict=True)
    return [[one / other for one, other in zip(first, column, strict=True)] for column in others]


def main(rounds: int = 3) -> None:
    torch.set_num_threads(1)
    print("precision  image    batch  width  convs   M MACs  M activations   together  speedup  (median of the rounds)")
    sizes = itertools.product(("float32", "bfloat16"), SHAPES, (25, 100), (8, 16, 32), (1, 3))
    for precision, shape, batch, width, convs in sizes:
        if shape[1] * shape[2] * batch * width * convs > LARGEST:
            continue
        network = ComponentRef("stages", {"width": width, "convs": convs})
        faster, analysis = speedup(shape, batch, network, precision, rounds)
        macs, activations = batch * (analysis.macs or 0), batch * (analysis.activations or 0)
        chosen = "yes" if macs <= MAX_MACS and activations <= MAX_ACTIVATIONS else "no"
        print(
            f"{precision:9}  {'x'.join(map(str, shape)):8} {batch:4}  {width:5}  {convs:5}  {macs / 1e6:7.0f}  "
            f"{activations / 1e6:13.2f}   {chosen:8}  {faster:6.2f}",
            flush=True,
        )
    print("\nimage    batch  width  convs  fits   speedup over 5  (smallest to largest)")
    for shape, batch, width, convs in itertools.product(SHAPES[::2], (25,), (8, 16), (1, 3)):
        network = ComponentRef("stages", {"width": width, "convs": convs})
        learners = [learner(shape, batch, network, "float32", fits) for fits in (TOGETHER, *LARGER)]
        # More rounds, as two steps of ten fits are short.
        for fits, rows in zip(LARGER, ratios(learners, batch, 5 * rounds), strict=True):
            named = f"{'x'.join(map(str, shape)):8} {batch:4}  {width:5}  {convs:5}  {fits:4}"
            print(f"{named}  {median(rows):10.2f}   ({min(rows):.2f} to {max(rows):.2f})", flush=True)


if __name__ == "__main__":
    if not ENVIRONMENT.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ENVIRONMENT)
    main(*map(int, sys.argv[1:2]))
