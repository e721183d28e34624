"""Broken plugins, one component each: the docstring of a function is what the line about it has to say.

Parts between " | " all have to be in that line, which names the line of this file with the comment `# HERE: name`.
"""

import functools
import itertools
import time

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
    ImageData,
    Optimizer,
    ReLU,
    Sequential,
    hookimpl,
)

entropy = np.random.default_rng()
count = itertools.count()
ARCHITECTURES, AUGMENTATIONS, OPTIMIZERS, DATASETS = [], [], [], []


class Net(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.stem, self.head = nn.Conv2d(channels, 4, 3), nn.Linear(4, classes)

    def scores(self, images):
        return self.head(self.stem(images).mean((2, 3)))


class Auxiliary(Net):
    def forward(self, images):  # HERE: auxiliary
        scores = self.scores(images)
        return (scores, scores) if self.training else scores


class Named(Net):
    def forward(self, images):  # HERE: named
        return {"out": self.scores(images)} if self.training else self.scores(images)


class Listing(Net):
    def forward(self, images):  # HERE: listing
        return [self.scores(images)] if self.training else self.scores(images)


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


def architecture(build):
    ARCHITECTURES.append(Architecture(name=build.__name__, build=build))


@architecture
def auxiliary(shape, classes):
    """the module's output in training is tuple | return the scores alone"""
    return Auxiliary(shape[0], classes)


@architecture
def named(shape, classes):
    """the module's output in training is dict | return the scores alone"""
    return Named(shape[0], classes)


@architecture
def listing(shape, classes):
    """the module's output in training is list | return the scores alone"""
    return Listing(shape[0], classes)


@architecture
def doubled(shape, classes):
    """the module's output in training is 8x20 for 8 images of 10 classes | expected one score for each class, 8x10"""
    return Doubled(shape[0], classes)


@architecture
def fewer(shape, classes):
    """the module's output is 9, not one number for each of 10 classes"""
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
    """the network's output is 11x1x1, not one number for each of 10 classes"""
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
    """lacks type; end its function with return"""


class Rule:
    slots = ()

    def update(self, parameter, gradient, state, step):
        parameter -= 0.1 * gradient


class Undeclared(Rule):
    def update(self, parameter, gradient, state, step):
        state["velocity"] *= 0.9  # HERE: undeclared
        parameter -= 0.1 * gradient


class Adding(Rule):
    slots = ("mean",)

    def update(self, parameter, gradient, state, step):  # HERE: adding
        state.setdefault("square", gradient * 0)
        parameter -= 0.1 * gradient


class Assigning(Rule):
    def update(self, parameter, gradient, state, step):  # HERE: assigning
        parameter = parameter - 0.1 * gradient


class Mixing(Rule):
    def update(self, parameter, gradient, state, step):  # HERE: mixing
        parameter -= 0.1 * gradient / ((gradient * gradient).mean() ** 0.5 + 1e-8)


class Joined(Rule):
    elementwise = True

    def update(self, parameter, gradient, state, step):  # HERE: joined
        norm = (gradient * gradient).reshape(len(gradient), -1).sum(1) ** 0.5
        parameter -= 0.1 * gradient / norm.reshape(-1, *[1] * (gradient.ndim - 1))


class Lettered(Rule):
    slots = "velocity"


class Short(Rule):
    def update(self, parameter, gradient, state):  # HERE: short
        parameter -= 0.1 * gradient


class Awaited(Rule):
    async def update(self, parameter, gradient, state, step):  # HERE: awaited
        parameter -= 0.1 * gradient


class Dividing(Rule):
    slots = ("square",)

    def update(self, parameter, gradient, state, step):  # HERE: dividing
        parameter -= gradient / state["square"]


class Remembering(Rule):
    def __init__(self):
        self.seen = {}

    def update(self, parameter, gradient, state, step):  # HERE: remembering
        self.seen[parameter.shape] = self.seen.get(parameter.shape, 0) * 0.9 + gradient
        parameter -= 0.1 * self.seen[parameter.shape]


class Noisy(Rule):
    def update(self, parameter, gradient, state, step):  # HERE: noisy
        parameter -= 0.1 * gradient * float(entropy.uniform())


class Counting(Rule):
    slots = ("number",)

    def update(self, parameter, gradient, state, step):  # HERE: counting
        state["number"] = step.number
        parameter -= 0.1 * gradient


class Hesitant(Rule):
    @property
    def slots(self):
        raise ValueError("not yet")  # HERE: hesitant


class Clipping(Rule):
    clip = -1.0


class OnArraysOnly(Rule):
    def update(self, parameter, gradient, state, step):
        np.subtract(parameter, 0.1 * gradient, out=parameter)  # HERE: on_arrays_only


class OfTorch(Rule):
    engine = "torch"


class Elsewhere(Rule):
    engine = "jax"


class Raising(Rule):
    def update(self, parameter, gradient, state, step):
        raise ValueError("of the rule")  # HERE: raising


def optimizer(build):
    OPTIMIZERS.append(Optimizer(name=build.__name__, build=build))


@optimizer
def undeclared():
    """update uses state['velocity'], which is not declared; write slots = ('velocity',)"""
    return Undeclared()


@optimizer
def adding():
    """update uses state['square'], which is not declared; write slots = ('mean', 'square')"""
    return Adding()


@optimizer
def assigning():
    """update changes nothing; change the array in place, `parameter -= change`"""
    return Assigning()


@optimizer
def mixing():
    """its update mixes fits that are trained together; do not compute across the first axis | stacking: off"""
    return Mixing()


@optimizer
def joined():
    """it claims elementwise = True | leave the attribute out"""
    return Joined()


@optimizer  # HERE: a_class_of_torch
def a_class_of_torch():
    """lacks slots, update; torch's own optimizers are named in YAML, optimizer: {name: SGD}, and need no plugin"""
    return torch.optim.SGD


@optimizer  # HERE: an_optimizer_of_torch
def an_optimizer_of_torch():
    """lacks slots, update; torch's own optimizers are named in YAML, optimizer: {name: Adam}"""
    return torch.optim.Adam([nn.Parameter(torch.zeros(1))])


@optimizer  # HERE: lettered
def lettered():
    """slots is the text 'velocity'; write a tuple, slots = ('velocity',)"""
    return Lettered()


@optimizer
def short():
    """update(parameter, gradient, state) is called as update(parameter, gradient, state, step); write it so"""
    return Short()


@optimizer
def awaited():
    """update is async; write def update(parameter, gradient, state, step)"""
    return Awaited()


@optimizer
def dividing():
    """update gives nan or infinity for finite gradients"""
    return Dividing()


@optimizer
def remembering():
    """update gives other values when the same steps are taken again; keep what it carries in its slots"""
    return Remembering()


@optimizer
def noisy():
    """update gives other values when the same steps are taken again | draw random numbers from numpy.random"""
    return Noisy()


@optimizer
def counting():
    """update makes state['number'] int; expected an array of the parameter's shape | step.number counts the steps"""
    return Counting()


@optimizer  # HERE: clipping
def clipping():
    """clip is -1.0; allowed: a number above 0, or None"""
    return Clipping()


@optimizer
def hesitant():
    """raised ValueError: not yet"""
    return Hesitant()


@optimizer
def on_arrays_only():
    """update raised with torch tensors TypeError | it works on the numpy engine"""
    return OnArraysOnly()


@optimizer  # HERE: of_torch
def of_torch():
    """build_optimizer raised with torch tensors AttributeError: 'OfTorch' object has no attribute 'build_optimizer'"""
    return OfTorch()


@optimizer  # HERE: elsewhere
def elsewhere():
    """engine is 'jax'; allowed: 'numpy', 'torch', or leave it out"""
    return Elsewhere()


@optimizer
def raising():
    """update raised | ValueError: of the rule"""
    return Raising()


@optimizer  # HERE: a_class
def a_class():
    """it builds the class Rule; return an instance, Rule(...)"""
    return Rule


class Still:
    def draw(self, rng, count, shape):
        return {}

    def apply(self, images, draws):
        return images


class Uncounted(Still):
    def draw(self, rng, shape):  # HERE: uncounted
        return {}


class Silent(Still):
    def apply(self, images, draws):  # HERE: silent
        images *= 0.5


class Cropping(Still):
    def apply(self, images, draws):  # HERE: cropping
        return images[:, :, 1:, 1:]


class Widening(Still):
    def draw(self, rng, count, shape):
        return {"factor": rng.uniform(0, 1, (count, 1, 1, 1))}

    def apply(self, images, draws):  # HERE: widening
        return images * draws["factor"]


class Infinite(Still):
    def apply(self, images, draws):  # HERE: infinite
        return images / 0


class Glaring(Still):
    def apply(self, images, draws):  # HERE: glaring
        return images * 1.5


class Normalising(Still):
    def apply(self, images, draws):  # HERE: normalising
        return images - 0.5


class Unsettled(Still):
    def relabel(self, targets, draws):  # HERE: unsettled
        return targets * 0.5


class Unlabelled(Still):
    def relabel(self, targets, draws):  # HERE: unlabelled
        pass


class Drawless(Still):
    def draw(self, rng, count, shape):  # HERE: drawless
        pass


class Unnamed(Still):
    def draw(self, rng, count, shape):  # HERE: unnamed
        return [rng.random(count)]


class Worded(Still):
    def draw(self, rng, count, shape):  # HERE: worded
        return {"mode": "left"}


class Secret(Still):
    def draw(self, rng, count, shape):  # HERE: secret
        return {"factor": entropy.random((count, 1, 1, 1), np.float32)}


class Flickering(Still):
    def apply(self, images, draws):  # HERE: flickering
        return images * float(entropy.uniform())


class Rolling(Still):
    def draw(self, rng, count, shape):
        return {"shift": rng.integers(0, 3, 1)}

    def apply(self, images, draws):  # HERE: rolling
        return np.roll(np.asarray(images), int(draws["shift"][0]), axis=3)


class Failing(Still):
    def apply(self, images, draws):
        return images + draws["missing"]  # HERE: failing


class Pairing(Still):
    def apply(self, images, draws):
        return (images + images[1]) / 2  # HERE: pairing


def augmentation(build):
    AUGMENTATIONS.append(Augmentation(name=build.__name__, build=build))


@augmentation
def uncounted():
    """draw(rng, shape) is called as draw(rng, count, shape); write it so"""
    return Uncounted()


@augmentation
def silent():
    """apply returns nothing; end it with return"""
    return Silent()


@augmentation
def cropping():
    """apply returns the shape (8, | the shape must stay"""
    return Cropping()


@augmentation
def widening():
    """apply returns float64 for float32 | .astype('float32')"""
    return Widening()


@augmentation
def infinite():
    """apply returns nan or infinity for finite numbers"""
    return Infinite()


@augmentation
def glaring():
    """apply returns values from 0 to 1.5; allowed: 0 (black) to 1 (white), such as by .clip(0, 1)"""
    return Glaring()


@augmentation
def normalising():
    """apply returns values from -0.5 to 0.5; allowed: 0 (black) to 1 (white)"""
    return Normalising()


@augmentation
def unsettled():
    """relabel returns targets from 0 that sum to 0.5; allowed: 0 or more, with a sum of 1 for each image"""
    return Unsettled()


@augmentation
def unlabelled():
    """relabel returns nothing; end it with return"""
    return Unlabelled()


@augmentation
def drawless():
    """draw returns nothing; return a dict of arrays by name, {} if there are none"""
    return Drawless()


@augmentation
def unnamed():
    """draw returns list; return a dict of arrays by name"""
    return Unnamed()


@augmentation
def worded():
    """draw gives 'mode' as str; allowed: arrays and numbers"""
    return Worded()


@augmentation
def secret():
    """draw gives other numbers for an equal rng; draw all of them from rng"""
    return Secret()


@augmentation
def flickering():
    """apply gives something else for equal draws; draw its random numbers in draw"""
    return Flickering()


@augmentation
def rolling():
    """apply returns numpy.ndarray for torch tensors; use operators and array_api_compat | numpy engine"""
    return Rolling()


@augmentation
def failing():
    """apply raised | KeyError: 'missing'"""
    return Failing()


@augmentation
def pairing():
    """apply raised | IndexError: index 1 is out of bounds"""
    return Pairing()


@augmentation  # HERE: a_transform_class
def a_transform_class():
    """it builds the class Still; return an instance, Still(...)"""
    return Still


def images_and_labels(dtype="uint8", size=20, labels=2):
    return np.zeros((size, 1, 8, 8), dtype), np.arange(size) % labels


GOOD = {"shape": (1, 8, 8), "class_names": ("a", "b"), "size": 20, "load": images_and_labels}


def dataset(build):
    DATASETS.append(Dataset(name=build.__name__, build=build))


@dataset  # HERE: flat
def flat():
    """shape is (8, 8); expected (channels, height, width) as int, such as (1, 28, 28)"""
    return ImageData(**GOOD | {"shape": (8, 8)})


@dataset  # HERE: lonely
def lonely():
    """class_names is ('a',); expected two names or more"""
    return ImageData(**GOOD | {"class_names": ("a",)})


@dataset  # HERE: sizeless
def sizeless():
    """size is 'twenty'; expected the number of images that load gives"""
    return ImageData(**GOOD | {"size": "twenty"})


@dataset  # HERE: loaded
def loaded():
    """load is tuple; expected the function itself, load=load and not load=load()"""
    return ImageData(**GOOD | {"load": images_and_labels()})


@dataset  # HERE: promised
def promised():
    """test_size is 5 and load_test is missing; expected both or none"""
    return ImageData(**GOOD | {"test_size": 5})


@dataset  # HERE: of_numpy
def of_numpy():
    """size is np.int64(20); expected the number of images that load gives, as int"""
    return ImageData(**GOOD | {"size": np.int64(20)})


@dataset  # HERE: restamped
def restamped():
    """its version differs each time it is built"""
    return ImageData(**GOOD | {"version": str(time.perf_counter())})


def nothing():  # HERE: empty
    pass


@dataset
def empty():
    """it loads nothing; expected a pair, return images, labels"""
    return ImageData(**GOOD | {"load": nothing})


def fractions():  # HERE: fractional
    return images_and_labels("float32")


@dataset
def fractional():
    """images are float32; expected uint8, 0 to 255"""
    return ImageData(**GOOD | {"load": fractions})


@dataset
def more():
    """images have shape (21, 1, 8, 8); expected (20, 1, 8, 8), as announced"""
    return ImageData(**GOOD | {"load": functools.partial(many, 21)})


def many(size):  # HERE: more
    return images_and_labels(size=size)


def beyond():  # HERE: numbered
    return images_and_labels(labels=3)


@dataset
def numbered():
    """labels range from 0 to 2; allowed: 0 to 1"""
    return ImageData(**GOOD | {"load": beyond})


def halves():  # HERE: halved
    images, labels = images_and_labels()
    return images, labels / 2


@dataset
def halved():
    """labels are float64 (20,); expected 20 whole numbers"""
    return ImageData(**GOOD | {"load": halves})


def ragged_images():  # HERE: ragged
    return [np.zeros((1, 8, 8 + n)) for n in range(20)], np.arange(20)


@dataset
def ragged():
    """its images have different shapes; expected one array (N, C, H, W)"""
    return ImageData(**GOOD | {"load": ragged_images})


def missing_key():
    return {}["pixels"]  # HERE: keyless


@dataset
def keyless():
    """loading it raised KeyError: 'pixels'"""
    return ImageData(**GOOD | {"load": missing_key})


def leave():
    raise SystemExit("enough")  # HERE: leaving


@dataset
def leaving():
    """loading it raised SystemExit: enough"""
    return ImageData(**GOOD | {"load": leave})


def other_images():  # HERE: changing
    return entropy.integers(0, 256, (20, 1, 8, 8), np.uint8), np.arange(20) % 2


@dataset
def changing():
    """load gives other images or labels each time; seed its generator"""
    return ImageData(**GOOD | {"load": other_images})


@hookimpl
def register_architectures():
    return ARCHITECTURES


@hookimpl
def register_augmentations():
    return AUGMENTATIONS


@hookimpl
def register_optimizers():
    return OPTIMIZERS


@hookimpl
def register_datasets():
    return DATASETS
