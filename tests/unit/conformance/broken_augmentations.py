"""Broken augmentations: the docstring of each function is what the line about it has to say.

Parts between " | " all have to be in that line, which names the line of this file with the comment `# HERE: name`.
"""

import numpy as np

from runner.api import (
    Augmentation,
    hookimpl,
)

entropy = np.random.default_rng()
COMPONENTS = []


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
    COMPONENTS.append(Augmentation(name=build.__name__, build=build))


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
    """apply returns numpy.ndarray for torch tensors; use operators and array_api | it works on the numpy engine"""
    return Rolling()


@augmentation
def failing():
    """apply with | raised KeyError: 'missing'"""
    return Failing()


@augmentation
def pairing():
    """apply with | raised IndexError: index 1 is out of bounds"""
    return Pairing()


class Relabling(Still):
    def relable(self, targets, draws):  # HERE: relabling
        return targets


@augmentation
def relabling():
    """it has 'relable', which nothing uses; did you mean 'relabel'?"""
    return Relabling()


class Drawing:
    def draws(self, rng, count, shape):
        return {}

    def apply(self, images, draws):
        return images


@augmentation  # HERE: drawing
def drawing():
    """builds Drawing, which lacks draw; 'draws' may be meant for 'draw'"""
    return Drawing()


@augmentation  # HERE: a_transform_class
def a_transform_class():
    """builds the class Still; return an instance"""
    return Still


@hookimpl
def register_augmentations():
    return COMPONENTS
