"""The built-in architectures against published figures, or against sums done by hand if none are published."""

import pytest
from zoo import CIFAR, IMAGENET, MNIST, analyse_architecture, field_of

MILLION = 10**6


def macs(*convolutions, dense=()):
    """Multiply-adds by hand, of (output side, kernel, channels in, channels out) and of dense (in, out)."""
    return sum(side**2 * kernel**2 * a * b for side, kernel, a, b in convolutions) + sum(a * b for a, b in dense)


# Parameters: (name, options, shape, exact count, source)

TORCHVISION = "torchvision, whose network gave the same scores as ours from the same weights when this was written"
PARAMETERS = [
    ("lenet5", {}, (1, 32, 32), 61_706, "the paper's layers, C3 dense"),
    ("lenet5", {"padding": 2}, MNIST, 61_706, "the paper's 32x32 are MNIST's 28x28 with a margin of 2"),
    ("alexnet", {}, IMAGENET, 60_965_224, "Caffe's bvlc_alexnet; the paper: 60 million"),
    ("alexnet", {"towers": 1}, IMAGENET, 61_100_840, TORCHVISION),
    ("zfnet", {}, IMAGENET, 62_357_608, "figure 3 by hand, see test_zfnet"),
    ("vgg_a", {}, IMAGENET, 132_863_336, TORCHVISION),
    ("vgg_b", {}, IMAGENET, 133_047_848, TORCHVISION),
    ("vgg_d", {}, IMAGENET, 138_357_544, TORCHVISION),
    ("vgg_e", {}, IMAGENET, 143_667_240, TORCHVISION),
    ("vgg_a", {"batch_norm": True}, IMAGENET, 132_868_840, TORCHVISION),
    ("vgg_b", {"batch_norm": True}, IMAGENET, 133_053_736, TORCHVISION),
    ("vgg_d", {"batch_norm": True}, IMAGENET, 138_365_992, TORCHVISION),
    ("vgg_e", {"batch_norm": True}, IMAGENET, 143_678_248, TORCHVISION),
    ("googlenet", {}, IMAGENET, 6_998_552, "Caffe's bvlc_googlenet without its auxiliary classifiers"),
    ("resnet_cifar", {"depth": 20}, CIFAR, 269_722, "table 6: 0.27M"),
    ("resnet_cifar", {"depth": 32}, CIFAR, 464_154, "table 6: 0.46M"),
    ("resnet_cifar", {"depth": 44}, CIFAR, 658_586, "table 6: 0.66M"),
    ("resnet_cifar", {"depth": 56}, CIFAR, 853_018, "table 6: 0.85M"),
    ("resnet_cifar", {"depth": 110}, CIFAR, 1_727_962, "table 6: 1.7M"),
    ("resnet_cifar", {"depth": 1202}, CIFAR, 19_421_274, "table 6: 19.4M"),
    # Two projections with their normalisation: 16 * 32 + 2 * 32 and 32 * 64 + 2 * 64.
    ("resnet_cifar", {"shortcut": "B"}, CIFAR, 269_722 + 576 + 2_176, "by hand from option A"),
    ("resnet18", {}, IMAGENET, 11_689_512, TORCHVISION),
    ("resnet34", {}, IMAGENET, 21_797_672, TORCHVISION),
    ("resnet50", {}, IMAGENET, 25_557_032, TORCHVISION),
    ("resnet101", {}, IMAGENET, 44_549_160, TORCHVISION),
    ("resnet152", {}, IMAGENET, 60_192_808, TORCHVISION),
    ("resnet50", {"stride_in": "1x1"}, IMAGENET, 25_557_032, "a stride has no parameters"),
    ("densenet121", {}, IMAGENET, 7_978_856, TORCHVISION),
    ("densenet_cifar", {"depth": 100, "bottleneck": True}, CIFAR, 769_162, "table 2: 0.8M"),
    ("mobilenet_v1", {}, IMAGENET, 4_231_976, "Keras, trainable"),
    ("all_cnn", {}, CIFAR, 1_369_738, "table 2 by hand, see test_all_cnn; table 3: 1.4M"),
]


@pytest.mark.parametrize(("name", "options", "shape", "expected", "source"), PARAMETERS)
def test_parameters(name, options, shape, expected, source):
    assert analyse_architecture(name, shape, **options).parameters == expected


