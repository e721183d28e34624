"""Architectures that build a torch module of their own instead of layer records."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_fits import built_fit
from plugin_modules import write_study
from torch import fx, nn

from runner.cli import main
from runner.engines.base import TrainedFit
from runner.engines.torch_engine.engine import TorchEngine
from runner.engines.torch_engine.meta_device import build_on_meta
from runner.engines.torch_engine.module_facts import measure
from runner.errors import RunnerError, ShapeError

torch.set_num_threads(1)  # on tensors this small a second thread costs more than it saves


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the study, which is also the current one, as commands run in this process."""
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path)
    return tmp_path


def plan_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[list[dict[str, object]], str]:
    """The cells of the plan as --json prints them, and what was printed on stderr."""
    main(["plan", "e.yaml", "--json", *arguments])
    printed = capsys.readouterr()
    cells: list[dict[str, object]] = json.loads(printed.out)["cells"]
    return cells, printed.err


def test_strict_is_not_part_of_a_modules_identity(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = {plan_json(capsys, *options)[0][0]["id"] for options in ((), ("--set", "architecture.strict=true"))}
    assert len(ids) == 1


def test_the_plan_has_a_modules_parameters_and_macs(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By hand, with 4 filters: 3x3x1x4 + 4 and 3x3x4x4 + 4 weights, 2x4 of the normalisation, 64x10 + 10."""
    (cell,), errors = plan_json(capsys)
    assert (cell["parameters"], cell["macs"]) == (40 + 148 + 8 + 650, 64 * 4 * 9 + 64 * 4 * 36 + 640)
    assert cell["receptive_field"] == [6, 6] and not errors


@pytest.mark.parametrize("name", ["counting", "deciding"])
def test_a_module_that_cannot_be_traced_has_an_unknown_receptive_field(
    name: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its forward depends on numbers that tracing does not have: the number of images, or their pixels."""
    (cell,), errors = plan_json(capsys, "--set", f"architecture={name}")
    assert (cell["problem"], cell["parameters"], cell["receptive_field"]) == (None, 846, None), errors
    assert main(["plan", "e.yaml", "--set", f"architecture={name}"]) == 0
    assert "–" in capsys.readouterr().out


class Shuffle(nn.Module):
    """ShuffleNet's channel shuffle (Zhang et al. 2018, section 3.1): it moves no position."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        count, channels, height, width = 2, 4, 8, 8
        return images.view(-1, count, channels // count, height, width).transpose(1, 2).reshape(-1, 4, height, width)


class ChannelMean(nn.Module):
    """The mean over channels, as in CBAM's spatial attention (Woo et al. 2018): it moves no position."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(1, keepdim=True)


class Below(nn.Module):
    """Concatenates two copies of the image along its height, so positions do not align."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([images, images], 2)


class Plus(nn.Module):
    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*parts)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images + self.body(images)


@fx.wrap
def relu(images: torch.Tensor) -> torch.Tensor:
    """Not torch's function of the name: it moves positions."""
    return images.roll(3, 2)


class Misnamed(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return relu(images)


class Gate(nn.Module):
    """Squeeze-and-excitation, which scales channels and moves no position."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.gate = nn.Sequential(*parts)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * self.gate(images)


def conv(before: int, after: int, kernel: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, padding=kernel // 2, **options)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([conv(1, 2), nn.ReLU(), nn.MaxPool2d(2), conv(2, 2, 5)], (12, 12)),
        ([nn.Conv2d(1, 2, (3, 1), stride=(2, 1), dilation=(2, 1)), nn.AvgPool2d((1, 2))], (5, 2)),
        ([nn.Conv2d(1, 2, 4, padding="same"), nn.MaxPool2d(3, 2, ceil_mode=True)], (6, 6)),
        ([conv(1, 2), Plus(conv(2, 2), nn.BatchNorm2d(2), nn.GELU(), conv(2, 2)), nn.Dropout(0.5)], (7, 7)),
        ([Plus(nn.Conv2d(1, 1, 1)), nn.AdaptiveAvgPool2d(1)], (1, 1)),
        ([conv(1, 2), nn.AdaptiveAvgPool2d(4), conv(2, 2)], (3, 3)),
        ([nn.ConvTranspose2d(1, 2, 3)], None),
        ([conv(1, 2), Gate(nn.AdaptiveAvgPool2d(1), nn.Conv2d(2, 2, 1), nn.Hardsigmoid()), conv(2, 2)], (5, 5)),
        ([conv(1, 2), Gate(nn.Conv2d(2, 1, 5, padding=2), nn.Sigmoid()), conv(2, 2)], (9, 9)),
        ([conv(1, 2), nn.GroupNorm(1, 2), conv(2, 2), nn.InstanceNorm2d(2)], (5, 5)),
        ([conv(1, 4, groups=1), Shuffle(), conv(4, 2)], (None, (5, 5))),
        ([conv(1, 2), ChannelMean(), conv(1, 2, 7)], (None, (9, 9))),
        ([Below(), conv(1, 2, 5)], (None,)),
        ([Misnamed(), conv(1, 2, 5)], None),
    ],
    ids=lambda value: None if value is None or isinstance(value, tuple) else re.sub(r"\s+", "", str(value))[:60],
)  # fmt: skip
def test_a_modules_receptive_field_is_exact_or_unknown_and_never_wrong(
    parts: list[nn.Module], expected: tuple[object, ...] | None
) -> None:
    """`expected` is one field, or a tuple of allowed ones if an operation may or may not be known."""
    features = nn.Sequential(*parts, nn.Flatten())
    module = nn.Sequential(features, nn.Linear(features(torch.zeros(1, 1, 8, 8)).shape[1], 3))
    allowed = expected if expected and not isinstance(expected[0], int) else (expected,)
    assert measure(module, (1, 8, 8), 3).receptive_field in allowed


def test_operations_outside_of_submodules_and_submodules_used_twice_are_counted_once() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights, self.again = nn.Parameter(torch.zeros(2, 1, 3, 3)), conv(2, 2)
            self.head = nn.Linear(2 * 64, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            signal = nn.functional.conv2d(images, self.weights, padding=1)
            return self.head(self.again(self.again(signal)).flatten(1))

    analysis = measure(Own(), (1, 8, 8), 3)
    assert analysis.parameters == 18 + 38 + 387 == sum(p.numel() for p in Own().parameters())
    assert analysis.macs == 64 * 2 * 9 + 2 * 64 * 2 * 18 + 384
    assert [(layer.path, layer.parameters) for layer in analysis.layers] == [
        ("again", 38), ("again", 0), ("head", 387), ("(outside of modules)", 18),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("four", "the module's output is 4, not one number for each of 10 classes"),
        ("twice", "the module's output is tuple, not one number for each of 10 classes"),
        ("channels", "the module does not run on 1x8x8 images: "),
        ("raising", "the module does not run on 1x8x8 images: no such channel"),
        ("forgot", "architecture forgot of "),
    ],
)
def test_a_faulty_module_is_a_problem_of_its_cell_in_one_line(
    name: str, message: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells, errors = plan_json(capsys, "--set", f"grid={{architecture: [summing, {name}]}}")
    assert [bool(cell["problem"]) for cell in cells] == [False, True]
    assert errors.startswith("--set grid=") and f"cell '{name}': architecture {name}" in errors and message in errors
    assert errors.count("\n") == 1 and "Traceback" not in errors


@pytest.mark.parametrize("name", ["four", "twice", "channels", "raising", "forgot"])
def test_describe_reports_a_faulty_module_in_one_line(
    name: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["describe", name, "--plugin", "modules.py", "--input", "1x8x8"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_view_of_a_parameter_may_be_the_input_of_a_submodule() -> None:
    """As the class token of a vision transformer; torch's own counter of operations fails on it."""

    class Token(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.head = nn.Parameter(torch.zeros(1, 64)), nn.Linear(64, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(images.flatten(1)) + self.head(self.token.expand(len(images), -1))

    module = Token()
    analysis = measure(module, (1, 8, 8), 3)
    assert (analysis.parameters, analysis.macs) == (64 + 195, 2 * 192)
    assert all(array.requires_grad for array in module.parameters())


def test_a_constructor_that_computes_with_tensors_is_measured_without_numbers() -> None:
    def build() -> nn.Module:
        widths = torch.linspace(2, 8, 3).round().int().tolist()
        first, second = (nn.Conv2d(1, widths[0], 1) for _ in range(2))
        second.weight = first.weight
        return nn.Sequential(first, nn.Flatten(), nn.BatchNorm1d(128), nn.Linear(128, 3), second)

    built = build_on_meta(build)
    assert {array.device.type for array in built.parameters()} == {"meta"}
    assert built[0].weight is built[4].weight, "tied"
    assert build_on_meta(lambda: nn.Linear(1, 1)).weight.device.type == "meta" and nn.Linear(1, 1).weight.is_cpu


def test_parameters_that_are_not_trained_are_counted_separately() -> None:
    module = nn.Sequential(conv(1, 2), nn.Flatten(), nn.Linear(128, 3))
    module[0].requires_grad_(False)
    analysis = measure(module, (1, 8, 8), 3)
    assert (analysis.parameters, analysis.not_trained) == (128 * 3 + 3, 18 + 2)


def test_a_lazy_module_is_refused_or_trained() -> None:
    """A module that is planned without a problem must not fail in training because of its architecture."""

    def module() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))

    with suppress(ShapeError):
        with torch.device("meta"):  # as planning does
            built = module()
        measure(built, (2, 8, 8), 3)
        (outcome,) = TorchEngine().fit([dataclasses.replace(built_fit(), network=module())])
        assert isinstance(outcome, TrainedFit), outcome


def test_a_module_on_the_numpy_engine_is_a_problem_of_its_cell(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--set", "grid={architecture: [simple_convnet, summing]}", "--set", "training.engine=numpy")
    cells, errors = plan_json(capsys, *options)
    words = "summing(width=4) is a torch module, which the numpy engine cannot train"
    assert [cell["problem"] for cell in cells] == [None, words]
    assert errors.count("\n") == 1 and f"cell 'summing': {words}" in errors


def tie(first: nn.Module, second: nn.Module) -> None:
    second.weight, second.bias = first.weight, first.bias


def tied_convolutions() -> nn.Module:
    module = nn.Sequential(conv(2, 2), nn.ReLU(), conv(2, 2), nn.Flatten(), nn.Linear(128, 3))
    tie(module[0], module[2])
    return module


def tied_dense_layers() -> nn.Module:
    module = nn.Sequential(nn.Flatten(), nn.Linear(128, 128), nn.Linear(128, 128), nn.Linear(128, 3))
    tie(module[1], module[2])
    return module


def tied_normalisations() -> nn.Module:
    module = nn.Sequential(nn.BatchNorm2d(2), conv(2, 2), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(128, 3))
    tie(module[0], module[2])
    return module


@pytest.mark.parametrize("build", [tied_convolutions, tied_dense_layers, tied_normalisations])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_shared_parameters_are_counted_once_where_they_are_first_used(
    build: Callable[[], nn.Module], device: str
) -> None:
    with torch.device(device):
        module = build()
    analysis = measure(module, (2, 8, 8), 3)
    assert analysis.parameters == sum(parameter.numel() for parameter in build().parameters())
    rows = {layer.path: layer.parameters for layer in analysis.layers}
    assert "(outside of modules)" not in rows and min(rows.values()) == 0
    first, *others = [count for count in rows.values() if count]
    assert first == analysis.parameters - sum(others)


class Mean(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


def test_a_fit_whose_last_batch_has_one_image_names_the_batch_size() -> None:
    """Where the plan cannot know it: an inner part, or duplicates left out."""
    fit = built_fit()
    module = nn.Sequential(conv(2, 4), Mean(), nn.BatchNorm1d(4), nn.Linear(4, 3))
    spec = dataclasses.replace(fit.spec, train=np.arange(33))  # batches of 16
    (outcome,) = TorchEngine().fit([dataclasses.replace(fit, network=module, spec=spec)])
    assert isinstance(outcome, RunnerError) and "training.batch_size" in str(outcome)
