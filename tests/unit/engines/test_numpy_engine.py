"""The NumPy engine's layers and networks, compared with torch and with central differences, all in float64."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from networks import networks

from runner.engines.dropout_masks import DropoutMasks
from runner.engines.numpy_engine.engine import cross_entropy
from runner.engines.numpy_engine.network import build
from runner.engines.torch_engine.build import build_module
from runner.engines.torch_engine.layers import GroupMembers
from runner.network.graph import Concat, Multiply, Residual, Sequential
from runner.network.layers import (
    ELU,
    GELU,
    AdaptiveAvgPool,
    AvgPool,
    BatchNorm,
    Conv,
    ConvTranspose,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GlobalMaxPool,
    GroupNorm,
    Hardsigmoid,
    Hardswish,
    InstanceNorm,
    LayerNorm2d,
    LayerScale,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool,
    PadChannels,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    StochasticDepth,
    Tanh,
    Upsample,
)
from runner.network.parameters import initial_values

torch.set_num_threads(1)  # on tensors this small a second thread costs more than it saves

IMAGES = 3
BODY = (Conv(4, 3, bias=False), BatchNorm(), ReLU())
CASES = [
    (Conv(3, 3), (2, 5, 6)),
    (Conv(3, 3, bias=False), (2, 5, 6)),
    (Conv(2, 1), (3, 4, 4)),
    (Conv(2, (3, 2)), (2, 5, 4)),
    (Conv(2, (2, 4), padding="valid"), (2, 5, 6)),
    (Conv(2, 3, stride=2), (1, 7, 6)),
    (Conv(2, 2, stride=3, padding="valid"), (2, 7, 7)),  # rows between the windows and behind them
    (Conv(2, 3, stride=(1, 3), padding=(2, 1)), (2, 4, 8)),
    (Conv(2, 3, padding="valid", dilation=2), (2, 7, 6)),
    (Conv(2, (2, 3), stride=2, padding=3, dilation=(3, 2)), (1, 6, 6)),
    (Conv(2, 2, dilation=3), (2, 5, 5)),
    (Conv(4, 3, groups=2), (6, 4, 4)),
    (Conv(4, (1, 3), stride=2, dilation=2, groups=4), (4, 5, 7)),
    (Conv(6, 3, groups=3, bias=False), (3, 4, 4)),  # depthwise, two filters per channel
    (Conv(4, 3, stride=2, groups="depthwise"), (4, 5, 4)),
    (Conv(2, 3, dilation=2), (8, 5, 5)),  # windows with long rows
    (Conv(2, (2, 3), stride=(2, 1), groups=2), (16, 4, 5)),
    (Conv(2, 3, padding_mode="reflect"), (2, 4, 5)),
    (Conv(2, 4, padding_mode="reflect"), (1, 4, 4)),
    (Conv(2, (3, 5), stride=2, padding=(1, 3), padding_mode="reflect", dilation=(2, 1)), (2, 6, 5)),
    (Conv(2, 3, padding_mode="replicate"), (2, 4, 5)),
    (Conv(2, (4, 2), padding=(3, 2), padding_mode="replicate", groups=2), (2, 3, 4)),
    (Conv(2, 3, stride=3, padding=1, padding_mode="replicate"), (1, 6, 6)),
    (Conv(2, 3, padding=4), (1, 2, 2)),  # windows of padding alone
    *(
        (pool, shape)
        for kind in (MaxPool, AvgPool)
        for pool, shape in [
            (kind(2), (2, 6, 4)),
            (kind(2), (2, 5, 7)),
            (kind(3, 2), (2, 7, 6)),
            (kind(3, 1, padding=1), (2, 4, 4)),
            (kind((2, 3), (1, 2), padding=(1, 0)), (2, 5, 6)),
            (kind(4, 3, padding=(2, 1)), (1, 6, 7)),
            (kind(2, 3), (2, 7, 7)),
            (kind(2, ceil=True), (2, 5, 7)),
            (kind(3, 2, padding=1, ceil=True), (2, 6, 6)),
            (kind((2, 3), (3, 2), padding=(0, 1), ceil=True), (1, 6, 6)),
            (kind(1, 2), (2, 5, 5)),
        ]
    ),
    (GlobalAvgPool(), (3, 4, 5)),
    (GlobalMaxPool(), (3, 4, 5)),
    (PadChannels(5), (2, 3, 4)),
    (PadChannels(3, (2, 3)), (3, 5, 5)),
    (BatchNorm(), (3, 4, 2)),
    (BatchNorm(momentum=0.5, epsilon=0.1), (4, 1, 1)),
    (LocalResponseNorm(), (7, 2, 3)),
    (LocalResponseNorm(3, alpha=0.5, beta=0.5, k=1.0), (2, 3, 3)),
    (LocalResponseNorm(4, alpha=0.1, beta=2.0), (6, 2, 2)),
    (LocalResponseNorm(1, alpha=1.0), (3, 2, 2)),
    (ReLU(), (2, 3, 3)),
    (Sigmoid(), (2, 3, 3)),
    (Tanh(), (2, 3, 3)),
    (GELU(), (2, 3, 3)),
    *((Sequential(LayerScale(5.0), layer), (2, 4, 4)) for layer in
      (SiLU(), ReLU6(), LeakyReLU(0.3), ELU(0.7), Hardsigmoid(), Hardswish())),
    (LayerScale(), (3, 2, 4)),
    (LayerNorm2d(), (4, 3, 2)),
    (LayerNorm2d(0.1), (2, 1, 1)),
    (GroupNorm(2), (6, 3, 2)),
    (GroupNorm(1, epsilon=0.1), (3, 1, 1)),
    (GroupNorm(3), (3, 2, 2)),
    (InstanceNorm(), (3, 3, 4)),
    (InstanceNorm(affine=True, epsilon=0.1), (2, 1, 2)),
    (ConvTranspose(3, 3), (2, 4, 3)),
    (ConvTranspose(2, 2, 2), (3, 3, 4)),
    (ConvTranspose(4, (3, 2), (2, 3), padding=(1, 0), output_padding=(1, 2), bias=False, groups=2), (6, 3, 3)),
    (ConvTranspose(2, 3, 2, padding=2, dilation=2), (1, 4, 4)),
    (ConvTranspose(1, 1, 3), (2, 2, 3)),  # most positions of the output are the bias
    (Upsample(), (2, 2, 3)),
    (Upsample((1, 3), "bilinear"), (2, 3, 4)),
    (Upsample(2, "bilinear"), (1, 1, 5)),
    (AdaptiveAvgPool(1), (3, 4, 5)),
    (AdaptiveAvgPool((2, 3)), (2, 4, 6)),
    (AdaptiveAvgPool((3, 4)), (2, 7, 6)),
    (AdaptiveAvgPool((5, 2)), (1, 3, 2)),
    (StochasticDepth(0.5), (2, 3, 3)),
    (Residual(Conv(2, 1), StochasticDepth(0.3)), (2, 3, 2)),
    (Multiply(GlobalAvgPool(), Dense(2), ReLU(), Dense(4), Sigmoid()), (4, 3, 3)),
    (Multiply(Conv(1, 3), Sigmoid()), (3, 4, 4)),
    (Multiply(MaxPool((1, 4)), Dropout()), (2, 3, 4)),
    (Multiply(Conv(3, 1)), (3, 2, 2)),
    (Multiply(), (2, 2, 2)),  # the square
    (Dropout(), (2, 4, 4)),
    (Dropout(0.2), (5, 1, 1)),
    (Dropout(0.0), (2, 2, 2)),
    (Flatten(), (2, 3, 4)),
    (Dense(4), (6, 1, 1)),
    (Dense(3, bias=False), (2, 1, 1)),
    (Sequential(), (2, 3, 3)),
    (Sequential(Conv(2, 3), ReLU(), MaxPool(2)), (1, 6, 6)),
    (Sequential(MaxPool(3, 1), AvgPool(2), Flatten(), Dense(3)), (2, 5, 5)),
    (Residual(Conv(2, 3), Tanh()), (2, 4, 4)),
    (Residual(*BODY, shortcut=Sequential(Conv(4, 1, bias=False), BatchNorm())), (2, 4, 4)),
    (Residual(Conv(4, 3, 2), shortcut=PadChannels(4, 2)), (2, 5, 4)),
    (Concat(Conv(2, 1), Sequential(Conv(1, 3), Sigmoid()), MaxPool(3, 1, padding=1), Sequential()), (2, 4, 4)),
    (Concat(Residual(Dropout()), Concat(Sequential(Dropout(), Dropout()))), (2, 3, 3)),
]  # fmt: skip


def case_id(case):
    return f"{case}"[:70] if not isinstance(case, tuple) else "x".join(map(str, case))


each_layer = pytest.mark.parametrize(("network", "shape"), CASES, ids=case_id)


def random_values(network, shape):
    """Values for every array, none of them 0 or 1, so that each affects the output."""
    rng = np.random.default_rng(1)
    values = initial_values(network, shape, 0)
    return {
        key: (np.abs(array) + rng.uniform(0.5, 1.5, array.shape) if key.endswith("_var") else
              array + rng.normal(0, 0.3, array.shape)).astype(np.float32)
        for key, array in values.items()
    }  # fmt: skip


def numpy_chain(network, shape):
    return build(network, shape, random_values(network, shape), DropoutMasks(1, 2), np.float64, np.float64)


def images_last(images):
    """(N, C, H, W) -> (C, H, W, N), the engine's order."""
    return np.ascontiguousarray(images.transpose(1, 2, 3, 0))