# Parameters in millions, as papers round them: (name, options, shape, millions, source)

ROUNDED = [
    ("vgg_a", {}, IMAGENET, 133, "table 2"),
    ("vgg_b", {}, IMAGENET, 133, "table 2"),
    ("vgg_c", {}, IMAGENET, 134, "table 2"),
    ("vgg_d", {}, IMAGENET, 138, "table 2"),
    ("vgg_e", {}, IMAGENET, 144, "table 2"),
    ("densenet_cifar", {"depth": 40, "growth": 12}, CIFAR, 1.0, "table 2"),
    ("densenet_cifar", {"depth": 100, "growth": 12}, CIFAR, 7.0, "table 2"),
    ("densenet_cifar", {"depth": 100, "growth": 24}, CIFAR, 27.2, "table 2"),
    ("densenet_cifar", {"depth": 250, "growth": 24, "bottleneck": True}, CIFAR, 15.3, "table 2"),
    ("densenet_cifar", {"depth": 190, "growth": 40, "bottleneck": True}, CIFAR, 25.6, "table 2"),
    ("mobilenet_v1", {}, IMAGENET, 4.2, "table 6"),
    ("mobilenet_v1", {"alpha": 0.75}, IMAGENET, 2.6, "table 6"),
    ("mobilenet_v1", {"alpha": 0.5}, IMAGENET, 1.3, "table 6"),
    ("mobilenet_v1", {"alpha": 0.25}, IMAGENET, 0.5, "table 6"),
]


@pytest.mark.parametrize(("name", "options", "shape", "millions", "source"), ROUNDED)
def test_parameters_as_papers_round_them(name, options, shape, millions, source):
    last_digit = 0.1 if isinstance(millions, float) else 1
    assert abs(analyse_architecture(name, shape, **options).parameters / MILLION - millions) <= last_digit / 2


# Multiply-adds, exact: (name, options, count, source)

MACS = [
    ("alexnet", {}, 724_406_816, "Caffe's bvlc_alexnet"),
    ("alexnet", {"towers": 1}, 714_188_480, TORCHVISION),
    ("vgg_a", {}, 7_609_090_048, TORCHVISION),
    ("vgg_b", {}, 11_308_466_176, TORCHVISION),
    ("vgg_d", {}, 15_470_264_320, TORCHVISION),
    ("vgg_e", {"batch_norm": True}, 19_632_062_464, TORCHVISION),
    ("resnet18", {}, 1_814_073_344, TORCHVISION),
    ("resnet34", {}, 3_663_761_408, TORCHVISION),
    ("resnet50", {}, 4_089_184_256, TORCHVISION),
    ("resnet50", {"stride_in": "1x1"}, 3_857_973_248, "table 1: 3.8e9"),
    ("densenet121", {}, 2_834_161_664, TORCHVISION),
]


@pytest.mark.parametrize(("name", "options", "expected", "source"), MACS)
def test_multiply_adds(name, options, expected, source):
    assert analyse_architecture(name, **options).macs == expected


# Multiply-adds in units of 1e6 or 1e9, which papers round up or down: (name, options, side, number, unit, source)

ROUNDED_MACS = [
    ("googlenet", {}, 224, 1.5, 1e9, "section 1: 1.5 billion"),
    ("resnet18", {}, 224, 1.8, 1e9, "table 1"),
    ("resnet34", {}, 224, 3.6, 1e9, "table 1"),
    ("resnet101", {"stride_in": "1x1"}, 224, 7.6, 1e9, "table 1"),
    ("resnet152", {"stride_in": "1x1"}, 224, 11.3, 1e9, "table 1"),
    ("mobilenet_v1", {}, 224, 569, 1e6, "table 6"),
    ("mobilenet_v1", {"alpha": 0.75}, 224, 325, 1e6, "table 6"),
    ("mobilenet_v1", {"alpha": 0.5}, 224, 149, 1e6, "table 6"),
    ("mobilenet_v1", {"alpha": 0.25}, 224, 41, 1e6, "table 6"),
    ("mobilenet_v1", {}, 192, 418, 1e6, "table 7"),
    ("mobilenet_v1", {}, 160, 290, 1e6, "table 7"),
    ("mobilenet_v1", {}, 128, 186, 1e6, "table 7"),
]


