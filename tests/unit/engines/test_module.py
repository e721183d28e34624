"""Architectures that build a torch module of their own instead of layer records."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import torch
from command import RUNNER, TINY, environment, stable_tables
from engine_fits import built_fit
from torch import nn

from runner.cli import main
from runner.engines.base import TrainedFit
from runner.engines.torch_engine.engine import TorchEngine
from runner.engines.torch_engine.module_facts import measure
from runner.errors import ShapeError
from runner.planning.plan_file import read

torch.set_num_threads(1)  # on tensors this small a second thread costs more than it saves

PLUGIN = """\
from runner.api import Architecture, Count, Flatten, Dense, Sequential, hookimpl
import torch
from torch import nn

class Summing(nn.Module):
    def __init__(self, channels, classes, width):
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.drop, self.pool = nn.Dropout(0.2), nn.MaxPool2d(2)
        self.head = nn.Linear(width * 16, classes)

    def forward(self, images):
        signal = torch.relu(self.stem(images))
        return self.head(self.pool(self.drop(signal + self.body(signal))).flatten(1))

class Counting(Summing):
    def forward(self, images):
        return super().forward(images if len(images) else images + 1)

class Deciding(Summing):
    def forward(self, images):
        return super().forward(images if images.mean() > 0 else -images)

class Raising(Summing):
    def forward(self, images):
        raise ValueError("no such\\nchannel")

class Twice(Summing):
    def forward(self, images):
        return images, images

def of(module):
    def build(input_shape, classes, *, width: Count = 4):
        return module(input_shape[0], classes, width)
    return build

def four(input_shape, classes):
    return Summing(1, 4, 2)

def channels(input_shape, classes):
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, classes))

def forgot(input_shape, classes):
    return nn.Linear

def huge(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16_000_000), nn.ReLU(), nn.Linear(16_000_000, classes))

def coded(input_shape, classes, *, code: int = 1, module: int = 2):
    return Summing(1, classes, 4)

@hookimpl
def register_architectures():
    for module in (Summing, Counting, Deciding, Raising, Twice):
        yield Architecture(name=module.__name__.lower(), build=of(module))
    for build in (four, channels, forgot, huge, coded):
        yield Architecture(name=build.__name__, build=build)
"""

IMPORTS_LATE = """\
from runner.api import Architecture, Dense, Flatten, Sequential, hookimpl

def late(input_shape, classes, *, units: int = 10):
    from torch import nn
    return nn.Sequential(nn.Flatten(), nn.Linear(64, units), nn.Linear(units, classes))

def either(input_shape, classes):
    try:
        from torch import nn
    except ImportError:
        return Sequential(Flatten(), Dense(classes))
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

@hookimpl
def register_architectures():
    yield Architecture(name="late", build=late)
    yield Architecture(name="either", build=either)
"""


def write_study(folder: Path) -> None:
    """An experiment and plugin files with modules; tests set its grid with `--set grid=`."""
    (folder / "modules.py").write_text(PLUGIN)
    (folder / "late.py").write_text(IMPORTS_LATE)
    text = TINY[: TINY.index("grid:")].replace("plugins: []", "plugins: [./modules.py]")
    text = re.sub("architecture: .*", "architecture: summing", text).replace("folds: 3", "folds: 2")
    (folder / "e.yaml").write_text(text)


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


GRID = "grid={architecture: [summing, counting, coded, simple_convnet]}"
Done = subprocess.CompletedProcess[str]


def command(folder: Path, *arguments: str) -> Done:
    """Run the command line as a process of its own."""
    return subprocess.run(
        [str(RUNNER), *arguments], cwd=folder, env=environment(), capture_output=True, text=True, timeout=240
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A folder in which three modules and a network of layer records were trained, and the finished command."""
    folder = tmp_path_factory.mktemp("trained")
    write_study(folder)
    done = command(folder, "run", "e.yaml", "--set", GRID)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_modules_and_networks_are_trained_in_one_study(trained: tuple[Path, Done]) -> None:
    report = trained[0] / "reports" / "tiny"
    cells = pd.read_csv(report / "tables" / "cells.csv").set_index("cell")
    assert (cells["ok"] == 2).all() and (cells["mean"] > 0.2).all()
    modules = dict.fromkeys(["summing", "counting", "coded"], 846)
    assert cells["parameters"].to_dict() == {**modules, "simple_convnet": 53_910}
    assert cells.loc["summing", "receptive_field"] == "6x6" and pd.isna(cells.loc["counting", "receptive_field"])
    assert "counting" in (report / "report.html").read_text() and "summing" in (report / "report.md").read_text()


