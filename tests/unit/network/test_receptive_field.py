"""Windows: which inputs they fit, receptive fields by experiment, and what a stride leaves unseen."""

import json
import math
from itertools import pairwise

import pytest
import torch
from command import TINY
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import spatial
from torch.nn import functional as F

from runner.engines.torch_engine.build import build_module
from runner.errors import ShapeError
from runner.network.analysis import analyse
from runner.network.graph import Concat, Residual, Sequential, walk
from runner.network.layers import (
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GlobalMaxPool,
    MaxPool,
    PadChannels,
    ReLU,
)
from runner.network.parameters import initial_values
from runner.network.receptive_field import image_field, merge_fields

torch.set_num_threads(1)  # on tensors this small a second thread costs more than it saves

sides, pads = st.integers(1, 3), st.integers(0, 2)


def both(numbers):
    """One number for height and width, or one for each."""
    return numbers | st.tuples(numbers, numbers)


def pooling(kind, size, stride, padded, ceil):
    return kind(size, stride, padding=tuple(k // 2 if p else 0 for k, p in zip(size, padded, strict=True)), ceil=ceil)


pairs = st.tuples(sides, sides)
modes = st.sampled_from(["zero", "reflect", "replicate"])
paddings = st.sampled_from(["same", "valid"]) | both(pads)
convs = st.builds(
    Conv, st.just(2), both(st.integers(1, 4)), both(sides), paddings, dilation=both(sides), padding_mode=modes
)
kinds = st.sampled_from([MaxPool, AvgPool])
pools = st.builds(
    pooling, kinds, pairs, st.none() | both(sides), st.tuples(st.booleans(), st.booleans()), st.booleans()
)


def of_torch(layer, images):
    """The layer's output, computed by torch alone; all weights are 1."""
    size, stride, (rows, columns), dilation, ceil = layer.geometry()
    if isinstance(layer, Conv):
        mode = "constant" if layer.padding_mode == "zero" else layer.padding_mode
        weights = torch.ones(layer.filters, images.shape[1], *size)
        return F.conv2d(F.pad(images, (*columns, *rows), mode), weights, stride=stride, dilation=dilation)
    pool = F.max_pool2d if isinstance(layer, MaxPool) else F.avg_pool2d
    return pool(images, size, stride, (rows[0], columns[0]), ceil_mode=ceil)


@settings(max_examples=300)
@given(convs | pools, st.tuples(sides, st.integers(1, 5), st.integers(1, 5)))
def test_a_window_is_refused_exactly_if_torch_refuses_it(layer, shape):
    try:
        output = of_torch(layer, torch.zeros(1, *shape))
    except RuntimeError:
        with pytest.raises(ShapeError):
            layer.output_shape(shape)
    else:
        assert layer.output_shape(shape) == tuple(output.shape[1:])


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(
    ("kernel", "dilation"), [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), ((2, 5), 1), ((2, 3), (3, 2))]
)
def test_same_padding_equals_that_of_torch(kernel, dilation):
    network = Sequential(Conv(2, kernel, bias=False, dilation=dilation))
    values = initial_values(network, (3, 6, 7), 0)
    weights, images = torch.from_numpy(values["conv1.weight"]), torch.rand(2, 3, 6, 7)
    expected = F.conv2d(images, weights, padding="same", dilation=dilation)
    torch.testing.assert_close(
        build_module(network, (3, 6, 7), [values])(images)[:, :, None], expected.flatten(1)[:, :, None]
    )


@pytest.mark.parametrize("stride", [1, 2, 3, (2, 3)])
@given(st.integers(1, 6), st.integers(1, 3), st.tuples(st.integers(1, 12), st.integers(1, 12)))
@settings(max_examples=30)
def test_same_padding_gives_the_input_size_over_the_stride_rounded_up(stride, kernel, dilation, extent):
    rows, columns = stride if isinstance(stride, tuple) else (stride, stride)
    expected = (1, math.ceil(extent[0] / rows), math.ceil(extent[1] / columns))
    assert Conv(1, kernel, stride, dilation=dilation).output_shape((1, *extent)) == expected


def layers_of(network, shape):
    """The facts of each layer of a network without a head."""
    return analyse(Sequential(network, Flatten(), Dense(2)), shape, 2).layers[:-2]


def analysed_fields(network, shape, axis):
    """For each row (axis 0) or column (axis 1) of the output: the first and the last of the image that it depends on,
    according to the analysis.
    """

    def visit(path, layer, signal):
        shape, field = signal
        output = layer.output_shape(shape)
        return output, field.through(layer.window(shape), output[1:])

    def merge(path, group, ends):
        return group.output_shape([shape for shape, _ in ends]), merge_fields(field for _, field in ends)

    output, field = walk(network, (shape, image_field(*shape[1:])), visit, merge)
    rays = field[axis].rays
    firsts, lasts = ([[ray[end] + i * ray.jump for ray in rays] for i in range(output[1 + axis])] for end in (0, 1))
    return list(zip(map(min, firsts), map(max, lasts), strict=True))


def measured_fields(network, shape, axis):
    """The same by experiment: the first and the last row or column of the image that changes the output, or None.

    One row or column at a time is lit, in an image that is dark but not black. All weights are positive and equal, so
    that no light cancels out, and the network is in evaluation mode, so that dropout passes everything.
    """
    length, side = shape[1 + axis], shape[2 - axis]
    values = initial_values(network, shape, 0)
    for key, array in values.items():
        array[...] = 1 / math.prod(array.shape[1:]) if key.endswith(("weight", "running_var")) else 0
    module = build_module(network, shape, [values]).double().eval()[:-1]  # without the final flattening
    lines = torch.eye(length, dtype=torch.float64).view(length, 1, length, 1)
    lit = torch.cat([torch.zeros_like(lines[:1]), lines]).expand(-1, shape[0], -1, side) + 0.1
    with torch.no_grad():
        output = module(lit if axis == 0 else lit.transpose(2, 3))
    changed = (output[1:] - output[0]).abs().amax((1, 3 - axis)) > 1e-12
    lit_lines = [line.nonzero().flatten().tolist() for line in changed.T]
    return [(lines[0], lines[-1]) if lines else None for lines in lit_lines]


@pytest.mark.slow
@settings(max_examples=200)
@given(spatial())
def test_receptive_field_jump_and_centre_match_an_experiment(drawn):
    """At every position whose field is within the image, in random networks with branches."""
    network, shape, axis = drawn
    layers = layers_of(network, shape)
    # Along the other axis, a dilated window may miss an image as small as its gaps, and then no light comes through.
    assume(layers and all(facts.output[2 - axis] > 3 for facts in layers))
    fields = analysed_fields(network, shape, axis)
    within = [i for i, (first, last) in enumerate(fields) if first >= 0 and last < shape[1 + axis]]
    measured = measured_fields(network, shape, axis)
    assert [measured[i] for i in within] == [fields[i] for i in within]
    assert layers[-1].receptive_field[axis] == max(last - first + 1 for first, last in fields)
    assert layers[-1].centre[axis] == sum(fields[0]) / 2
    jumps = {later - earlier for ends in zip(*fields, strict=True) for earlier, later in pairwise(ends)}
    assert all(jump <= layers[-1].jump[axis] for jump in jumps)
    if not {"residual", "concat"} & {facts.type for facts in layers}:
        assert jumps <= {layers[-1].jump[axis]}


def size_jump_centre(network, shape=(1, 40, 40)):
    facts = layers_of(network, shape)[-1]
    return facts.receptive_field, facts.jump, facts.centre


def test_windows_that_are_not_square():
    network = Sequential(Conv(2, (5, 3)), MaxPool((1, 2)), Conv(2, (1, 3), stride=(3, 1)))
    assert size_jump_centre(network) == ((5, 8), (3, 2), (0, 0.5))


def test_dilation():
    """Yu and Koltun 2016, section 3: 3x3 filters dilated by 1, 2, 4 have fields of 3x3, 7x7 and 15x15."""
    sizes = [size_jump_centre(Sequential(*(Conv(1, 3, dilation=2**j) for j in range(i + 1))))[0] for i in range(3)]
    assert sizes == [(3, 3), (7, 7), (15, 15)]
    assert size_jump_centre(Conv(1, (3, 2), dilation=(1, 5), padding="valid"))[::2] == ((3, 6), (1, 2.5))


@pytest.mark.parametrize(
    ("layers", "jump", "centre"),
    [
        ([ReLU()], 1, 0),
        ([Conv(1, 3)], 1, 0),
        ([Conv(1, 3, padding="valid")], 1, 1),
        ([Conv(1, 2)], 1, 0.5),
        ([Conv(1, 4)], 1, 0.5),
        ([MaxPool(2)], 2, 0.5),
        ([AvgPool(2), MaxPool(2)], 4, 1.5),
        ([MaxPool(3, 2, padding=1)], 2, 0),
        ([MaxPool(3, 2, ceil=True)], 2, 1),
        ([PadChannels(2, 2), Conv(1, 3, 2)], 4, 0),
        ([Conv(1, 11, 4, padding=2), MaxPool(3, 2)], 8, 7),  # AlexNet's first layers
        ([Conv(1, 1, padding=2)], 1, -2),
    ],
)
def test_jump_and_the_centre_of_the_first_position(layers, jump, centre):
    assert size_jump_centre(Sequential(*layers))[1:] == ((jump, jump), (centre, centre))


@pytest.mark.parametrize(
    ("branches", "size", "centre"),
    [
        ([Conv(1, 1), Conv(1, 3), Conv(1, 5), MaxPool(3, 1, padding=1)], 5, 0),  # GoogLeNet's inception
        ([Conv(1, 3), Conv(1, 2, dilation=3)], 4, 0.5),  # -1 to 1 and -1 to 2
        ([Conv(1, 2, 2), Conv(1, 3, 2, padding=1)], 3, 0),  # 0 to 1 and -1 to 1
        ([Conv(1, 3, 2, padding=1), MaxPool(3, 2, ceil=True)], 4, 0.5),  # -1 to 1 and 0 to 2
        ([Conv(1, 1, 2), Sequential(Conv(1, 3), AvgPool(2))], 4, 0.5),  # 0 and -1 to 2
    ],
)
def test_where_branches_meet_the_field_covers_those_of_all(branches, size, centre):
    assert size_jump_centre(Concat(*branches))[::2] == ((size, size), (centre, centre))
    if len(branches) == 2:
        assert size_jump_centre(Residual(branches[1], shortcut=branches[0]))[::2] == ((size, size), (centre, centre))


def test_branches_with_different_jumps():
    """2x2 pooling and a convolution without padding both give 4 positions of 8; the larger field exceeds the image."""
    concat, shape = Concat(MaxPool(2), Conv(1, 5, padding="valid")), (1, 8, 8)
    assert size_jump_centre(concat, shape) == ((5, 5), (2, 2), (2, 2))
    assert measured_fields(Sequential(concat), shape, 0) == [(0, 4), (1, 5), (2, 6), (3, 7)]
    larger, shape = Residual(AvgPool(2, ceil=True), shortcut=Conv(1, 5, padding="valid")), (1, 9, 9)
    assert measured_fields(Sequential(larger), shape, 0) == [(0, 4), (1, 5), (2, 6), (3, 7), (4, 8)]
    assert size_jump_centre(larger, shape) == ((6, 6), (2, 2), (2, 2)), "the last covers 4 to 9"


def bottleneck(stride, shortcut):
    return Residual(Conv(1, 1), BatchNorm(), ReLU(), Conv(1, 3, stride), ReLU(), Conv(1, 1), shortcut=shortcut)


def test_resnet_50():
    """Araujo et al. 2019, table 1, resnet_v1_50: field 483, jump 32, with the stride in the last block of a stage."""
    stages = [
        Sequential(*(bottleneck(1, Conv(1, 1)) for _ in range(depth - 1)), bottleneck(stride, PadChannels(1, stride)))
        for depth, stride in ((3, 2), (4, 2), (6, 2), (3, 1))
    ]
    network = Sequential(Conv(1, 7, 2, padding=3), MaxPool(3, 2, padding=1), *stages, GlobalAvgPool(), Dense(10))
    analysis = analyse(network, (3, 224, 224), 10)
    assert analysis.receptive_field == (483, 483)
    assert analysis.layers[-3].jump == (32, 32) and analysis.layers[-3].output == (1, 7, 7)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([Conv(1, 3), GlobalAvgPool(), Conv(1, 3)], (3, 3)),
        ([Conv(1, 3), GlobalMaxPool()], (3, 3)),
        ([Conv(1, 3), Flatten(), Conv(1, 5)], (3, 3)),
        ([Flatten()], (1, 1)),
        ([Conv(1, 3), ReLU(), Conv(1, (8, 7), padding="valid"), ReLU(), Conv(1, 1)], (10, 9)),
        ([Conv(1, 3), Concat(GlobalAvgPool(), Conv(1, 8, padding="valid")), Conv(1, 3)], (10, 10)),
    ],
)
def test_the_field_of_a_network_ends_where_all_positions_are_mixed(layers, expected):
    assert analyse(Sequential(*layers, Flatten(), Dense(2)), (1, 8, 8), 2).receptive_field == expected


