"""Odd plugins: the docstring of each function is what the check has to say of it, which is no fault."""

import numpy as np
import torch
from torch import nn

from runner.api import Architecture, Augmentation, Dataset, ImageData, Optimizer, hookimpl


class Net(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.stem, self.head = nn.Conv2d(shape[0], 4, 3), nn.Linear(4, classes)

    def features(self, images):
        return torch.relu(self.stem(images)).mean((2, 3))

    def forward(self, images):
        return self.head(self.features(images))


class Probable(Net):
    def forward(self, images):
        return super().forward(images).softmax(1)


class Bounded(Net):
    def forward(self, images):
        return super().forward(images).sigmoid()


class LogProbable(Net):
    def forward(self, images):
        return super().forward(images).log_softmax(1)


class Stopped(Net):
    def forward(self, images):
        with torch.no_grad():
            features = self.features(images)
        return self.head(features)


class Centred(Net):
    def forward(self, images):
        features = self.features(images)
        return self.head(features - features.mean(0))


class InNumPy(Net):
    def forward(self, images):
        return super().forward(torch.from_numpy(np.tanh(images.numpy())))


class Counting(Net):
    """Keeps a copy of its features to be looked at, counts its calls, and trains and evaluates without a result."""

    calls = 0

    def train(self, mode=True):
        super().train(mode)

    def forward(self, images):
        self.calls += 1
        self.looked_at = self.features(images).detach()
        return super().forward(images)


def probable(shape, classes):
    """its scores are all between 0 and 1, as softmax makes them"""
    return Probable(shape, classes)


def bounded(shape, classes):
    """its scores are all between 0 and 1, as a sigmoid makes them"""
    return Bounded(shape, classes)


def log_probable(shape, classes):
    """ok"""
    return LogProbable(shape, classes)


def stopped(shape, classes):
    """parameters that get no gradient and stay as they are: stem.weight, stem.bias"""
    return Stopped(shape, classes)


def with_an_unused_layer(shape, classes):
    """parameters that get no gradient and stay as they are: extra.weight, extra.bias"""
    built = Net(shape, classes)
    built.extra = nn.Linear(4, 4)
    return built


def frozen(shape, classes):
    """ok"""
    built = Net(shape, classes)
    built.stem.requires_grad_(False)
    return built


def centred(shape, classes):
    """in evaluation an image's scores depend on the other images of its batch"""
    return Centred(shape, classes)


def without_statistics(shape, classes):
    """in evaluation an image's scores depend on the other images of its batch"""
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    return nn.Sequential(nn.Conv2d(shape[0], 4, 3), norm, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))


def in_numpy(shape, classes):
    """ok"""
    return InNumPy(shape, classes)


def of_doubles(shape, classes):
    """ok"""
    return Net(shape, classes).double()


def counting(shape, classes):
    """ok"""
    return Counting(shape, classes)


def normed(shape, classes):
    """ok"""
    built = Net(shape, classes)
    nn.utils.parametrizations.spectral_norm(built.stem)
    return built


class Reversed:
    """Indices that NumPy reverses without a copy, which torch does not take."""

    def draw(self, rng, count, shape):
        return {"order": rng.permutation(count)[::-1], "factor": np.broadcast_to(np.float32(rng.random()), (count,))}

    def apply(self, images, draws):
        return images[draws["order"]] * draws["factor"][:, None, None, None]


def reversed_order():
    """ok"""
    return Reversed()


class Gathering:
    """A step every 10 batches, of the sum of their gradients."""

    slots = ("sum",)

    def update(self, parameter, gradient, state, step):
        state["sum"] += gradient
        if step.number % 10 == 0:
            parameter -= 0.1 * state["sum"]
            state["sum"] *= 0


def gathering():
    """ok"""
    return Gathering()


class AroundTorch:
    """A rule of torch's kind that has nothing but the method."""

    def build_optimizer(self, parameters):
        return torch.optim.SGD(parameters, lr=0.1)


def around_torch():
    """ok"""
    return AroundTorch()


class Forgetful:
    def build_optimizer(self, parameters):
        return torch.optim.SGD(parameters[:1], lr=0.1)


def forgetful():
    """it leaves parameters unchanged, such as one of shape"""
    return Forgetful()


def cut():
    images = np.random.default_rng(0).random((20, 1, 8, 8))
    return images.astype("uint8"), np.arange(20) % 2


def fractions():
    """load gives pixels from 0 to 0, of 255; if they were fractions, multiply by 255 before astype('uint8')"""
    return ImageData(shape=(1, 8, 8), class_names=("a", "b"), size=20, load=cut)


KINDS = {
    Architecture: (
        probable, bounded, log_probable, stopped, with_an_unused_layer, frozen, centred, without_statistics, in_numpy,
        of_doubles, counting, normed,
    ),
    Augmentation: (reversed_order,),
    Optimizer: (gathering, around_torch, forgetful),
    Dataset: (fractions,),
}  # fmt: skip


@hookimpl
def register_architectures():
    return [Architecture(name=build.__name__, build=build) for build in KINDS[Architecture]]


@hookimpl
def register_augmentations():
    return [Augmentation(name=build.__name__, build=build) for build in KINDS[Augmentation]]


@hookimpl
def register_optimizers():
    return [Optimizer(name=build.__name__, build=build) for build in KINDS[Optimizer]]


@hookimpl
def register_datasets():
    return [Dataset(name=build.__name__, build=build) for build in KINDS[Dataset]]
