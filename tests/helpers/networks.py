"""Random networks of all layers, valid by construction: each layer is drawn to fit the shape of its input."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, replace

from hypothesis import strategies as st

from runner.errors import ShapeError
from runner.network.base import pair
from runner.network.graph import Concat, Group, Multiply, Residual, Sequential
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

MOST_CHANNELS = 6
few = st.integers(1, 3)
small, middling, large = st.integers(4, 9), st.integers(14, 20), st.integers(40, 56)
initials = st.sampled_from(["he", "xavier", "lecun", 0.5])
names = st.sampled_from(["", "stage", "block", "conv"])
activations = st.sampled_from([ReLU(), Sigmoid(), Tanh(), GELU()]) | st.sampled_from(
    [ReLU6(), LeakyReLU(0.2), ELU(0.5), SiLU(), Hardsigmoid(), Hardswish()]
)
LARGEST = 12
"""The largest side that is enlarged further."""


def shortened(sizes):
    """Two equal numbers as one, which means the same."""
    return sizes[0] if sizes[0] == sizes[1] else tuple(sizes)


@st.composite
def convs(draw, shape, most_kernel=4):
    """A convolution of any kind that fits an input of `shape`."""
    channels, *lengths = shape
    groups = draw(st.sampled_from([n for n in range(1, channels + 1) if channels % n == 0]))
    mode = draw(st.sampled_from(["zero", "zero", "reflect", "replicate"]))
    padding = draw(st.sampled_from(["same", "valid", "number"]))
    if padding == "number":
        deepest = [min(length - 1, 2) if mode == "reflect" else 2 for length in lengths]
        padding = shortened([draw(st.integers(0, most)) for most in deepest])
    kernels, dilations = [], []
    for axis, length in enumerate(lengths):
        dilation = draw(st.sampled_from([1, 1, 2, 3]))
        if padding != "same":
            room = length - 1 + (2 * pair(padding)[axis] if padding != "valid" else 0)
        else:  # reflecting needs half of the extent, rounded up, in the input
            room = 2 * (length - 1) if mode == "reflect" else 100
        kernels.append(draw(st.integers(1, min(most_kernel, room // dilation + 1))))
        dilations.append(dilation)
    return Conv(
        groups * draw(st.integers(1, max(1, MOST_CHANNELS // groups // 2))), shortened(kernels),
        stride=shortened([draw(few), draw(few)]), padding=padding, bias=draw(st.booleans()),
        dilation=shortened(dilations), padding_mode=mode, initial=draw(initials),
        groups=draw(st.sampled_from([groups, "depthwise"])) if groups == channels else groups,
    )  # fmt: skip


@st.composite
def pools(draw, shape):
    """Max or average pooling, with padding, overlap and `ceil`."""
    sizes = [draw(st.integers(1, 4)), draw(st.integers(1, 4))]
    least = [max(0, -(-(size - length) // 2)) for size, length in zip(sizes, shape[1:], strict=True)]
    padding = [draw(st.integers(low, size // 2)) for low, size in zip(least, sizes, strict=True)]
    stride = draw(st.none() | st.tuples(few, few).map(shortened))
    return draw(st.sampled_from([MaxPool, AvgPool]))(
        shortened(sizes), stride, padding=shortened(padding), ceil=draw(st.booleans())
    )


@st.composite
def norms(draw):
    if draw(st.booleans()):
        return BatchNorm(momentum=draw(st.sampled_from([0.1, 0.5])), epsilon=draw(st.sampled_from([1e-5, 1e-3])))
    alpha, beta = draw(st.sampled_from([1e-4, 0.1])), draw(st.sampled_from([0.5, 0.75]))
    return LocalResponseNorm(draw(st.integers(1, 5)), alpha, beta, k=draw(st.sampled_from([1.0, 2.0])))


@st.composite
def scales(draw, shape):
    """Normalisation of each image by itself, or a scale."""
    channels, positions = shape[0], shape[1] * shape[2]
    kinds = [LayerScale(draw(st.sampled_from([1e-6, 0.5])))]
    if channels > 1:
        kinds.append(LayerNorm2d(draw(st.sampled_from([1e-6, 1e-3]))))
    if positions > 1:
        groups = draw(st.sampled_from([n for n in range(1, channels + 1) if channels % n == 0]))
        kinds += [GroupNorm(groups), InstanceNorm(), InstanceNorm(affine=True)]
    return draw(st.sampled_from(kinds))


@st.composite
def resamplings(draw, shape):
    """Transposed convolution, upsampling, or adaptive pooling."""
    groups = draw(st.sampled_from([n for n in range(1, shape[0] + 1) if shape[0] % n == 0]))
    kernel, stride, dilation = (draw(st.tuples(few, few)) for _ in range(3))
    extents = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    transposed = ConvTranspose(
        groups * draw(st.integers(1, max(1, MOST_CHANNELS // groups // 2))), shortened(kernel), shortened(stride),
        padding=shortened([draw(st.integers(0, extent // 2)) for extent in extents]),
        output_padding=shortened([draw(st.integers(0, step - 1)) for step in stride]),
        bias=draw(st.booleans()), dilation=shortened(dilation), groups=groups, initial=draw(initials),
    )  # fmt: skip
    enlarged = Upsample(shortened([draw(few), draw(few)]), draw(st.sampled_from(["nearest", "bilinear"])))
    pooled = AdaptiveAvgPool(shortened([draw(st.integers(1, 5)), draw(st.integers(1, 5))]))
    return draw(st.sampled_from([transposed, enlarged, pooled]))


def layers(shape, mixing=True):
    """One layer for an input of `shape`; with `mixing`, maybe one that mixes all positions."""
    kinds = [convs(shape), convs(shape), pools(shape), pools(shape), activations, norms()]
    kinds.append(st.builds(Dropout, rate=st.sampled_from([0.0, 0.25, 0.5])))
    kinds.append(
        st.builds(PadChannels, st.integers(shape[0], shape[0] + 2), st.sampled_from([1, 1, 2, (1, 2), (3, 1)]))
    )
    if shape[1:] == (1, 1):
        kinds.append(st.builds(Dense, st.integers(1, MOST_CHANNELS), bias=st.booleans(), initial=initials))
    kinds.append(st.builds(StochasticDepth, rate=st.sampled_from([0.0, 0.25, 0.5])))
    if mixing:
        kinds += [st.sampled_from([GlobalAvgPool(), GlobalMaxPool(), Flatten()]), scales(shape)]
        if max(shape[1:]) <= LARGEST:
            kinds.append(resamplings(shape))
    return st.one_of(kinds)


@st.composite
def chains(draw, shape, depth, most=3, **options):
    """Up to `most` parts one after another, with groups nested up to `depth` deep: (parts, output shape)."""
    parts = []
    for _ in range(draw(st.integers(0 if depth < 2 else 1, most))):
        groups = ["sequential", "residual", "concat", *(["multiply"] if options.get("mixing", True) else [])]
        kind = draw(st.sampled_from(["layer", "layer", "layer", *groups])) if depth else ""
        if kind in ("", "layer"):
            part = draw(layers(shape, **options))
            shape = part.output_shape(shape)
        else:
            part, shape = draw(GROUPS[kind](shape, depth - 1, **options))
        parts.append(part)
    return parts, shape


@st.composite
def sequentials(draw, shape, depth, **options):
    parts, reached = draw(chains(shape, depth, **options))
    return Sequential(*parts, name=draw(names)), reached


@st.composite
def residuals(draw, shape, depth, **options):
    """A body, and a shortcut with the same output shape."""
    body, reached = draw(chains(shape, depth, most=2, **options))
    return Residual(*body, shortcut=draw(shortcuts(shape, reached)), name=draw(names)), reached


@st.composite
def shortcuts(draw, shape, reached):
    kinds = ["identity"] * 2 if reached == shape else []
    strides = [_stride_to(length, count) for length, count in zip(shape[1:], reached[1:], strict=True)]
    if all(strides):
        kinds += ["project", "pad"] if reached[0] >= shape[0] else ["project"]
    kind = draw(st.sampled_from(kinds or ["any"]))
    if kind == "identity":
        return Sequential()
    if kind == "pad":
        return PadChannels(reached[0], shortened(strides))
    if kind == "project":
        projection = Conv(reached[0], 1, stride=shortened(strides), padding="valid", bias=False)
    else:
        projection = draw(matching(shape, reached[1:], reached[0]))
    return draw(st.sampled_from([projection, Sequential(projection, BatchNorm())]))


@st.composite
def concats(draw, shape, depth, **options):
    """Branches with equal output height and width, from different kernels, paddings, dilations and strides."""
    first, reached = draw(chains(shape, depth, most=2, **options))
    branches, channels = [Sequential(*first, name=draw(names))], reached[0]
    for _ in range(draw(st.integers(0, 2))):
        filters = draw(few)
        branch = draw(matching(shape, reached[1:], filters))
        branches.append(draw(st.sampled_from([branch, Sequential(branch, ReLU()), Sequential(branch, name="branch")])))
        channels += filters
    order = draw(st.permutations(branches))
    return Concat(*order, name=draw(names)), (channels, *reached[1:])


@st.composite
def multiplies(draw, shape, depth, **options):
    """A gate of one channel or of all, for one position or for all."""
    channels = draw(st.sampled_from([1, shape[0]]))
    gates = [
        [GlobalAvgPool(), Conv(channels, 1), Hardsigmoid()],
        [Conv(channels, 1, bias=False), Sigmoid()],
        [Conv(channels, 3), Sequential(Tanh())],
        [MaxPool(shape[1:]), Conv(channels, 1)],
    ]
    return Multiply(*draw(st.sampled_from(gates)), name=draw(names)), shape


@st.composite
def matching(draw, shape, target, filters):
    """A convolution from `shape` to height and width `target`."""
    windows = [draw(st.sampled_from(_windows(length, count))) for length, count in zip(shape[1:], target, strict=True)]
    kernel, dilation, stride, padding = (shortened(values) for values in zip(*windows, strict=True))
    return Conv(filters, kernel, stride, padding, bias=draw(st.booleans()), dilation=dilation)


def _windows(length, count):
    """The (kernel, dilation, stride, padding) with which a window has `count` positions along `length`."""
    windows = [
        (kernel, dilation, stride, padding)
        for kernel in range(1, 6)
        for dilation in ([1, 2] if kernel > 1 else [1])
        for stride in range(1, 5)
        for padding in range(3)
        if length + 2 * padding > dilation * (kernel - 1)
        and (length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1 == count
    ]
    if windows:
        return windows
    stride, padding = max(1, length // count), max(0, -(-(count - length) // 2))
    return [(length + 2 * padding - (count - 1) * stride, 1, stride, padding)]


def _stride_to(length, count):
    """The stride with which a window of size 1 has `count` positions along `length`; None if there is none."""
    return next((s for s in range(1, length + 1) if (length - 1) // s + 1 == count), None)


GROUPS = {"sequential": sequentials, "residual": residuals, "concat": concats, "multiply": multiplies}


@st.composite
def networks(draw, classes=3, most_channels=4, lengths=small):
    """A network for small images that outputs one number per class: (network, shape)."""
    shape = draw(st.integers(1, most_channels)), draw(lengths), draw(lengths)
    features, reached = draw(chains(shape, 2))
    if draw(st.booleans()):
        features.append(draw(st.sampled_from([Flatten(), GlobalAvgPool(), GlobalMaxPool()])))
        hidden, _ = draw(chains(features[-1].output_shape(reached), 1, most=2))
        return Sequential(*features, *hidden, Flatten(), Dense(classes)), shape
    return Sequential(*features, Conv(classes, 1), GlobalAvgPool()), shape


@st.composite
def spatial(draw):
    """A network that mixes no positions, without a head, for images long along one axis: (network, shape, axis)."""
    axis = draw(st.integers(0, 1))
    sides = draw(large), draw(middling)
    shape = draw(few), sides[axis], sides[1 - axis]
    parts, _ = draw(chains(shape, 2, mixing=False))
    return Sequential(*parts), shape, axis


OTHER = {
    "Count": lambda value: value + 1,
    "Size": lambda value: 7 if value != 7 else 8,
    "Size | None": lambda value: 7 if value != 7 else 8,
    "Margin": lambda value: 0 if value else 1,
    "Groups": lambda value: "depthwise" if value != "depthwise" else 1,
    "Resized": lambda value: "nearest" if value != "nearest" else "bilinear",
    "Padding": lambda value: "valid" if value != "valid" else "same",
    "PaddingMode": lambda value: "zero" if value != "zero" else "reflect",
    "Initial": lambda value: "he" if value != "he" else "lecun",
    "Number": lambda value: 2 * value,
    "Rate": lambda value: (value + 1) / 2,
    "bool": lambda value: not value,
}
"""For each name of a field's type: a value that differs from the given one."""


