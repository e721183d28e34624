"""The built-in architectures since 2016 against published figures, or against sums done by hand."""

import math

import pytest
from zoo import CIFAR, IMAGENET, MNIST, analyse_architecture, build, field_of

from runner.components.validation import InvalidValues
from runner.errors import RunnerError, ShapeError

BILLION, MILLION = 10**9, 10**6


# Parameters: (name, options, shape, exact count, source)

TORCHVISION = "torchvision, what it says of its weights; see also test_zoo_and_libraries.py"
TIMM = "timm's network; see also test_zoo_and_libraries.py"
LEGACY = "timm's network called legacy_..., which is the authors'; its seresnet18 rounds the gates to multiples of 8"
V2 = "Woo et al. 2023, table 15, ConvNeXt V1 in that size"
AUTHORS = "the count of the authors' network for CIFAR-10, as their paper rounds it"
PARAMETERS = [
    ("convnext", {"size": "atto"}, IMAGENET, 3_695_520, TIMM),
    ("convnext", {"size": "femto"}, IMAGENET, 5_217_784, TIMM),
    ("convnext", {"size": "pico"}, IMAGENET, 9_045_672, TIMM),
    ("convnext", {"size": "nano"}, IMAGENET, 15_593_560, TIMM),
    ("convnext", {"size": "tiny"}, IMAGENET, 28_589_128, TORCHVISION),
    ("mobilenet_v2", {}, IMAGENET, 3_504_872, TORCHVISION),
    ("mobilenet_v2", {"alpha": 0.35}, IMAGENET, 1_677_128, "timm's mobilenetv2_035: 1.68M"),
    ("mobilenet_v2", {"alpha": 0.5}, IMAGENET, 1_968_680, "timm's mobilenetv2_050: 1.97M"),
    ("mobilenet_v2", {"alpha": 0.75}, IMAGENET, 2_636_424, "timm's mobilenetv2_075: 2.64M"),
    ("mobilenet_v2", {"alpha": 1.4}, IMAGENET, 6_108_776, "timm's mobilenetv2_140: 6.11M"),
    ("efficientnet_b0", {}, IMAGENET, 5_288_548, TORCHVISION),
    ("efficientnet_b0", {"depth": 1.1}, IMAGENET, 7_794_184, "torchvision's efficientnet_b1"),
    ("efficientnet_b0", {"width": 1.1, "depth": 1.2}, IMAGENET, 9_109_994, "torchvision's efficientnet_b2"),
    ("efficientnet_b0", {"width": 1.2, "depth": 1.4}, IMAGENET, 12_233_232, "torchvision's efficientnet_b3"),
    ("efficientnet_b0", {"width": 1.4, "depth": 1.8}, IMAGENET, 19_341_616, "torchvision's efficientnet_b4"),
    ("squeezenet", {}, IMAGENET, 1_248_424, TORCHVISION + "; the paper's table 1"),
    ("squeezenet", {"version": "v1.1"}, IMAGENET, 1_235_496, TORCHVISION),
    ("resnext50", {}, IMAGENET, 25_028_904, TORCHVISION),
    ("resnext50", {"cardinality": 1, "base_width": 64}, IMAGENET, 25_557_032, "table 2: 1 x 64d is ResNet-50"),
    ("resnext101", {"base_width": 8}, IMAGENET, 88_791_336, TORCHVISION),
    ("resnext101", {"cardinality": 64}, IMAGENET, 83_455_272, TORCHVISION),
    ("resnext_cifar", {}, CIFAR, 34_426_698, "table 7: 34.4M"),
    ("resnext_cifar", {"cardinality": 16}, CIFAR, 68_155_210, "table 7: 68.1M, rounded down"),
    ("wide_resnet50", {}, IMAGENET, 68_883_240, TORCHVISION),
    ("wide_resnet101", {}, IMAGENET, 126_886_696, TORCHVISION),
    ("wide_resnet50", {"widen": 1}, IMAGENET, 25_557_032, "ResNet-50"),
    ("wide_resnet_cifar", {}, CIFAR, 36_479_194, AUTHORS + ": 36.5M"),
    ("wide_resnet_cifar", {"depth": 40, "widen": 4}, CIFAR, 8_949_210, AUTHORS + ": 8.9M"),
    ("se_resnet18", {}, IMAGENET, 11_778_592, LEGACY),
    ("se_resnet34", {}, IMAGENET, 21_958_868, LEGACY),
    ("se_resnet50", {}, IMAGENET, 28_088_024, TIMM),
    ("se_resnet101", {}, IMAGENET, 49_326_872, TIMM),
    ("se_resnet152", {}, IMAGENET, 66_821_848, TIMM),
    ("se_resnext50", {}, IMAGENET, 27_559_896, TIMM),
    ("se_resnext101", {}, IMAGENET, 48_955_416, TIMM),
    ("senet154", {}, IMAGENET, 115_088_984, LEGACY),
]