@pytest.mark.parametrize(("name", "options", "side", "number", "unit", "source"), ROUNDED_MACS)
def test_multiply_adds_as_papers_round_them(name, options, side, number, unit, source):
    last_digit = 0.1 if isinstance(number, float) else 1
    assert abs(analyse_architecture(name, (3, side, side), **options).macs / unit - number) < last_digit


# Receptive fields: (name, options, field, source)

ARAUJO = "Araujo et al. 2019, table of receptive fields"
STEM, THREE, FIVE, HALF = ((7, 2), (3, 2)), [(3, 1)], [(5, 1)], (2, 2)


def residual(*blocks, striding):
    """The receptive field of a residual network with `blocks` per stage.

    In the first block of every stage after the first, the 3x3 window strides (`striding`) or the 1x1 before it.
    """
    first = [(3, 2)] if striding else [(1, 2), (3, 1)]
    return field_of(*STEM, *THREE * blocks[0], *(w for count in blocks[1:] for w in (*first, *THREE * (count - 1))))


FIELDS = [
    ("alexnet", {"towers": 1}, (195, 195), ARAUJO + ": alexnet_v2"),
    ("vgg_d", {}, (212, 212), ARAUJO + ": vgg_16"),
    ("mobilenet_v1", {}, (315, 315), ARAUJO + ": mobilenet_v1"),
    # TF-slim strides at the end of a stage, the paper at the beginning of the next: its 3x3 windows see the same.
    ("resnet50", {"stride_in": "1x1"}, (483, 483), ARAUJO + ": resnet_v1_50"),
    ("resnet101", {"stride_in": "1x1"}, (1027, 1027), ARAUJO + ": resnet_v1_101"),
    ("resnet152", {"stride_in": "1x1"}, (1507, 1507), ARAUJO + ": resnet_v1_152"),
    ("resnet50", {"stride_in": "1x1"}, residual(3, 4, 6, 3, striding=False), "by hand"),
    ("resnet50", {}, (427, 427), "torchvision's resnet50"),
    ("resnet50", {}, residual(3, 4, 6, 3, striding=True), "by hand"),
    ("resnet18", {}, (435, 435), "torchvision's resnet18"),
    ("resnet18", {}, field_of(*STEM, *THREE * 4, *[(3, 2), *THREE * 3] * 3), "by hand"),
    ("zfnet", {}, field_of((7, 2), (3, 2), (5, 2), (3, 2), *THREE * 3, (3, 2)), "by hand"),
    # The widest of an inception module's windows is 5x5.
    ("googlenet", {}, field_of(*STEM, (3, 1), (3, 2), *FIVE * 2, (3, 2), *FIVE * 5, (3, 2), *FIVE * 2), "by hand"),
    (
        "densenet121",
        {},
        field_of(*STEM, *THREE * 6, HALF, *THREE * 12, HALF, *THREE * 24, HALF, *THREE * 16),
        "by hand",
    ),
    ("densenet_cifar", {}, field_of(*THREE * 13, HALF, *THREE * 12, HALF, *THREE * 12), "by hand"),
    ("resnet_cifar", {}, field_of(*THREE * 7, (3, 2), *THREE * 5, (3, 2), *THREE * 5), "by hand"),
    ("all_cnn", {}, field_of((3, 1), (3, 1), (3, 2), (3, 1), (3, 1), (3, 2), (3, 1)), "by hand"),
    ("lenet5", {}, field_of((5, 1), (2, 2), (5, 1), (2, 2)), "by hand"),
    ("small_vgg", {}, field_of(*[(3, 1), (3, 1), (2, 2)] * 3), "by hand"),
]


@pytest.mark.parametrize(("name", "options", "expected", "source"), FIELDS)
def test_receptive_fields(name, options, expected, source):
    assert analyse_architecture(name, **options).receptive_field == expected


# Sides of the maps along the way, as the papers give them: (name, shape, sides, source)

