"""Broken architectures: the docstring of each function is what the line about it has to say.

Parts between " | " all have to be in that line, which names the line of this file with the comment `# HERE: name`.
"""

import itertools

import numpy as np
import torch
from torch import nn

from runner.api import (
    Architecture,
    Conv,
    Dense,
    Flatten,
    ReLU,
    Sequential,
    hookimpl,
)

entropy = np.random.default_rng()
count = itertools.count()
COMPONENTS = []


class Net(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.stem, self.head = nn.Conv2d(channels, 4, 3), nn.Linear(4, classes)

    def scores(self, images):
        return self.head(self.stem(images).mean((2, 3)))


class Plain(Net):
    def forward(self, images):
        return self.scores(images)


class Auxiliary(Net):
    def forward(self, images):  # HERE: auxiliary
        scores = self.scores(images)
        return (scores, scores) if self.training else scores


class Named(Net):
    def forward(self, images):  # HERE: named
        return {"out": self.scores(images)} if self.training else self.scores(images)


class Doubled(Net):
    def forward(self, images):  # HERE: doubled
        scores = self.scores(images)
        return torch.cat([scores, scores], 1) if self.training else scores


class Fewer(Net):
    def forward(self, images):  # HERE: fewer
        return self.scores(images)[:, 1:]


class Lazy(Net):
    def __init__(self, channels, classes):
        super().__init__(channels, classes)
        self.head = nn.LazyLinear(classes)

    def forward(self, images):  # HERE: lazy
        return self.scores(images)


class Hidden(Net):
    def __init__(self, channels, classes):
        super().__init__(channels, classes)
        self.blocks = [nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)]

    def forward(self, images):  # HERE: hidden
        images = self.stem(images)
        for block in self.blocks:
            images = block(images)
        return self.head(images.mean((2, 3)))


class Detached(Net):
    def forward(self, images):  # HERE: detached
        return self.scores(images).detach()


class Growing(Net):
    def forward(self, images):  # HERE: growing
        if self.training and not hasattr(self, "scale"):
            self.scale = nn.Parameter(torch.ones(()))
        return self.scores(images) * getattr(self, "scale", 1)


class Entropic(Net):
    def __init__(self, channels, classes):  # HERE: entropic
        super().__init__(channels, classes)
        with torch.no_grad():
            self.head.bias += float(entropy.uniform())

    def forward(self, images):
        return self.scores(images)


class Restless(Net):
    def forward(self, images):  # HERE: restless
        return self.scores(images) * (float(entropy.uniform()) if self.training else 1)


class Dropping(Net):
    def forward(self, images):  # HERE: dropping
        return nn.functional.dropout(self.scores(images))


BACKBONE = nn.Conv2d(3, 4, 3)
ONCE = Net(3, 10)
ONCE.forward = ONCE.scores


class Sharing(Net):
    def __init__(self, channels, classes):
        super().__init__(channels, classes)
        self.stem = BACKBONE

    def forward(self, images):
        return self.scores(images)


class Halting(Net):
    def forward(self, images):
        if self.training:
            raise ValueError("no such\nbranch")  # HERE: halting
        return self.scores(images)


class Undefined(Net):
    def forward(self, images):  # HERE: undefined
        return self.scores(images) / 0 - self.scores(images) / 0


class Overwriting(Net):
    def forward(self, images):  # HERE: overwriting
        signal = self.stem(images).exp()
        loss = signal.sum((2, 3))
        signal.zero_()
        return self.head(loss)


class Remembering(Net):
    def __init__(self, channels, classes):
        super().__init__(channels, classes)
        self.mean = torch.zeros(())

    def forward(self, images):  # HERE: remembering_images
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * images.mean().detach()
        return self.scores(images + self.mean)


class Chained(Net):
    seen = 0.0

    def forward(self, images):  # HERE: chained
        signal = self.stem(images).mean((2, 3))
        self.seen = self.seen * 0.9 + signal.mean(0)
        return self.head(signal - self.seen)


class Unregistered(Net):
    def __init__(self, channels, classes):
        super().__init__(channels, classes)
        self.scale = torch.ones(4, requires_grad=True)

    def forward(self, images):  # HERE: unregistered
        return self.head(self.stem(images).mean((2, 3)) * self.scale)


class Rooted(Net):
    def forward(self, images):  # HERE: rooted
        signal = self.stem(images).mean((2, 3))
        return self.head(signal + torch.sqrt(signal * 0))


class Spectral(Net):
    def forward(self, images):  # HERE: spectral
        return torch.fft.fft(self.scores(images))


class ComplexWeights(Net):
    def __init__(self, channels, classes):
        super().__init__(channels, classes)
        self.filter = nn.Parameter(torch.ones(4, dtype=torch.complex64))

    def forward(self, images):  # HERE: complex_weights
        return self.head((self.stem(images).mean((2, 3)) * self.filter).real)


class ClassCache(Net):
    shared: dict = {}

    def forward(self, images):
        return self.scores(images - self.shared.setdefault("mean", images.mean()))  # HERE: class_cache


