"""The multiply-adds of modules, by hand: the same product costs the same, however its forward writes it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from runner.engines.torch_engine.module_facts import measure
from runner.network.analysis import analyse
from runner.network.graph import Sequential
from runner.network.layers import Conv, Dense, Flatten, MaxPool, ReLU
from runner.network.pointwise import BatchNorm

C, TOKENS, CLASSES = 16, 64, 10
"""Images (C, 8, 8), so 64 positions of 16 channels."""


class Net(nn.Module):
    """Scores from what `describe` makes of an image and of the module's own parts: (N, C)."""

    def __init__(self, describe: Callable[[Net, Tensor], Tensor], **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.describe = describe
        for name, part in parts.items():
            setattr(self, name, part)
        self.head = nn.Linear(C, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.describe(self, images))
        return scores


def tokens(images: Tensor) -> Tensor:
    """(N, C, H, W) as (N, H W, C)."""
    return images.flatten(2).transpose(1, 2)


def macs(net: Net) -> int | None:
    """Without those of the last layer."""
    found = measure(net, (C, 8, 8), CLASSES).macs
    return found and found - C * CLASSES


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(*shape))


PRODUCTS: dict[str, tuple[Callable[[Net, Tensor], Tensor], tuple[int, ...], int]] = {
    "matrix @ vector": (lambda net, x: (net.w @ tokens(x)[0].mean(0))[None], (C, C), C * C),
    "vector @ matrix": (lambda net, x: (tokens(x)[0].mean(0) @ net.w)[None], (C, C), C * C),
    "addmv": (lambda net, x: torch.addmv(net.w[0], net.w, tokens(x)[0].mean(0))[None], (C, C), C * C),
    "F.linear of a vector": (lambda net, x: F.linear(tokens(x)[0].mean(0), net.w)[None], (C, C), C * C),
    "tokens @ vector": (lambda net, x: (tokens(x) @ net.w)[:, :C], (C,), TOKENS * C),
    "einsum of a vector": (lambda net, x: torch.einsum("ntc,c->nt", tokens(x), net.w)[:, :C], (C,), TOKENS * C),
    "F.linear, a vector as its weight": (lambda net, x: F.linear(tokens(x), net.w)[:, :C], (C,), TOKENS * C),
    "dot": (lambda net, x: torch.dot(net.w, tokens(x)[0].mean(0)) * x.mean((2, 3)), (C,), C),
    "vdot": (lambda net, x: torch.vdot(net.w, tokens(x)[0].mean(0)) * x.mean((2, 3)), (C,), C),
    "matmul": (lambda net, x: (tokens(x) @ net.w).mean(1), (C, C), TOKENS * C * C),
    "einsum": (lambda net, x: torch.einsum("ntc,cd->nd", tokens(x), net.w), (C, C), C * C),
    "tensordot": (lambda net, x: torch.tensordot(tokens(x), net.w, dims=([2], [0])).mean(1), (C, C), TOKENS * C * C),
    "addbmm": (
        lambda net, x: torch.addbmm(net.w, x.flatten(2), tokens(x)).mean(0)[None], (C, C), TOKENS * C * C,
    ),
    "baddbmm": (lambda net, x: torch.baddbmm(net.w[None], x.flatten(2), tokens(x)).mean(1), (C, C), TOKENS * C * C),
    "F.bilinear": (lambda net, x: F.bilinear(*[x.mean((2, 3))] * 2, net.w), (C, C, C), C**3),
    "F.bilinear of other sizes": (lambda net, x: F.bilinear(x.mean((2, 3)), x[:, 0, 0], net.w), (C, C, 8), C * C * 8),
    "F.unfold and a product": (
        lambda net, x: (net.w @ F.unfold(x, 3, padding=1)).mean(2), (C, 9 * C), TOKENS * C * 9 * C,
    ),
    "conv_tbc": (
        lambda net, x: torch.conv_tbc(tokens(x).transpose(0, 1), net.w, net.w[0, 0], pad=1).mean(0), (3, C, C),
        TOKENS * C * 3 * C,
    ),
}  # fmt: skip
"""What is made of an image, the shape of the weights, and the multiply-adds."""


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_costs_what_it_costs_by_hand(name: str) -> None:
    describe, shape, expected = PRODUCTS[name]
    assert macs(Net(describe, w=weight(*shape))) == expected


def attention(net: Net, images: Tensor) -> Tensor:
    part, x = net.part, tokens(images)
    return part(x, x, x, need_weights=False)[0].mean(1)  # type: ignore[operator,no-any-return]


