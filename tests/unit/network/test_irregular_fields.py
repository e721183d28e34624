"""Receptive fields of layers that enlarge, resample, gate, or use statistics of all positions, by experiment."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command import Command

from runner.engines.torch_engine.build import build_module
from runner.network import analysis
from runner.network.base import Pair, Shape
from runner.network.graph import Concat, Multiply, Network, Residual, Sequential, walk
from runner.network.layers import (
    AdaptiveAvgPool,
    AvgPool,
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
    StochasticDepth,
    Upsample,
)
from runner.network.parameters import initial_values
from runner.network.receptive_field import image_field

torch.set_num_threads(1)  # on tensors this small a second thread costs more than it saves


def valid(kernel: int, stride: int = 1, filters: int = 2) -> Conv:
    return Conv(filters, kernel, stride, padding="valid")


SE = Multiply(GlobalAvgPool(), Conv(2, 1), Sigmoid(), name="se")
NETWORKS: list[Network] = [
    Upsample(2),
    Sequential(valid(3), Upsample(3), valid(2)),
    Sequential(AvgPool(2), Upsample((2, 3), "bilinear"), AvgPool(2)),
    Sequential(Upsample(2, "bilinear"), Upsample(2, "bilinear"), Conv(1, 3, 4, padding=1)),
    ConvTranspose(2, 3),
    ConvTranspose(2, 2, 2),
    Sequential(valid(3, 2), ConvTranspose(2, 4, 2, padding=1), valid(3)),
    Sequential(ConvTranspose(2, 3, 2, padding=1, output_padding=1), ConvTranspose(1, 2, dilation=3)),
    # Of a dilated kernel, neighbouring positions see other inputs, and the outer ones of three not always the most.
    Sequential(ConvTranspose(2, 3, 2, padding=1, dilation=3), AvgPool(3, 2)),
    Sequential(ConvTranspose(2, 3, 2, dilation=3), Conv(1, 2, dilation=2)),
    Sequential(ConvTranspose(2, 3, 2, padding=1, dilation=3), InstanceNorm()),
    Sequential(Conv(2, 3, 2, padding=1), ConvTranspose(2, 3, (3, 2), padding=(0, 2)), AvgPool(3, 2)),
    Sequential(Upsample(2), Conv(1, 3, 2, dilation=2), Conv(1, 2, dilation=3)),
    Sequential(Upsample(2, "bilinear"), Conv(1, (4, 2), 3, padding=5, dilation=(3, 4))),
    AdaptiveAvgPool(4),
    AdaptiveAvgPool((5, 3)),
    Sequential(valid(3), AdaptiveAvgPool(5), valid(2, 2)),
    Sequential(AvgPool(2), AdaptiveAvgPool(9)),  # more positions than there are
    Residual(Sequential(AvgPool(2), Upsample(2)), Conv(2, 1)),
    Concat(Conv(1, 3, padding="same"), Sequential(AvgPool(3), Upsample(3, "bilinear")), AdaptiveAvgPool(12)),
    SE,
    Sequential(valid(3), SE, valid(3)),
    Sequential(valid(2, 2), Multiply(AvgPool((1, 6)), Conv(1, 1), Sigmoid()), valid(2)),
    Sequential(Multiply(Conv(1, 5), Sigmoid()), AvgPool(2)),
    Sequential(Upsample(2), Multiply(Conv(1, 3), Sigmoid()), SE),
    Sequential(valid(3), GroupNorm(1), valid(2)),
    Sequential(AvgPool(3), InstanceNorm(), Upsample(2)),
    Sequential(valid(2), LayerNorm2d(), StochasticDepth(0.5), ReLU(), valid(3)),
]
SHAPE: Shape = (2, 12, 12)


def analysed(network: Network, axis: int) -> list[Pair]:
    """For each row (axis 0) or column (axis 1) of the output the first and the last of the image that it depends on.

    Without those beyond the image, where there are pixels of padding alone.
    """
    image, tally = image_field(*SHAPE[1:]), analysis._Tally(SHAPE, strict=False)
    signal = walk(network, analysis._Signal(SHAPE, image, image), tally.visit, tally.merge)
    assert signal.field is not None
    ends = [signal.field[axis].interval(position) for position in range(signal.shape[1 + axis])]
    return [(max(first, 0), min(last, SHAPE[1 + axis] - 1)) for first, last in ends]


def measured(network: Network, axis: int) -> list[Pair | None]:
    """The same by experiment: each row or column of a random image is changed, one at a time."""
    rng, length = np.random.default_rng(0), SHAPE[1 + axis]
    values = {
        name: rng.uniform(0.2, 1, array.shape).astype(np.float32)
        for name, array in initial_values(network, SHAPE, 0).items()
    }
    module = build_module(network, SHAPE, [values]).double().eval()[:-1]  # type: ignore[index]  # without flattening
    images = np.repeat(rng.uniform(0.5, 1, (1, *SHAPE)), length + 1, 0)
    for line in range(length):
        images[(line + 1, slice(None), line) if axis == 0 else (line + 1, slice(None), slice(None), line)] += 1
    with torch.no_grad():
        output = module(torch.from_numpy(images))
    changed = ((output[1:] - output[0]).abs().amax((1, 3 - axis)) > 1e-9).numpy()
    lines = [np.flatnonzero(changed[:, position]) for position in range(changed.shape[1])]
    return [(int(found[0]), int(found[-1])) if len(found) else None for found in lines]


@pytest.mark.parametrize("axis", [0, 1], ids=["rows", "columns"])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: repr(network)[:70])
def test_fields_are_what_changes_the_output(network: Network, axis: int) -> None:
    fields, found = analysed(network, axis), measured(network, axis)
    assert [field for field, lit in zip(fields, found, strict=True) if lit] == [lit for lit in found if lit]


def test_positions_that_no_input_reaches_are_those_between_the_kernels() -> None:
    """With a stride of 3 and a kernel of 1, two of three outputs are the bias; they count as the input before them."""
    network = ConvTranspose(2, 1, 3)
    assert measured(network, 0)[:4] == [(0, 0), None, None, (1, 1)]
    assert analysed(network, 0)[:4] == [(0, 0), (0, 0), (0, 0), (1, 1)]


def facts(*layers: Network, shape: Shape = (1, 16, 16)) -> analysis.Analysis:
    return analysis.analyse(Sequential(*layers, Flatten(), Dense(2)), shape, 2)


@pytest.mark.parametrize(
    ("layers", "size", "jump", "centre"),
    [
        ([Upsample(2)], 1, 0.5, 0),
        ([MaxPool(4), Upsample(2)], 4, 2, 1.5),
        ([MaxPool(2), Upsample(2), Conv(1, 3)], 4, 1, 0.5),  # the middle position sees two of the pooled ones
        ([Conv(1, 3, 2, padding=1), ConvTranspose(1, 2, 2)], 3, 1, 0),
        ([AdaptiveAvgPool(4)], 4, 4, 1.5),
        ([AdaptiveAvgPool(5)], 4, 3.2, 1.5),
        ([Conv(1, 3, padding="valid"), AdaptiveAvgPool(7)], 4, 2, 1.5),
    ],
)
def test_size_jump_and_centre(layers: list[Network], size: int, jump: float, centre: float) -> None:
    found = facts(*layers).layers[-3]
    assert (found.receptive_field, found.jump, found.centre) == ((size, size), (jump, jump), (centre, centre))


@pytest.mark.parametrize(
    "scale",
    [
        Multiply(GlobalAvgPool(), Dense(1), Sigmoid()),
        GroupNorm(1),
        InstanceNorm(),
        Sequential(GroupNorm(1), Multiply(AdaptiveAvgPool(1), Sigmoid())),
    ],
    ids=lambda value: value.type,
)
def test_the_field_of_a_network_goes_on_behind_gates_and_statistics(scale: Network) -> None:
    """As papers count it; each layer's own field is what an experiment finds, the whole image and more."""
    plain = facts(Conv(1, 3), ReLU(), Conv(1, 3, 2), Conv(1, 3))
    scaled = facts(Conv(1, 3), scale, Conv(1, 3, 2), scale, Conv(1, 3))
    assert plain.receptive_field == scaled.receptive_field == (9, 9)
    assert [f.beyond_image for f in scaled.layers if f.type == "conv"] == [False] * 3
    last = scaled.layers[-3]
    assert last.type == "conv" and last.receptive_field > (16, 16) and last.jump == (2, 2)


