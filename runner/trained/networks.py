"""A saved fit as a network that answers for images, exactly as the engine did after the last epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from runner.components.catalog import load_catalog
from runner.components.plugin_paths import find_plugin
from runner.components.records import ComponentRef
from runner.components.validation import InvalidValues
from runner.engines import selection
from runner.engines.base import BuiltFit, Engine, Trained
from runner.engines.inspection import as_described
from runner.engines.saved_arrays import Form
from runner.engines.torch_engine.meta_device import is_module
from runner.errors import RunnerError, ShapeError
from runner.fits.records import FitSpec, Learned, TrainingPlan
from runner.network.analysis import layer_output_shape, merged_shape
from runner.network.base import Layer, Shape
from runner.network.description import parse
from runner.network.graph import Network, walk
from runner.trained import file
from runner.trained.choose import SavedFits
from runner.trained.file import Facts
from runner.trained.promise import arrays_of

MOST_ACTIVATIONS = 10**9
"""Numbers per image. A network that somebody else describes must not fill the memory."""


@dataclass(eq=False)
class TrainedNetwork:
    """The network of one fit, with its parameters."""

    facts: Facts
    learned: Learned
    engine: Engine
    trained: Trained
    network: Any
    """Its layer records, or a plugin's own torch module."""

    def __repr__(self) -> str:
        # Not that of a dataclass, which would print every parameter.
        facts, channels = self.facts, "x".join(map(str, self.shape))
        fit = f"{facts.study}, cell {facts.cell}, repeat {facts.repeat + 1} fold {facts.fold + 1}"
        return f"<network of {fit}: {channels} images, {len(facts.class_names)} classes, {self.engine.name}>"

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.facts.class_names)

    @property
    def shape(self) -> Shape:
        """(C, H, W) of an image."""
        return self.facts.input

    @cached_property
    def module(self) -> Any:
        """The network itself, in evaluation mode.

        On torch a `torch.nn.Module` from images (N, C, H, W) with pixels from 0 to 255 to scores (N, classes), in the
        type of its parameters; on NumPy the engine's own network, which takes normalised images (C, H, W, N).
        """
        if self.engine.name == "numpy":
            return self.trained.module
        from runner.engines.torch_engine.raw_pixels import RawPixels

        single = self.trained.inspectable(self.facts.place).module
        return RawPixels(single, self.facts.mean, self.facts.deviation, preprocessing=self.learned.preprocessing).eval()

    def predict(self, images: Any) -> np.ndarray:
        """The probability of each class (N, classes) for raw images of bytes, computed as after the last epoch.

        `images` is (N, C, H, W), (N, H, W, C) or, for one channel, (N, H, W); uint8. Raises RunnerError for others.
        """
        pixels = as_batch(images, self.shape)
        count = len(pixels)
        if not count:
            return np.empty((0, len(self.class_names)), np.float32)
        with self.engine.computing():
            indices = [np.arange(count)] * self.facts.together
            subset = self.trained.subset(pixels, np.zeros(count, np.int64), indices)
            return self.trained.shares(subset)[self.facts.place]

    def layer_outputs(self, images: Any) -> dict[str, tuple[str, np.ndarray]]:
        """Each layer's type and its output (N, c, h, w), by path and as it is described; images as for `predict`."""
        with self.engine.computing():
            found = self._single.layer_outputs(as_batch(images, self.shape))
        return as_described(self.network, found)

    def first_filters(self) -> np.ndarray | None:
        """The first convolution's weights (out, in, height, width); None if there is none."""
        filters: np.ndarray | None = self._single.first_filters()
        return filters

    @cached_property
    def _single(self) -> Any:
        return self.trained.inspectable(self.facts.place)


def load_network(
    folder: Path,
    cell: str | None = None,
    repeat: int | None = None,
    fold: int | None = None,
    plugins: Sequence[str | Path] = (),
) -> TrainedNetwork:
    """The network of a saved fit of the study whose report is in `folder`.

    `cell` is an id or a name, by default the cell with the best mean; `repeat` and `fold` are counted from 1, by
    default those of the cell's best saved fit. `plugins` are the files of plugins: needed only for an architecture that
    is a torch module of its own, as no file that a report names is ever run. Raises RunnerError, in one line, if the
    fit is not saved or its file is not as it should be.
    """
    fits = SavedFits.open(Path(folder))
    chosen = fits.best_of(fits.saved(fits.cell(cell), repeat, fold))
    return open_network(file.path_of(fits.folder, chosen), plugins, fit=chosen)


def open_network(
    path: Path, plugins: Sequence[str | Path] = (), fit: str | None = None, engine: str | None = None
) -> TrainedNetwork:
    """The network in a file, which has to be that of `fit` if it is given; `engine` is by default the fit's own."""
    with file.reading(path) as opened:
        facts = file.read_facts(opened)
        if fit is not None and facts.fit != fit:
            raise ValueError(f"it is of the fit {facts.fit}")
        network, shapes = _network(facts, path, plugins)
        expected = None if shapes is None else shapes | file.forms_of_preprocessing(facts)
        arrays, preprocessing = file.split_preprocessing(facts, file.read_arrays(opened, expected))
        learned = Learned(
            arrays, facts.network, tuple(facts.mean), tuple(facts.deviation), facts.together, facts.place, preprocessing
        )
        return _assemble(facts, network, learned, engine or facts.engine)