@pytest.mark.parametrize(("name", "options", "shape", "expected", "source"), PARAMETERS)
def test_parameters(name, options, shape, expected, source):
    assert analyse_architecture(name, shape, **options).parameters == expected


# Parameters in millions, as papers round them: (name, options, shape, millions, source)

WIDE = {(40, 1): 0.6, (40, 2): 2.2, (40, 8): 35.7, (28, 12): 52.5, (22, 8): 17.2, (22, 10): 26.8, (16, 8): 11.0,
        (16, 10): 17.1}  # fmt: skip
ROUNDED = [
    ("convnext", {"size": "tiny"}, IMAGENET, 28.6, "torchvision and the authors' code; the paper's table 1: 29"),
    ("convnext", {"size": "atto"}, IMAGENET, 3.7, V2),
    ("convnext", {"size": "femto"}, IMAGENET, 5.2, V2),
    ("convnext", {"size": "nano"}, IMAGENET, 15.6, V2),
    ("efficientnet_b0", {}, IMAGENET, 5.3, "table 2"),
    ("efficientnet_b0", {"depth": 1.1}, IMAGENET, 7.8, "table 2: B1"),
    ("resnext50", {}, IMAGENET, 25.0, "table 1"),
    ("wide_resnet50", {}, IMAGENET, 68.9, "table 8: WRN-50-2-bottleneck"),
    *(("wide_resnet_cifar", {"depth": d, "widen": k}, CIFAR, n, "table 4") for (d, k), n in WIDE.items()),
]


@pytest.mark.parametrize(("name", "options", "shape", "millions", "source"), ROUNDED)
def test_parameters_as_papers_round_them(name, options, shape, millions, source):
    assert analyse_architecture(name, shape, **options).parameters / MILLION == pytest.approx(millions, abs=0.05)


def test_mobilenet_v2_without_normalisation_has_its_authors_parameters():
    """The table of their networks counts neither scales nor shifts: 3.47 and 6.06 million. The paper has 3.4 and 6.9.

    Ours and torchvision's count both, as everywhere in the zoo.
    """
    for alpha, millions in ((1.0, 3.47), (1.4, 6.06)):
        layers = analyse_architecture("mobilenet_v2", alpha=alpha).layers
        counted = sum(layer.parameters for layer in layers if layer.type != "batch_norm")
        assert counted / MILLION == pytest.approx(millions, abs=0.01)


# Multiply-adds, exact: (name, options, count, source)

MACS = [
    ("convnext", {"size": "atto"}, 547_332_480, V2 + ": 0.55"),
    ("convnext", {"size": "femto"}, 779_629_824, V2 + ": 0.78"),
    ("convnext", {"size": "pico"}, 1_367_055_360, V2 + ": 1.37"),
    ("convnext", {"size": "nano"}, 2_445_528_320, V2 + ": 2.45"),
    ("convnext", {"size": "tiny"}, 4_455_531_264, TORCHVISION + ", 4.456; the paper's table 1: 4.5"),
    ("mobilenet_v2", {}, 300_774_272, TORCHVISION + ", 0.301; the paper's table 4: 300M"),
    ("efficientnet_b0", {}, 385_814_752, TORCHVISION + ", 0.386; the paper's table 2: 0.39"),
    ("squeezenet", {}, 818_924_576, TORCHVISION + ", 0.819"),
    ("squeezenet", {"version": "v1.1"}, 349_151_936, TORCHVISION + ", 0.349"),
    ("resnext50", {}, 4_230_479_872, TORCHVISION + ", 4.23; the paper's table 1: 4.2"),
    ("resnext101", {"base_width": 8}, 16_414_015_488, TORCHVISION + ", 16.414"),
    ("resnext101", {"cardinality": 64}, 15_460_270_080, TORCHVISION + ", 15.46"),
    ("wide_resnet50", {}, 11_398_021_120, TORCHVISION + ", 11.398"),
    ("wide_resnet101", {}, 22_753_050_624, TORCHVISION + ", 22.753"),
    ("se_resnet18", {}, 1_814_160_384, LEGACY),
    ("se_resnet34", {}, 3_663_918_592, LEGACY),
    ("se_resnext101", {}, 7_974_739_968, TIMM),
    ("senet154", {}, 20_688_363_520, LEGACY),
    ("se_resnet50", {}, 4_091_699_200, "resnet50's and the gates' by hand, see test_gates_add_what_the_paper_says"),
]


