"""Parameters that somebody set and that change nothing: without them, the same network, transform or rule is built."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from runner.components.catalog import Catalog
from runner.components.plugin_code import aside
from runner.components.records import ComponentRef
from runner.components.validation import InvalidValues
from runner.engines.torch_engine.meta_device import build_on_meta, is_module
from runner.errors import RunnerError
from runner.experiment.schema import CROSS_ENTROPY, NO_AUGMENTATION, Settings
from runner.files.content_hash import canonical_text
from runner.network.analysis import iterate_layers
from runner.network.base import Shape, kinds_of
from runner.planning.architecture_facts import identity_of
from runner.planning.duplicates import plain_content
from runner.planning.plan import PlannedCell
from runner.text import yaml_value

MOST_TRIES = 100
"""How many different components are built without a parameter before it counts as one without effect."""
MOST_VALUES = 4
"""The most values of a parameter that a message lists."""
PROBES, PROBE_IMAGES = 4, 16

Network = Callable[[ComponentRef], str]
"""The text that identifies what an architecture of a checked cell builds."""


def warnings(
    catalog: Catalog,
    cells: Sequence[tuple[Settings, PlannedCell]],
    shape: Shape,
    classes: int,
    network: Network,
    given: Mapping[str, tuple[Any, ...]],
) -> tuple[str, ...]:
    """A sentence for each parameter that no cell would miss, and for each augmentation that changes no image.

    `cells` are those without a problem, with the settings as the file gives them. A parameter counts if it is given
    with another value than its default; one with an effect in any cell has an effect. `given` has by kind what the
    runner passes to a component's function.
    """
    parameters = _Parameters(catalog, shape, classes, network, given)
    for settings, cell in cells:
        parameters.add(settings, cell)
    multipliers = _idle_multipliers(catalog, [cell for _, cell in cells], shape, classes)
    return (*parameters.sentences(), *multipliers, *_idle_augmentations(catalog, cells, shape))


@dataclass
class _Parameters:
    """The parameters given, by (kind, component, parameter): those with an effect, and what was tried of the others."""

    catalog: Catalog
    shape: Shape
    classes: int
    network: Network
    passed: Mapping[str, tuple[Any, ...]]
    effective: set[tuple[str, str, str]] = field(default_factory=set)
    tried: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)

    def add(self, settings: Settings, cell: PlannedCell) -> None:
        for kind, given, bound in _components(settings, cell):
            for name in given.parameters:
                key = (kind, given.name, name)
                if key not in self.effective and self._has_effect(key, bound):
                    self.effective.add(key)

    def sentences(self) -> Iterator[str]:
        for (kind, component, name), tried in self.tried.items():
            if (kind, component, name) in self.effective:
                continue
            values = list(dict.fromkeys(map(yaml_value, tried.values())))
            listed = ", ".join(values[:MOST_VALUES]) + (", ..." if len(values) > MOST_VALUES else "")
            product = {"architecture": "network", "augmentation": "transform", "optimizer": "rule"}.get(kind, kind)
            where = f" ({len(tried)} different ones tried)" if len(tried) > 1 else ""
            yield f"{kind}.{name}: {listed} has no effect: without it, {component} builds the same {product}{where}"

    def _has_effect(self, key: tuple[str, str, str], bound: ComponentRef) -> bool:
        """Whether the parameter does something in `bound`; False too if that was found out, or is not asked."""
        kind, _, name = key
        entry = self.catalog.find(kind, bound.name)
        parameter = entry.parameters.get(name)
        # Not of the parameters that the runner reads itself, such as `strict`.
        if parameter is None:
            return name not in entry.component.common
        if parameter.required:
            return True
        tried, text = self.tried.setdefault(key, {}), repr(bound)
        if text in tried or repr(bound.parameters[name]) == repr(parameter.bound_default):
            if not tried:
                del self.tried[key]
            return False
        if len(tried) >= MOST_TRIES:
            return False
        tried[text] = bound.parameters[name]
        return not self._builds_the_same(kind, bound, name)

    def _builds_the_same(self, kind: str, bound: ComponentRef, name: str) -> bool:
        try:
            others = {key: value for key, value in bound.parameters.items() if key != name}
            without = self.catalog.bind(kind, ComponentRef(bound.name, others))
            if kind != "architecture":
                return bool(self._content(kind, bound) == self._content(kind, without))
            built = build_on_meta(lambda: self.catalog.build(kind, without, self.shape, self.classes))
            # The text of a module has the parameters in it, and so says nothing about them.
            if is_module(built):
                return False
            return canonical_text(identity_of(self.catalog.find(kind, bound.name), built)) == self.network(bound)
        except (InvalidValues, RunnerError, TypeError):  # needed, or its product cannot be compared
            return False

    def _content(self, kind: str, ref: ComponentRef) -> Any:
        return plain_content(self.catalog.build(kind, ref, *self.passed.get(kind, ())))


def _components(settings: Settings, cell: PlannedCell) -> Iterator[tuple[str, ComponentRef, ComponentRef]]:
    """The kind of each of a cell's components, and the component as given and as bound."""
    yield "architecture", settings.architecture, cell.settings.architecture
    for pair in zip(settings.augmentation, cell.settings.augmentation, strict=True):
        yield "augmentation", *pair
    yield "optimizer", settings.optimizer, cell.settings.optimizer
    if cell.settings.loss and settings.loss != CROSS_ENTROPY:
        yield "loss", settings.loss, cell.settings.loss