def images_first(images):
    return images.transpose(3, 0, 1, 2)


def arrays(chain, running=False):
    """Each trainable array (or running statistic) with its gradient."""
    return [
        (layer.arrays[name], layer.gradients.get(name))
        for _, layer in chain.named_layers()
        for name in layer.arrays
        if name.startswith("running_") == running
    ]


def assert_close(pairs, tolerance=1e-9):
    """All differences are at most `tolerance` times the largest number: a zero may be off by rounding of the others."""
    pairs = [(np.asarray(ours), np.asarray(theirs)) for ours, theirs in pairs]
    scale = max((np.abs(theirs).max(initial=0) for _, theirs in pairs), default=0)
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)


def compare(network, shape):
    """Compare outputs, gradients and running statistics with torch in two training steps and then in evaluation."""
    chain = numpy_chain(network, shape)
    module = build_module(network, shape, [random_values(network, shape)], GroupMembers([DropoutMasks(1, 2)])).double()
    rng = np.random.default_rng(2)
    for _ in range(2):
        images = rng.standard_normal((IMAGES, *shape))
        leaf = torch.from_numpy(images).requires_grad_()
        theirs, ours = module(leaf * 1), images_first(chain.forward(images_last(images), training=True))
        assert_close([(ours.reshape(IMAGES, -1), theirs.detach())])
        upstream = rng.standard_normal(ours.shape)
        module.zero_grad()
        theirs.backward(torch.from_numpy(upstream.reshape(IMAGES, -1)))
        gradient = images_first(chain.backward(images_last(upstream)))
        learned = zip((own for _, own in arrays(chain)), (p.grad[0] for p in module.parameters()), strict=True)
        assert_close([(gradient, leaf.grad), *learned])
    running = [buffer[0] for buffer in module.buffers()]
    assert_close(zip((array for array, _ in arrays(chain, running=True)), running, strict=True))
    evaluated = images_first(chain.forward(images_last(images))).reshape(IMAGES, -1)
    assert_close([(evaluated, module.eval()(leaf).detach())])