def _network(facts: Facts, path: Path, plugins: Sequence[str | Path]) -> tuple[Any, dict[str, Form] | None]:
    """The network that the facts describe, with the forms of its arrays; of a plugin's own module these are unknown."""
    network = _of_plugin(facts, path, plugins) if facts.network is None else None
    if is_module(network):
        return network, None
    try:
        network = network or parse(facts.network)
        _check_shapes(network, facts)
        return network, arrays_of(network, facts.input, facts.precision)
    except ShapeError as error:
        raise ValueError(str(error)) from None


def _check_shapes(network: Network, facts: Facts) -> None:
    """Raise ShapeError if the network does not fit the images and classes, or would fill the memory."""
    left = MOST_ACTIVATIONS

    def visit(path: str, layer: Layer, shape: Shape) -> Shape:
        nonlocal left
        output = layer_output_shape(path, layer, shape)
        left -= math.prod(output)
        if left < 0:
            raise ShapeError(f"its network has over {MOST_ACTIVATIONS:,} activations per image")
        return output

    output, classes = walk(network, facts.input, visit, merged_shape), len(facts.class_names)
    if output != (classes, 1, 1):
        raise ShapeError(
            f"its network outputs {'x'.join(map(str, output))}, not one number for each of {classes} classes"
        )


def _of_plugin(facts: Facts, path: Path, plugins: Sequence[str | Path]) -> Any:
    """What a plugin builds, a torch module or a network with layers of its own; raises RunnerError unless its code is
    that of the fit.
    """
    name = str(facts.architecture.get("name"))
    catalog = load_catalog(tuple(str(find_plugin(str(plugin))) for plugin in plugins))
    if ("architecture", name) not in catalog.entries:
        hint = "give the file of its plugin (--plugin FILE, or plugins=[FILE])"
        raise RunnerError(f"{path}: its architecture '{name}' is the code of a plugin, which is not loaded; {hint}")
    entry = catalog.find("architecture", name)
    if entry.version != facts.code:
        changed = f"the code of its architecture '{name}', {entry.source}, is not the one that was trained"
        raise RunnerError(f"{path}: {changed}; restore that code, or train again")
    try:
        ref = catalog.bind("architecture", ComponentRef.from_dict(facts.architecture))
    except InvalidValues as error:
        raise ValueError(f"architecture: {error}") from None
    if facts.engine == "torch":
        selection.resolve_engine("torch")
    return catalog.build("architecture", ref, facts.input, len(facts.class_names))


def _assemble(facts: Facts, network: Any, learned: Learned, engine: str) -> TrainedNetwork:
    if engine not in selection.PRECISIONS:
        raise ValueError(f"its engine is {engine!r}; allowed: {', '.join(selection.PRECISIONS)}")
    precision = facts.precision
    if engine != facts.engine:  # for an export: the parameters of every other precision are float32
        precision = "float64" if precision == "float64" else "float32"
        learned, facts = replace(learned, together=1, place=0), replace(facts, together=1, place=0)
    selection.resolve_precision(precision, selection.resolve_engine(engine))
    device = selection.resolve_device("auto", engine) if facts.device == "cuda" else "cpu"
    none = np.empty(0, np.int64)
    spec = FitSpec(
        facts.fit, facts.cell, facts.repeat, facts.fold, 0, ComponentRef.from_dict(facts.architecture), (),
        ComponentRef("none"), TrainingPlan(1, 1, engine, device, precision), facts.input, len(facts.class_names),
        "", none, none,
    )  # fmt: skip
    images = np.empty((0, *facts.input), np.uint8)
    fit = BuiltFit(spec, network, (), _NoRule(), images, none, preprocessing=learned.preprocessing)
    loaded = selection.get(engine)
    return TrainedNetwork(facts, learned, loaded, loaded.load([fit] * facts.together, learned), network)


class _NoRule:
    """The update rule of a network that is trained already."""

    slots: tuple[str, ...] = ()

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], step: Any) -> None:
        """Leave everything as it is."""


def as_batch(images: Any, shape: Shape) -> np.ndarray:
    """Images in any of the layouts of `TrainedNetwork.predict` as (N, C, H, W); raises RunnerError for others."""
    array = np.asarray(images)
    channels, height, width = shape
    layouts = [(channels, height, width), (height, width, channels), *([(height, width)] if channels == 1 else [])]
    if array.dtype != np.uint8 or array.shape[1:] not in layouts or not array.ndim:
        allowed = " or ".join(f"(N, {', '.join(map(str, layout))})" for layout in dict.fromkeys(layouts))
        raise RunnerError(f"images are {array.dtype} {array.shape}; expected uint8, 0 to 255, {allowed}")
    if array.shape[1:] == layouts[0]:  # of two layouts that are both possible, the engines' own
        batch = array
    else:
        batch = array[:, None] if array.ndim == 3 else array.transpose(0, 3, 1, 2)
    # Without a copy where it can be, as the file of an array may be large; torch takes no others.
    return batch if batch.flags.writeable and min(batch.strides) >= 0 else np.array(batch)