def _idle_multipliers(catalog: Catalog, cells: Sequence[PlannedCell], shape: Shape, classes: int) -> Iterator[str]:
    """A sentence for each kind of parameter that has a multiplier and that no network has."""
    found: dict[str, set[str]] = {}
    present: dict[str, bool] = {}
    for cell in cells:
        architecture = cell.settings.architecture
        for kind in catalog.rule_options(cell.settings.optimizer).multipliers:
            text = repr(architecture)
            if text not in found:
                build = partial(catalog.build, "architecture", architecture, shape, classes)
                found[text] = _kinds(build_on_meta(build), shape)
            present[kind] = present.get(kind, False) or kind in found[text]
    for kind, is_present in present.items():
        if not is_present:
            yield f"optimizer.multipliers.{kind} has no effect: no network has parameters of that kind"


def _kinds(network: Any, shape: Shape) -> set[str]:
    """The kinds of a network's parameters, by which multipliers choose them."""
    if is_module(network):
        from runner.engines.torch_engine.parameter_kinds import kinds_of_parameters

        return {kind for kinds in kinds_of_parameters(network, network, shape) for kind in kinds}
    layers = iterate_layers(network, shape)
    return {
        kind
        for entry in layers
        for name, spec in entry.layer.parameters(entry.input).items()
        if spec.trainable
        for kind in kinds_of(entry.layer.family, name)
    }


def _idle_augmentations(catalog: Catalog, cells: Sequence[tuple[Settings, PlannedCell]], shape: Shape) -> Iterator[str]:
    """A sentence for each augmentation that was given a 0 or a 1 and changes no image."""
    looked_at: set[str] = set()
    for settings, cell in cells:
        for given, bound in zip(settings.augmentation, cell.settings.augmentation, strict=True):
            text = str(given)
            if text in looked_at or given == NO_AUGMENTATION or not _may_be_idle(given.parameters):
                continue
            looked_at.add(text)
            with aside():
                idle = _is_idle(catalog, bound, shape)
            if idle:
                yield f"augmentation {text} changes no image: it trains like none"


def _may_be_idle(given: Mapping[str, Any]) -> bool:
    # By the neutral numbers of a sum and of a product: trying out every augmentation would need NumPy, which takes
    # longer to load than the rest of a plan.
    return any(value in (0, 1) and not isinstance(value, bool) for value in given.values())


def _is_idle(catalog: Catalog, bound: ComponentRef, shape: Shape) -> bool:
    """Whether images and labels come out as they went in, in each of several draws."""
    import numpy as np

    from runner.engines.draws import drawn_arrays

    random = np.random.default_rng(0)
    images = random.random((PROBE_IMAGES, *shape), np.float32)
    targets = np.eye(PROBE_IMAGES, dtype=np.float32)
    try:
        transform = catalog.build("augmentation", bound)
        for _ in range(PROBES):
            draws = drawn_arrays(transform.draw(random, PROBE_IMAGES, shape))
            if not np.allclose(np.asarray(transform.apply(images.copy(), draws)), images, atol=1e-6):
                return False
            if hasattr(transform, "relabel") and not np.array_equal(transform.relabel(targets.copy(), draws), targets):
                return False
    except Exception:  # of a plugin's code; training with it shows it
        return False
    return True
