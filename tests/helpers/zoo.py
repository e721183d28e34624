"""Builds and analyses the built-in architectures by name, and the image sizes that the tests use."""

from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.network.analysis import analyse

IMAGENET, CIFAR, MNIST = (3, 224, 224), (3, 32, 32), (1, 28, 28)
CLASSES = {IMAGENET: 1000, CIFAR: 10, MNIST: 10, (1, 32, 32): 10, (2, 8, 8): 3}


def build(name, shape=IMAGENET, **parameters):
    catalog = load_catalog()
    ref = catalog.bind("architecture", ComponentRef(name, parameters))
    return catalog.build("architecture", ref, shape, CLASSES.get(shape, 1000))


_analyses = {}


def analyse_architecture(name, shape=IMAGENET, **parameters):
    """Its analysis, made once per process: several tests ask for each."""
    key = repr((name, shape, sorted(parameters.items())))
    if key not in _analyses:
        _analyses[key] = analyse(build(name, shape, **parameters), shape, CLASSES.get(shape, 1000))
    return _analyses[key]


def field_of(*windows):
    """The receptive field by hand, of (kernel, stride) pairs: 1 + sum of (kernel - 1) * the strides before it."""
    field, jump = 1, 1
    for kernel, stride in windows:
        field, jump = field + (kernel - 1) * jump, jump * stride
    return field, field