@each_layer
def test_each_layer_equals_torch(network, shape):
    compare(network, shape)


TORCH_REFUSED = Sequential(Conv(2, (1, 2), bias=False), Conv(1, (1, 2), bias=False))
"""A network whose weights once had strides that torch's convolution of doubles refuses."""


@pytest.mark.slow
@settings(max_examples=100)
@given(networks())
@example((TORCH_REFUSED, (2, 4, 4)))
def test_random_networks_equal_torch(drawn):
    compare(*drawn)


@each_layer
def test_gradients_equal_central_differences(network, shape):
    """dL/dx = (L(x + e) - L(x - e)) / 2e (CS231n, "Neural Networks Part 3", gradient checks), for every number."""
    chain, rng = numpy_chain(network, shape), np.random.default_rng(3)
    x = images_last(rng.standard_normal((2, *shape)))
    upstream = rng.standard_normal(chain.forward(x, training=True).shape)

    def loss():
        return float((chain.forward(x, training=True) * upstream).sum())

    def restart_masks():
        for _, layer in chain.named_layers():
            if hasattr(layer, "masks"):
                layer.masks.begin_epoch(0)

    def slopes(array, small=1e-5):
        result = np.empty(array.shape)
        for position in np.ndindex(array.shape):
            value, losses = array[position], []
            for change in (small, -small):
                array[position] = value + change
                restart_masks()
                losses.append(loss())
            array[position] = value
            result[position] = (losses[0] - losses[1]) / (2 * small)
        return result

    restart_masks()
    loss()
    gradient = chain.backward(upstream).copy()
    learned = [(own.copy(), array) for array, own in arrays(chain)]
    assert_close([(gradient, slopes(x)), *((own, slopes(array)) for own, array in learned)], tolerance=1e-7)


