"""Networks as data: exact numbers from the literature, and random networks compared with torch."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import networks, variants
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from runner.engines.torch_engine import layers, normalisation, resampling
from runner.engines.torch_engine.build import build_module
from runner.errors import ShapeError
from runner.files.content_hash import canonical, content_id
from runner.network.analysis import analyse, iterate_layers
from runner.network.graph import Concat, Residual, Sequential
from runner.network.layers import (
    ELU,
    AdaptiveAvgPool,
    AvgPool,
    BatchNorm,
    Conv,
    ConvTranspose,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    InstanceNorm,
    LayerNorm2d,
    LayerScale,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool,
    PadChannels,
    ReLU,
    StochasticDepth,
    Upsample,
)
from runner.network.parameters import initial_values

torch.set_num_threads(1)  # on tensors this small a second thread costs more than it saves


def module_of(network, shape):
    return build_module(network, shape, [initial_values(network, shape, 0, 0, 0)])


def vgg_d():
    """Simonyan and Zisserman 2015, table 1, column D."""
    stages = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]
    convolutions = [Sequential(*[Conv(filters, 3), ReLU()] * depth, MaxPool(2)) for filters, depth in stages]
    return Sequential(*convolutions, Flatten(), Dense(4096), ReLU(), Dense(4096), ReLU(), Dense(1000))


def lenet_5():
    """LeCun et al. 1998 with a dense second convolution, as it is usually written today."""
    features = [Conv(6, 5, padding="valid"), ReLU(), MaxPool(2), Conv(16, 5, padding="valid"), ReLU(), MaxPool(2)]
    return Sequential(*features, Flatten(), Dense(120), ReLU(), Dense(84), ReLU(), Dense(10))


def test_ten_filters_of_5x5x3_have_760_parameters():
    """CS231n, "Convolutional Networks": 10 * (5 * 5 * 3 + 1)."""
    network = Sequential(Conv(10, 5), Flatten(), Dense(1, bias=False))
    assert analyse(network, (3, 32, 32), 1).layers[0].parameters == 760


def test_a_7x7_has_the_receptive_field_of_three_3x3_and_49_weights_for_27():
    """Simonyan and Zisserman 2015, section 2.3, for C channels in and out."""
    channels = 5
    one, three = [Conv(channels, 7, bias=False)], [Conv(channels, 3, bias=False)] * 3
    analyses = [analyse(Sequential(*convs, Flatten(), Dense(1)), (channels, 16, 16), 1) for convs in (one, three)]
    assert [a.receptive_field for a in analyses] == [(7, 7), (7, 7)]
    weights = [sum(layer.parameters for layer in a.layers if layer.type == "conv") for a in analyses]
    assert weights == [49 * channels**2, 27 * channels**2]


def test_vgg_d():
    """Parameters and MACs as torchvision publishes them for vgg16; receptive field from Araujo et al. 2019."""
    analysis = analyse(vgg_d(), (3, 224, 224), 1000)
    assert analysis.parameters == 138_357_544
    assert analysis.macs == 15_470_264_320
    assert analysis.receptive_field == (212, 212)
    last = [layer for layer in analysis.layers if layer.type == "max_pool"][-1]
    assert (last.output, last.receptive_field, last.jump) == ((512, 7, 7), (212, 212), (32, 32))


def test_lenet_5():
    analysis = analyse(lenet_5(), (1, 32, 32), 10)
    assert analysis.parameters == 61_706
    assert [layer.parameters for layer in analysis.layers if layer.parameters] == [156, 2416, 48120, 10164, 850]
    assert analysis.macs == 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10


TYPES = {
    layers.Conv: "conv", nn.MaxPool2d: "max_pool", nn.AvgPool2d: "avg_pool", layers.GlobalAvgPool: "global_avg_pool",
    layers.BatchNorm: "batch_norm", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh", nn.GELU: "gelu", layers.Dense: "dense",
    layers.Flatten: "flatten", layers.GlobalMaxPool: "global_max_pool", layers.PadChannels: "pad_channels",
    layers.LocalResponseNorm: "local_response_norm", layers.Residual: "residual", layers.Concat: "concat",
    layers.Multiply: "multiply", nn.ReLU6: "relu6", nn.LeakyReLU: "leaky_relu", nn.ELU: "elu", nn.SiLU: "silu",
    layers.Hardsigmoid: "hardsigmoid", nn.Hardswish: "hardswish", normalisation.LayerNorm2d: "layer_norm_2d",
    normalisation.LayerScale: "layer_scale", resampling.ConvTranspose: "conv_transpose",
    resampling.AdaptiveAvgPool: "adaptive_avg_pool", resampling.Upsample: "upsample",
}  # fmt: skip
OF_SEVERAL = (layers.RandomMask, normalisation.GroupNorm)
"""The modules of several layers, whose record they have."""


def kind(part):
    """The layer's type; None for ReLU, and for modules that only contain others."""
    if isinstance(part, OF_SEVERAL):
        return part.layer.type
    return next((TYPES[type] for type in TYPES if isinstance(part, type)), None)


