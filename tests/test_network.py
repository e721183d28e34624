"""Networks as data: exact figures from the literature, and random networks against torch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from runner.engines.torch_engine.modules import build_module
from runner.errors import ShapeError
from runner.network.analysis import analyse, place
from runner.network.graph import Sequential
from runner.network.layers import AvgPool, Conv, Dense, Flatten, MaxPool, ReLU
from runner.network.parameters import initial_values

sides = st.integers(1, 3)
pads = st.integers(0, 2)


def both(numbers):
    """One number for height and width, or one for each."""
    return numbers | st.tuples(numbers, numbers)


convs = st.builds(
    Conv,
    filters=st.integers(1, 3),
    kernel=both(st.integers(1, 4)),
    stride=both(sides),
    padding=st.sampled_from(["same", "valid"]) | both(pads),
    bias=st.booleans(),
)


@st.composite
def pools(draw):
    """Pooling padded by at most half its window, as torch allows."""
    size = draw(st.tuples(sides, sides))
    padding = draw(st.tuples(st.integers(0, size[0] // 2), st.integers(0, size[1] // 2)))
    return draw(st.sampled_from([MaxPool, AvgPool]))(size, draw(st.none() | both(sides)), padding)


windows = convs | pools()


def fits(layer, shape):
    try:
        layer.output_shape(shape)
    except ShapeError:
        return False
    return True


@st.composite
def networks(draw):
    """A network for images of a small shape with 3 outputs, its layers in groups: (network, shape)."""
    shape = reached = (draw(sides), draw(st.integers(4, 9)), draw(st.integers(4, 9)))
    groups = []
    for _ in range(draw(st.integers(0, 3))):
        layers = []
        for layer in draw(st.lists(windows | st.just(ReLU()), min_size=1, max_size=3)):
            if fits(layer, reached):
                layers.append(layer)
                reached = layer.output_shape(reached)
        groups.append(Sequential(*layers, name=draw(st.sampled_from(["", "stage", "block"]))))
    hidden = draw(st.lists(st.builds(Dense, units=st.integers(1, 5), bias=st.booleans()) | st.just(ReLU()), max_size=3))
    return Sequential(*groups, Flatten(), *hidden, Dense(3)), shape


def module_of(network, shape):
    return build_module(network, shape, initial_values(network, shape, 0, 0, 0))


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


def test_one_7x7_sees_what_three_3x3_see_with_49_for_27_weights():
    """Simonyan and Zisserman 2015, section 2.3, for C channels in and out."""
    channels = 5
    one, three = [Conv(channels, 7, bias=False)], [Conv(channels, 3, bias=False)] * 3
    found = [analyse(Sequential(*convs, Flatten(), Dense(1)), (channels, 16, 16), 1) for convs in (one, three)]
    assert [a.receptive_field for a in found] == [(7, 7), (7, 7)]
    weights = [sum(layer.parameters for layer in a.layers if layer.type == "conv") for a in found]
    assert weights == [49 * channels**2, 27 * channels**2]


def test_vgg_d():
    """Parameters and multiply-adds as torchvision publishes them for vgg16; receptive field by Araujo et al. 2019."""
    found = analyse(vgg_d(), (3, 224, 224), 1000)
    assert found.parameters == 138_357_544
    assert found.macs == 15_470_264_320
    assert found.receptive_field == (212, 212)
    last = [layer for layer in found.layers if layer.type == "max_pool"][-1]
    assert (last.output, last.receptive_field, last.jump) == ((512, 7, 7), (212, 212), (32, 32))


def test_lenet_5():
    found = analyse(lenet_5(), (1, 32, 32), 10)
    assert found.parameters == 61_706
    assert [layer.parameters for layer in found.layers if layer.parameters] == [156, 2416, 48120, 10164, 850]
    assert found.macs == 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10


@settings(deadline=None, max_examples=100)
@given(networks())
def test_shapes_parameters_and_macs_agree_with_torch(drawn):
    network, shape = drawn
    found, module = analyse(network, shape, 3), module_of(network, shape)
    assert found.parameters == sum(p.numel() for p in module.parameters())
    shapes, signal = [], torch.zeros(2, *shape)
    with FlopCounterMode(display=False) as counter:
        for part in module:
            signal = part(signal)
            shapes += [] if isinstance(part, torch.nn.ReLU) else [(*signal.shape[1:], 1, 1)[:3]]
    assert shapes == [layer.output for layer in found.layers if layer.type != "relu"]
    assert 2 * 2 * found.macs == counter.get_total_flops()  # two images, two operations


@settings(deadline=None, max_examples=150)
@given(windows, st.tuples(sides, st.integers(1, 4), st.integers(1, 4)))
def test_a_window_is_refused_where_torch_refuses_it(layer, shape):
    size, stride, padding = layer.geometry()
    module = {
        Conv: lambda: torch.nn.Conv2d(shape[0], 1, size, stride),
        MaxPool: lambda: torch.nn.MaxPool2d(size, stride),
        AvgPool: lambda: torch.nn.AvgPool2d(size, stride),
    }[type(layer)]()
    try:
        module(F.pad(torch.zeros(1, *shape), (*padding[1], *padding[0])))
    except RuntimeError:
        assert not fits(layer, shape)
    else:
        assert fits(layer, shape)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, (2, 5)])
def test_same_padding_is_that_of_torch(kernel):
    network = Sequential(Conv(2, kernel, bias=False))
    values = initial_values(network, (3, 6, 7), 0)
    images = torch.rand(2, 3, 6, 7)
    found = build_module(network, (3, 6, 7), values)(images)
    torch.testing.assert_close(found, F.conv2d(images, torch.from_numpy(values["conv1.weight"]), padding="same"))


@pytest.mark.parametrize("stride", [1, 2, 3, (2, 3)])
@given(st.integers(1, 6), st.tuples(st.integers(1, 12), st.integers(1, 12)))
@settings(deadline=None, max_examples=30)
def test_same_padding_gives_the_input_over_the_stride_rounded_up(stride, kernel, extent):
    rows, columns = stride if isinstance(stride, tuple) else (stride, stride)
    expected = (1, math.ceil(extent[0] / rows), math.ceil(extent[1] / columns))
    assert Conv(1, kernel, stride).output_shape((1, *extent)) == expected


def seen(module, side, axis, place):
    """First and last row (axis 0) or column whose light reaches the outputs at `place` of the other axis's centre."""
    lights = torch.eye(side, dtype=torch.float64)
    images = lights[:, None, :, None] if axis == 0 else lights[:, None, None, :]
    output = module(images.expand(side, 1, side, side).clone()).amax(1)
    line = output.amax(2)[:, place] if axis == 0 else output.amax(1)[:, place]
    reached = torch.nonzero(line > 1e-12).flatten().tolist()
    return reached[0], reached[-1]