SIDES = [
    ("lenet5", (1, 32, 32), [28, 14, 10, 5], "figure 2"),
    ("alexnet", IMAGENET, [55, 27, 13, 6], "section 3.5 and Caffe"),
    ("zfnet", IMAGENET, [110, 55, 26, 13, 6], "figure 3"),
    ("vgg_d", IMAGENET, [224, 112, 56, 28, 14, 7], "five halvings, table 1"),
    ("googlenet", IMAGENET, [112, 56, 28, 14, 7], "table 1"),
    ("resnet50", IMAGENET, [112, 56, 28, 14, 7], "table 1"),
    ("resnet_cifar", CIFAR, [32, 16, 8], "section 4.2"),
    ("densenet121", IMAGENET, [112, 56, 28, 14, 7], "table 1"),
    ("mobilenet_v1", IMAGENET, [112, 56, 28, 14, 7], "table 1"),
    ("all_cnn", CIFAR, [32, 16, 8, 6], "table 1: the last average is over 6x6"),
    ("deep_convnet", MNIST, [28, 14, 16, 8, 4], "chapter 8"),
]


@pytest.mark.parametrize(("name", "shape", "expected", "source"), SIDES)
def test_sides(name, shape, expected, source):
    sides = [layer.output[1] for layer in analyse_architecture(name, shape).layers if layer.output[1] > 1]
    assert [side for side, before in zip(sides, [0, *sides], strict=False) if side != before] == expected


# One network each, by hand.


def test_lenet5_has_the_papers_layers():
    analysis = analyse_architecture("lenet5", (1, 32, 32))
    assert [layer.parameters for layer in analysis.layers if layer.parameters] == [156, 2416, 48120, 10164, 850]
    assert analysis.macs == macs((28, 5, 1, 6), (10, 5, 6, 16), dense=[(400, 120), (120, 84), (84, 10)])


def test_zfnet():
    weights = 49 * 3 * 96 + 25 * 96 * 256 + 9 * (256 * 384 + 384 * 384 + 384 * 256)
    dense = [(6 * 6 * 256, 4096), (4096, 4096), (4096, 1000)]
    biases = 96 + 256 + 384 + 384 + 256 + 4096 + 4096 + 1000
    analysis = analyse_architecture("zfnet")
    assert analysis.parameters == weights + sum(a * b for a, b in dense) + biases
    last = (13, 3, 256, 384), (13, 3, 384, 384), (13, 3, 384, 256)
    assert analysis.macs == macs((110, 7, 3, 96), (26, 5, 96, 256), *last, dense=dense)


def test_vgg_d_has_the_activations_that_cs231n_lists():
    """CS231n, "Case studies", VGGNet in detail: K is 1,000 numbers and M a million, of a forward pass."""
    listed = "3.2M 3.2M 800K 1.6M 1.6M 400K 800K 800K 800K 200K 400K 400K 400K 100K 100K 100K 100K 25K 4096 4096 1000"
    units = {"K": 1_000, "M": MILLION}
    expected = [float(n[:-1]) * units[n[-1]] if n[-1] in units else float(n) for n in listed.split()]
    layers = analyse_architecture("vgg_d", dropout=0.0).layers
    assert [layer.activations for layer in layers if layer.activations] == pytest.approx(expected, rel=0.01)


# Szegedy et al. 2015, table 1: (module, input channels, side, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection,
# thousands of weights, millions of operations). Four numbers of weights and one of operations (None here: 463K, 580K,
# 1072K and 54M, 1388K) are not those of the table's own filters, which are 498K, 591K, 1018K and 51M, 1409K; the
# operations listed next to the first, second and fourth do follow from the filters.
MODULES = [
    ("3a", 192, 28, 64, 96, 128, 16, 32, 32, 159, 128),
    ("3b", 256, 28, 128, 128, 192, 32, 96, 64, 380, 304),
    ("4a", 480, 14, 192, 96, 208, 16, 48, 64, 364, 73),
    ("4b", 512, 14, 160, 112, 224, 24, 64, 64, 437, 88),
    ("4c", 512, 14, 128, 128, 256, 24, 64, 64, None, 100),
    ("4d", 512, 14, 112, 144, 288, 32, 64, 64, None, 119),
    ("4e", 528, 14, 256, 160, 320, 32, 128, 128, 840, 170),
    ("5a", 832, 7, 256, 160, 320, 32, 128, 128, None, None),
    ("5b", 832, 7, 384, 192, 384, 48, 128, 128, None, 71),
]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m[0])
def test_inception_modules(module):
    name, depth, side, one, reduce3, three, reduce5, five, projection, thousands, millions = module
    layers = [layer for layer in analyse_architecture("googlenet").layers if layer.path.startswith(f"inception{name}/")]
    convolutions = (1, depth, one), (1, depth, reduce3), (3, reduce3, three), (1, depth, reduce5), (5, reduce5, five)
    weights = sum(k**2 * a * b for k, a, b in (*convolutions, (1, depth, projection)))
    assert sum(layer.parameters for layer in layers) == weights + one + reduce3 + three + reduce5 + five + projection
    assert sum(layer.macs for layer in layers) == side**2 * weights
    assert thousands is None or weights / 1024 == pytest.approx(thousands, rel=0.01)
    assert millions is None or abs(side**2 * weights / MILLION - millions) < 1


