"""Broken optimizers: the docstring of each function is what the line about it has to say.

Parts between " | " all have to be in that line, which names the line of this file with the comment `# HERE: name`.
"""

import numpy as np
import torch
from torch import nn

from runner.api import (
    Optimizer,
    hookimpl,
)

entropy = np.random.default_rng()
COMPONENTS = []


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


class Elsewhere(Rule):
    engine = "jax"


class Raising(Rule):
    def update(self, parameter, gradient, state, step):
        raise ValueError("of the rule")  # HERE: raising


class Climbing(Rule):
    def update(self, parameter, gradient, state, step):  # HERE: climbing
        parameter += 0.1 * gradient


class Fading(Rule):
    def update(self, parameter, gradient, state, step):  # HERE: fading
        parameter *= 0.99


class Falling(Rule):
    def update(self, parameter, gradient, state, step):  # HERE: falling
        parameter -= 0.1


class ByMagnitude(Rule):
    def update(self, parameter, gradient, state, step):  # HERE: by_magnitude
        parameter -= 0.1 * gradient / abs(gradient)


class CountingCalls(Rule):
    calls = 0

    def update(self, parameter, gradient, state, step):  # HERE: counting_calls
        self.calls = 1 if step.number == 1 else self.calls + 1
        parameter -= 0.1 / self.calls * gradient


class Keeping(Rule):
    elementwise = True
    slots = ("last",)

    def update(self, parameter, gradient, state, step):  # HERE: keeping
        parameter -= 0.1 * (gradient + state["last"])
        state["last"] = gradient


class Upwards:
    def build_optimizer(self, parameters):  # HERE: upwards
        return torch.optim.SGD(parameters, lr=0.1, maximize=True)


def optimizer(build):
    COMPONENTS.append(Optimizer(name=build.__name__, build=build))


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


class Scattering(Rule):
    def update(self, parameter, gradient, state, step):  # HERE: scattering
        parameter -= 0.1 * gradient * np.random.uniform(0.5, 1)


@optimizer
def scattering():
    """update draws random numbers, of which fits that are trained together get others than alone | stacking: off"""
    return Scattering()


@optimizer  # HERE: a_class_of_torch
def a_class_of_torch():
    """builds SGD, an optimizer of torch's kind and not an update rule; name it in YAML, optimizer: {name: SGD}, or"""
    return torch.optim.SGD


@optimizer  # HERE: an_optimizer_of_torch
def an_optimizer_of_torch():
    """builds Adam, an optimizer of torch's kind and not an update rule; name it in YAML, optimizer: {name: Adam}, or"""
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
    """update with torch tensors raised TypeError | it works on the numpy engine"""
    return OnArraysOnly()


@optimizer  # HERE: elsewhere
def elsewhere():
    """builds a rule whose engine is 'jax'; allowed: numpy, torch"""
    return Elsewhere()


@optimizer
def raising():
    """update with | raised ValueError: of the rule"""
    return Raising()


@optimizer  # HERE: a_class
def a_class():
    """builds the class Rule; return an instance"""
    return Rule


@optimizer
def climbing():
    """update goes along the gradient, so that the loss rises; subtract, `parameter -= change`"""
    return Climbing()


@optimizer
def fading():
    """update does the same for opposite gradients; use gradient"""
    return Fading()


@optimizer
def falling():
    """update does the same for opposite gradients; use gradient"""
    return Falling()


@optimizer
def by_magnitude():
    """update gives nan or infinity for gradients of 0; add a small number to what it divides by"""
    return ByMagnitude()


@optimizer
def counting_calls():
    """update treats a parameter by what it did with others before it; keep | count with step.number"""
    return CountingCalls()


@optimizer
def keeping():
    """update keeps the gradient itself, whose array the next step overwrites; keep a copy, gradient * 1"""
    return Keeping()


@optimizer
def upwards():
    """update goes along the gradient, so that the loss rises"""
    return Upwards()


@hookimpl
def register_optimizers():
    return COMPONENTS
