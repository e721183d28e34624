"""The classification networks of torchvision by name: https://docs.pytorch.org/vision/stable/models.html.

They are torch modules, built by torchvision with its own initial values; with ``weights`` it downloads published ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runner.api import Architecture, RunnerError, Shape, hookimpl

from .libraries import RGB, check_name, imported, only_described, refusals, version_of

DEFAULT = "default"
SINGLE_OUTPUT = {"aux_logits": False, "init_weights": True}
"""Without the auxiliary classifiers, whose outputs in training would need a loss of their own."""
AUXILIARY = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}


def torchvision_network(
    input_shape: Shape,
    classes: int,
    *,
    model: str,
    weights: str | None = None,
    options: dict[str, Any] | None = None,
) -> Any:
    """The network that torchvision calls `model`, without auxiliary classifiers; a torch module.

    For images without three channels, its first convolution gets another number of them: one channel has the sum of the
    three's weights, C of them repeat these, times 3 / C. `weights`: the name of published ones, such as
    IMAGENET1K_V1, or "default"; they are downloaded when a fit starts, and with another number of classes the last
    layer starts untrained. `options`: further arguments of torchvision's own function, such as dropout or image_size.
    """
    models = imported("torchvision").models
    check_name(model, models.list_models(module=models), "torchvision")
    given, published = dict(options or {}), None
    if weights is not None:
        known = models.get_model_weights(model)
        name = weights.upper() if weights.lower() == DEFAULT else weights
        check_name(name, ["DEFAULT", *known.__members__], "torchvision", f"weights of {model}:")
        published = known[name] if not only_described() else None
    with refusals(model, options or {}):
        if published is None:
            own = SINGLE_OUTPUT if model in AUXILIARY else {}
            network = models.get_model(model, weights=None, num_classes=classes, **own | given)
        else:
            network = _with_weights(models, model, published, input_shape[0], given)
            if classes != len(published.meta["categories"]):
                _replace_last(network, classes)
    if input_shape[0] != RGB:
        _replace_first(network, input_shape[0])
    return network


def _with_weights(models: Any, model: str, published: Any, channels: int, given: dict[str, Any]) -> Any:
    """The network with its published weights, as many classes as they have, and no auxiliary classifiers."""
    # With weights, torchvision sets aux_logits itself, and scales the three channels that it takes the images to have.
    own = {"transform_input": False} if model in AUXILIARY and channels != RGB else {}
    network = models.get_model(model, weights=published, **own | given)
    if "aux_logits" not in given:
        for name in AUXILIARY.get(model, ()):
            network.aux_logits = False
            setattr(network, name, None)
    return network


def _replace_first(network: Any, channels: int) -> None:
    """Give the first convolution another number of input channels."""
    from torch import nn

    path, first = next((path, part) for path, part in network.named_modules() if isinstance(part, nn.Conv2d))
    if first.in_channels != RGB or first.groups != 1:
        raise RunnerError(f"the first convolution is made for {first.in_channels} channels; found {channels}")
    settings = {name: getattr(first, name) for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode")}
    new = nn.Conv2d(channels, first.out_channels, bias=first.bias is not None, **settings)
    weight = first.weight.detach()
    if channels == 1:
        weight = weight.sum(1, keepdim=True)
    else:
        weight = weight.repeat(1, -(-channels // RGB), 1, 1)[:, :channels] * (RGB / channels)
    new.weight = nn.Parameter(weight)
    if first.bias is not None:
        new.bias = first.bias
    network.set_submodule(path, new)


def _replace_last(network: Any, classes: int) -> None:
    """Give the last layer another number of outputs, with initial values of its own."""
    from torch import nn

    kinds = (nn.Linear, nn.Conv2d)  # squeezenet ends in a convolution
    path, last = [(path, part) for path, part in network.named_modules() if isinstance(part, kinds)][-1]
    bias = last.bias is not None
    if isinstance(last, nn.Linear):
        new: Any = nn.Linear(last.in_features, classes, bias)
    else:
        new = nn.Conv2d(last.in_channels, classes, last.kernel_size, bias=bias)
    network.set_submodule(path, new)


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="torchvision", build=torchvision_network, version=version_of("torchvision"))