@pytest.mark.parametrize(("name", "options", "expected", "source"), MACS)
def test_multiply_adds(name, options, expected, source):
    assert analyse_architecture(name, **options).macs == expected


# The table of networks of MobileNetV2's authors (their code's README), in millions: (alpha, side, multiply-adds)

MOBILE = [(1.4, 224, 582), (1.3, 224, 509), (1.0, 224, 300), (1.0, 192, 221), (0.75, 224, 209), (0.5, 224, 97),
          (0.35, 224, 59)]  # fmt: skip


@pytest.mark.parametrize(("alpha", "side", "millions"), MOBILE)
def test_multiply_adds_of_mobilenet_v2_of_other_widths(alpha, side, millions):
    macs = analyse_architecture("mobilenet_v2", (3, side, side), alpha=alpha).macs
    assert abs(macs / MILLION - millions) < 1


# EfficientNet, table 2: (width, depth, side, billions); widths, depths and sides as in the authors' code

COMPOUND = [(1.0, 1.0, 224, 0.39), (1.0, 1.1, 240, 0.70), (1.1, 1.2, 260, 1.0), (1.2, 1.4, 300, 1.8)]


@pytest.mark.parametrize(("width", "depth", "side", "billions"), COMPOUND)
def test_multiply_adds_of_efficientnet_scaled_to_b1_b2_and_b3(width, depth, side, billions):
    macs = analyse_architecture("efficientnet_b0", (3, side, side), width=width, depth=depth).macs
    assert macs / BILLION == pytest.approx(billions, rel=0.03)


# Receptive fields by hand: (name, options, kernel and stride of each window that is larger than 1x1)

THREE, FIVE, SEVEN, HALF = [(3, 1)], [(5, 1)], [(7, 1)], (3, 2)
PATCHES = (2, 2)
FIELDS = [
    ("convnext", {}, [(4, 4), *SEVEN * 2, PATCHES, *SEVEN * 2, PATCHES, *SEVEN * 6, PATCHES, *SEVEN * 2]),
    ("mobilenet_v2", {}, [HALF, *THREE, HALF, *THREE, HALF, *THREE * 2, HALF, *THREE * 6, HALF, *THREE * 3]),
    ("efficientnet_b0", {}, [HALF, *THREE, HALF, *THREE, (5, 2), *FIVE, HALF, *THREE * 2, *FIVE * 3, (5, 2), *FIVE * 3,
                             *THREE]),
    ("squeezenet", {}, [(7, 2), HALF, *THREE * 3, HALF, *THREE * 4, HALF, *THREE]),
    ("squeezenet", {"version": "v1.1"}, [HALF, HALF, *THREE * 2, HALF, *THREE * 2, HALF, *THREE * 4]),
    ("resnext_cifar", {}, [*THREE, *THREE * 3, HALF, *THREE * 2, HALF, *THREE * 2]),
    ("wide_resnet_cifar", {}, [*THREE, *THREE * 8, HALF, *THREE * 7, HALF, *THREE * 7]),
    *((name, {}, [(7, 2), HALF, *THREE * 3, HALF, *THREE * 3, HALF, *THREE * 5, HALF, *THREE * 2])
      for name in ("resnext50", "wide_resnet50", "se_resnet50", "se_resnext50")),
    ("senet154", {}, [HALF, *THREE * 2, HALF, *THREE * 3, HALF, *THREE * 7, HALF, *THREE * 35, HALF, *THREE * 2]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "windows"), FIELDS)