TRUNKS = {}


def architecture(build):
    COMPONENTS.append(Architecture(name=build.__name__, build=build))


@architecture
def auxiliary(shape, classes):
    """the module's output in training is tuple | return the scores alone"""
    return Auxiliary(shape[0], classes)


@architecture
def named(shape, classes):
    """the module's output in training is dict | return the scores alone"""
    return Named(shape[0], classes)


@architecture
def doubled(shape, classes):
    """the module's output in training is 8x | expected one score for each class, 8x"""
    return Doubled(shape[0], classes)


@architecture
def fewer(shape, classes):
    """the module's output is | not one number for each of"""
    return Fewer(shape[0], classes)


@architecture
def lazy(shape, classes):
    """the module has lazy parameters | give their sizes in the constructor"""
    return Lazy(shape[0], classes)


@architecture
def hidden(shape, classes):
    """the module keeps layers in a list, blocks, where torch does not see them; use nn.ModuleList"""
    return Hidden(shape[0], classes)


@architecture
def detached(shape, classes):
    """the module's scores have no gradient | leave out detach"""
    return Detached(shape[0], classes)


@architecture
def growing(shape, classes):
    """the module creates parameters when it is run (scale); create all parameters in the constructor"""
    return Growing(shape[0], classes)


@architecture
def entropic(shape, classes):
    """it has other initial values of head.bias each time | draw them from torch, random or numpy.random"""
    return Entropic(shape[0], classes)


@architecture
def restless(shape, classes):
    """the module gives other scores in training each time | draw random numbers from torch, random or numpy.random"""
    return Restless(shape[0], classes)


@architecture
def dropping(shape, classes):
    """the module gives other scores in evaluation when it sees the same images again | training=self.training"""
    return Dropping(shape[0], classes)


@architecture  # HERE: sharing
def sharing(shape, classes):
    """its layer stem is the same object each time it is built | create it in build, or copy it: copy.deepcopy"""
    return Sharing(3, classes)


@architecture  # HERE: same
def same(shape, classes):
    """its module is the same object each time it is built, so that a fit goes on where another ended"""
    return ONCE


@architecture
def halting(shape, classes):
    """the module cannot take 8 images in training: ValueError: no such branch"""
    return Halting(shape[0], classes)


@architecture
def undefined(shape, classes):
    """the module's scores in training are nan or infinity"""
    return Undefined(shape[0], classes)


@architecture
def overwriting(shape, classes):
    """the module has no gradient: RuntimeError: one of the variables needed"""
    return Overwriting(shape[0], classes)


@architecture  # HERE: crowded
def crowded(shape, classes):
    """the network's output is | x1x1, not one number for each of"""
    return Sequential(Conv(4, 3), ReLU(), Flatten(), Dense(classes + 1))


@architecture
def unready(shape, classes):
    """raised OSError: no such weights"""
    raise OSError("no such weights")  # HERE: unready


@architecture  # HERE: wavering
def wavering(shape, classes):
    """it builds another network each time; only its parameters may decide what it builds"""
    return Sequential(Conv(4 + next(count) % 2, 3), ReLU(), Flatten(), Dense(classes))


@architecture  # HERE: vanished
def vanished(shape, classes):
    """builds nothing (None); is its return missing?"""


@architecture
def remembering_images(shape, classes):
    """gives other scores when it is run again, as it keeps something outside of its buffers; keep | register_buffer"""
    return Remembering(shape[0], classes)


@architecture
def chained(shape, classes):
    """the module has no gradient: RuntimeError: Trying to backward through the graph a second time"""
    return Chained(shape[0], classes)


@architecture
def unregistered(shape, classes):
    """scale needs a gradient and is no parameter, so that no optimizer changes it; make it an nn.Parameter"""
    return Unregistered(shape[0], classes)


@architecture
def rooted(shape, classes):
    """has a gradient of nan or infinity for stem.weight, although its scores are finite; add a small number"""
    return Rooted(shape[0], classes)


@architecture
def spectral(shape, classes):
    """the module's output in training is complex64; return scores that are real numbers"""
    return Spectral(shape[0], classes)


@architecture
def complex_weights(shape, classes):
    """the module has complex parameters (filter), of which only the real part is trained; | torch.view_as_complex"""
    return ComplexWeights(shape[0], classes)


@architecture
def class_cache(shape, classes):
    """the module cannot take 8 images in training: it keeps a tensor of an earlier run | register_buffer"""
    return ClassCache(shape[0], classes)


@architecture  # HERE: one_weight
def one_weight(shape, classes):
    """its parameter stem.weight is the same object each time it is built | create it in build, or copy it"""
    built = Plain(shape[0], classes)
    built.stem.weight = TRUNKS.setdefault(shape, built.stem.weight)
    return built


@architecture  # HERE: without_gradients
def without_gradients(shape, classes):
    """it calls torch.set_grad_enabled for the whole process, and so for all other fits"""
    torch.set_grad_enabled(False)
    return Plain(shape[0], classes)


@hookimpl
def register_architectures():
    return COMPONENTS
