"""`match` finds the best whole number, as trying each one does, and soon enough for a thousand cells."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from functools import partial

import pytest
from matched_study import BASE, WIDTH, planned

from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.components.validation import InvalidValues
from runner.errors import RunnerError
from runner.network.analysis import analyse, iterate_layers
from runner.planning.best_integer import distance


@pytest.fixture
def plan(tmp_path):
    return partial(planned, tmp_path)


SPACES = {
    "stages": {"width": range(1, 17), "kernel": (1, 3, 5), "convs": (1, 2, 3), "stages": (1, 2, 3),
               "downsample": ("max_pool", "strided_conv"), "batch_norm": (False, True)},
    "simple_convnet": {"filters": range(1, 17), "kernel": (1, 3, 5, 7), "hidden": range(1, 17)},
    "small_vgg": {"width": range(1, 17), "convs": (1, 2), "hidden": range(1, 17), "batch_norm": (False, True)},
    "resnet_cifar": {"width": range(1, 9), "depth": (20,), "shortcut": ("A", "B"), "residual": (False, True)},
    "se_resnet_cifar": {"width": range(4, 9), "reduction": (1, 2, 4)},
    "wide_resnet_cifar": {"widen": range(1, 5), "depth": (10,), "width": range(4, 9)},
}  # fmt: skip
"""Parameters and values that random networks are drawn from."""
OFTEN = (8, 8, 8, 1, 1, 1)
"""The last ones take long to analyse."""
QUANTITIES = ("parameters", "macs", "activations", "receptive_field")
TRIED = 40
"""The numbers that are tried one by one: none beyond them is nearer to the targets, which are those of smaller ones."""
SHAPE, CLASSES = (1, 28, 28), 10


def _measured(name, parameters, keep):
    """The quantity of a network by its layers, or by the analysis that plans have; None if there is no such network."""
    catalog = load_catalog()
    try:
        ref = catalog.bind("architecture", ComponentRef(name, parameters))
        network = catalog.build("architecture", ref, SHAPE, CLASSES)
        if keep == "parameters":
            specs = [spec for e in iterate_layers(network, SHAPE) for spec in e.layer.parameters(e.input).values()]
            return (sum(spec.size for spec in specs if spec.trainable),)
        if keep == "macs":
            return (sum(each.layer.macs(each.input) for each in iterate_layers(network, SHAPE)),)
        found = getattr(analyse(network, SHAPE, CLASSES), keep)
    except (InvalidValues, RunnerError):
        return None
    return found if isinstance(found, tuple) else (found,)


def _random_pair(rng):
    """An architecture with a parameter to solve, another one, a quantity, and the best value, by trying each one."""
    while True:
        name = rng.choices([*SPACES], OFTEN)[0]
        own, other = ({key: rng.choice([*values]) for key, values in SPACES[name].items()} for _ in range(2))
        varied = rng.choice([key for key, value in own.items() if type(value) is int and key != "depth"])
        keep, target = rng.choice(QUANTITIES), None
        if _measured(name, own | {varied: 1}, keep) != _measured(name, own | {varied: 4}, keep):
            target = _measured(name, other, keep)
        if target is None:
            continue
        values = {n: found for n in range(1, TRIED + 1) if (found := _measured(name, own | {varied: n}, keep))}
        best = min(values, key=lambda n: (distance(values[n], target), n))
        if distance(values[best], target) < 0.99 and best <= TRIED // 2:
            del own[varied]
            return (name, own, other, varied, keep), best, values[best], target


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_what_is_solved_is_the_best_whole_number(part, plan):
    """200 random pairs of an architecture and a quantity: as all numbers, tried one by one, say."""
    rng = random.Random(part)
    for pair, best, cost, target in (_random_pair(rng) for _ in range(20)):
        name, own, other, varied, keep = pair
        rule = {"vary": f"architecture.{varied}", "keep": keep, "like": "other", "within": "99%"}
        levels = {"other": {"architecture": {"name": name, **other}},
                  "own": {"architecture": {"name": name, **own}, "match": rule}}  # fmt: skip
        # The other one is left out, as it may be the same network.
        (cell,) = plan(architecture="lenet5", grid={"form": levels}, exclude=[{"form": "other"}]).cells
        assert cell.matched.values == {f"architecture.{varied}": best}, pair
        assert (cell.matched.found, cell.matched.target) == (cost, target)


def test_a_thousand_cells_are_solved_without_torch(tmp_path):
    """The networks that are built are counted, as seconds depend on the machine: few for each architecture."""
    kernels = {
        f"k{k}c{c}": {"architecture.kernel": k, "architecture.convs": c} for k in (1, 3, 5, 7, 9) for c in (2, 3)
    }
    rule = {"vary": WIDTH, "keep": "macs", "like": {"filters": "reference"}, "within": "50%"}
    grid = {
        "filters": {"reference": {"architecture.kernel": 9}, **kernels, "match": rule},
        "sizes": {f"w{width}": {WIDTH: width} for width in range(16, 96, 8)},
        "optimizer.lr": [n / 1000 for n in range(1, 11)],
    }
    (tmp_path / "study.yaml").write_text(json.dumps(BASE | {"grid": grid}))
    code = (
        "import sys\nfrom runner.planning import costs_of, matching\n"
        "real, built = costs_of.costs_of, []\n"
        "matching.costs_of = lambda *given: (built.append(given), real(*given))[1]\n"
        "from runner.cli import main\nmain(['plan', 'study.yaml'])\n"
        "print(len(built), *({'torch', 'mlflow', 'pandas', 'sklearn', 'scipy'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "matched: 1,000 cells have architecture.width solved at equal MACs" in done.stdout, done.stderr
    count, *modules = done.stdout.splitlines()[-1].split()
    # 100 pairs of an architecture and a target.
    assert int(count) <= 100 * 8 and not modules