def measure(module, images):
    """(type, output, trained numbers, other numbers) of each module, in order of computation, and the total FLOPs."""
    rows = []

    def record(part, inputs, output):
        own = [sum(v.numel() for v in values if v.dim()) for values in (part.parameters(False), part.buffers(False))]
        rows.append((kind(part), tuple(output.shape[1:]), *own))

    for part in module.modules():
        if kind(part):
            part.register_forward_hook(record)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(images)
    return rows, counter.get_total_flops()


@pytest.mark.slow
@settings(max_examples=100)
@given(networks())
def test_shapes_parameters_and_macs_agree_with_torch(drawn):
    """ReLU is left out of the rows: the module may swap it with a pooling layer after it."""
    network, shape = drawn
    analysis, module = analyse(network, shape, 3), module_of(network, shape)
    rows, operations = measure(module, torch.zeros(2, *shape))
    facts = [(f.type, f.output, f.parameters, f.not_trained) for f in analysis.layers if f.type != "relu"]
    assert facts == rows
    assert analysis.parameters == sum(p.numel() for p in module.parameters())
    assert 2 * 2 * analysis.macs == operations  # two images, two operations per MAC
    stored = [f for f in analysis.layers if f.type not in ("relu", "relu6", "flatten")]
    assert analysis.activations == sum(math.prod(f.output) for f in stored)
    assert len({f.path for f in analysis.layers}) == len(analysis.layers)


@pytest.mark.parametrize(
    ("initial", "variance"),
    [
        ("he", lambda fan_in, fan_out: 2 / fan_in),  # He et al. 2015, equation 10
        ("xavier", lambda fan_in, fan_out: 2 / (fan_in + fan_out)),  # Glorot and Bengio 2010, equation 12
        ("lecun", lambda fan_in, fan_out: 1 / fan_in),  # LeCun et al. 1998, "Efficient BackProp", equation 16
        ("zeros", lambda fan_in, fan_out: 0),
        (0.01, lambda fan_in, fan_out: 0.01**2),
    ],
)
def test_initial_weights_have_the_deviation_of_their_source_and_biases_are_zero(initial, variance):
    convs = Conv(128, (5, 3), initial=initial), Conv(384, 3, groups=4, initial=initial)
    values = initial_values(Sequential(*convs, GlobalAvgPool(), Dense(400, initial=initial)), (16, 10, 10), 0, 0, 0)
    fans = {"conv1": (16 * 15, 128 * 15), "conv2": (32 * 9, 96 * 9), "dense1": (384, 400)}
    for path, (fan_in, fan_out) in fans.items():
        weights, expected = values[f"{path}.weight"], math.sqrt(variance(fan_in, fan_out))
        assert weights.dtype == np.float32
        assert weights.std() == pytest.approx(expected, rel=0.02)
        assert abs(weights.mean()) <= 0.02 * expected
        assert not values[f"{path}.bias"].any()


def test_batch_normalisation_starts_as_the_identity():
    values = initial_values(Sequential(BatchNorm()), (3, 2, 2), 0)
    expected = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}
    assert {key: set(v.tolist()) for key, v in values.items()} == {
        f"batch_norm1.{name}": {value} for name, value in expected.items()
    }


def test_initial_values_depend_only_on_path_and_keys():
    def values(*layers, keys=(0, 0, 0)):
        return initial_values(Sequential(*layers, Flatten(), Dense(2)), (1, 8, 8), *keys)

    one, two = values(Conv(4, 3)), values(Conv(4, 3), ReLU(), Conv(4, 3), Sequential(Conv(4, 1), name="more"))
    assert two.keys() - one.keys() == {
        f"{path}.{name}" for path in ("conv2", "more/conv1") for name in ("weight", "bias")
    }
    assert all(np.array_equal(one[key], two[key]) for key in one)
    assert not np.array_equal(two["conv1.weight"][:, :1], two["conv2.weight"][:, :1])
    for keys in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        assert not np.array_equal(values(Conv(4, 3), keys=keys)["conv1.weight"], one["conv1.weight"])


