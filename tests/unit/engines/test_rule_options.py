"""Multipliers, Lookahead and SAM against a loop written by hand in torch, on both engines and around torch's rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from engine_fits import LEARNERS, MIXED, built_fit, each_engine, train_curves
from torch import Tensor, nn

from runner.components.records import ComponentRef
from runner.components.rule_options import KINDS, Factors
from runner.engines.base import BuiltFit
from runner.engines.torch_engine.learner import TorchLearner
from runner.engines.torch_engine.parameter_kinds import kinds_of_parameters
from runner.engines.training_loop import channel_statistics
from runner.network import layers
from runner.network.base import Layer
from runner.network.graph import Sequential
from runner.network.layers import BatchNorm, Conv, Dense, Dropout, Flatten, MaxPool, ReLU
from runner.network.parameters import initial_values
from runner.seeding import stream

NETWORK = Sequential(Conv(4, 3), BatchNorm(), ReLU(), MaxPool(2), Flatten(), Dense(3))
MULTIPLIERS = {"bias": {"lr": 2, "weight_decay": 0}, "conv": {"lr": 0.5, "weight_decay": 3}, "norm": {"lr": 0.25}}
FACTORS = {  # of each parameter by hand: the product over its kinds
    "0.weight": (0.5, 3), "0.bias": (1.0, 0), "1.weight": (0.25, 1), "1.bias": (0.5, 0),
    "5.weight": (1, 1), "5.bias": (2, 0),
}  # fmt: skip

Groups = list[dict[str, Any]]
Make = Callable[[Groups], torch.optim.Optimizer]


def small_fit(optimizer: ComponentRef, network: Any = NETWORK) -> BuiltFit:
    return built_fit("none", 2, "float64", optimizer, network)


def by_hand(make: Make, rho: float = 0.0, lookahead: tuple[int, float] | None = None, **scaled: float) -> list[float]:
    """The training losses of `small_fit` in torch alone; `scaled` has the settings that the factors multiply."""
    fit = small_fit(ComponentRef("adam"))
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3)
    ).double()
    initial = initial_values(NETWORK, (2, 8, 8), 3, 0, 1)
    names = [name for name in module.state_dict() if "num_batches" not in name]
    values = dict(zip(names, map(torch.from_numpy, initial.values()), strict=True))
    module.load_state_dict(values, strict=False)
    mean, deviation = (v[:, None, None] for v in channel_statistics(fit.images, fit.spec.train))
    images = torch.from_numpy((fit.images / 255 - mean) / deviation)
    labels = torch.from_numpy(fit.labels)
    groups: Groups = [
        {"params": [parameter], **{key: value * factor for (key, value), factor in zip(scaled.items(), FACTORS[name])}}  # noqa: B905
        for name, parameter in module.named_parameters()
    ]
    optimizer, parameters = make(groups), list(module.parameters())
    slow = [parameter.detach().clone() for parameter in parameters]
    losses, number = [], 0
    for epoch in range(2):
        total = 0.0
        for batch in torch.from_numpy(stream("order", 3, 0, 1, epoch).permutation(40)).split(16):
            number += 1
            loss = backward(module, optimizer, images[batch], labels[batch])
            if rho:
                second_gradient(module, optimizer, images[batch], labels[batch], rho)
            optimizer.step()
            if lookahead and number % lookahead[0] == 0:
                with torch.no_grad():
                    for fast, own in zip(parameters, slow, strict=True):
                        own += lookahead[1] * (fast - own)
                        fast.copy_(own)
            total += loss * len(batch)
        losses.append(total / 40)
    return losses


def backward(module: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> float:
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(module(images), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item()


def second_gradient(
    module: nn.Sequential, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor, rho: float
) -> None:
    """Foret et al. 2021, algorithm 1: the gradient at w + rho * g / |g|; then back at w."""
    parameters = list(module.parameters())
    norm = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).norm()
    before = [p.detach().clone() for p in parameters]
    with torch.no_grad():
        for p in parameters:
            assert p.grad is not None
            p.add_(rho * p.grad / norm)
    with still_statistics(module):
        backward(module, optimizer, images, labels)
    with torch.no_grad():
        for p, value in zip(parameters, before, strict=True):
            p.copy_(value)


@contextmanager
def still_statistics(module: nn.Sequential) -> Iterator[None]:
    """The usual advice for SAM: batch normalisation does not move its running statistics in the second pass."""
    norm: Any = module[1]
    norm.momentum = 0.0
    yield
    norm.momentum = 0.1


AROUND: dict[str, Any] = {"multipliers": MULTIPLIERS, "sam": {"rho": 0.3}, "lookahead": {"k": 4, "alpha": 0.3}}
HAND = {"rho": 0.3, "lookahead": (4, 0.3)}
SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05}
CASES: dict[str, tuple[dict[str, Any], Make, dict[str, Any]]] = {
    "sgd": (
        {"name": "sgd", **SGD, "decay_all": True, "multipliers": MULTIPLIERS},
        lambda groups: torch.optim.SGD(groups, momentum=0.9),
        {"lr": 0.1, "weight_decay": 0.05},
    ),
    "adamw with all": (
        {"name": "adamw", "lr": 0.02, "weight_decay": 0.1, "decay_all": True, **AROUND},
        lambda groups: torch.optim.AdamW(groups),
        {"lr": 0.02, "weight_decay": 0.1, **HAND},
    ),
    "sgd with sam": (
        {"name": "sgd", "lr": 0.1, "momentum": 0.9, "sam": {"rho": 0.3}},
        lambda groups: torch.optim.SGD([p for g in groups for p in g["params"]], lr=0.1, momentum=0.9),
        {"rho": 0.3},
    ),
    "sgd with lookahead": (
        {"name": "sgd", "lr": 0.1, "momentum": 0.9, "lookahead": {"k": 2}},
        lambda groups: torch.optim.SGD([p for g in groups for p in g["params"]], lr=0.1, momentum=0.9),
        {"lookahead": (2, 0.5)},
    ),
}


def parse(optimizer: dict[str, Any]) -> ComponentRef:
    return ComponentRef.from_dict(optimizer)


@each_engine
@pytest.mark.parametrize("case", CASES)
def test_training_is_that_of_a_loop_written_by_hand(case: str, engine: str) -> None:
    optimizer, make, given = CASES[case]
    losses = train_curves(small_fit(parse(optimizer)), engine)["train_loss"]
    assert losses == pytest.approx(by_hand(make, **given), rel=1e-9)
    assert (
        losses[1]
        != train_curves(small_fit(parse({k: v for k, v in optimizer.items() if k not in AROUND})), engine)[
            "train_loss"
        ][1]
    )


@pytest.mark.parametrize("more", [{}, AROUND], ids=["plain", "all"])
def test_torchs_own_are_wrapped_in_the_same_way(more: dict[str, Any]) -> None:
    optimizer = {"name": "NAdam", "lr": 0.02, "weight_decay": 0.1, **more}
    losses = train_curves(small_fit(parse(optimizer)))["train_loss"]
    given = {"lr": 0.02, "weight_decay": 0.1}
    if more:
        expected = by_hand(lambda groups: torch.optim.NAdam(groups), **given, **HAND)
    else:
        expected = by_hand(lambda groups: torch.optim.NAdam([p for g in groups for p in g["params"]], **given))
    assert losses == pytest.approx(expected, rel=1e-9)


def test_what_is_exempt_from_decay_stays_so() -> None:
    """Caffe's layer, lr_mult 2 and decay_mult 0 for biases, needs no `decay_all`; with it, decay is multiplied."""

    def losses(**more: Any) -> list[float]:
        return train_curves(small_fit(parse({"name": "sgd", **SGD, **more})))["train_loss"]

    twice = {"bias": {"lr": 2}}
    spared = losses(multipliers={"bias": {"lr": 2, "weight_decay": 0}})
    assert spared == losses(multipliers=twice) != losses(multipliers=twice, decay_all=True)
    both = {"bias": {"lr": 2, "weight_decay": 0}, "norm": {"weight_decay": 0}}
    assert losses(multipliers=both, decay_all=True) == pytest.approx(spared, rel=1e-12)


