"""Refuses two cells that would train the same fits under two names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any

from runner.components.catalog import Catalog
from runner.components.records import ComponentRef
from runner.errors import Complaint, InputError
from runner.experiment.schema import NO_AUGMENTATION, Experiment
from runner.planning.plan import PlannedCell


def refuse_duplicates(
    experiment: Experiment,
    cells: Sequence[PlannedCell],
    catalog: Catalog,
    network: Callable[[ComponentRef], str],
    given: Mapping[str, tuple[Any, ...]],
) -> None:
    """Raise InputError if two cells have the same id, or build the same, although they describe it in two ways.

    `network` gives the text that identifies what an architecture builds, and `given` has by kind what the runner passes
    to a component's function.
    """
    products = _Products(catalog, network, given)
    first: dict[Any, PlannedCell] = {}
    complaints = []
    for cell in cells:
        earlier = first.setdefault(cell.id, cell)
        if not cell.problem and earlier is cell:
            earlier = first.setdefault(products.of_cell(cell), cell)
        if earlier is not cell:
            message = f"is the same as cell '{earlier.name}': {_reason(earlier, cell)}; exclude one of them"
            complaints.append(Complaint(experiment.document.find(("grid",)), f"cell '{cell.name}'", message))
    if complaints:
        raise InputError(complaints)


def _reason(a: PlannedCell, b: PlannedCell) -> str:
    one, other = a.settings.to_dict(), b.settings.to_dict()
    described = {"architecture": "network"}
    sections = dict.fromkeys((*one, *other))
    differing = [described.get(section, section) for section in sections if one.get(section) != other.get(section)]
    return f"both build the same {' and '.join(differing)}" if differing else "both have the same settings"


class _Products:
    """What cells are trained with, as it is built; each component, which many cells share, is looked at once."""

    def __init__(
        self, catalog: Catalog, network: Callable[[ComponentRef], str], given: Mapping[str, tuple[Any, ...]]
    ) -> None:
        self._catalog, self._network, self._given = catalog, network, given
        self._made: dict[int, Any] = {}

    def of_cell(self, cell: PlannedCell) -> tuple[Any, ...]:
        """Equal for cells that train alike: the same network, transforms, rule and training settings."""
        settings = cell.settings
        # An augmentation that does nothing draws no random numbers either, so it may stand anywhere in the list.
        transforms = [self._product("augmentation", ref) for ref in settings.augmentation if ref != NO_AUGMENTATION]
        rule = self._product("optimizer", settings.optimizer)
        loss = self._product("loss", settings.loss) if settings.loss else None
        return (self._product("architecture", settings.architecture), *transforms, rule, loss, settings.training)

    def _product(self, kind: str, ref: ComponentRef) -> Any:
        # By identity, which is faster than by content, and safe as the cells keep their references alive.
        if id(ref) not in self._made:
            self._made[id(ref)] = self._network(ref) if kind == "architecture" else self._build(kind, ref)
        return self._made[id(ref)]

    def _build(self, kind: str, ref: ComponentRef) -> Any:
        try:
            # What the runner itself does around a rule is not in the rule.
            around = self._catalog.find(kind, ref.name).common_values(ref.parameters)
            built = self._catalog.build(kind, ref, *self._given.get(kind, ()))
            return plain_content(built), plain_content(around)
        except TypeError:  # what it does is not all in its data, so only the same description is the same
            return kind, ref.name, plain_content(ref.parameters)


def plain_content(value: Any) -> Any:
    """The content of nested records, mappings, lists and scalars, to be compared; raises TypeError for anything else.

    A record counts with its class, so that an equal record of another class, or of an edited one, is another one.
    """
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value)]
        for name in getattr(value, "__dict__", {}).keys() - set(names):
            if not isinstance(getattr(type(value), name, None), cached_property):
                raise TypeError(f"{name} is not a field of {type(value).__name__}")
        return type(value), *(plain_content(getattr(value, name)) for name in names)
    if isinstance(value, Mapping):
        return Mapping, frozenset((key, plain_content(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(plain_content, value))
    if value is None or isinstance(value, (bool, int, float, str)):
        return type(value), repr(value)  # 1, 1.0 and True are equal to each other, and NaN is not equal to itself
    raise TypeError(f"{type(value).__name__} is not data")