PROJECTIONS, ATTENDED, FORWARD = 4 * TOKENS * C * C, 2 * TOKENS * TOKENS * C, 2 * TOKENS * C * 32
PARTS: dict[str, tuple[Callable[[Net, Tensor], Tensor], Callable[[], nn.Module], int]] = {
    "attention": (attention, lambda: nn.MultiheadAttention(C, 2, batch_first=True), PROJECTIONS + ATTENDED),
    "a layer of a transformer": (
        lambda net, x: net.part(tokens(x)).mean(1),  # type: ignore[operator]
        lambda: nn.TransformerEncoderLayer(C, 2, 32, batch_first=True), PROJECTIONS + ATTENDED + FORWARD,
    ),
    "LSTM": (
        lambda net, x: net.part(tokens(x))[0][:, -1],  # type: ignore[operator]
        lambda: nn.LSTM(C, C, batch_first=True), TOKENS * 4 * 2 * C * C,
    ),
    "GRU": (
        lambda net, x: net.part(tokens(x))[0][:, -1],  # type: ignore[operator]
        lambda: nn.GRU(C, C, batch_first=True), TOKENS * 3 * 2 * C * C,
    ),
    "bilinear": (
        lambda net, x: net.part(x.mean((2, 3)), x.mean((2, 3))),  # type: ignore[operator]
        lambda: nn.Bilinear(C, C, C), C**3,
    ),
    "transposed convolution": (
        lambda net, x: net.part(x).mean((2, 3)),  # type: ignore[operator]
        lambda: nn.ConvTranspose2d(C, C, 4, stride=2, padding=1, groups=4), TOKENS * C * C // 4 * 16,
    ),
    "weight normalisation": (
        lambda net, x: net.part(x).mean((2, 3)),  # type: ignore[operator]
        lambda: parametrizations.weight_norm(nn.Conv2d(C, C, 3, padding=1)), TOKENS * C * 9 * C,
    ),
    # Its weights are divided by u W v, which a forward computes: (C, 9 C) times a vector, and two vectors.
    "spectral normalisation": (
        lambda net, x: net.part(x).mean((2, 3)),  # type: ignore[operator]
        lambda: parametrizations.spectral_norm(nn.Conv2d(C, C, 3, padding=1)), TOKENS * C * 9 * C + 9 * C * C + C,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_a_submodule_costs_what_it_costs_by_hand(name: str) -> None:
    describe, make, expected = PARTS[name]
    assert macs(Net(describe, part=make())) == expected


def test_scaled_dot_product_attention_is_counted() -> None:
    """torch's own count on a CPU is zero: https://github.com/pytorch/pytorch/issues/195460."""

    def attended(net: Net, images: Tensor) -> Tensor:
        x = tokens(images).unflatten(2, (2, C // 2)).transpose(1, 2)
        return F.scaled_dot_product_attention(x, x, x).transpose(1, 2).flatten(2).mean(1)

    assert macs(Net(attended)) == ATTENDED


def test_a_module_costs_what_the_same_layers_do() -> None:
    layers = Sequential(
        Conv(8, 3, padding=1), BatchNorm(), ReLU(), MaxPool(2), Conv(4, 3, padding=0), ReLU(), Flatten(), Dense(CLASSES)
    )
    module = nn.Sequential(
        nn.Conv2d(C, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(16, CLASSES),
    )  # fmt: skip
    found, expected = measure(module, (C, 8, 8), CLASSES), analyse(layers, (C, 8, 8), CLASSES)
    for cost in ("parameters", "macs", "activations", "receptive_field"):
        assert getattr(found, cost) == getattr(expected, cost), cost


def test_what_has_no_first_axis_of_images_counts_whole() -> None:
    """A vector, and tokens before images, as in torch's recurrent layers by default."""

    def describe(net: Net, images: Tensor) -> Tensor:
        sequence = net.first(tokens(images).transpose(0, 1))  # type: ignore[operator]
        return net.vector(sequence.mean((0, 1)))[None]  # type: ignore[operator,no-any-return]

    layers = measure(Net(describe, first=nn.Linear(C, 8), vector=nn.Linear(8, C)), (C, 8, 8), CLASSES).layers
    assert [(layer.path, layer.output, layer.macs, layer.activations) for layer in layers] == [
        ("first", (TOKENS, 1, 8), TOKENS * C * 8, TOKENS * 8),
        ("vector", (C, 1, 1), 8 * C, C),
        ("head", (CLASSES, 1, 1), C * CLASSES, CLASSES),
    ]
