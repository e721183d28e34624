"""Layers that torch has too, compared with its own modules: values and gradients, for two fits at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runner.engines.dropout_masks import DropoutMasks
from runner.engines.torch_engine.build import build_module
from runner.engines.torch_engine.layers import GroupMembers
from runner.network import layers
from runner.network.base import Shape
from runner.network.graph import Multiply, Network, Residual
from runner.network.layers import Conv, ConvTranspose, GlobalAvgPool, ReLU, Sigmoid
from runner.network.parameters import initial_values

torch.set_num_threads(1)  # on tensors this small a second thread costs more than it saves


class ChannelsFirstNorm(nn.LayerNorm):
    """LayerNorm2d as its paper describes it: layer normalisation of channels that are put last for it."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(4, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return images * self.weight


class Excite(nn.Module):
    """Squeeze-and-excitation with convolutions, in the order of Hu et al. 2018, figure 2."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        return images * self.fc2(self.fc1(F.adaptive_avg_pool2d(images, 1)).relu()).sigmoid()


class Attend(nn.Module):
    """A gate with one number per position."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return images * self.conv(images).sigmoid()


WITH_TORCH: list[tuple[Network, nn.Module]] = [
    (layers.SiLU(), nn.SiLU()),
    (layers.ReLU6(), nn.ReLU6()),
    (layers.LeakyReLU(), nn.LeakyReLU()),
    (layers.LeakyReLU(0.3), nn.LeakyReLU(0.3)),
    (layers.ELU(), nn.ELU()),
    (layers.ELU(0.5), nn.ELU(0.5)),
    (layers.Hardsigmoid(), nn.Hardsigmoid()),
    (layers.Hardswish(), nn.Hardswish()),
    (layers.GroupNorm(2), nn.GroupNorm(2, 4)),
    (layers.GroupNorm(1, epsilon=0.1), nn.GroupNorm(1, 4, eps=0.1)),
    (layers.InstanceNorm(), nn.InstanceNorm2d(4)),
    (layers.InstanceNorm(affine=True), nn.InstanceNorm2d(4, affine=True)),
    (layers.LayerNorm2d(), ChannelsFirstNorm(4, eps=1e-6)),
    (layers.LayerScale(), Scale()),
    (Conv(8, 3, 2, padding=1, groups="depthwise"), nn.Conv2d(4, 8, 3, 2, padding=1, groups=4)),
    (ConvTranspose(6, 3), nn.ConvTranspose2d(4, 6, 3)),
    (ConvTranspose(6, (2, 3), 2, padding=1, groups=2, bias=False),
     nn.ConvTranspose2d(4, 6, (2, 3), 2, padding=1, groups=2, bias=False)),
    (ConvTranspose(2, 3, (1, 3), padding=(0, 2), output_padding=(0, 1), dilation=2),
     nn.ConvTranspose2d(4, 2, 3, (1, 3), padding=(0, 2), output_padding=(0, 1), dilation=2)),
    (layers.Upsample(), nn.Upsample(scale_factor=2)),
    (layers.Upsample((2, 3), "bilinear"), nn.Upsample(scale_factor=(2, 3), mode="bilinear")),
    (layers.AdaptiveAvgPool(1), nn.AdaptiveAvgPool2d(1)),
    (layers.AdaptiveAvgPool((4, 3)), nn.AdaptiveAvgPool2d((4, 3))),
    (layers.AdaptiveAvgPool((7, 2)), nn.AdaptiveAvgPool2d((7, 2))),
    (Multiply(GlobalAvgPool(), Conv(2, 1), ReLU(), Conv(4, 1), Sigmoid()), Excite()),
    (Multiply(Conv(1, 3), Sigmoid()), Attend()),
]  # fmt: skip
SHAPE: Shape = (4, 5, 6)


def varied(network: Network, seed: int) -> dict[str, np.ndarray]:
    """Values for every array, in float32, and none of them 0 or 1."""
    rng = np.random.default_rng(seed)
    return {
        name: (array + rng.normal(0, 0.3, array.shape)).astype(np.float32)
        for name, array in initial_values(network, SHAPE, 0).items()
    }


