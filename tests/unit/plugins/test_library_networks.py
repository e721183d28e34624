"""Networks of timm and torchvision by name: published figures, small images, options, names, and what is refused."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
from command import Command, journal_by_id
from runner.plugins.architectures import libraries, torchvision_networks
from runner.plugins.architectures.libraries import imported
from zoo import IMAGENET

from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.engines.torch_engine.meta_device import build_on_meta
from runner.errors import RunnerError
from runner.network.analysis import Analysis
from runner.network.base import Shape
from runner.planning.architecture_facts import examine

TORCHVISION = "https://docs.pytorch.org/vision/stable/models.html, parameters of the published weights"
TIMM = "results/model_metadata-in1k.csv and the model cards of timm, parameters"
# library, network, image, parameters exactly or in millions with the digits that are published, source
PUBLISHED = [
    ("torchvision", "alexnet", 61_100_840, TORCHVISION),
    ("torchvision", "resnet18", 11_689_512, TORCHVISION),
    ("torchvision", "squeezenet1_1", 1_235_496, TORCHVISION),
    ("torchvision", "mobilenet_v2", 3_504_872, TORCHVISION),
    ("torchvision", "efficientnet_b0", 5_288_548, TORCHVISION),
    ("torchvision", "convnext_tiny", 28_589_128, TORCHVISION),
    ("torchvision", "vit_b_32", 88_224_232, TORCHVISION),
    ("timm", "convnext_atto", 3.70, TIMM),
    ("timm", "resnet18", 11.69, TIMM),
    ("timm", "mobilenetv3_small_100", 2.54, TIMM),
    ("timm", "vit_tiny_patch16_224", 5.72, TIMM),
    ("timm", "efficientnet_b0", 5.29, TIMM),
]


@pytest.fixture(params=["timm", "torchvision"])
def library(request: pytest.FixtureRequest) -> str:
    needed(request.param)
    return str(request.param)


def needed(library: str) -> None:
    """Skip the test if the extra is not installed."""
    pytest.importorskip("torch", reason="torch is missing")
    if find_spec(library) is None:
        pytest.skip(f"the extra zoo is missing: {library}")
    imported(library)


def analysed(library: str, shape: Shape, classes: int = 1000, **parameters: object) -> Analysis:
    catalog = load_catalog()
    return examine(catalog, catalog.bind("architecture", ComponentRef(library, parameters)), shape, classes)[0]


@pytest.mark.parametrize(("library_", "model", "expected", "source"), PUBLISHED)
def test_parameters(library_: str, model: str, expected: float, source: str) -> None:
    needed(library_)
    catalog = load_catalog()
    ref = catalog.bind("architecture", ComponentRef(library_, {"model": model}))
    network = build_on_meta(lambda: catalog.build("architecture", ref, IMAGENET, 1000))
    found = sum(array.numel() for array in network.parameters())
    assert found == expected if isinstance(expected, int) else round(found / 1e6, 2) == expected


SMALL = {"timm": "test_efficientnet", "torchvision": "squeezenet1_1"}


def test_small_grey_images(library: str) -> None:
    """The first convolution gets one channel, and nothing else changes but the number of classes."""
    grey = analysed(library, (1, 28, 28), 10, model=SMALL[library])
    colour = analysed(library, (3, 28, 28), 10, model=SMALL[library])
    first = next(layer for layer in colour.layers if layer.parameters)
    bias = {"timm": 0, "torchvision": 64}[library]
    assert colour.parameters - grey.parameters == 2 * (first.parameters - bias) // 3
    assert grey.layers[-1].output == (10, 1, 1) and grey.macs and colour.macs and grey.macs < colour.macs


def test_torchvisions_first_convolution_treats_a_grey_image_as_three_equal_channels() -> None:
    needed("torchvision")
    import torch

    catalog, networks = load_catalog(), []
    for channels in (1, 3, 6):
        torch.manual_seed(0)
        ref = catalog.bind("architecture", ComponentRef("torchvision", {"model": "squeezenet1_1"}))
        networks.append(catalog.build("architecture", ref, (channels, 64, 64), 10).eval())
    grey = torch.rand(2, 1, 64, 64)
    scores = [net(grey.expand(-1, channels, -1, -1)) for net, channels in zip(networks, (1, 3, 6), strict=True)]
    assert torch.allclose(scores[0], scores[1], atol=1e-5) and torch.allclose(scores[2], scores[1], atol=1e-5)


@pytest.mark.parametrize("model", ["googlenet", "inception_v3"])
def test_a_network_with_auxiliary_classifiers_has_one_output_in_training(model: str) -> None:
    needed("torchvision")
    import torch

    with torch.device("meta"):
        ref = load_catalog().bind("architecture", ComponentRef("torchvision", {"model": model}))
        network = load_catalog().build("architecture", ref, (3, 96, 96), 10)
        assert network.train()(torch.zeros(2, 3, 96, 96)).shape == (2, 10)


@pytest.mark.parametrize(
    ("model", "channels"),
    [("googlenet", 1), ("googlenet", 3), ("inception_v3", 1), ("maxvit_t", 3), ("squeezenet1_1", 1)],
)
def test_published_weights_give_the_network_that_was_planned(
    model: str, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With other channels and classes than theirs; the meta device stands for the numbers of the download."""
    needed("torchvision")
    import torch
    from torchvision import models

    shape, catalog = (channels, 224, 224), load_catalog()
    with torch.device("meta"):
        own = {"init_weights": False} if model in torchvision_networks.AUXILIARY else {}
        published = models.get_model(model, weights=None, **own).state_dict()
        planned = catalog.build("architecture", ComponentRef("torchvision", {"model": model}), shape, 7)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: published)
    monkeypatch.setattr(f"{torchvision_networks.__name__}.only_described", lambda: False)
    ref = catalog.bind("architecture", ComponentRef("torchvision", {"model": model, "weights": "default"}))
    with torch.device("meta"):
        network = catalog.build("architecture", ref, shape, 7)
        scores = network.train()(torch.zeros(2, *shape))
    assert scores.shape == (2, 7)
    assert {n: p.shape for n, p in network.named_parameters()} == {n: p.shape for n, p in planned.named_parameters()}


