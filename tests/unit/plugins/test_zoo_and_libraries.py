"""Networks of the zoo that torchvision or timm have too: parameters, multiply-adds by torch's counter, and scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torchvision_here import needed
from zoo import IMAGENET, analyse_architecture, build

from runner.network.analysis import iterate_layers
from runner.network.base import Shape

torch = pytest.importorskip("torch")

# library, its network, ours, our options
SAME: list[tuple[str, str, str, dict[str, Any]]] = [
    ("torchvision", "convnext_tiny", "convnext", {"size": "tiny"}),
    ("torchvision", "mobilenet_v2", "mobilenet_v2", {}),
    ("torchvision", "efficientnet_b0", "efficientnet_b0", {}),
    ("torchvision", "squeezenet1_0", "squeezenet", {}),
    ("torchvision", "squeezenet1_1", "squeezenet", {"version": "v1.1"}),
    ("torchvision", "resnext50_32x4d", "resnext50", {}),
    ("torchvision", "wide_resnet50_2", "wide_resnet50", {}),
    ("timm", "convnext_atto", "convnext", {}),
    ("timm", "convnext_nano", "convnext", {"size": "nano"}),
    ("timm", "seresnet50", "se_resnet50", {}),
    ("timm", "seresnext50_32x4d", "se_resnext50", {}),
    ("timm", "legacy_seresnet18", "se_resnet18", {}),
    ("timm", "legacy_senet154", "senet154", {}),
]
SCORED = {"convnext_atto", "efficientnet_b0", "mobilenet_v2", "seresnext50_32x4d", "squeezenet1_0"}


def theirs(library: str, name: str) -> Any:
    """The library's network on the meta device, where arrays have shapes and no values."""
    needed(library)
    with torch.device("meta"):
        if library == "timm":
            import timm

            return timm.create_model(name).eval()
        import torchvision

        return torchvision.models.get_model(name, weights=None).eval()


@pytest.mark.parametrize(("library", "name", "own", "options"), SAME, ids=lambda value: str(value)[:30])
def test_parameters_and_multiply_adds(library: str, name: str, own: str, options: dict[str, Any]) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    module, analysis = theirs(library, name), analyse_architecture(own, **options)
    assert analysis.parameters == sum(array.numel() for array in module.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.empty(1, *IMAGENET, device="meta"))
    assert 2 * analysis.macs == counter.get_total_flops()


SHAPE: Shape = (3, 32, 32)
SCALES = ("layer_scale", "gamma")
"""How their scales per channel are called."""


def values_for(module: Any, seed: int = 0) -> dict[str, Any]:
    """A value for every array, such that signals neither vanish nor grow."""
    rng = torch.Generator().manual_seed(seed)
    values = {}
    for name, array in module.state_dict().items():
        if array.ndim > 1 and not name.endswith(SCALES):
            fan_in = array[0].numel()
            values[name] = torch.randn(array.shape, generator=rng) * (1.4 / fan_in**0.5)
        elif array.is_floating_point():
            values[name] = torch.rand(array.shape, generator=rng) * 0.5 + 0.5
        else:
            values[name] = torch.zeros(array.shape, dtype=array.dtype)
    return values


def in_our_order(names: list[str]) -> list[str]:
    """Their names in the order of our layers: a block's scale, which they have first, comes last; no counters."""
    ordered: list[str] = []
    scale, block = "", ""
    for name in names:
        if scale and not name.startswith(block):
            ordered, scale = [*ordered, scale], ""
        if name.endswith(SCALES):
            scale, block = name, name.rpartition(".")[0] + "."
        elif not name.endswith("num_batches_tracked"):
            ordered.append(name)
    return ordered


@pytest.mark.parametrize(
    ("library", "name", "own", "options"),
    [row for row in SAME if row[1] in SCORED],
    ids=lambda value: str(value)[:30],
)
def test_scores_from_the_same_weights(library: str, name: str, own: str, options: dict[str, Any]) -> None:
    from runner.engines.torch_engine.build import build_module

    module, network = theirs(library, name), build(own, **options)
    values = values_for(module)
    module.load_state_dict(values, assign=True)
    order = in_our_order(list(values))
    specs = {
        f"{entry.path}.{array}": spec.shape
        for entry in iterate_layers(network, SHAPE)
        for array, spec in entry.layer.parameters(entry.input).items()
    }
    ours = {
        path: values[other].reshape(shape).numpy() for (path, shape), other in zip(specs.items(), order, strict=True)
    }
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32))
    with torch.no_grad():
        expected = module(images)
        found = build_module(network, SHAPE, [ours]).eval()(images)
    assert expected.std() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