def test_initial_values_are_pinned():
    values = initial_values(Sequential(Conv(1, 1)), (1, 1, 1), 0, 0, 0)
    assert values["conv1.weight"].item() == np.float32(1.14129721765384 * math.sqrt(2))


def test_the_module_starts_from_the_initial_values():
    network = Sequential(Sequential(Conv(3, 2), ReLU(), name="stage1"), Flatten(), Dense(2))
    values = initial_values(network, (2, 4, 4), 5)
    parameters = [p.detach().numpy() for p in build_module(network, (2, 4, 4), [values]).parameters()]
    assert all(np.array_equal(p, v[None]) for p, v in zip(parameters, values.values(), strict=True))


trees = st.recursive(
    st.just(ReLU()) | st.just(Conv(1, 1)),
    lambda inner: st.builds(
        lambda kind, layers, name: kind(*layers, name=name),
        st.sampled_from(
            [Sequential, Concat, lambda *body, name: Residual(*body, shortcut=Sequential(*body), name=name)]
        ),
        st.lists(inner, min_size=1, max_size=4),
        st.sampled_from(["", "stage", "block", "conv", "group", "residual1"]),
    ),
    max_leaves=15,
)


def paths(network):
    return [layer.path for layer in iterate_layers(network, (1, 4, 4))]


@settings(max_examples=100)
@given(trees)
def test_paths_are_unique(network):
    assert len(set(paths(network))) == len(paths(network))


def test_paths_have_names_of_groups_and_numbers_by_type():
    block = Sequential(Conv(1, 1), ReLU(), Conv(1, 1), name="block")
    network = Sequential(block, block, Sequential(ReLU()), ReLU())
    layers = ["conv1", "relu1", "conv2"]
    expected = [f"{group}/{part}" for group in ("block", "block2") for part in layers]
    assert paths(network) == [*expected, "group1/relu1", "relu1"]


@pytest.mark.parametrize("name", ["a/b", "a/conv1", "shortcut/conv1", 3, None])
def test_a_name_that_is_not_a_path_segment_is_refused(name):
    """Otherwise two layers could have the same path, and so the same arrays."""
    with pytest.raises(ShapeError):
        Sequential(Conv(2, 1), name=name)


def test_paths_of_branches():
    project = Sequential(Conv(1, 1), BatchNorm())
    block = Residual(Conv(1, 3), Sequential(ReLU(), name="more"), shortcut=project, name="block")
    network = Sequential(block, Residual(), Concat(Conv(1, 1), Sequential(Conv(1, 3)), Residual(ReLU())))
    assert paths(network) == [
        "block/conv1", "block/more/relu1", "block/shortcut/conv1", "block/shortcut/batch_norm1",
        "concat1/conv1", "concat1/group1/conv1", "concat1/residual1/relu1",
    ]  # fmt: skip
    ends = [f.path for f in analyse(Sequential(*network.layers, Flatten(), Dense(2)), (1, 4, 4), 2).layers]
    assert [path for path in ends if path not in paths(network)] == [
        "block", "residual1", "concat1/residual1", "concat1", "flatten1", "dense1",
    ]  # fmt: skip


def test_paths_are_unique_if_a_group_is_named_as_if_numbered():
    def group(name):
        return Sequential(Conv(1, 1), name=name)

    network = Sequential(group("stage"), group("stage"), group("stage2"))
    assert len(set(paths(network))) == 3


