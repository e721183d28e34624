"""Layers that a plugin brings itself: on both engines, as in the documentation's example, or refused with the cure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from command import Command, journal_by_id
from faulty_layers import FAULTY

from runner.engines.numpy_engine.engine import NumpyEngine
from runner.engines.torch_engine.build import build_module
from runner.errors import RunnerError, ShapeError
from runner.fits.records import TrainingPlan
from runner.network.analysis import LayerWithInput, analyse
from runner.network.base import Layer, ParameterSpec, Pointwise, Shape
from runner.network.graph import Multiply, Residual, Sequential
from runner.network.layers import Conv, Dense, Flatten, GlobalAvgPool, ReLU
from runner.network.parameters import initial_values
from runner.planning.stacking import decide
from runner.trained.export import to_torch
from runner.trained.networks import load_network

torch.set_num_threads(1)  # on tensors this small a second thread costs more than it saves
REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "plugins.md"
STUDY = """\
name: own
plugins: [./own.py]
dataset: {name: digits, subset: 80}
architecture: swishing
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 2, batch_size: 16, precision: float64, keep: best}
cross_validation: {folds: 2}
grid:
  training.engine: [torch, numpy]
"""


def example() -> str:
    """The block of the reference that defines a layer."""
    blocks = re.findall(r"```python\n(.*?)```", REFERENCE.read_text(), re.DOTALL)
    (found,) = [block for block in blocks if "class Swish(" in block]
    return str(found)


def write(folder: Path, plugin: str, study: str = STUDY) -> None:
    (folder / "own.py").write_text(plugin)
    (folder / "own.yaml").write_text(study)


def plan(here: Command, *settings: str) -> tuple[list[dict[str, Any]], str]:
    """The cells of the plan, and what was printed on stderr."""
    done = here("plan", "own.yaml", "--json", *[word for setting in settings for word in ("--set", setting)])
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)["cells"], done.stderr


@pytest.mark.slow
def test_the_example_of_the_reference_trains_on_both_engines(here: Command, tmp_path: Path) -> None:
    write(tmp_path, example())
    done = here("run", "own.yaml")
    assert done.returncode == 0, done.stderr
    report = tmp_path / "reports" / "own"
    fits = pd.read_csv(report / "tables" / "fits.csv")
    curves = [fits[fits.cell == engine].train_loss.to_numpy() for engine in ("torch", "numpy")]
    np.testing.assert_allclose(*curves, rtol=1e-7)
    recorded = journal_by_id(report)
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8), dtype=np.uint8)
    with pytest.raises(RunnerError, match="is the code of a plugin, which is not loaded"):
        load_network(report, "torch")
    shares = []
    for engine in ("torch", "numpy"):
        network = load_network(report, engine, plugins=[tmp_path / "own.py"])
        assert network.engine.name == engine and network.facts.fit in recorded
        assert network.facts.together == {"torch": 2, "numpy": 1}[engine]
        assert network.layer_outputs(images)["swish1"][1].shape == (4, 8, 8, 8)
        assert set(network.learned.arrays) >= {"swish1.b", "conv1.weight"}
        shares.append(network.predict(images))
        assert shares[-1].shape == (4, 10)
    (saved,) = [p for p in (report / "fits").glob("*.safetensors") if p.stem == network.facts.fit]
    assert len(to_torch(saved, [tmp_path / "own.py"])) > 1000

    (tmp_path / "own.py").write_text(example().replace("x * sigmoid(", "2 * x * sigmoid("))
    cells, _ = plan(here)
    problems = {cell["levels"]["training.engine"]: cell["problem"] for cell in cells}
    assert problems["torch"] is None and "is not the slope of forward, found by small" in problems["numpy"]
    trained = {fit["cell"] for fit in recorded.values()}
    assert not trained & {cell["id"] for cell in cells}, "its code is part of the identity"


BOTH = {
    "NoDataclass": "layer no_dataclass1: NoDataclass is no frozen dataclass, whose fields say what it is; write @data",
    "NotFrozen": "layer not_frozen1: NotFrozen is no frozen dataclass",
    "NoType": "NoType needs a type, text without '/', by which its layers are numbered in paths; write type: Cla",
    "Slashed": "Slashed needs a type, text without '/'",
    "Taken": "layer conv2: Taken has the type 'conv' of Conv; give it a name of its own",
    "Leaky": "layer leaky1: Leaky extends ReLU, which the engines would compute in its place; extend Layer or",
    "NoForward": "layer noforward1: NoForward has no forward(self, x, arrays), which computes its output",
    "Shapeless": "Shapeless.output_shape gives [2, 8, 8]; expected (channels, height, width), whole numbers",
    "Raises": "layer raises1: Raises (its shapes) raised AttributeError: ",
    "RaisesInForward": "raised KeyError at ",
    "WrongShape": "WrongShape forward gives ",
    "Unspecified": "Unspecified.parameters gives {'scale': (2, 1, 1)}; expected a ParameterSpec for each name",
    "BadName": "BadName.parameters has the name 'my scale'; expected a Python name that no attribute of the layer has",
    "NotAWindow": "NotAWindow.window gives (3, 3); expected Window((height, width), ...), or nothing if it is unknown",
    "InPlace": "layer inplace1: InPlace ",
    "Unhashable": "changeable: settings is [3]; allowed: a number, text, true, false, nothing, or a tuple of these",
    "Merging": "Difference: groups are Sequential, Residual, Concat and Multiply; to combine signals in another way",
}
ONE = {
    "numpy": {
        "NoBackward": "layer nobackward1: NoBackward has no backward(self, g, x, y, arrays), without which the numpy"
        " engine cannot train it; or set training.engine: torch",
        "WrongSlope": "WrongSlope backward gives a gradient of x that is not the slope of forward, found by small chan",
        "OneThing": "OneThing backward has to return two things: dL/dx, and a dict of dL/d of each parameter",
        "Forgets": "Forgets backward gives gradients of no parameter; expected those of scale",
    },
    "torch": {"Detached": "Detached forward gives an output that does not depend on x, as torch sees it; use torch's"},
}


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_a_faulty_layer_is_a_problem_of_its_cell_in_one_line(engine: str, here: Command, tmp_path: Path) -> None:
    study = STUDY.replace("training.engine: [torch, numpy]", "architecture: []").replace("swishing", "Fine")
    write(tmp_path, FAULTY, study)
    names = set(re.findall(r"^class (\w+)\(", FAULTY, re.MULTILINE)) - {"Whole", "Difference"}
    names = sorted(names | {"Unhashable", "Merging"})
    settings = f"grid.architecture=[{', '.join(names)}]", f"training.engine={engine}"
    cells, errors = plan(here, *settings)
    problems = {cell["levels"]["architecture"]: cell["problem"] for cell in cells if cell["problem"]}
    assert problems.keys() == {*BOTH, *ONE[engine]}
    for name, words in (BOTH | ONE[engine]).items():
        assert words in problems[name] and "\n" not in problems[name], name
    assert len(errors.splitlines()) == len(problems)


def test_what_a_layer_does_not_say_is_unknown(here: Command, tmp_path: Path) -> None:
    plugin = FAULTY.partition("@tried\nclass NoDataclass")[0].replace("Whole(Pointwise)", "Whole(Layer)")
    plugin = plugin.replace("class Whole", "@layer\nclass Whole") + FAULTY[FAULTY.index("@hookimpl") :]
    write(tmp_path, plugin, STUDY.replace("swishing", "Whole"))
    done = here("describe", "Whole", "--plugin", "own.py", "--input", "1x8x8", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["macs"], found["receptive_field"], found["parameters"]) == (None, None, 20 + 30)
    assert [f["receptive_field"] for f in found["layers"]] == [[3, 3], None, None, None]
    assert [f["macs"] for f in found["layers"]] == [64 * 18, None, 0, 20]
    text = here("describe", "Whole", "--plugin", "own.py", "--input", "1x8x8").stdout
    assert "unknown: Whole of layer whole1 does not say what its window is" in text
    (cell,), _ = plan(here, "grid={architecture: [Whole]}")
    assert (cell["macs"], cell["receptive_field"], cell["problem"]) == (None, None, None)


def test_a_parameter_that_changes_no_such_network_is_reported(here: Command, tmp_path: Path) -> None:
    hook = FAULTY.index("@hookimpl")
    idle = (
        "def idle(input_shape, classes, *, depth: int = 1):\n    return ARCHITECTURES['Fine'](input_shape, classes)\n"
    )
    write(tmp_path, FAULTY[:hook] + idle + "\n\nARCHITECTURES['idle'] = idle\n\n\n" + FAULTY[hook:])
    done = here("plan", "own.yaml", "--set", "architecture={name: idle, depth: 2}")
    assert "architecture.depth: 2 has no effect: without it, idle builds the same network" in done.stdout + done.stderr


@dataclass(frozen=True)
class Shift(Pointwise):
    """Adds a learned number per channel, which is not in torch's usual memory order, and a constant table."""

    type: ClassVar[str] = "shift"

    def parameters(self, shape: Shape) -> dict[str, ParameterSpec]:
        return {"by": ParameterSpec(shape, 1.0), "table": ParameterSpec((1,), mean=2.0, trainable=False)}

    def forward(self, x: Any, arrays: Any) -> Any:
        return (x + arrays["by"]) * arrays["table"]