def test_layers_whose_input_has_a_field_beyond_the_image():
    """Richter et al. 2021: such a layer cannot relate anything new."""
    stack = [layer for _ in range(5) for layer in (Conv(1, 3), ReLU())]
    analysis = analyse(Sequential(*stack, MaxPool(2), Flatten(), Dense(2)), (1, 7, 7), 2)
    # The input of conv5 has a field of 9x9, that of conv4 one of 7x7, which is not beyond.
    assert [f.path for f in analysis.layers if f.beyond_image] == ["conv5", "max_pool1"]
    tall = analyse(Sequential(*[Conv(1, (9, 1))] * 3, Flatten(), Dense(2)), (1, 8, 8), 2)
    assert not any(f.beyond_image for f in tall.layers), "beyond the image in one direction only"


TILING = [
    (Conv(1, 3, 3, padding="valid"), (7, 7), "layer conv: its stride does not tile the 7x7 input: row 6 and column 6"),
    (Conv(1, 3, 3, padding="valid"), (7, 9), "layer conv: its stride does not tile the 7x9 input: row 6"),
    (Conv(1, 3, (1, 3), padding="valid"), (7, 8), "columns 6 to 7"),
    (MaxPool(2), (6, 7), "layer max_pool: its stride does not tile the 6x7 input: column 6"),
    (MaxPool(2, ceil=True), (7, 7), ""),
    (MaxPool(3, 2, padding=1), (8, 8), ""),
    (AvgPool(3, 2), (8, 8), "row 7 and column 7"),
    (AvgPool(2, 3), (9, 9), "rows 2, 5, 8 and columns 2, 5, 8"),
    (MaxPool(2, 3), (29, 4), "rows 2, 5, 8, ... 26 and columns 2 to 3"),
    (MaxPool(2, 3, ceil=True), (10, 10), "rows 2, 5, 8 and columns 2, 5, 8"),
    (MaxPool((2, 1), (3, 3)), (8, 8), "rows 2, 5"),
    (Conv(1, 2, 4, padding="valid", dilation=2), (7, 7), "rows 1, 3, 5 and columns 1, 3, 5"),
    (Conv(1, 3, 2, padding="valid", dilation=2), (9, 9), "rows 1, 3, 5, 7 and columns 1, 3, 5, 7"),
    (Conv(1, 2, 1, padding="valid", dilation=2), (9, 9), ""),
    (Conv(1, 3, 2, padding=1), (8, 8), ""),  # only the last row of padding is unseen
    (Conv(1, 3, 2, padding=1), (7, 7), ""),
    (Conv(1, 3, 3), (8, 8), ""),  # padding "same"
    (Conv(1, 1, 2), (7, 7), ""),
    (AvgPool(1, 3), (8, 8), ""),
    (PadChannels(1, 2), (7, 7), ""),
]


