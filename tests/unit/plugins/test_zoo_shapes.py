"""The built-in architectures: which image sizes they accept, what their options change, and which are refused."""

import inspect
import re

import pytest
from zoo import CIFAR, CLASSES, IMAGENET, MNIST, analyse_architecture, build

from runner.components.catalog import load_catalog
from runner.components.validation import InvalidValues
from runner.errors import RunnerError, ShapeError

# Every architecture accepts 3x224x224 images, most of them smaller ones too.

ONLY_LARGE = {"alexnet", "zfnet"}
FROM_32 = {"convnext", "densenet121", "googlenet", "vgg_a", "vgg_b", "vgg_c", "vgg_d", "vgg_e"}
SMALL = {
    "all_cnn", "deep_convnet", "densenet_cifar", "efficientnet_b0", "lenet5", "mobilenet_v1", "mobilenet_v2",
    "resnet101", "resnet152", "resnet18", "resnet34", "resnet50", "resnet_cifar", "resnext101", "resnext50",
    "resnext_cifar", "se_resnet101", "se_resnet152", "se_resnet18", "se_resnet34", "se_resnet50", "se_resnet_cifar",
    "se_resnext101", "se_resnext50", "senet154", "simple_convnet", "small_vgg", "squeezenet", "stages",
    "wide_resnet101", "wide_resnet50", "wide_resnet_cifar",
}  # fmt: skip


def entries():
    return {name: entry for (kind, name), entry in load_catalog().entries.items() if kind == "architecture"}


def test_the_zoo_is_complete():
    assert entries().keys() >= ONLY_LARGE | FROM_32 | SMALL


@pytest.mark.parametrize("shape", [IMAGENET, CIFAR, MNIST], ids=str)
@pytest.mark.parametrize("name", sorted(ONLY_LARGE | FROM_32 | SMALL))
def test_every_architecture_accepts_an_image_size_or_names_the_layer_that_does_not(name, shape):
    if (shape != IMAGENET and name in ONLY_LARGE) or (shape == MNIST and name in FROM_32):
        with pytest.raises(ShapeError, match=r"layer \S*(max_pool|avg_pool|stage4/conv)"):
            analyse_architecture(name, shape)
    else:
        assert analyse_architecture(name, shape).layers[-1].output == (CLASSES[shape], 1, 1)


@pytest.mark.parametrize("name", sorted(ONLY_LARGE | FROM_32 | SMALL))
def test_every_architecture_has_a_docstring_and_cites_its_source(name):
    build = entries()[name].component.build
    assert re.search(r"[A-Z]\w+.* (19|20)\d\d|CS231n", inspect.getmodule(build).__doc__)
    assert build.__doc__


def test_all_cnn_has_the_papers_dropout_rates():
    def rates(**options):
        return [layer.rate for layer in leaves(build("all_cnn", CIFAR, **options)) if layer.type == "dropout"]

    assert rates() == [0.2, 0.5, 0.5]
    assert rates(dropout=False) == []


def leaves(network):
    return [leaf for part in network.layers for leaf in leaves(part)] if hasattr(network, "layers") else [network]


def test_stages_with_batch_norm_and_dropout():
    """Without batch normalisation a filter has a bias, with it a scale and a shift."""
    kinds = [leaf.type for leaf in leaves(build("stages", CIFAR, dense=[20], batch_norm=True, dropout=0.3))]
    stage = ["conv", "batch_norm", "relu", "max_pool"]
    assert kinds == [*stage, *stage, "flatten", "dense", "relu", "dropout", "dense"]
    strided = {"downsample": "strided_conv", "stages": 1, "width": 4}
    plain, normed = (analyse_architecture("stages", CIFAR, **strided, batch_norm=b).parameters for b in (False, True))
    assert plain == 4 * (27 + 1) + 4 * (16 + 1) + 16 * 16 * 4 * 10 + 10
    assert normed == plain + 2 * 4
    assert {leaf.type for leaf in leaves(build("stages", CIFAR))} == {"conv", "relu", "max_pool", "flatten", "dense"}


PATHS = {
    "alexnet": "stage1/local_response_norm1",
    "googlenet": "inception3a/3x3/conv2",
    "resnet50": "stage2/block1/shortcut/conv1",
    "densenet121": "block4/layer16/new/conv2",
    "mobilenet_v1": "block13/conv2",
    "vgg_e": "stage5/conv4",
    "convnext": "stage3/block6/layer_scale1",
    "efficientnet_b0": "stage6/block4/se/conv2",
    "squeezenet": "fire9/expand/3x3/conv1",
    "wide_resnet_cifar": "stage2/block1/sum/shortcut",
}