@pytest.mark.parametrize("layer", [MaxPool(2), MaxPool(3, 1, padding=1), MaxPool(3, 2, ceil=True), GlobalMaxPool()])
def test_the_first_of_equal_values_gets_the_gradient_as_on_torch(layer):
    shape, rng = (2, 6, 6), np.random.default_rng(7)
    images = rng.integers(0, 3, (5, *shape)).astype(float)
    leaf = torch.from_numpy(images).requires_grad_()
    theirs, chain = build_module(layer, shape, [{}])(leaf), numpy_chain(layer, shape)
    upstream = rng.standard_normal(images_first(chain.forward(images_last(images), training=True)).shape)
    theirs.backward(torch.from_numpy(upstream.reshape(5, -1)))
    assert_close([(images_first(chain.backward(images_last(upstream))), leaf.grad)])


def test_a_window_may_have_more_values_than_a_16_bit_number_counts():
    chain, images = numpy_chain(MaxPool(182), (1, 182, 182)), np.zeros((1, 182, 182, 1))
    images[0, -1, -1] = 2.0
    assert chain.forward(images, training=True).ravel().tolist() == [2.0]
    gradient = chain.backward(np.ones((1, 1, 1, 1)))
    assert gradient.sum() == gradient[0, -1, -1, 0] == 1.0


def test_the_gradient_of_the_images_is_left_out_if_it_is_not_needed():
    """The gradients of the parameters are unchanged, also if branches begin at the images."""
    for network in (Sequential(Conv(2, 3), ReLU()), Residual(Conv(2, 3), Conv(2, 3)), Concat(ReLU(), Conv(2, 3))):
        chain, rng = numpy_chain(network, (2, 4, 4)), np.random.default_rng(4)
        x = rng.standard_normal((2, 4, 4, 2))
        upstream = rng.standard_normal(chain.forward(x, training=True).shape)
        chain.backward(upstream)
        expected = [own.copy() for _, own in arrays(chain)]
        chain.backward(upstream, need_dx=False)
        assert_close(zip((own for _, own in arrays(chain)), expected, strict=True), tolerance=0)


def test_the_given_values_are_not_changed_and_only_training_moves_running_statistics():
    network, shape = Sequential(Conv(2, 1), BatchNorm()), (1, 3, 3)
    values = random_values(network, shape)
    before = {key: array.copy() for key, array in values.items()}
    chain = build(network, shape, values, None, np.float64, np.float64)
    images = np.random.default_rng(0).standard_normal((1, 3, 3, 4))
    chain.forward(images)
    assert all(np.array_equal(chain.links[1][1].arrays[name], before[f"batch_norm1.{name}"])
               for name in ("running_mean", "running_var"))  # fmt: skip
    chain.forward(images, training=True)
    assert not np.allclose(chain.links[1][1].arrays["running_mean"], before["batch_norm1.running_mean"])
    assert all(np.array_equal(values[key], before[key]) for key in values)


def test_cross_entropy_equals_torch_and_does_not_overflow():
    """Also for targets that are shares of several classes, as mixed images have."""
    rng = np.random.default_rng(5)
    scores, targets = rng.standard_normal((6, 4)) * 1000, np.vstack([np.eye(4)[:3], rng.dirichlet(np.ones(4), 3)])
    losses, shares = cross_entropy(scores, targets)
    theirs = torch.from_numpy(scores)
    assert_close([(losses, torch.nn.functional.cross_entropy(theirs, torch.from_numpy(targets), reduction="none"))])
    assert_close([(shares, theirs.softmax(1))])


@pytest.mark.parametrize(("storage", "compute"), [(np.float16, np.float32), (np.float32, np.float32)])
def test_values_between_layers_are_rounded_to_the_storage_type_and_computed_in_the_other(storage, compute):
    network, shape = Sequential(Conv(3, 3), BatchNorm(), ReLU(), Residual(Conv(3, 3)), Flatten(), Dense(2)), (2, 6, 6)
    chain = build(network, shape, random_values(network, shape), None, storage, compute)
    exact = numpy_chain(network, shape)
    x = np.random.default_rng(6).standard_normal((2, 6, 6, 4))
    output, expected = chain.forward(x.astype(compute), training=True), exact.forward(x, training=True)
    assert output.dtype == compute and np.array_equal(output, output.astype(storage))
    assert_close([(output, expected)], tolerance=20 * np.finfo(storage).eps)
    chain.backward(np.ones(output.shape, compute))
    assert all(own.dtype == array.dtype == compute for array, own in arrays(chain))
