"""The networks of timm by name: Wightman, "PyTorch Image Models", https://github.com/huggingface/pytorch-image-models.

They are torch modules, built by timm with its own initial values; with ``weights`` it downloads published ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runner.api import Architecture, RunnerError, Shape, hookimpl

from .libraries import check_name, imported, only_described, refusals, version_of

DEFAULT = "default"


def timm_network(
    input_shape: Shape,
    classes: int,
    *,
    model: str,
    weights: str | None = None,
    options: dict[str, Any] | None = None,
) -> Any:
    """The network that timm calls `model`, for images of any number of channels; a torch module.

    `weights`: a tag of published weights, such as d2_in1k, or "default"; they are downloaded when a fit starts, and
    with other channels or classes than theirs, timm adapts the first and the last layer. `options`: further
    arguments of timm's own function, such as drop_path_rate or img_size.
    """
    timm, given = imported("timm"), dict(options or {})
    name, _, tag = model.partition(".")
    check_name(name, timm.list_models(), "timm")
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*")]
    for wanted in (tag, weights if weights != DEFAULT else ""):
        if wanted:
            check_name(wanted, tags, "timm", f"weights of {name}:")
    if weights == DEFAULT and not tags:
        raise RunnerError(f"timm has no weights of {name}")
    if tag and weights not in (None, DEFAULT, tag):
        raise RunnerError(f"found model {model} and weights {weights}; give one of the tags")
    wanted = weights if weights not in (None, DEFAULT) else tag
    with refusals(model, given):
        return timm.create_model(
            f"{name}.{wanted}" if wanted else name,
            pretrained=weights is not None and not only_described(),
            num_classes=classes,
            in_chans=input_shape[0],
            **given,
        )


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="timm", build=timm_network, version=version_of("timm"))