@pytest.mark.parametrize(("library_", "model"), [("torchvision", "regnet_x_400mf"), ("timm", "cait_xxs24_224")])
def test_networks_that_the_meta_device_has_trouble_with(library_: str, model: str) -> None:
    """One computes its widths with tensors, one gives a submodule a view of a parameter."""
    needed(library_)
    facts = analysed(library_, (1, 224, 224), 7, model=model)
    assert facts.costed and facts.parameters > 5_000_000


def test_torchvisions_network_costs_and_sees_what_ours_does() -> None:
    needed("torchvision")
    theirs = analysed("torchvision", (3, 64, 64), 10, model="resnet18")
    ours = analysed("resnet18", (3, 64, 64), 10)
    for fact in ("parameters", "macs", "receptive_field"):
        assert getattr(theirs, fact) == getattr(ours, fact)


REFUSED = {
    "name": ("convnext_ato", "resnet81", {}, "; did you mean "),
    "case": ("ConvNeXt_Atto", "ResNet18", {}, "; did you mean "),
    "other weights": (
        "convnext_atto",
        "resnet18",
        {"weights": "none_such"},
        "resnet18: 'no|convnext_atto: 'no",
    ),
    "option": ("convnext_atto", "resnet18", {"options": {"deptth": 3}}, "does not take the options deptth"),
    "a download": ("hf-hub:someone/network", "http://x", {}, "unknown network"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, library: str) -> None:
    *models, more, message = REFUSED[case]
    with pytest.raises(RunnerError) as refusal:
        analysed(library, IMAGENET, model=models[library == "torchvision"], **more)
    assert any(part in str(refusal.value) for part in message.split("|")) and "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 480


def test_an_image_that_is_too_small_is_a_problem_of_the_cell(library: str) -> None:
    model = {"timm": "vit_tiny_patch16_224", "torchvision": "alexnet"}[library]
    with pytest.raises(RunnerError, match="does not run on 1x28x28 images: .*(size|height)"):
        analysed(library, (1, 28, 28), 10, model=model)


def test_an_option_changes_the_network() -> None:
    needed("timm")
    options = {"img_size": 28, "patch_size": 7}
    facts = analysed("timm", (1, 28, 28), 10, model="vit_tiny_patch16_224", options=options)
    assert facts.layers[-1].output == (10, 1, 1)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, here: Command) -> None:
    """One line that says how to get it, or that it does not fit torch."""
    monkeypatch.setattr(libraries, "find_spec", lambda name: None)
    for library in SMALL:
        done = here("describe", library, "--set", f"model={SMALL[library]}")
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr == f"{library} is not installed; install it with: pip install 'archrunner[zoo]'\n"
    monkeypatch.setattr(libraries, "find_spec", lambda name: True)
    monkeypatch.setitem(sys.modules, "timm", None)  # an import of it fails
    done = here("describe", "timm", "--set", "model=x")
    assert done.stderr.startswith("timm") and "cannot be imported with this torch: ModuleNotFound" in done.stderr


def test_the_version_of_the_library_is_part_of_the_identity(library: str) -> None:
    entry = load_catalog().find("architecture", library)
    module: ModuleType = __import__(library)
    assert entry.version and module.__version__.startswith(entry.version.partition("+")[0])


def test_a_study_trains_them(library: str, tmp_path: Path, here: Command) -> None:
    (tmp_path / "s.yaml").write_text(
        "name: s\ndataset: {name: shapes, count: 40, test_count: 0}\noptimizer: {name: sgd, lr: 0.01}\n"
        f"architecture: {{name: {library}, model: {SMALL[library]}}}\n"
        "training: {epochs: 1, batch_size: 10, engine: torch, device: cpu}\ncross_validation: {folds: 2}\n"
    )
    done = here("run", "s.yaml")
    assert done.returncode == 0, done.stderr
    fits = journal_by_id(tmp_path / "reports" / "s").values()
    assert [fit["status"] for fit in fits] == ["ok", "ok"]
