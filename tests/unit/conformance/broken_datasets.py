"""Broken data sets: the docstring of each function is what the line about it has to say.

Parts between " | " all have to be in that line, which names the line of this file with the comment `# HERE: name`.
"""

import functools
import time

import numpy as np

from runner.api import (
    Dataset,
    ImageData,
    hookimpl,
)

entropy = np.random.default_rng()
COMPONENTS = []


def images_and_labels(dtype="uint8", size=20, labels=2):
    return np.zeros((size, 1, 8, 8), dtype), np.arange(size) % labels


GOOD = {"shape": (1, 8, 8), "class_names": ("a", "b"), "size": 20, "load": images_and_labels}


def dataset(build):
    COMPONENTS.append(Dataset(name=build.__name__, build=build))


kept = np.zeros((20, 1, 8, 8), "uint8")


def brighter():  # HERE: brightening
    kept[:] += 1
    return kept, np.arange(20) % 2


def shuffled():  # HERE: shuffling
    images, labels = images_and_labels()
    return images, np.random.permutation(labels)


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
    """loading it returned nothing; return images, labels"""
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


@dataset
def shuffling():
    """load gives other images or labels each time; seed its generator"""
    return ImageData(**GOOD | {"load": shuffled})


@dataset
def brightening():
    """load gives other images or labels each time; seed its generator"""
    return ImageData(**GOOD | {"load": brighter})


@dataset  # HERE: grouped
def grouped():
    """groups: found 19 values; expected 20, one per image"""
    return ImageData(**GOOD | {"groups": list(range(19))})


@dataset  # HERE: short_groups
def short_groups():
    """groups: column 'patient': found 19 values; expected 20, one per image"""
    return ImageData(**GOOD | {"groups": {"patient": np.arange(19)}})


def words():
    return ["train"] * 10 + ["held out"] * 10


@dataset  # HERE: parted
def parted():
    """split: found 'held out'; allowed: train, validation"""
    return ImageData(**GOOD | {"split": words})


@dataset  # HERE: gap_in_groups
def gap_in_groups():
    """groups: image 1 has no value; every image needs one"""
    return ImageData(**GOOD | {"groups": lambda: [None] * 20})


@dataset  # HERE: one_name
def one_name():
    """class_names has 'a' twice; expected a different name for each class"""
    return ImageData(**GOOD | {"class_names": ("a", "a")})


@hookimpl
def register_datasets():
    return COMPONENTS
