"""Figures of gates, depthwise and transposed convolutions, by hand and from papers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from runner.engines.torch_engine.build import build_module
from runner.errors import ShapeError
from runner.network.analysis import analyse
from runner.network.graph import Multiply, Network, Sequential
from runner.network.layers import (
    AdaptiveAvgPool,
    Conv,
    ConvTranspose,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    InstanceNorm,
    LayerNorm2d,
    MaxPool,
    ReLU,
    Sigmoid,
    Upsample,
)
from runner.network.parameters import initial_values

torch.set_num_threads(1)  # on tensors this small a second thread costs more than it saves


def test_a_depthwise_convolution_is_one_with_as_many_groups_as_channels() -> None:
    """Howard et al. 2017, section 3.1: a depthwise filter per channel, of kernel x kernel weights."""
    facts = [
        analyse(Sequential(Conv(8, 3, 2, groups=groups), GlobalAvgPool(), Dense(2)), (8, 6, 6), 2).layers[0]
        for groups in (8, "depthwise")
    ]
    assert [f.detail for f in facts] == ["3×3 /2 g8", "3×3 /2 depthwise"]
    assert dataclasses.replace(facts[1], detail=facts[0].detail) == facts[0]
    assert (facts[1].parameters, facts[1].macs) == (8 * 9 + 8, 9 * 8 * 9)


def test_squeeze_and_excitation_adds_2_c_squared_over_r_weights() -> None:
    """Hu et al. 2018, equation 5, without biases: 2 / r times the sum of C^2 over blocks."""
    gate = Multiply(GlobalAvgPool(), Dense(4, bias=False), ReLU(), Dense(64, bias=False), Sigmoid(), name="se")
    analysis = analyse(Sequential(Conv(64, 1, bias=False), gate, GlobalAvgPool(), Dense(2)), (1, 8, 8), 2)
    own = [f for f in analysis.layers if f.path.startswith("se")]
    assert sum(f.parameters for f in own) == 2 * 64**2 // 16 == sum(f.macs for f in own)
    assert own[-1] == dataclasses.replace(own[-1], path="se", type="multiply", output=(64, 8, 8), activations=64 * 64)


def test_initial_weights_of_a_transposed_convolution_preserve_the_variance() -> None:
    """With stride 2 an output value is a sum over a quarter of a 4x4 kernel, so variance 1 gives 2 before a ReLU."""
    network, shape = ConvTranspose(64, 4, 2, padding=1), (32, 12, 12)
    module = build_module(network, shape, [initial_values(network, shape, 0)])[:-1]  # type: ignore[index]
    with torch.no_grad():
        output = module(torch.from_numpy(np.random.default_rng(0).standard_normal((8, *shape)).astype(np.float32)))
    assert output[:, :, 2:-2, 2:-2].var().item() == pytest.approx(2, rel=0.05)


DOES_NOT_FIT: list[tuple[Network, str]] = [
    (
        Sequential(Conv(4, 1), Multiply(Conv(2, 1), name="se")),
        "multiply se: the layers output 2x4x4 for an input of 4x4x4; a product needs equal sizes, or 1",
    ),
    (Sequential(Multiply(MaxPool(2))), "multiply multiply1: the layers output 1x2x2 for an input of 1x4x4"),
    (Sequential(Conv(4, 1), Conv(6, 3, groups="depthwise")), "layer conv2: the layer has 6 channels, not a multiple"),
    (LayerNorm2d(), "layer layer_norm_2d: of a 1x4x4 input it would normalise single values, which always gives 0"),
    (Sequential(Conv(4, 1), GroupNorm(3)), "layer group_norm1: the input has 4 channels, not a multiple of its 3"),
    (Sequential(GlobalAvgPool(), InstanceNorm()), "layer instance_norm1: of a 1x1x1 input it would normalise single"),
    (Sequential(Flatten(), GroupNorm(16)), "layer group_norm1: of a 16x1x1 input it would normalise single values"),
    (ConvTranspose(4, 3, groups=2), "layer conv_transpose: the input has 1 channel, not a multiple of its 2 groups"),
    (ConvTranspose(1, 1, padding=2), "layer conv_transpose: its padding of 2 leaves nothing of the 4x4 input"),
    (Upsample(20_000), "layer upsample: its output would be 1x80000x80000; allowed: sides of up to 65,536"),
    (AdaptiveAvgPool(10**9), "layer adaptive_avg_pool: its output would be 1x1000000000x1000000000; allowed: sides"),
    (ConvTranspose(1, 1, 10**9), "layer conv_transpose: its output would be 1x3000000001x3000000001; allowed: sides"),
]


@pytest.mark.parametrize(("network", "message"), DOES_NOT_FIT, ids=lambda value: str(value)[:40])
def test_a_layer_that_does_not_fit_is_named(network: Network, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        analyse(network, (1, 4, 4), 3)
