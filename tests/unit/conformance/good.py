"""Good plugins of each kind, with what a probe might take for a fault; they print, which nobody sees."""

import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from runner.api import (
    Architecture,
    Augmentation,
    Conv,
    Dataset,
    Dense,
    Flatten,
    GlobalAvgPool,
    ImageData,
    Optimizer,
    Positive,
    ReLU,
    Sequential,
    hookimpl,
)


class Tied(nn.Module):
    """Shared weights, dropout, layers that a list only orders, random numbers that are seeded for each fit."""

    def __init__(self, channels, classes):
        super().__init__()
        self.stem, self.first, self.second = (
            nn.Conv2d(channels, 6, 3),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.Conv2d(6, 6, 3, padding=1),
        )
        self.second.weight, self.second.bias = self.first.weight, self.first.bias
        self.norm, self.drop, self.head = nn.BatchNorm2d(6), nn.Dropout(0.3), nn.Linear(6, classes)
        self.order = [self.first, self.second]

    def forward(self, images):
        print("running")
        signal = self.stem(images)
        for layer in self.order:
            signal = torch.relu(layer(signal))
        if self.training:
            signal = signal * (1 + random.random() + float(np.random.rand()) + torch.rand(()))
        return self.head(self.drop(self.norm(signal)).mean((2, 3)))


class Deciding(nn.Module):
    """What it does depends on the pixels, which the meta device does not have."""

    def __init__(self, channels, classes):
        super().__init__()
        self.head = nn.Linear(channels, classes)

    def forward(self, images):
        return self.head((images if images.mean() > 0 else -images).mean((2, 3)))


def tied(shape, classes):
    return Tied(shape[0], classes)


def deciding(shape, classes):
    return Deciding(shape[0], classes)


def wide(shape, classes, *, width: int):
    return Sequential(Conv(width, 3), ReLU(), GlobalAvgPool(), Flatten(), Dense(classes))


@dataclass(frozen=True)
class Momentum:
    lr: float
    slots = ["velocity"]

    def rate(self, step):
        return self.lr * min(step.number / 2, 1)

    def update(self, parameter, gradient, state, step):
        state["velocity"] = 0.9 * state["velocity"] + gradient
        parameter -= self.rate(step) * state["velocity"]


@dataclass(frozen=True)
class Signs:
    elementwise = True
    slots = ()

    def update(self, parameter, gradient, state, step):
        parameter -= 1e-9 * ((gradient > 0) * 1.0 - (gradient < 0) * 1.0)


@dataclass(frozen=True)
class Restarting:
    """Takes no step at first, and clips."""

    clip: float = 1.0
    slots = ()

    def update(self, parameter, gradient, state, step):
        parameter -= 0.1 * (step.number > 1) * gradient


class Accumulating:
    """Adds up the gradients of eight batches."""

    slots = ("sum",)

    def update(self, parameter, gradient, state, step):
        state["sum"] += gradient
        if step.number % 8 == 0:
            parameter -= 0.1 * state["sum"]
            state["sum"] *= 0


class Around:
    """Has nothing but what a rule around torch needs."""

    def build_optimizer(self, parameters):
        return torch.optim.SGD(parameters, lr=0.1)


def momentum(*, lr: Positive):
    return Momentum(lr)


def signs():
    return Signs()


def restarting():
    return Restarting()


def accumulating():
    return Accumulating()


def around():
    return Around()


class Dim:
    def draw(self, rng, count, shape):
        print("drawn")
        return {
            "lowest": 0.5,
            "factor": [float(rng.uniform())],
            "flip": bool(rng.random() < 0.5),
            "rows": int(rng.integers(3)),
        }

    def apply(self, images, draws):
        if draws["flip"]:
            images = images * 0.5
        images *= draws["lowest"] + (1 - draws["lowest"]) * draws["factor"]
        images[:, :, : draws["rows"]] = 0
        return images


class Smoothing:
    def draw(self, rng, count, shape):
        return {}

    def apply(self, images, draws):
        return images

    def relabel(self, targets, draws):
        return targets * 0.9 + 0.1 / targets.shape[1]


class Rolled:
    """Only tensors have this method."""

    def draw(self, rng, count, shape):
        return {}

    def apply(self, images, draws):
        return images.roll(1, 3)


def load():
    labels = np.arange(40) % 2
    return (np.random.default_rng(0).integers(0, 99, (40, 1, 8, 8)) + 99 * labels[:, None, None, None]).astype(
        "uint8"
    ), labels


def load_test():
    return [array[:10] for array in load()]


def noise():
    return ImageData(
        shape=(1, 8, 8), class_names=("dark", "light"), size=40, load=load, test_size=10, load_test=load_test
    )


def of_a_file(*, root: str):
    raise AssertionError("never tried: it needs a file")


@hookimpl
def register_architectures():
    return [Architecture(name=build.__name__, build=build) for build in (tied, deciding, wide)]


@hookimpl
def register_augmentations():
    yield Augmentation(name="dim", build=lambda: Dim())
    yield Augmentation(name="smoothing", build=lambda: Smoothing())
    yield Augmentation(name="rolled", build=lambda: Rolled())


@hookimpl
def register_optimizers():
    return [
        Optimizer(name=build.__name__, build=build) for build in (momentum, signs, restarting, accumulating, around)
    ]


@hookimpl
def register_datasets():
    return [Dataset(name=build.__name__, build=build) for build in (noise, of_a_file)]