def test_receptive_fields(name, options, windows):
    """Gates see the whole image, and are left out, as the reference says."""
    assert analyse_architecture(name, **options).receptive_field == field_of(*windows)


# One network each, by hand.

BLOCKS = {"se_resnet50": (3, 4, 6, 3), "se_resnet101": (3, 4, 23, 3), "se_resnet152": (3, 8, 36, 3)}
STAGES = [(256, 56), (512, 28), (1024, 14), (2048, 7)]
"""Channels and side of the stages' outputs."""


@pytest.mark.parametrize(("name", "billions"), [("se_resnet50", 3.87), ("se_resnet101", 7.60), ("se_resnet152", 11.32)])
def test_gates_add_what_the_paper_says(name, billions):
    """2 / r times the squared channels of every block (section 4), and biases, which it does not count.

    Table 2 also counts the pooling in front of the gates and the product behind them; our multiply-adds do not.
    """
    gated, plain = (analyse_architecture(n, stride_in="1x1") for n in (name, name.removeprefix("se_")))
    blocks = [stage for stage, count in zip(STAGES, BLOCKS[name], strict=True) for _ in range(count)]
    weights = sum(2 * channels**2 // 16 for channels, _ in blocks)
    biases = sum(channels // 16 + channels for channels, _ in blocks)
    assert gated.parameters - plain.parameters == weights + biases
    assert gated.macs - plain.macs == weights
    elsewhere = sum(2 * channels * side**2 for channels, side in blocks)
    assert (gated.macs + elsewhere) / BILLION == pytest.approx(billions, abs=0.01)
    if name == "se_resnet50":
        assert weights / MILLION == pytest.approx(2.5, abs=0.05), "section 4: 2.5 million"


def test_se_resnet_cifar_is_resnet_cifar_with_gates():
    gated, plain = analyse_architecture("se_resnet_cifar", CIFAR), analyse_architecture("resnet_cifar", CIFAR)
    projections = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    gates = sum(3 * (2 * c * (c // 16) + c // 16 + c) for c in (16, 32, 64))
    assert gated.parameters == plain.parameters + projections + gates


def fires(base=128, share=0.5, ratio=0.125):
    """Inputs and outputs of fire modules: squeeze, and both kinds of expand, each with biases."""
    channels, total = 96, 0
    for number in range(8):
        expand = base * (1 + number // 2)
        squeeze, large = round(ratio * expand), round(share * expand)
        total += channels * squeeze + squeeze + squeeze * (expand - large + 9 * large) + expand
        channels = expand
    return total


@pytest.mark.parametrize(("ratio", "share"), [(0.125, 0.5), (0.75, 0.5), (0.5, 0.25), (0.5, 1.0)])
def test_squeezenet_by_hand(ratio, share):
    """The metaparameters of section 5, whose table 1 is the first of these; the paper varies SR and pct_3x3."""
    expected = 96 * (49 * 3 + 1) + fires(ratio=ratio, share=share) + 512 * 1000 + 1000
    options = {"squeeze_ratio": ratio, "share_3x3": share}
    assert analyse_architecture("squeezenet", **options).parameters == expected


def test_squeezenet_has_the_papers_sides_for_227_pixels():
    """Table 1 gives them, and an input of 224, from which no 7x7 window with stride 2 makes 111."""
    sides = [layer.output[1] for layer in analyse_architecture("squeezenet", (3, 227, 227)).layers]
    assert list(dict.fromkeys(sides)) == [111, 55, 27, 13, 1]


def test_squeezenet_s_later_version_needs_less_computation():
    """By 2.4 times, as its authors say; torchvision has the same multiply-adds as ours for both."""
    first, second = (analyse_architecture("squeezenet", version=version).macs for version in ("v1.0", "v1.1"))
    assert first / second == pytest.approx(2.4, abs=0.06)


def test_convnext_s_stochastic_depth_rises_to_its_rate():
    def rates(network):
        inner = [rate for part in getattr(network, "layers", ()) for rate in rates(part)]
        return inner + ([network.rate] if network.type == "stochastic_depth" else [])

    assert rates(build("convnext", size="tiny")) == pytest.approx([0.1 * n / 17 for n in range(1, 18)])
    assert rates(build("convnext", stochastic_depth=0.0)) == []
    # Blocks that change the shape have no shortcut: 7 of 16.
    assert rates(build("efficientnet_b0")) == pytest.approx([0.2 * n / 16 for n in (2, 4, 6, 7, 9, 10, 12, 13, 14)])


# Small images: (name, options, sides of 32x32 and of 28x28 on the way)

SMALL = {"stem": "small"}
SIDES = [
    ("convnext", {"patch": 2}, [16, 8, 4, 2, 1], [14, 7, 3, 1]),
    ("convnext", {"patch": 1}, [32, 16, 8, 4, 1], [28, 14, 7, 3, 1]),
    ("mobilenet_v2", SMALL, [32, 16, 8, 4, 2, 1], [28, 14, 7, 4, 2, 1]),
    ("efficientnet_b0", SMALL, [32, 16, 8, 4, 2, 1], [28, 14, 7, 4, 2, 1]),
    ("squeezenet", SMALL, [32, 16, 8, 1], [28, 14, 7, 1]),
    ("squeezenet", SMALL | {"version": "v1.1"}, [32, 16, 8, 1], [28, 14, 7, 1]),
    *((name, SMALL, [32, 16, 8, 4, 1], [28, 14, 7, 4, 1]) for name in ("resnext50", "se_resnet50", "wide_resnet50")),
    *((name, SMALL, [32, 16, 8, 4, 1], [28, 14, 7, 4, 1]) for name in ("se_resnext50", "se_resnet18", "senet154")),
    *((f"{name}_cifar", {}, [32, 16, 8, 1], [28, 14, 7, 1]) for name in ("resnext", "se_resnet", "wide_resnet")),
]


@pytest.mark.parametrize(("name", "options", "of_32", "of_28"), SIDES)
def test_small_images(name, options, of_32, of_28):
    for shape, expected in ((CIFAR, of_32), (MNIST, of_28)):
        layers = analyse_architecture(name, shape, **options).layers
        sides = [layer.output[1] for layer in layers if "/se/" not in layer.path]  # gates are 1x1 on the way
        assert list(dict.fromkeys(sides)) == expected


def test_an_image_too_small_for_the_patches_is_refused_with_the_layer():
    with pytest.raises(ShapeError, match=r"^layer stage4/conv1: .*1x1") as caught:
        analyse_architecture("convnext", MNIST)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("wide_resnet_cifar", {"depth": 29}, r"did you mean 28\? allowed: 10, 16, 22, ... 1000$"),
        ("resnext_cifar", {"depth": 30}, r"did you mean 29\? allowed: 11, 20, 29, ... 1001$"),
        ("se_resnet_cifar", {"depth": 21}, r"did you mean 20\? allowed: 20, 26, 32"),
        ("convnext", {"size": "small"}, "allowed: atto, femto, nano, pico, tiny"),
        ("squeezenet", {"version": "v1.2"}, "version: found 'v1.2'"),
        ("resnext50", {"stem": "cifar"}, "allowed: imagenet, small"),
        ("squeezenet", {"squeeze_ratio": 1.5}, "allowed: 1.0 or less"),
        ("efficientnet_b0", {"depth": 1e300}, "allowed: 10.0 or less"),
    ],
)
def test_an_option_that_does_not_exist_is_refused(name, options, message):
    with pytest.raises((RunnerError, InvalidValues), match=message):
        build(name, CIFAR, **options)


def test_widths_are_multiples_of_eight_where_the_authors_code_rounds_them():
    """At least 90% of the width that was asked for: 0.35 * 32 = 11.2 becomes 16, as 8 would be less."""
    first = analyse_architecture("mobilenet_v2", alpha=0.35).layers[0]
    assert first.output[0] == 16
    filters = {layer.output[0] for layer in analyse_architecture("mobilenet_v2", alpha=0.35).layers[:-2]}
    assert math.gcd(*filters) == 8