@pytest.mark.parametrize(("layer", "extent", "expected"), TILING)
def test_a_stride_that_does_not_tile_is_a_warning_or_with_strict_an_error(layer, extent, expected):
    network, shape = Sequential(layer, Flatten(), Dense(2)), (1, *extent)
    expected = expected.replace(f"layer {layer.type}:", f"layer {layer.type}1:")
    warnings = analyse(network, shape, 2).warnings
    assert len(warnings) == bool(expected)
    if not expected:
        assert analyse(network, shape, 2, strict=True).warnings == ()
        return
    assert warnings[0].endswith(f"{expected} are never seen")
    with pytest.raises(ShapeError) as caught:
        analyse(network, shape, 2, strict=True)
    problem = warnings[0].removesuffix("are never seen")
    assert str(caught.value) == f"{problem}would never be seen, which strict: true forbids"


@settings(max_examples=200)
@given(convs | pools, st.tuples(st.just(1), st.integers(1, 9), st.integers(1, 9)))
def test_the_unseen_lines_are_those_that_change_no_output(layer, shape):
    assume(isinstance(layer, (MaxPool, AvgPool)) or layer.padding_mode == "zero")  # otherwise padding may repeat them
    assume(min(layer.geometry().positions(shape)) >= 1)
    rows = torch.eye(shape[1])[:, None, :, None].expand(-1, 1, -1, shape[2])
    columns = torch.eye(shape[2])[:, None, None, :].expand(-1, 1, shape[1], -1)
    dark = [(of_torch(layer, images).amax((1, 2, 3)) == 0).nonzero().flatten().tolist() for images in (rows, columns)]
    assume(
        len(dark[0]) < shape[1] and len(dark[1]) < shape[2]
    )  # as with a dilated window on an image as small as its gaps
    size = layer.geometry().size
    assert list(layer.unseen(shape)) == [[] if k == 1 else lines for k, lines in zip(size, dark, strict=True)]