def test_layers_within_a_gate_are_not_marked_as_seeing_too_much() -> None:
    gate = Multiply(GlobalAvgPool(), Conv(1, 1), Sigmoid(), name="se")
    found = facts(*[Conv(1, 3)] * 3, gate, Conv(1, 3), shape=(1, 6, 6)).layers
    assert [f.path for f in found if f.beyond_image] == ["conv4"], "whose input sees 7x7"


def test_a_gate_with_a_window_counts_in_the_field_of_the_network() -> None:
    assert facts(Multiply(Conv(1, 7), Sigmoid()), Conv(1, 3)).receptive_field == (9, 9)


def test_a_concatenation_with_a_mixed_branch_still_ends_the_field_of_the_network() -> None:
    pooled = Sequential(GlobalAvgPool(), Upsample(16))
    assert facts(Conv(1, 3), Concat(pooled, Conv(1, 5)), Conv(1, 3)).receptive_field == (7, 7)


def test_describe_prints_fractions_of_pixels(here: Command, tmp_path: Path) -> None:
    plugin = """
from runner.api import *

def enlarged(input_shape, classes):
    return Sequential(Upsample(2), Conv(2, 3, groups="depthwise"), AdaptiveAvgPool((4, 2)), Flatten(), Dense(classes))

@hookimpl
def register_architectures():
    yield Architecture(name="enlarged", build=enlarged)
"""
    (tmp_path / "p.py").write_text(plugin)
    done = here("describe", "enlarged", "--plugin", "p.py", "--input", "1x8x8")
    assert done.returncode == 0, done.stderr
    for words in ("upsample ×2×2 nearest", "0.5×0.5", "conv 3×3 depthwise", "adaptive_avg_pool to 4×2", "2×4"):
        assert words in done.stdout
    done = here("describe", "enlarged", "--plugin", "p.py", "--input", "1x8x8", "--json")
    assert [layer["jump"] for layer in json.loads(done.stdout)["layers"]][:3] == [[0.5, 0.5], [0.5, 0.5], [2, 4]]