def test_fits_are_trained_together_as_if_each_were_alone() -> None:
    network, shape = Sequential(Conv(2, 3), Shift(), Multiply(Shift()), Flatten()), (1, 4, 4)
    values = [initial_values(network, shape, seed) for seed in (0, 1, 2)]
    images = torch.from_numpy(np.random.default_rng(0).standard_normal((5, 3, 4, 4)))
    together = build_module(network, shape, values).double()
    alone = [build_module(network, shape, [own]).double()(images[:, fit, None]) for fit, own in enumerate(values)]
    torch.testing.assert_close(together(images), torch.cat(alone, 1))
    assert {name for name, _ in together.named_buffers()} == {"1.table", "2.gate.0.table"}


@dataclass(frozen=True)
class Unsaid(Layer):
    """The identity, which says nothing of itself."""

    type: ClassVar[str] = "unsaid"

    def forward(self, x: Any, arrays: Any) -> Any:
        return x


def test_unknown_multiply_adds_do_not_hide_those_of_other_layers() -> None:
    """Networks that are too large to train fits of together stay so."""
    training = TrainingPlan(1, 32, "torch", "cpu", "float32")
    sizes = []
    for kernel, own in ((7, []), (7, [Unsaid()]), (1, [Unsaid()])):
        network = Sequential(Conv(64, kernel), *own, GlobalAvgPool(), Dense(3))
        analysis = analyse(network, (16, 8, 8), 3)
        assert (analysis.macs is None) == bool(own)
        sizes.append(decide("auto", "", training, analysis, 5, 2))
    assert sizes == [None, None, 5]