def rebuild(network, change):
    """A copy with every layer and group replaced by `change(record)`."""
    if not isinstance(network, Group):
        return change(replace(network))
    shortcut = {"shortcut": rebuild(network.shortcut, change)} if isinstance(network, Residual) else {}
    return change(type(network)(*(rebuild(part, change) for part in network.layers), name=network.name, **shortcut))


def changes(record):
    """All single changes of one record: (what is changed, the changed record)."""
    if isinstance(record, Group):
        shortcut = {"shortcut": record.shortcut} if isinstance(record, Residual) else {}
        yield "name", type(record)(*record.layers, name=record.name + "x", **shortcut)
        yield "layers", type(record)(*record.layers, ReLU(), name=record.name, **shortcut)
        yield "type", (Sequential if isinstance(record, Concat) else Concat)(*record.layers, name=record.name)
        return
    for field in fields(record):
        with suppress(ShapeError):  # a pooling layer's padding is limited by its size
            value = OTHER[str(field.type)](getattr(record, field.name))
            yield field.name, replace(record, **{field.name: value})
    yield "type", Tanh() if record != Tanh() else ReLU()


@st.composite
def variants(draw, network):
    """A network that differs from the given one in one respect, or in none: (network, what is changed or "")."""
    records = []
    rebuild(network, lambda record: records.append(record) or record)
    position = draw(st.integers(0, len(records) - 1))
    change, other = draw(st.sampled_from([("", records[position]), *changes(records[position])]))
    visited = iter(range(len(records)))
    return rebuild(network, lambda record: other if next(visited) == position else record), change
