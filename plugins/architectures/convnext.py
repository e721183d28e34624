"""ConvNeXt: Liu et al. 2022, "A ConvNet for the 2020s", table 9 (T); smaller ones: Woo et al. 2023, "ConvNeXt V2".

The sizes atto to nano have the depths and widths of the second paper's appendix, and the blocks of the first, with
layer scale and without global response normalisation, as in timm. The authors' code draws weights with deviation 0.02
(the first paper's table 5 says 0.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from runner.api import (
    GELU,
    Architecture,
    Conv,
    Count,
    Dense,
    Fraction,
    GlobalAvgPool,
    LayerNorm2d,
    LayerScale,
    Network,
    Positive,
    Residual,
    Sequential,
    Shape,
    hookimpl,
)

from .building_blocks import optional_stochastic_depth

SIZES = {
    "atto": (40, (2, 2, 6, 2)),
    "femto": (48, (2, 2, 6, 2)),
    "pico": (64, (2, 2, 6, 2)),
    "nano": (80, (2, 2, 8, 2)),
    "tiny": (96, (3, 3, 9, 3)),
}
"""Channels of the first stage, and number of blocks in each stage."""
DEVIATION = 0.02


def block(channels: int, layer_scale: float, drop: float, name: str) -> Network:
    """A depthwise 7x7 convolution, then two 1x1 convolutions with four times the channels between (figure 4)."""
    return Residual(
        Conv(channels, 7, groups="depthwise", initial=DEVIATION),
        LayerNorm2d(),
        Conv(4 * channels, 1, initial=DEVIATION),
        GELU(),
        Conv(channels, 1, initial=DEVIATION),
        LayerScale(layer_scale),
        *optional_stochastic_depth(drop),
        name=name,
    )


def build(
    input_shape: Shape,
    classes: int,
    *,
    size: Literal["atto", "femto", "pico", "nano", "tiny"] = "atto",
    patch: Count = 4,
    width: Count | None = None,
    layer_scale: Positive = 1e-6,
    stochastic_depth: Fraction = 0.1,
) -> Network:
    """Four stages for 224x224 images, after a convolution of `patch` x `patch` pixels with that stride.

    For images of about 32x32 `patch` 1 or 2 leaves more positions to the stages. `width` is the number of channels of
    the first stage, by default that of `size`; each later stage has twice as many. `layer_scale` is what the residual
    branches are multiplied by at first, and `stochastic_depth` the rate towards which those of the blocks rise from 0.
    """
    channels, counts = SIZES[size]
    channels = width or channels

    def stage(index: int) -> Iterator[Network]:
        filters, before = channels * 2**index, sum(counts[:index])
        if index:
            yield from (LayerNorm2d(), Conv(filters, 2, 2, "valid", initial=DEVIATION))
        for number in range(counts[index]):
            drop = stochastic_depth * (before + number) / (sum(counts) - 1)
            yield block(filters, layer_scale, drop, f"block{number + 1}")

    stem = Conv(channels, patch, patch, "valid", initial=DEVIATION), LayerNorm2d()
    stages = (Sequential(*stage(index), name=f"stage{index + 1}") for index in range(4))
    last = GlobalAvgPool(), LayerNorm2d(), Dense(classes, initial=DEVIATION)
    return Sequential(Sequential(*stem, name="stem"), *stages, *last)


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="convnext", build=build)