def test_an_unknown_receptive_field_is_a_dash_in_the_table(trained: tuple[Path, Done]) -> None:
    folder, done = trained
    for text in (done.stdout, (folder / "reports" / "tiny" / "report.md").read_text()):
        row = next(line for line in text.splitlines() if re.match(r"(\| )?counting .*\d", line))
        assert " – " in row


def test_modules_give_the_same_bits_in_other_processes(trained: tuple[Path, Done]) -> None:
    folder = trained[0]
    again = command(folder, "run", "e.yaml", "--set", GRID, "--reports", "again", "--executor", "serial")
    assert again.returncode == 0
    assert stable_tables(folder / "again" / "tiny") == stable_tables(folder / "reports" / "tiny")


def test_an_edit_of_the_plugin_changes_the_identity_of_modules(trained: tuple[Path, Done], tmp_path: Path) -> None:
    """What a module computes is known only from its code, so its fits are trained again; those of networks are not."""
    write_study(tmp_path)
    shutil.copytree(trained[0] / "reports", tmp_path / "reports")
    (tmp_path / "modules.py").write_text(PLUGIN.replace("signal + self.body", "signal - self.body"))
    done = command(tmp_path, "plan", "e.yaml", "--set", GRID.replace(", coded", ""))
    assert "4 fits to train" in done.stdout, "those of summing and counting, not of simple_convnet"


def test_a_modules_code_is_in_its_identity_whatever_its_parameters_are_called(
    trained: tuple[Path, Done], tmp_path: Path
) -> None:
    write_study(tmp_path)
    (tmp_path / "modules.py").write_text(PLUGIN + "# a comment\n")
    cells = json.loads(command(tmp_path, "plan", "e.yaml", "--set", GRID, "--json").stdout)["cells"]
    before = [cell.id for cell in read(trained[0] / "reports" / "tiny" / "plan.yaml").cells]
    changed = {cell["levels"]["architecture"] for cell in cells if cell["id"] not in before}
    assert changed == {"summing", "counting", "coded"}


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
        ([conv(1, 4, groups=1), Shuffle(), conv(4, 2)], (None, (5, 5))),
        ([conv(1, 2), ChannelMean(), conv(1, 2, 7)], (None, (9, 9))),
        ([Below(), conv(1, 2, 5)], (None,)),
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


PEAK = """\
import pathlib, sys
from runner.cli import main
status = main(sys.argv[1:])
print("PEAK", pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
sys.exit(status)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize(
    ("file", "name", "options", "parameters"),
    [
        ("modules.py", "huge", [], 64 * 16_000_000 + 16_000_000 * 11 + 10),
        ("late.py", "late", ["--set", "units=5000000"], 64 * 5_000_000 + 5_000_000 * 11 + 10),
    ],
)
def test_measuring_a_module_allocates_no_numbers(
    file: str, name: str, options: list[str], parameters: int, study: Path
) -> None:
    """4.8 GB of weights, and 1.5 GB if torch is imported in the function, are described in less than 1 GB of memory.

    Measured by the high-water mark of `/proc`: that of getrusage starts with the size of the parent process.
    """
    arguments = ["describe", name, "--plugin", file, "--input", "1x8x8", "--json", *options]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *arguments], cwd=study, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    document, _, peak = done.stdout.partition("PEAK")
    assert json.loads(document)["parameters"] == parameters
    assert int(peak) < 1_000_000, "KiB"


def test_an_architecture_that_can_do_without_torch_is_described_with_torch_if_it_is_installed(study: Path) -> None:
    done = command(study, "describe", "either", "--plugin", "late.py", "--input", "1x8x8", "--json")
    assert [layer["type"] for layer in json.loads(done.stdout)["layers"]] == ["Flatten", "Linear"], "torch is installed"


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
    assert errors.startswith("--set grid=") and f"cell '{name}': {message}" in errors
    assert errors.count("\n") == 1 and "Traceback" not in errors


@pytest.mark.parametrize("name", ["four", "twice", "channels", "raising", "forgot"])
def test_describe_reports_a_faulty_module_in_one_line(
    name: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["describe", name, "--plugin", "modules.py", "--input", "1x8x8"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


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
