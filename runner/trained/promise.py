"""How many networks a study saves, and how many bytes they take on disk, before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any

from runner.components.catalog import Catalog, load_catalog
from runner.engines.saved_arrays import Form
from runner.engines.torch_engine.meta_device import build_on_meta
from runner.network.analysis import iterate_layers
from runner.network.base import Shape
from runner.network.description import describe
from runner.network.graph import Network
from runner.planning.plan import Plan, PlannedCell
from runner.trained.file import DISTRIBUTION, FORMAT, Facts, forms_of_preprocessing, size

LONGEST_NUMBER = -1.2345678901234567e-100
"""No float has more characters in JSON."""


@dataclass(frozen=True)
class Promise:
    """`networks` are saved, which take at most `bytes` together; as little more than the digits of the normalisation
    are unknown before, the files are hardly smaller."""

    networks: int
    bytes: int


def arrays_of(network: Network, shape: Shape, precision: str) -> dict[str, Form]:
    """The type and the shape of every array of a network for images of `shape` (C, H, W), by ``"<path>.<name>"``."""
    dtype = "float64" if precision == "float64" else "float32"
    return {
        f"{entry.path}.{name}": (dtype, spec.shape)
        for entry in iterate_layers(network, shape)
        for name, spec in entry.layer.parameters(entry.input).items()
    }


def promise(plan: Plan, plugin_files: tuple[str, ...], at_most: bool = False) -> Promise:
    """What `training.keep` of the plan saves in the repeats that are planned now, or `at_most` in all of them."""
    if plan.keep == "none":
        return Promise(0, 0)
    catalog, sizes = load_catalog(plugin_files), dict[str, int]()
    networks = total = 0
    for cell in plan.cells:
        if cell.problem:
            continue
        settings = cell.settings
        key = repr((settings.architecture, settings.training.precision, settings.training.engine))
        if key not in sizes:  # many cells share a network
            sizes[key] = _bytes(catalog, plan, cell)
        repeats = plan.most if at_most and plan.most else plan.repeats_of(cell.id)
        count = 1 if plan.keep == "best" else plan.folds * repeats
        networks, total = networks + count, total + count * sizes[key]
    return Promise(networks, total)


def _bytes(catalog: Catalog, plan: Plan, cell: PlannedCell) -> int:
    """The length of the file of one fit of a cell."""
    channels, height, width = plan.data["shape"]
    settings, shape, names = cell.settings, (channels, height, width), [str(n) for n in plan.data["class_names"]]
    ref, training = settings.architecture, settings.training
    built = build_on_meta(partial(catalog.build, "architecture", ref, shape, len(names)))
    most = plan.folds * (plan.most or plan.repeats)
    facts = Facts(
        FORMAT,
        version(DISTRIBUTION),
        plan.name,
        "0" * 16,
        cell.id,
        plan.most or plan.repeats,
        plan.folds,
        ref.to_dict(),
        None,
        "",
        shape,
        names,
        [0.0 if plan.preprocess else LONGEST_NUMBER] * channels,
        [1.0 if plan.preprocess else LONGEST_NUMBER] * channels,
        training.engine,
        training.device,
        training.precision,
        most,
        most - 1,
        plan.preprocess,
    )
    ours = isinstance(built, Network)
    described = describe(built) if ours else None
    code = "" if described else catalog.find("architecture", ref.name).version
    arrays = arrays_of(built, shape, training.precision) if ours else _module_arrays(built, training)
    return size(replace(facts, network=described, code=code), arrays | forms_of_preprocessing(facts))


def _module_arrays(module: Any, training: Any) -> dict[str, Form]:
    """Those of a plugin's own module; the engine turns its floats into the type that it computes in."""
    floats = "float64" if training.precision == "float64" else "float32"
    return {
        name: (floats if tensor.is_floating_point() else str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
    }
