"""Broken augmentations: the docstring of each function is what the line about it has to say.

Parts between " | " all have to be in that line, which names the line of this file with the comment `# HERE: name`.
"""

import os
import random

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


class Reseeding(Still):
    def draw(self, rng, count, shape):  # HERE: reseeding
        return {"factor": np.random.default_rng(7).random((count, 1, 1, 1), np.float32)}

    def apply(self, images, draws):
        return images * draws["factor"]


class Caching(Reseeding):
    def __init__(self):
        self.drawn = {}

    def draw(self, rng, count, shape):  # HERE: caching
        if count not in self.drawn:
            self.drawn[count] = rng.random((count, 1, 1, 1), np.float32)
        return {"factor": self.drawn[count]}


class Global(Reseeding):
    def draw(self, rng, count, shape):  # HERE: of_the_process
        return {"factor": np.random.rand(count, 1, 1, 1).astype("float32")}


class Wheel(Reseeding):
    def draw(self, rng, count, shape):  # HERE: of_python
        return {"factor": random.random()}


class LateGlobal(Still):
    def apply(self, images, draws):  # HERE: of_the_process_late
        return images * float(np.random.rand())


class Trailing(Still):
    last = None

    def apply(self, images, draws):  # HERE: trailing
        before, self.last = self.last, images
        return images if before is None or before.shape != images.shape else (images + before) / 2


class Alternating(Reseeding):
    turn = 0

    def draw(self, rng, count, shape):  # HERE: alternating
        self.turn += 1
        return {"factor": self.turn % 2}


class Darkening(Still):
    def apply(self, images, draws):  # HERE: darkening
        return images / 255


class OfObjects(Still):
    def draw(self, rng, count, shape):  # HERE: of_objects
        return {"words": np.array(["left"] * count)}


class LongNumbers(Still):
    def draw(self, rng, count, shape):  # HERE: long_numbers
        return {"factor": rng.random(count).astype(np.longdouble)}


class Moving(Still):
    def draw(self, rng, count, shape):
        os.chdir(os.sep)
        return {}


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


@augmentation
def reseeding():
    """draw gives the same factor for every rng, so that every batch is changed alike; draw it from rng"""
    return Reseeding()


@augmentation
def caching():
    """draw gives the same factor for every rng, so that every batch is changed alike; draw it from rng"""
    return Caching()


@augmentation
def of_the_process():
    """draw gives other numbers for an equal rng; draw all of them from rng, which each fit has of its own"""
    return Global()


@augmentation
def of_python():
    """draw gives other numbers for an equal rng; draw all of them from rng, which each fit has of its own"""
    return Wheel()


@augmentation
def of_the_process_late():
    """apply gives something else for equal draws; draw its random numbers in draw"""
    return LateGlobal()


@augmentation
def trailing():
    """apply gives something else for equal draws | keep nothing of another batch"""
    return Trailing()


@augmentation
def alternating():
    """draw gives other numbers for an equal rng"""
    return Alternating()


@augmentation
def darkening():
    """apply returns values from 0 to 0.00392, of images from 0 to 1; images have been divided by 255 already"""
    return Darkening()


@augmentation
def of_objects():
    """draw gives 'words' as an array of <U4; allowed: arrays and numbers"""
    return OfObjects()


@augmentation
def long_numbers():
    """draw gives 'factor' as an array of float128; allowed: arrays and numbers"""
    return LongNumbers()


@augmentation  # HERE: moving
def moving():
    """it calls os.chdir for the whole process, and so for all other fits"""
    return Moving()


@hookimpl
def register_augmentations():
    return COMPONENTS