def test_googlenet_outside_its_modules():
    """Table 1 gives 112K and 360M for the second convolution with its reduction, 1000K and 1M for the last layer.

    So a thousand weights are 1,024 in that table, and a million operations 1e6; biases are not counted.
    """
    layers = {layer.path: layer for layer in analyse_architecture("googlenet").layers}
    second, last = [layers["stage2/conv1"], layers["stage2/conv2"]], layers["dense1"]
    assert sum(layer.parameters for layer in second) - 64 - 192 == 112 * 1024
    assert round(sum(layer.macs for layer in second) / MILLION) == 360
    assert last.parameters - 1000 == last.macs == 1000 * 1024


def test_mobilenet_has_kerass_running_statistics():
    assert analyse_architecture("mobilenet_v1").not_trained == 21_888


# Springenberg et al. 2015, tables 1 and 2: weights of 3x3 and 5x5 windows before each halving, by hand. Table 3 rounds
# the numbers of parameters to 0.9 (A), 1.28 (A with more convolutions), 1.0 and 1.35 (B), 1.3 and 1.4 (C) million. Only
# the last is what the tables before it give; ours for the others are 0.84, 1.25, 0.89, 1.30 and 0.95 million.
BIASES = 96 + 192 + 192 + 192 + 10
END = 9 * 192 * 192 + 192 * 192 + 192 * 10 + BIASES
BASES = {
    "A": 25 * 3 * 96 + 25 * 96 * 192 + END,
    "B": 25 * 3 * 96 + 96 * 96 + 25 * 96 * 192 + 192 * 192 + END + 96 + 192,
    "C": 9 * (3 * 96 + 96 * 96 + 96 * 192 + 192 * 192) + END + 96 + 192,
}
EXTRA = {"base": 0, "strided": 0, "convpool": 1, "all_cnn": 1}


@pytest.mark.parametrize("variant", EXTRA)
@pytest.mark.parametrize("model", BASES)
def test_all_cnn(model, variant):
    more = EXTRA[variant] * (9 * 96 * 96 + 96 + 9 * 192 * 192 + 192)
    analysis = analyse_architecture("all_cnn", CIFAR, model=model, variant=variant)
    assert analysis.parameters == BASES[model] + more
    assert [layer.type for layer in analysis.layers].count("max_pool") == (2 if variant in ("base", "convpool") else 0)


def test_deep_convnet():
    convolutions = [(28, 3, 1, 16), (28, 3, 16, 16), (14, 3, 16, 32), (16, 3, 32, 32), (8, 3, 32, 64), (8, 3, 64, 64)]
    dense = [(4 * 4 * 64, 50), (50, 10)]
    analysis = analyse_architecture("deep_convnet", MNIST)
    weights = sum(9 * a * b + b for _, _, a, b in convolutions) + sum(a * b + b for a, b in dense)
    assert (analysis.parameters, analysis.macs) == (weights, macs(*convolutions, dense=dense))
    assert not analysis.warnings


@pytest.mark.parametrize("batch_norm", [False, True])
def test_small_vgg(batch_norm):
    pairs = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256)]
    analysis = analyse_architecture("small_vgg", CIFAR, batch_norm=batch_norm)
    normalised = batch_norm * 2 * 2 * (64 + 128 + 256)
    dense = 4 * 4 * 256 * 512 + 512 + 512 * 10 + 10
    assert analysis.parameters == sum(9 * a * b + b for a, b in pairs) + dense + normalised


def test_simple_convnet():
    assert (
        analyse_architecture("simple_convnet", CIFAR).parameters
        == 32 * (49 * 3 + 1) + 16 * 16 * 32 * 100 + 100 + 100 * 10 + 10
    )