def torch_gradients(module: nn.Module, images: Tensor, upstream: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The output, and the gradients of the images and then of the parameters."""
    leaf = images.clone().requires_grad_()
    module.zero_grad()
    output = module(leaf * 1)
    output.backward(upstream.reshape(output.shape))
    return output.detach(), [leaf.grad, *(p.grad for p in module.parameters())]  # type: ignore[list-item]


@pytest.mark.parametrize(("network", "theirs"), WITH_TORCH, ids=lambda value: repr(value)[:60].replace("\n", " "))
def test_values_and_gradients_are_those_of_torch_s_module(network: Network, theirs: nn.Module) -> None:
    """For each of two fits in one module, which sees their images side by side."""
    theirs, rng = theirs.double(), np.random.default_rng(1)
    # torch's own gradient of it has the precision of float32 (findings/torch_hardsigmoid_gradient_is_float32.sh).
    tolerance = 1e-7 if isinstance(network, layers.Hardsigmoid) else 1e-12
    values = [varied(network, seed) for seed in (0, 1)]
    ours = build_module(network, SHAPE, values, GroupMembers([DropoutMasks(1), DropoutMasks(2)])).double()
    images = torch.from_numpy(rng.normal(0, 3, (3, 2, *SHAPE)))
    size = ours(images.flatten(1, 2)).shape[1] // 2
    upstream = torch.from_numpy(rng.standard_normal((3, 2, size)))
    output, gradients = torch_gradients(ours, images.flatten(1, 2), upstream.flatten(1))
    for fit in (0, 1):
        own = [torch.from_numpy(array).double() for array in values[fit].values()]
        for parameter, value in zip(theirs.parameters(), own, strict=True):
            parameter.data = value.reshape(parameter.shape)
        expected, slopes = torch_gradients(theirs, images[:, fit], upstream[:, fit])
        close(output.view(3, 2, size)[:, fit], expected.flatten(1), 1e-12)
        close(gradients[0].unflatten(1, (2, -1))[:, fit], slopes[0], tolerance)
        for mine, slope in zip(gradients[1:], slopes[1:], strict=True):
            close(mine[fit], slope.reshape(mine[fit].shape), tolerance)


def close(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    scale = float(theirs.abs().max())
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * max(scale, 1))


def run(engine: str, network: Network, images: np.ndarray, masks: DropoutMasks) -> np.ndarray:
    """What the network makes of images (N, C, H, W) in training."""
    shape: Any = images.shape[1:]
    if engine == "torch":
        output = build_module(network, shape, [{}], GroupMembers([masks]))(torch.from_numpy(images))
        return np.asarray(output).reshape(images.shape)
    from runner.engines.numpy_engine.network import build

    chain = build(network, shape, {}, masks, np.float64, np.float64)
    return chain.forward(images.transpose(1, 2, 3, 0), training=True).transpose(3, 0, 1, 2)


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_stochastic_depth_drops_whole_images_of_a_branch_and_scales_the_others(engine: str) -> None:
    images = np.ones((1000, 2, 3, 3))
    network = Residual(layers.StochasticDepth(0.25))
    added = run(engine, network, images, DropoutMasks(1)) - images
    by_image = added.reshape(1000, -1)
    assert (by_image == by_image[:, :1]).all(), "one draw for all values of an image"
    retained = by_image[:, 0] != 0
    np.testing.assert_allclose(by_image[retained], 1 / 0.75, rtol=1e-6)
    assert 0.71 < retained.mean() < 0.79  # 3 deviations
    assert not np.array_equal(added, run(engine, network, images, DropoutMasks(2)) - images)


def test_both_engines_drop_the_same_images() -> None:
    network, images = Residual(layers.StochasticDepth(0.5)), np.ones((50, 1, 2, 2))
    ours, theirs = (run(engine, network, images, DropoutMasks(7)) for engine in ("numpy", "torch"))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("count", [1, 40], ids=["one value", "many values"])
@pytest.mark.parametrize(
    "layer",
    [ReLU(), layers.ReLU6(), layers.LeakyReLU(), layers.ELU(0.5), layers.Hardsigmoid(), layers.Hardswish()],
    ids=lambda layer: layer.type,
)
def test_where_two_pieces_meet_the_gradient_is_that_of_torch(layer: Network, count: int) -> None:
    from runner.engines.numpy_engine.network import build

    for corner in (-3.0, 0.0, 3.0, 6.0):
        images = np.full((1, count, 1, 1), corner)
        chain, leaf = build(layer, (1, 1, 1), {}), torch.from_numpy(images).requires_grad_()
        build_module(layer, (count, 1, 1), [{}])(leaf * 1).sum().backward()  # type: ignore[no-untyped-call]
        chain.forward(images.reshape(1, 1, 1, count), training=True)
        ours = chain.backward(np.ones((1, 1, 1, count)))
        np.testing.assert_allclose(np.ravel(ours), np.ravel(leaf.grad), err_msg=f"at {corner}")  # type: ignore[arg-type]
