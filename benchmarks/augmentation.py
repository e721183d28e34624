"""What flip and pad-and-crop cost, as a share of a training step on torch without them, one thread.

    .venv/bin/python benchmarks/augmentation.py [ROUNDS]

Images 3x32x32 of noise, batch 128, SGD with momentum. Steps with and without are taken in turn, so that what else the
machine does falls on both. `draw` is clocked; `apply` is all that a step takes longer for augmented images, also where
they lie differently in memory. The larger the step, the wider the spread of its difference of two long times.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from jobs import SMALL, job

from runner.components.records import ComponentRef
from runner.engines.torch_engine.learner import TorchLearner

BATCH, STEPS = 128, 4
SHAPE = (3, 32, 32)
NETWORKS = {
    "small, 2 convs 16-32": SMALL,
    "VGG-like, 6 convs 32-64-128": ComponentRef("small_vgg", {"width": 32, "hidden": 128, "batch_norm": True}),
}
AUGMENTATIONS = (ComponentRef("flip"), ComponentRef("pad_and_crop"))


def seconds(learner: TorchLearner, index: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Of the draws for one batch, and of its step."""
    start = time.perf_counter()
    draws = [transform.draw(rng, BATCH, SHAPE) for transform in learner.group[0].transforms]
    drawn = time.perf_counter()
    learner.step([index], [draws])
    return np.array([drawn - start, time.perf_counter() - drawn])


def measured(plain: TorchLearner, augmented: TorchLearner, rng: np.random.Generator) -> tuple[float, float, float]:
    """One round: seconds of STEPS plain steps, of the draws, and of what the augmented steps took longer."""
    order = rng.permutation(BATCH * STEPS).reshape(STEPS, BATCH)
    pairs = [(seconds(plain, index, rng), seconds(augmented, index, rng)) for index in order]
    (_, step), (draw, longer) = np.sum(pairs, axis=0)
    return step, draw, longer - step


def shown(shares: np.ndarray) -> str:
    low, middle, high = np.quantile(shares, (0.25, 0.5, 0.75))
    return f"{middle:6.1%} ({low:.1%} to {high:.1%})"


def main(rounds: int = 40) -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    for name, network in NETWORKS.items():
        plain, augmented = (
            TorchLearner([job("torch", SHAPE, BATCH, STEPS, network, *chosen)]) for chosen in ((), AUGMENTATIONS)
        )
        step, draw, apply = np.array([measured(plain, augmented, rng) for _ in range(rounds)][2:]).T  # two warm up
        print(f"{name}: {1000 * np.median(step) / STEPS:.1f} ms a step; of it (median of rounds, middle half)")
        for part, taken in (("draw", draw), ("apply", apply), ("both", draw + apply)):
            print(f"  {part:5} {shown(taken / step)}")


if __name__ == "__main__":
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        main(*map(int, sys.argv[1:2]))
