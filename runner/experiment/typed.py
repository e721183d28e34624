"""An experiment as typed objects, for editors and type checkers: the keys of the YAML file as arguments.

Each object stands for what it was given and nothing else, and a wrong value is refused where the object is made. Names
and parameters of components are checked by `plan` and `run`, as for a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, TypeAdapter

from runner.components.records import ComponentRef
from runner.components.validation import InvalidValues, validate
from runner.errors import Complaint, InputError, Location
from runner.experiment import schema
from runner.experiment.python_values import document
from runner.text import did_you_mean, dotted


class Component(ComponentRef):
    """A component by its name, with parameters: ``Component("stages", width=8)``."""

    def __init__(self, name: str, /, **parameters: Any) -> None:
        super().__init__(name, parameters)


class _Checked:
    """A section whose errors are those of the file: one line each, with the nearest right key."""

    if not TYPE_CHECKING:  # a type checker reads the fields, and so the arguments, from the schema

        def __init__(self, **values: Any) -> None:
            section: type[BaseModel] = type(self).__mro__[2]  # the schema's, next to this class
            data = document(values, type(self).__name__).to_data()
            try:
                validate(TypeAdapter(section), data, lambda path: section.model_fields if not path else ())
            except InvalidValues as finding:
                where = Location(type(self).__name__)
                raise InputError(
                    Complaint(where, dotted(part for part in path if part not in schema.UNION_TAGS), message)
                    for path, message in finding.problems
                ) from None
            super().__init__(**data)


class Training(_Checked, schema.Training):
    """The section `training`: ``Training(epochs=5, batch_size=100)``."""


class UntilDecided(_Checked, schema.UntilDecided):
    """For `repeats`: ``UntilDecided(until="decided", most=8)``."""


class CrossValidation(_Checked, schema.CrossValidation):
    """The section `cross_validation`: ``CrossValidation(folds=5, repeats=2)``."""


class Search(_Checked, schema.Search):
    """The section `search`: ``Search(race="best")``."""


class ReportSettings(_Checked, schema.ReportSettings):
    """The section `report`: ``ReportSettings(metric="val_loss", equivalent=0.01)``."""


def _unknown(key: str, allowed: Sequence[str]) -> str:
    return f"unknown key '{key}'{did_you_mean(key, allowed)}"


ComponentLike = str | ComponentRef | Mapping[str, Any]
"""A component's name, a `Component`, or a mapping with `name` and parameters."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A whole experiment; each field is the key of that name in the YAML file (docs/reference/experiment.md).

    None means that the key is left out. A grid is a mapping from factors to their levels, or a list of such mappings.
    Paths of plugins are relative to the current folder.
    """

    name: str
    dataset: ComponentLike
    architecture: ComponentLike
    optimizer: ComponentLike
    training: schema.Training | Mapping[str, Any] | None = None
    grid: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    exclude: Sequence[Mapping[str, Any]] | None = None
    augmentation: ComponentLike | Sequence[ComponentLike] | None = None
    loss: ComponentLike | None = None
    cross_validation: schema.CrossValidation | Mapping[str, Any] | None = None
    seed: int | None = None
    report: schema.ReportSettings | Mapping[str, Any] | None = None
    search: schema.Search | Mapping[str, Any] | None = None
    design: str | Mapping[str, int] | None = None
    executor: Literal["process", "serial", "ray"] | None = None
    plugins: Sequence[Any] | None = None
    description: str | None = None
    extends: Any = None

    if not TYPE_CHECKING:  # which knows the fields

        def __new__(cls, **values: Any) -> Experiment:
            allowed = [field.name for field in fields(cls)]
            unknown = (
                Complaint(Location("Experiment"), key, _unknown(key, allowed)) for key in values.keys() - {*allowed}
            )
            if complaints := sorted(unknown, key=str):
                raise InputError(complaints)
            return super().__new__(cls)

    def to_mapping(self) -> dict[str, Any]:
        """The experiment with the keys of the file, without those that are left out."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