DOES_NOT_FIT = [
    (Sequential(ReLU(), Sequential(Conv(2, 3), MaxPool(9), name="stage1")), "layer stage1/max_pool1: a 9x9 window"),
    (Sequential(Conv(2, (9, 1), padding=1)), r"layer conv1: .*9x1 window .* 6x6 input \(padding included\)"),
    (Sequential(Conv(2, 3, padding="valid", dilation=2)), "layer conv1: a 5x5 window does not fit the 4x4 input$"),
    (Sequential(ReLU(), Dense(3)), "layer dense1: dense needs a vector, but its input is 1x4x4"),
    (Sequential(Flatten(), Dense(4)), "output is 4x1x1, not one number for each of 3 classes"),
    (Sequential(Conv(3, 1)), "output is 3x4x4, not one number"),
    (Sequential(Conv(2, 1, groups=2)), "layer conv1: the input has 1 channel, not a multiple of its 2 groups"),
    (Sequential(Conv(4, 1), Conv(3, 1, groups=2)), "layer conv2: the layer has 3 channels, not a multiple of its 2"),
    (Conv(3, 9, padding_mode="reflect"), "layer conv: an input of 4 is too small to reflect into a padding of 4"),
    (Sequential(Conv(2, 1), PadChannels(1)), "layer pad_channels1: the input has 2 channels, more than the 1 of"),
    (Residual(Conv(2, 3)), "residual residual: the layers output 2x4x4 and the shortcut 1x4x4; a sum needs equal"),
    (
        Residual(ReLU(), shortcut=Conv(1, 1, 2), name="b"),
        "residual residual: the layers output 1x4x4 .* shortcut 1x2x2",
    ),
    (Sequential(Residual(Flatten(), Dense(3), Dense(3)), name="a"), "residual residual1: the layers output 3x1x1 and"),
    (Residual(MaxPool(9), name="b"), "layer residual/max_pool1: a 9x9 window"),
    (Sequential(Residual(ReLU(), shortcut=MaxPool(9), name="b")), "layer b/shortcut: a 9x9 window"),
    (Sequential(Concat(ReLU(), Sequential(ReLU(), MaxPool(9), name="p"))), "layer concat1/p/max_pool1: a 9x9 window"),
    (Sequential(Concat(ReLU(), MaxPool(2), name="c")), "concat c: the branches output 1x4x4, 1x2x2; they need equal"),
    (Sequential(Concat()), "concat concat1: the branches output nothing"),
]


@pytest.mark.parametrize(("network", "message"), DOES_NOT_FIT, ids=lambda value: str(value)[:40])
def test_a_layer_that_does_not_fit_is_named(network, message):
    with pytest.raises(ShapeError, match=message):
        analyse(network, (1, 4, 4), 3)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Sequential(ReLU(), 3), "a network is built of layers and groups, but 3 is neither"),
        (lambda: Concat(nn.ReLU()), r"a network is built of layers and groups, but ReLU\(\) is neither"),
        (lambda: Residual(ReLU(), shortcut=None), "a shortcut is a layer or a group, but None is neither"),
        (lambda: Residual(Sequential(ReLU(), name="shortcut")), "'shortcut' is the name of a residual's other branch"),
        (lambda: MaxPool(2, padding=2), "max_pool: padding is 2; allowed: at most half the window 2"),
        (lambda: ConvTranspose(1, 3, (2, 1), output_padding=1), r"output_padding is 1; allowed: less than the stride"),
        (lambda: AvgPool((3, 4), padding=(2, 1)), r"padding is \(2, 1\); allowed: at most half the window \(3, 4\)"),
    ],
)
def test_an_invalid_network_is_refused(build, message):
    with pytest.raises(ShapeError, match=message):
        build()


