"""The cost of flip and pad-and-crop, as a fraction of a training step without them; torch engine, one thread.

    .venv/bin/python benchmarks/augmentation.py [ROUNDS]

Images 3x32x32 of noise, batch 128, SGD with momentum. Steps with and without augmentation alternate, so that other load
on the machine affects both alike. `draw` is timed directly; `apply` is everything by which the step on augmented images
takes longer, including effects of their different layout in memory. It is a difference of two long times, so the longer
the step, the wider its spread.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from noise_fits import SMALL, noise_fit

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
    """Seconds of the draws for one batch, and of its step: an array of two."""
    start = time.perf_counter()
    draws = [transform.draw(rng, BATCH, SHAPE) for transform in learner.group[0].transforms]
    step_start = time.perf_counter()
    learner.step([index], [draws])
    return np.array([step_start - start, time.perf_counter() - step_start])


def run_round(plain: TorchLearner, augmented: TorchLearner, rng: np.random.Generator) -> tuple[float, float, float]:
    """Seconds of STEPS plain steps, of the draws, and by which the augmented steps took longer."""
    order = rng.permutation(BATCH * STEPS).reshape(STEPS, BATCH)
    pairs = [(seconds(plain, index, rng), seconds(augmented, index, rng)) for index in order]
    (_, step), (draw, longer) = np.sum(pairs, axis=0)
    return step, draw, longer - step


def quartiles(fractions: np.ndarray) -> str:
    low, middle, high = np.quantile(fractions, (0.25, 0.5, 0.75))
    return f"{middle:6.1%} ({low:.1%} to {high:.1%})"


def main(rounds: int = 40) -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    for name, network in NETWORKS.items():
        plain, augmented = (
            TorchLearner([noise_fit("torch", SHAPE, BATCH, STEPS, network, *augmentations)])
            for augmentations in ((), AUGMENTATIONS)
        )
        # The first two rounds are for warming up.
        step, draw, apply = np.array([run_round(plain, augmented, rng) for _ in range(rounds)][2:]).T
        print(f"{name}: {1000 * np.median(step) / STEPS:.1f} ms/step; in % of it (median and quartiles of the rounds)")
        for part, seconds_taken in (("draw", draw), ("apply", apply), ("both", draw + apply)):
            print(f"  {part:5} {quartiles(seconds_taken / step)}")


if __name__ == "__main__":
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        main(*map(int, sys.argv[1:2]))