def test_a_class_of_groups_may_say_how_it_is_made() -> None:
    class Block(Residual):
        def __init__(self, width: int) -> None:
            super().__init__(Conv(width, 3), ReLU(), name="block")

    from runner.engines.numpy_engine.network import build
    from runner.network.description import describe, parse

    plain, shape = Residual(Conv(2, 3), ReLU(), name="block"), (2, 4, 4)
    values = initial_values(Block(2), shape, 0)
    images = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    last = images.transpose(1, 2, 3, 0)
    ours, theirs = (build(network, shape, values).forward(last) for network in (Block(2), plain))
    assert np.array_equal(ours, theirs) and parse(describe(Block(2))) == plain
    on_torch = build_module(Block(2), shape, [values])(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(on_torch, ours.transpose(3, 0, 1, 2).reshape(2, -1), rtol=1e-5, atol=1e-6)

    class Product(Residual):
        gates: ClassVar[bool] = True

    with pytest.raises(ShapeError, match="Product: groups are Sequential, Residual, Concat and Multiply"):
        Product(Conv(2, 3))


@dataclass(frozen=True)
class Single(Pointwise):
    """tanh, in single precision whatever it is given; its gradient is `factor` times what it should be."""

    type: ClassVar[str] = "single"
    factor: float = 1.0

    def forward(self, x: Any, arrays: Any) -> Any:
        return np.tanh(x.astype(np.float32))

    def backward(self, g: Any, x: Any, y: Any, arrays: Any) -> Any:
        return g * (1 - y * y) * self.factor, {}


@pytest.mark.parametrize("shape", [(1, 2, 2), (8, 64, 64)])
def test_a_layer_that_computes_in_single_precision_is_tried_with_larger_changes(shape: Shape) -> None:
    found = [NumpyEngine().layer_problem(LayerWithInput("single1", Single(factor), shape)) for factor in (1.0, 1.1)]
    assert found[0] == "" and "is not the slope of forward" in found[1]