@settings(deadline=None, max_examples=40)
@given(st.lists(windows | st.just(ReLU()), max_size=4))
def test_receptive_field_and_jump_are_those_of_an_experiment(layers):
    """Light one row or column of a dark image at a time; all weights are 1, so light can't vanish."""
    network = Sequential(*layers)
    large = analyse(Sequential(*layers, Flatten(), Dense(1)), (1, 200, 200), 1)
    jump = large.layers[-3].jump if layers else (1, 1)
    side = 4 * max(large.receptive_field) + 4 * max(jump)
    assume(side <= 120)
    values = initial_values(network, (1, side, side), 0)
    ones = {key: np.ones_like(v) if key.endswith("weight") else np.zeros_like(v) for key, v in values.items()}
    module = build_module(network, (1, side, side), ones).double()
    height, width = module(torch.zeros(1, 1, side, side, dtype=torch.float64)).shape[2:]
    for axis, centre in ((0, height // 2), (1, width // 2)):
        first, last = seen(module, side, axis, centre)
        assert last - first + 1 == large.receptive_field[axis]
        assert seen(module, side, axis, centre + 1)[0] - first == jump[axis]


def test_initial_weights_have_the_deviation_of_he_and_biases_are_zero():
    """He et al. 2015, equation 10: the variance is 2 / fan-in."""
    network = Sequential(Conv(128, (5, 3)), Flatten(), Dense(40))
    values = initial_values(network, (16, 10, 10), 0, 0, 0)
    for key, fan_in in {"conv1.weight": 16 * 15, "dense1.weight": 12800}.items():
        weights = values[key]
        assert weights.dtype == np.float32
        assert weights.std() == pytest.approx(math.sqrt(2 / fan_in), rel=0.02)
        assert abs(weights.mean()) < 0.02 * weights.std()
    assert not values["conv1.bias"].any() and not values["dense1.bias"].any()


def test_initial_values_depend_on_path_and_keys_alone():
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
    parameters = [p.detach().numpy() for p in build_module(network, (2, 4, 4), values).parameters()]
    assert all(np.array_equal(p, v) for p, v in zip(parameters, values.values(), strict=True))


trees = st.recursive(
    st.just(ReLU()) | st.just(Conv(1, 1)),
    lambda inner: st.builds(
        lambda parts, name: Sequential(*parts, name=name),
        st.lists(inner, max_size=4),
        st.sampled_from(["", "stage", "block", "conv", "group"]),
    ),
    max_leaves=15,
)


def paths(network):
    return [placed.path for placed in place(network, (1, 4, 4))]


@settings(deadline=None, max_examples=100)
@given(trees)
def test_paths_are_unique(network):
    assert len(set(paths(network))) == len(paths(network))


def test_paths_name_groups_and_number_kinds():
    block = Sequential(Conv(1, 1), ReLU(), Conv(1, 1), name="block")
    network = Sequential(block, block, Sequential(ReLU()), ReLU())
    parts = ["conv1", "relu1", "conv2"]
    expected = [f"{group}/{part}" for group in ("block", "block2") for part in parts]
    assert paths(network) == [*expected, "group1/relu1", "relu1"]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Sequential(ReLU(), Sequential(Conv(2, 3), MaxPool(9), name="stage1")), "layer stage1/max_pool1: a 9x9 window"),
        (Sequential(Conv(2, (9, 1), padding=1)), r"layer conv1: .*9x1 window .* 6x6 input \(padding counted\)"),
        (Sequential(ReLU(), Dense(3)), "layer dense1: dense needs a vector, but its input is 1x4x4"),
        (Sequential(Flatten(), Dense(4)), "output is 4x1x1, not one number for each of 3 classes"),
    ],
)
def test_what_does_not_fit_is_named(network, message):
    with pytest.raises(ShapeError, match=message):
        analyse(network, (1, 4, 4), 3)


def test_paths_are_unique_where_a_group_is_named_as_if_numbered():
    def group(name):
        return Sequential(Conv(1, 1), name=name)

    network = Sequential(group("stage"), group("stage"), group("stage2"))
    assert len(set(paths(network))) == 3


@pytest.mark.parametrize(("pool", "size", "padding"), [(MaxPool, 2, 2), (AvgPool, 3, (2, 0))])
def test_pooling_padded_by_more_than_half_its_window_is_refused_as_torch_does(pool, size, padding):
    with pytest.raises(ShapeError, match="at most half the window"):
        pool(size, padding=padding)


@pytest.mark.parametrize("wrong", [{"stride": 0}, {"kernel": (3, 0)}, {"padding": -1}, {"filters": 0}], ids=str)
def test_a_layer_with_impossible_numbers_is_refused(wrong):
    with pytest.raises(ShapeError, match=f"conv: {next(iter(wrong))} is"):
        Conv(**{"filters": 2, "kernel": 3} | wrong)
