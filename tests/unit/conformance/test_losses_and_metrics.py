"""The probe of losses and metrics, as `runner plugins --check` shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Command

from runner.testing import PluginSuite

PLUGIN = """\
import numpy as np
from runner.api import Loss, Metric, hookimpl

class Squares:
    def values(self, scores, targets):
        return ((scores - targets) ** 2).sum(1)
    def value_and_gradient(self, scores, targets):
        scores, targets = scores.astype(PRECISION), targets.astype(PRECISION)
        return VALUES

def squares(class_names, counts):
    return Squares()

def share(class_names):
    return lambda truth, said: COMPUTE

@hookimpl
def register_losses():
    yield Loss(name="squares", build=squares)

@hookimpl
def register_metrics():
    yield Metric(name="share", build=share, needs="answers")
"""
OF_ONE_SIZE = """\
from runner.api import Augmentation, hookimpl

class Vignette:
    def draw(self, rng, count, shape):
        return {}
    def apply(self, images, draws):
        assert images.shape[1:] == (1, 28, 28), "made for MNIST"
        return images * 0.5

@hookimpl
def register_augmentations():
    yield Augmentation(name="vignette", build=Vignette)
"""
OF_ONE_ENGINE = """\
import torch
from runner.api import Architecture, Loss, Optimizer, TorchRule, hookimpl

class Negative:
    def values(self, scores, targets):
        return -(targets * scores.log_softmax(1)).sum(1)

class Around(TorchRule):
    def build_optimizer(self, parameters):
        return torch.optim.SGD(parameters, lr=self.lr)

class Declared:
    slots, engine = (), "numpy"
    def update(self, parameter, gradient, state, step):
        parameter -= 0.1 * gradient

@hookimpl
def register_losses():
    yield Loss(name="negative", build=lambda class_names, counts: Negative())

@hookimpl
def register_optimizers():
    yield Optimizer(name="around", build=lambda: Around(lr=0.1))
    yield Optimizer(name="declared", build=lambda: Declared())

@hookimpl
def register_architectures():
    line = torch.nn.Linear
    yield Architecture(name="line", build=lambda shape, n: torch.nn.Sequential(torch.nn.Flatten(), line(3 * 1024, n)))
"""
FINE = {
    "VALUES": "((scores - targets) ** 2).sum(1), GRADIENT",
    "GRADIENT": "2 * (scores - targets)",
    "PRECISION": "float",
    "COMPUTE": "float((truth == said).mean())",
}


def check(here: Command, folder: Path, **changes: str) -> tuple[int, dict[str, str]]:
    """The exit status, and the line about each component."""
    text = PLUGIN
    for name, code in (FINE | changes).items():
        text = text.replace(name, code)
    (folder / "own.py").write_text(text)
    done = here("plugins", "--check", "own.py")
    return done.returncode, {line.split()[0]: line for line in done.stdout.splitlines()}


@pytest.mark.parametrize("precision", ["float", "np.float32"])
def test_good_ones_are_fine(precision: str, tmp_path: Path, here: Command) -> None:
    """In single precision losses are too coarse for a difference over a small step."""
    assert check(here, tmp_path, PRECISION=precision) == (0, {"loss": "loss squares: ok", "metric": "metric share: ok"})


@pytest.mark.parametrize(
    ("name", "code", "kind", "message"),
    [
        (
            "GRADIENT",
            "1 / 0",
            "loss",
            "own.py:9: tried on random scores (8, 7): value_and_gradient raised ZeroDivision",
        ),
        ("GRADIENT", "3, 4", "loss", "own.py:7: tried on random scores (8, 7): value_and_gradient returns 3 values"),
        ("GRADIENT", "scores - targets", "loss", "value_and_gradient gives a derivative of"),
        ("GRADIENT", "(scores - targets)[:1]", "loss", "derivatives (1, 7); expected"),
        ("COMPUTE", "2.5", "metric", "it is 2.5, and not in 0 to 1"),
        ("COMPUTE", "np.random.default_rng().random()", "metric", "it must not draw random numbers"),
        ("COMPUTE", "print(truth)", "metric", "it returns nothing; end it with return; expected a number, 0 to 1"),
        # Random answers give little, and only wrong ones less than nothing.
        ("COMPUTE", "float((truth == said).mean()) - 0.02", "metric", "it is -0.02, and not in 0 to 1"),
        ("lambda truth, said:", "lambda truth:", "metric", "(truth) is called as compute(truth, predicted)"),
        ("COMPUTE", "truth[999]", "metric", "own.py:15: tried on random classes (N,): IndexError: index 999 is out of"),
        ("COMPUTE", "float((truth[1:] == said[:-1]).mean())", "metric", "it must not depend on their order"),
        (
            "VALUES",
            "-((scores - targets) ** 2).sum(1), -2 * (scores - targets)",
            "loss",
            "it does not fall as the score",
        ),
        ("VALUES", "(scores**2).sum(1), 2 * scores", "loss", "it does not fall as the score of an image's class rises"),
    ],
)
def test_what_is_wrong_is_one_line(
    name: str, code: str, kind: str, message: str, tmp_path: Path, here: Command
) -> None:
    status, lines = check(here, tmp_path, **{name: code})
    other = {"loss": "metric", "metric": "loss"}[kind]
    assert status == 2 and lines[other].endswith(": ok")
    assert message in lines[kind] and "own.py" in lines[kind]


def test_a_component_of_one_engine_is_fine_and_the_line_says_why(tmp_path: Path, here: Command) -> None:
    (tmp_path / "own.py").write_text(OF_ONE_ENGINE)
    done = here("plugins", "--check", "own.py")
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            "architecture line: ok, on the torch engine only: it is a torch module",
            "loss negative: ok, on the torch engine only: it has no value_and_gradient",
            "optimizer around: ok, on the torch engine only: it has build_optimizer",
            "optimizer declared: ok, on the numpy engine only: engine = 'numpy'",
        ],
    )
    suite = type("Suite", (PluginSuite,), {"plugin": tmp_path / "own.py"})()
    for case in suite.cases():
        suite.test_component(*case)


def test_an_augmentation_for_images_of_one_size_is_tried_on_those(tmp_path: Path, here: Command) -> None:
    (tmp_path / "own.py").write_text(OF_ONE_SIZE)
    done = here("plugins", "--check", "own.py")
    assert (done.returncode, done.stdout) == (0, "augmentation vignette: ok\n")


NOTED = {
    "derivative": ("VALUES", "((scores - targets) ** 2).mean(1), 2 / 7 * (scores - targets)", "loss",
                   "its losses differ between NumPy arrays and torch tensors"),
    "precision": ("COMPUTE", "float(np.mean([(truth[said == c] == c).mean() for c in range(7)]))", "metric",
                  "it cannot be computed of a fit that takes all images for one class (it is nan"),
}  # fmt: skip


@pytest.mark.parametrize("case", NOTED)
def test_what_is_worth_knowing_is_said_and_no_fault(case: str, tmp_path: Path, here: Command) -> None:
    name, code, kind, message = NOTED[case]
    status, lines = check(here, tmp_path, **{name: code})
    assert status == 0 and message in lines[kind] and "own.py" in lines[kind]