@each_engine
def test_a_frozen_kind_stays_where_it_is(engine: str) -> None:
    frozen = {"conv": {"lr": 0}, "norm": {"lr": 0}}
    fit = small_fit(parse({"name": "sgd", "lr": 0.1, "momentum": 0.9, "multipliers": frozen}))
    learner = LEARNERS[engine]([fit])
    before = learner.learned(0).arrays
    learner.step([np.arange(16)], [[{}]])
    after = learner.learned(0).arrays
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert {name.rpartition(".")[0] for name in moved if "running" not in name} == {"dense1"}
    assert len([name for name in moved if "running" not in name]) == 2


@each_engine
def test_both_gradients_of_a_step_see_the_same_and_statistics_move_once(engine: str) -> None:
    """With rho near 0 both gradients are equal, and so is the training, with dropout and batch normalisation."""
    network = Sequential(Conv(4, 3), BatchNorm(), ReLU(), Dropout(0.5), Flatten(), Dropout(0.5), Dense(3))
    plain = small_fit(parse({"name": "sgd", "lr": 0.1}), network)
    with_sam = small_fit(parse({"name": "sgd", "lr": 0.1, "sam": {"rho": 1e-12}}), network)
    for name, curve in train_curves(plain, engine).items():
        assert train_curves(with_sam, engine)[name] == pytest.approx(curve, rel=1e-8), name


