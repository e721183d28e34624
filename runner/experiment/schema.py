"""The schema of an experiment file: pydantic types that validate each section, and the Experiment they form."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    WithJsonSchema,
)

from runner.components.records import ComponentRef
from runner.files.yaml_nodes import Node
from runner.fits.records import Precision, SplitDesign
from runner.text import is_name, yaml_value

if TYPE_CHECKING:
    from runner.experiment.match_rules import Match

FACTOR_ROOTS = ("architecture", "augmentation", "optimizer", "loss", "training")
"""The sections that a grid may vary. The data set is not one of them, because all cells share the same splits."""

BASE = "base"
"""The level of a factor that a block leaves out, if its settings are those of no level."""

NO_AUGMENTATION = ComponentRef("none")
CROSS_ENTROPY = ComponentRef("cross_entropy")
DEFAULTS = {"augmentation": NO_AUGMENTATION.name, "loss": CROSS_ENTROPY.name}
"""The components of the sections that a file may leave out."""

MOST_METRICS = 50

FIRST_LOOK = 2
"""Repeats that stop when decided are looked at from this one on; fewer cannot split the noise of images and fits."""

UNION_TAGS = ("a number of repeats", "repeats until decided")
"""Parts that pydantic adds to the path of an error in `cross_validation.repeats`, and that no file has."""

NO_NAME = "expected a key 'name' with the name of a component"

_SECONDS = r"\s*([0-9]+(?:\.[0-9]+)?)\s*(s|min|h)?\s*"
_UNITS = {"": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0}


def parse_component(value: Any) -> ComponentRef:
    """The component of a YAML value; raises ValueError unless it is a name, or a mapping with one."""
    if isinstance(value, str):
        return ComponentRef(value)
    if not isinstance(value, dict):
        raise ValueError(f"found {yaml_value(value)}; expected a name, or a mapping with a name and parameters")
    if not isinstance(value.get("name"), str):
        raise ValueError(NO_NAME)
    return ComponentRef(value["name"], {key: item for key, item in value.items() if key != "name"})


def parse_components(value: Any) -> tuple[ComponentRef, ...]:
    """The components of a YAML value, one or a list; raises ValueError as `parse_component` does."""
    return tuple(map(parse_component, value)) if isinstance(value, list) else (parse_component(value),)


def parse_loss(value: Any) -> ComponentRef:
    """The loss of a YAML value; a mapping without a name is the cross-entropy."""
    return parse_component({**CROSS_ENTROPY.to_dict(), **value} if isinstance(value, dict) else value)


def _parse_metrics(value: Any) -> tuple[ComponentRef, ...]:
    if isinstance(value, list) and len(value) > MOST_METRICS:
        raise ValueError(f"found {len(value)} metrics; allowed: at most {MOST_METRICS}")
    return parse_components(value)


def _parse_seconds(value: Any) -> Any:
    match = re.fullmatch(_SECONDS, value) if isinstance(value, str) else None
    if match is None and isinstance(value, str):
        raise ValueError(f"found {yaml_value(value)}; expected seconds, or a number with s, min or h, such as 10min")
    return float(match[1]) * _UNITS[match[2] or ""] if match else value


Component = Annotated[ComponentRef, PlainValidator(parse_component)]
Components = Annotated[tuple[ComponentRef, ...], PlainValidator(parse_components)]
LossComponent = Annotated[ComponentRef, PlainValidator(parse_loss)]
Metrics = Annotated[tuple[ComponentRef, ...], PlainValidator(_parse_metrics)]
Keep = Literal["none", "best", "all"]
Seconds = Annotated[
    float,
    BeforeValidator(_parse_seconds),
    Field(gt=0, allow_inf_nan=False),
    # For `runner schema`, as pydantic cannot know what the validator takes.
    WithJsonSchema(
        {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": f"^{_SECONDS}$"}]}
    ),
]


class Section(BaseModel):
    """Base of all sections: refuses unknown keys and is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _refuse_percent(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not 0 < value <= 0.5:
        nearest = f"; did you mean {value / 100:g}?" if 1 <= value <= 50 else ";"
        raise ValueError(f"found {yaml_value(value)}{nearest} allowed: a fraction, more than 0 and at most 0.5")
    return value


def _refuse_other_parts(value: Any) -> Any:
    if value != "inner":
        reason = "the fold's validation images give the result, and the best of many epochs on them is too good"
        raise ValueError(f"found {yaml_value(value)}; allowed: inner, a part of the training images, as {reason}")
    return value


def _mapping_or_nothing(value: Any) -> Any:
    if value is not None and not isinstance(value, (dict, Stop)):
        raise ValueError(f"found {yaml_value(value)}; expected a mapping such as {{patience: 5, on: inner}}, or null")
    return value


def _published_mapping(value: Any) -> Any:
    if value is not None and not isinstance(value, (dict, Section)):
        example = "{source: TEXT, cells: [{cell: {FACTOR: LEVEL}, value: NUMBER}]}"
        raise ValueError(f"found {yaml_value(value)}; expected a mapping such as {example}")
    return value


def _one_line(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"found {yaml_value(text)}; expected text on one line")
    return text


class Stop(Section):
    """A fit stops once its loss `on` the inner part of its training images has not been lower for `patience` epochs.

    `share` is the inner part's fraction of the training images of each class.
    """

    patience: Annotated[int, Field(ge=1, le=1_000_000)]
    on: Annotated[Literal["inner"], BeforeValidator(_refuse_other_parts)] = "inner"
    share: Annotated[float, BeforeValidator(_refuse_percent), Field(gt=0, le=0.5)] = 0.1


class Training(Section):
    """How each fit is trained. `stacking` is how many fits of a cell are trained together.

    `timeout` is the longest time in seconds that a fit may take. `retries` is how often a fit is trained again after a
    transient failure (killed, out of memory, timed out). `checkpoint` is the interval in seconds between saved states.
    `keep` says of which fits the parameters are saved. These four are the only settings here that do not affect the
    result of a fit.
    """

    epochs: Annotated[int, Field(ge=1, le=1_000_000)]
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    engine: Literal["auto", "torch", "numpy"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Precision = "float32"
    stuck_after: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    stacking: Literal["auto", "off"] | Annotated[int, Field(ge=1, le=1000)] = "auto"
    stop: Annotated[Stop | None, BeforeValidator(_mapping_or_nothing)] = None
    timeout: Seconds | None = None
    checkpoint: Seconds | None = None
    retries: Annotated[int, Field(ge=0, le=1000)] = 1
    keep: Keep = "none"


class UntilDecided(Section):
    """Another repeat, up to `most` of them, as long as a pair of levels is undecided after the last one."""

    until: Literal["decided"]
    most: Annotated[int, Field(ge=FIRST_LOOK, le=1000)] = 8


def _number_or_mapping(value: Any) -> Any:
    if not isinstance(value, (int, dict)):
        expected = "expected a whole number, or a mapping such as {until: decided, most: 8}"
        raise ValueError(f"found {yaml_value(value)}; {expected}")
    return value


# By tags: without them, an error in one of the two forms would be reported for both.
Repeats = Annotated[
    Annotated[int, Field(ge=1, le=1000), Tag(UNION_TAGS[0])] | Annotated[UntilDecided, Tag(UNION_TAGS[1])],
    Discriminator(lambda value: UNION_TAGS[isinstance(value, (dict, UntilDecided))]),
    BeforeValidator(_number_or_mapping),
]


def _column(value: Any) -> Any:
    if value is None:
        return False
    if not isinstance(value, bool) and not (isinstance(value, str) and value.strip()):
        raise ValueError(f"found {yaml_value(value)}; expected true, or the name of a column of the data set")
    return value


def _column_or_part(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return _column(value)
    return float(_refuse_percent(value))


# For `runner schema`: the validators take null as false.
ColumnName = Annotated[bool | str, BeforeValidator(_column), WithJsonSchema({"type": ["boolean", "string", "null"]})]
ColumnOrPart = Annotated[
    bool | str | float,
    BeforeValidator(_column_or_part),
    WithJsonSchema({"type": ["boolean", "string", "number", "null"]}),
]


class CrossValidation(Section):
    """Stratified k-fold cross-validation, repeated with a new shuffle each time.

    With `test`, every fit is also evaluated on the data set's held-out test images, which are used for nothing else.
    `groups`, `fold_column` and `split` are those of `SplitDesign`.
    """

    folds: Annotated[int, Field(ge=2, le=1000)] = 5
    repeats: Repeats = 1
    test: bool = False
    groups: ColumnName = False
    fold_column: ColumnName = False
    split: ColumnOrPart = False

    @property
    def design(self) -> SplitDesign | None:
        """None for stratified k-fold cross-validation of single images."""
        design = SplitDesign(self.groups, self.fold_column, self.split)
        return design if design.to_dict() else None

    @property
    def fold_count(self) -> int:
        """How many fits of a cell there are in a repeat: one for each fold."""
        return self.folds if self.split is False else 1

    @property
    def first_repeats(self) -> int:
        """How many repeats are planned before any result is known."""
        return self.repeats if isinstance(self.repeats, int) else min(FIRST_LOOK, self.repeats.most)

    @property
    def most(self) -> int | None:
        """The most repeats of an experiment whose repeats stop when decided; None if their number is fixed."""
        return None if isinstance(self.repeats, int) else self.repeats.most


class Search(Section):
    """With `race`, cells that are clearly not the best get no more repeats, if the repeats stop when decided."""

    race: Literal["best"] | None = None


@dataclass(frozen=True)
class GridDesign:
    """Which cells of the grid are run: all (`full`), a balanced part (`fraction`), or `cells` of them (`random`)."""

    kind: Literal["full", "fraction", "random"] = "full"
    cells: int | None = None


def _parse_design(value: Any) -> GridDesign:
    if isinstance(value, GridDesign):
        return value
    if value in ("full", "fraction"):
        return GridDesign(value)
    number = value.get("random") if isinstance(value, dict) and value.keys() == {"random"} else None
    if isinstance(number, int) and not isinstance(number, bool) and number >= 1:
        return GridDesign("random", number)
    raise ValueError(f"found {yaml_value(value)}; expected full, fraction, or a mapping such as {{random: 20}}")


# For `runner schema`, as pydantic cannot know what the validator takes.
_RANDOM = {"type": "object", "properties": {"random": {"type": "integer", "minimum": 1}}, "required": ["random"]}
Design = Annotated[
    GridDesign,
    PlainValidator(_parse_design),
    WithJsonSchema({"anyOf": [{"enum": ["full", "fraction"]}, _RANDOM | {"additionalProperties": False}]}),
]


class PublishedValue(Section):
    """The value that a publication gives for one cell, which `cell` names by levels of factors, as `exclude` does."""

    cell: dict[str, Any]
    value: Annotated[float, Field(allow_inf_nan=False)]


class PublishedValues(Section):
    """What a publication gives for some of the cells, of `metric` (that of the report, if it is left out)."""

    source: Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_one_line)]
    metric: str | None = None
    cells: Annotated[list[PublishedValue], Field(min_length=1)]


class ReportSettings(Section):
    """`metric` is what the report compares; differences below `equivalent` count as practically equivalent.

    `metrics` are more columns of the table of cells. `baseline` has, by factor, the level that all others are compared
    with (its label, or the value that it sets). `published` is shown beside the results.
    """

    metric: Component = ComponentRef("val_accuracy")
    metrics: Metrics = ()
    equivalent: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.001
    # pydantic copies a default, so the mapping is not shared.
    baseline: dict[str, Any] = {}
    published: Annotated[PublishedValues | None, BeforeValidator(_published_mapping)] = None


class Settings(Section):
    """What a cell is trained with: the part of the file that the grid may vary."""

    architecture: Component
    augmentation: Components = (NO_AUGMENTATION,)
    optimizer: Component
    loss: LossComponent = CROSS_ENTROPY
    training: Training


class Header(Section):
    """The part of the file that all cells share."""

    # The name of a folder too: it must not lead out of the reports, so it has no separator and no dot in front.
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    description: str = ""
    # pydantic copies a default, so the list is not shared.
    plugins: list[str] = []
    dataset: Component
    cross_validation: CrossValidation = CrossValidation()
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    report: ReportSettings = ReportSettings()
    search: Search = Search()
    design: Design = GridDesign()
    executor: Literal["process", "serial", "ray"] = "process"


@dataclass(frozen=True)
class Level:
    """One value of a factor: its label, the paths it sets, and the rule by which a plan solves others."""

    label: str
    settings: dict[str, Node]
    match: Match | None = None


Block = dict[str, list[Level]]
"""Factors with their levels; their product is one part of the grid."""


@dataclass(frozen=True)
class Experiment:
    """One YAML file, valid in form. `make_plan` checks names and parameters of components against the catalog.

    `exclude` holds one mapping from factors to level labels per exclusion. `plugin_files` are absolute paths, and
    `overrides` the ``PATH=VALUE`` arguments that are already applied to `document`. `file` is the file's path as it was
    given, "" if the experiment was given in Python. `extends` are the files that the document was completed from.
    """

    header: Header
    document: Node
    blocks: tuple[Block, ...]
    exclude: tuple[dict[str, str], ...]
    plugin_files: tuple[str, ...] = ()
    overrides: tuple[str, ...] = field(default=())
    file: str = ""
    extends: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        return self.header.name

    @property
    def folder(self) -> Path:
        return Path(self.document.where.file).resolve().parent

    @property
    def factors(self) -> list[str]:
        """All factors of all blocks, in the order of the file."""
        return list(dict.fromkeys(factor for block in self.blocks for factor in block))