@pytest.mark.parametrize("name", PATHS)
def test_a_layers_path_shows_its_position(name):
    assert PATHS[name] in [layer.path for layer in analyse_architecture(name).layers]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet_cifar", {"depth": 21}, r"^depth is 21; did you mean 20\? allowed: 20, 26, 32, ... 1202$"),
        ("resnet_cifar", {"depth": 9999}, "did you mean 1202"),
        ("densenet_cifar", {"depth": 41}, r"^depth is 41; did you mean 40\? allowed: 10, 13, 16, ... 250$"),
        ("densenet_cifar", {"depth": 97, "bottleneck": True}, r"did you mean 94\? allowed: 10, 16, 22, ... 250$"),
    ],
)
def test_a_depth_that_does_not_divide_into_blocks_is_refused(name, options, message):
    with pytest.raises(RunnerError, match=message):
        build(name, CIFAR, **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("alexnet", {"towers": 3}, "allowed: 1, 2"),
        ("all_cnn", {"variant": "conv_pool"}, "did you mean 'convpool'"),
        ("lenet5", {"padding": -1}, "allowed: 0 or more"),
        ("lenet5", {"activation": "gelu"}, "allowed: relu, sigmoid, tanh"),
        ("mobilenet_v1", {"alpha": 0}, "allowed: more than 0"),
        ("resnet18", {"stride_in": "1x1"}, "no parameter 'stride_in'"),
        ("resnet50", {"stride_in": "7x7"}, "allowed: 1x1, 3x3"),
        ("resnet_cifar", {"shortcut": "C"}, "allowed: A, B"),
        ("stages", {"dropout": 1}, "allowed: less than 1"),
        ("vgg_d", {"batch_norm": 1}, "expected true or false"),
    ],
)
def test_an_option_that_does_not_exist_is_refused(name, options, message):
    with pytest.raises(InvalidValues, match=re.escape(message)):
        build(name, CIFAR, **options)


# Springenberg et al. 2015, tables 1 and 2, and section 3.1 for B's: "KERNEL>FILTERS/STRIDE" for a convolution with its
# ReLU, P for max pooling 3x3 with stride 2, D for dropout of one half; the first stage has 96 filters, the second 192.
STAGES = {
    ("A", "base"): "5/1 P D",
    ("A", "strided"): "5/2 D",
    ("A", "convpool"): "5/1 3/1 P D",
    ("A", "all_cnn"): "5/1 3/2 D",
    ("B", "base"): "5/1 1/1 P D",
    ("B", "strided"): "5/1 1/2 D",
    ("B", "convpool"): "5/1 1/1 3/1 P D",
    ("B", "all_cnn"): "5/1 1/1 3/2 D",
    ("C", "base"): "3/1 3/1 P D",
    ("C", "strided"): "3/1 3/2 D",
    ("C", "convpool"): "3/1 3/1 3/1 P D",
    ("C", "all_cnn"): "3/1 3/1 3/2 D",
}


@pytest.mark.parametrize(("model", "variant"), STAGES)
def test_all_cnn_has_the_papers_layers(model, variant):
    built = build("all_cnn", CIFAR, model=model, variant=variant, last_relu=True)
    text = ["drop 0.2"]
    for filters in (96, 192):
        for part in STAGES[model, variant].split():
            if part == "P":
                text.append("pool 3x3/2")
            elif part == "D":
                text.append("drop 0.5")
            else:
                kernel, stride = part.split("/")
                text += [f"conv {kernel}x{kernel} {filters}/{stride} same", "relu"]
    text += ["conv 3x3 192/1 valid", "relu", "conv 1x1 192/1 same", "relu", "conv 1x1 10/1 same", "relu", "average"]
    assert [shown(leaf) for leaf in leaves(built)] == text
    without = build("all_cnn", CIFAR, model=model, variant=variant)
    assert [shown(leaf) for leaf in leaves(without)] == [*text[:-2], "average"]
    outputs = [entry.output for entry in analyse_architecture("all_cnn", CIFAR, model=model, variant=variant).layers]
    assert {(96, 16, 16), (192, 8, 8), (192, 6, 6)} <= set(outputs) and outputs[-1] == (10, 1, 1)


def shown(leaf):
    kind = {"conv": "conv", "max_pool": "pool", "dropout": "drop", "global_avg_pool": "average"}.get(
        leaf.type, leaf.type
    )
    if kind == "conv":
        return f"conv {side(leaf.kernel)} {leaf.filters}/{side(leaf.stride)[0]} {leaf.padding}"
    if kind == "pool":
        return f"pool {side(leaf.size)}/{side(leaf.stride)[0]}"
    return f"drop {leaf.rate:g}" if kind == "drop" else kind


def side(value):
    pair = (value, value) if isinstance(value, int) else value
    return f"{pair[0]}x{pair[1]}"