def test_strict_on_one_layer_applies_to_no_other():
    def network(*strict):
        pools = [MaxPool(2, strict=s) for s in strict]
        block = Residual(ReLU(), Sequential(Conv(1, 3, 3, padding="valid", strict=strict[0]), name="deep"),
                         shortcut=AvgPool(5, 3), name="block")  # fmt: skip
        return Sequential(pools[1], block, Flatten(), Dense(2))

    warnings = analyse(network(False, False), (1, 23, 23), 2).warnings
    assert [warning.partition(":")[0] for warning in warnings] == ["layer max_pool1", "layer block/deep/conv1"]
    for strict, layer in (((True, False), "block/deep/conv1"), ((False, True), "max_pool1")):
        with pytest.raises(ShapeError, match=f"layer {layer}: its stride does not tile"):
            analyse(network(*strict), (1, 23, 23), 2)


POOLED = """\
from runner.api import Architecture, Dense, Flatten, MaxPool, Sequential, hookimpl

def pooled(input_shape, classes, *, size: int = 3):
    return Sequential(Sequential(MaxPool(size), name="first"), Flatten(), Dense(classes))

@hookimpl
def register_architectures():
    yield Architecture(name="pooled", build=pooled)
"""


def test_strict_in_yaml_is_an_error_or_changes_nothing(tmp_path, runner):
    (tmp_path / "pooled.py").write_text(POOLED)
    text = TINY[: TINY.index("grid:")].replace("plugins: []", "plugins: [./pooled.py]")
    (tmp_path / "e.yaml").write_text(text.replace("stages, width: 4, stages: 1", "pooled, size: 2"))
    ids = {}
    for size, strict in ((2, "false"), (2, "true"), (3, "false"), (3, "true")):
        given = ("--set", f"architecture.size={size}", "--set", f"architecture.strict={strict}")
        done = runner("plan", "e.yaml", "--json", *given)
        assert done.stdout, done.stderr
        (cell,) = json.loads(done.stdout)["cells"]
        ids[size, strict] = cell["id"]
        if (size, strict) == (3, "true"):
            words = "layer first/max_pool1: its stride does not tile the 8x8 input: rows 6 to 7 and columns 6 to 7"
            assert done.returncode == 2 and words in cell["problem"] and words in done.stderr
        else:
            assert (done.returncode, cell["problem"]) == (0, None), done.stderr
    assert ids[2, "false"] == ids[2, "true"] != ids[3, "false"]
    plain = json.loads(runner("plan", "e.yaml", "--json").stdout)["cells"][0]["id"]
    assert plain == ids[2, "false"], "a default that is left out equals one that is set"


def test_describe_warns_of_lines_that_are_never_seen(runner):
    given = ("describe", "stages", "--input", "1x7x7", "--set", "stages=1")
    described = json.loads(runner(*given, "--json").stdout)
    expected = "layer stage1/max_pool1: its stride does not tile the 7x7 input: row 6 and column 6 are never seen"
    assert described.get("warnings", [expected]) == [expected]
    strict = runner(*given, "--set", "strict=true")
    assert strict.returncode == 2 and strict.stderr.startswith(expected.removesuffix("are never seen"))