class Own(nn.Sequential):
    """It draws from torch's generator, and counts its passes in a buffer."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(2, 4, 3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 3))
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.passes += 1
        return super().forward(images)  # type: ignore[no-any-return]


def test_a_module_of_a_plugin_sees_the_same_in_both_passes() -> None:
    curves, passes = [], []
    for sam in (None, {"rho": 1e-12}):
        torch.manual_seed(0)
        fit = small_fit(parse({"name": "sgd", "lr": 0.1, "sam": sam}), Own())
        curves.append(train_curves(fit)["train_loss"])
        passes.append(int(fit.network.passes))
    assert curves[1] == pytest.approx(curves[0], rel=1e-8) and passes == [6, 6]


def test_flat_arrays_and_single_ones_give_the_same_steps() -> None:
    fit = small_fit(parse({"name": "adam", "multipliers": MULTIPLIERS, "decay_all": True, "lookahead": {"k": 2}}))
    single = dataclasses.replace(fit, rule=dataclasses.replace(fit.rule, clip=1e9))  # type: ignore[type-var]
    assert TorchLearner([fit]).flat and not TorchLearner([single]).flat
    assert train_curves(fit)["train_loss"] == pytest.approx(train_curves(single)["train_loss"], rel=1e-12)


def test_each_layer_with_parameters_has_a_kind() -> None:
    """Otherwise no multiplier but that of biases would reach it: a new layer needs a `family`.

    The factors of a layer scale are neither weights of a layer nor a normalisation, and so of no kind.
    """
    classes = [value for value in vars(layers).values() if isinstance(value, type) and issubclass(value, Layer)]
    families = {kind.type: kind.family for kind in classes if kind is not Layer and "parameters" in vars(kind)}
    assert families.items() >= {"conv": "conv", "dense": "dense", "batch_norm": "norm"}.items()
    assert {name for name, family in families.items() if family not in KINDS} == {"layer_scale"}


def test_the_kinds_in_a_module_of_a_plugin() -> None:
    module = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 3, 3)), nn.ConvTranspose2d(3, 3, 2), nn.GroupNorm(3, 3),
        nn.LayerNorm(4), nn.MultiheadAttention(4, 2), nn.PReLU(), nn.Linear(4, 3, bias=False),
    )  # fmt: skip
    names = [name for name, _ in module.named_parameters()]
    kinds = dict(zip(names, kinds_of_parameters(module, module, (2, 8, 8)), strict=True))
    assert kinds["0.parametrizations.weight.original1"] == ("conv",) and kinds["0.bias"] == ("conv", "bias")
    assert kinds["1.bias"] == ("conv", "bias") and kinds["2.weight"] == ("norm",)
    assert kinds["3.bias"] == ("norm", "bias")
    assert kinds["4.in_proj_bias"] == ("bias",) and kinds["4.out_proj.weight"] == ("dense",) and kinds["5.weight"] == ()
    assert kinds["6.weight"] == ("dense",)


def test_the_factors_of_a_parameter_are_products() -> None:
    options = small_fit(parse({"name": "adam", "multipliers": MULTIPLIERS, "decay_all": True})).options
    assert options.factors(["conv", "bias"]) == Factors(1.0, 0.0) and options.factors([]) == Factors(1.0, 1.0)


def test_a_network_with_branches_trains_with_all_on_both_engines() -> None:
    optimizer = parse({"name": "adam", "lr": 0.01, "decay_all": True, "weight_decay": 0.1, **AROUND})
    fit = small_fit(optimizer, MIXED)
    for name, curve in train_curves(fit, "numpy").items():
        assert train_curves(fit, "torch")[name] == pytest.approx(curve, rel=1e-8), name