WHOLE, PAIR = "a whole number of at least 1", "or a pair (height, width)"
SIZES, MARGINS = f"{WHOLE}, {PAIR}", f"a whole number of at least 0, {PAIR}"
INITIAL, RATE = "he, xavier, lecun, zeros, or a standard deviation", "a number of at least 0 and less than 1"
NAN, INF = float("nan"), float("inf")
WRONG = [
    (Conv(2, 3), "filters", (0, -1, 1.5, "2", True, None, (1, 2)), WHOLE),
    (Conv(2, 3), "kernel", (0, (3, 0), (1, 2, 3), (3,), [3, 3], 2.0, (2, 2.0), "same", None), SIZES),
    (Conv(2, 3), "stride", (0, (1, 0), -1, None, True), SIZES),
    (Conv(2, 3), "dilation", (0, (0, 1), 1.0, None), SIZES),
    (Conv(2, 3), "padding", (-1, (0, -1), 0.5, None, "full", True), f"{MARGINS}, 'same', 'valid'"),
    (Conv(2, 3), "padding_mode", ("constant", "zeros", "circular", None, 0), "zero, reflect, replicate"),
    (Conv(2, 3), "groups", (0, -1, 1.0, True, "channels"), f"{WHOLE}, 'depthwise'"),
    (ConvTranspose(2, 3, 2), "groups", (0, "depthwise"), WHOLE),
    (ConvTranspose(2, 3, 2), "output_padding", (-1, 0.5), MARGINS),
    (AdaptiveAvgPool(2), "size", (0, None, (1, 0)), SIZES),
    (Upsample(), "scale", (0, 1.5), SIZES),
    (Upsample(), "mode", ("bicubic", None), "nearest, bilinear"),
    (GroupNorm(2), "groups", (0, "depthwise"), WHOLE),
    (InstanceNorm(), "affine", (1, None), "true, false"),
    *((layer, "epsilon", (0, NAN), "a number above 0") for layer in (LayerNorm2d(), GroupNorm(2), InstanceNorm())),
    (LayerScale(), "initial", (0, "he"), "a number above 0"),
    (LeakyReLU(), "negative_slope", (0, -1), "a number above 0"),
    (ELU(), "alpha", (0, INF), "a number above 0"),
    (StochasticDepth(0.1), "rate", (1.0, -0.1, None), RATE),
    (Conv(2, 3), "initial", ("normal", -0.1, NAN, INF, True, None), INITIAL),
    (Conv(2, 3), "bias", (1, 0, None, "yes"), "true, false"),
    (Conv(2, 3), "strict", (1, None), "true, false"),
    (MaxPool(2), "size", (0, (2, 0), 2.0, None), SIZES),
    (AvgPool(2), "stride", (0, (0, 1), 1.5), SIZES),
    (MaxPool(2), "padding", (-1, (0, -1), "same", None), MARGINS),
    (AvgPool(2), "ceil", (1, None), "true, false"),
    (PadChannels(2), "channels", (0, 2.0, (2, 2)), WHOLE),
    (PadChannels(2), "stride", (0, (1, 0)), SIZES),
    (Dense(2), "units", (0, 2.0, (2, 2)), WHOLE),
    (Dense(2), "initial", ("kaiming", -1), INITIAL),
    (BatchNorm(), "momentum", (1.0, 1, -0.1, NAN, True, None), RATE),
    (BatchNorm(), "epsilon", (0, -1e-5, INF, NAN, "small"), "a number above 0"),
    (LocalResponseNorm(), "size", (0, 2.0), WHOLE),
    *((LocalResponseNorm(), name, (0, -1, NAN, INF, None), "a number above 0") for name in ("alpha", "beta", "k")),
    (Dropout(), "rate", (1.0, 1, 1.5, -0.1, NAN, True, None, "0.5"), RATE),
]


@pytest.mark.parametrize(
    ("layer", "field", "value", "allowed"),
    [(layer, field, value, allowed) for layer, field, values, allowed in WRONG for value in values],
)
def test_a_wrong_field_is_named_with_what_is_allowed(layer, field, value, allowed):
    with pytest.raises(ShapeError) as caught:
        dataclasses.replace(layer, **{field: value})
    assert str(caught.value).startswith(f"{layer.type}: {field} is {value!r}; allowed: ")
    assert str(caught.value).endswith(allowed)


def test_an_identity_leaves_out_defaults_and_strict():
    """So that a record can gain a field without changing any fit id."""
    network = Sequential(Conv(8, 3, strict=True), Conv(8, 3, stride=2, bias=True), MaxPool(2, strict=True), ReLU())
    assert canonical(network)["layers"] == [
        {"": "Conv", "filters": 8, "kernel": 3}, {"": "Conv", "filters": 8, "kernel": 3, "stride": 2},
        {"": "MaxPool", "size": 2}, {"": "ReLU"},
    ]  # fmt: skip


@pytest.mark.slow
@settings(max_examples=100)
@given(networks(), st.data())
def test_networks_have_the_same_identity_exactly_if_they_are_equal(drawn, data):
    """Except for `strict`, which affects what is allowed, not what is computed."""
    network, _ = drawn
    other, change = data.draw(variants(network))
    assert (content_id(network) == content_id(other)) == (change in ("", "strict"))
    assert (network == other) == (change == "")


@pytest.mark.slow
@settings(max_examples=50)
@given(*[networks(most_channels=1, lengths=st.just(4))] * 2)
def test_two_networks_have_the_same_identity_exactly_if_they_are_equal(one, two):
    assert (content_id(one[0]) == content_id(two[0])) == (one[0] == two[0])
