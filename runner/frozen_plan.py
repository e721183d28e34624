"""The plan: every cell and every fit, decided before anything is trained. Frozen beside the journal as plan.yaml."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from runner.components.validation import Finding, validate
from runner.errors import InputError, RunnerError
from runner.files import atomic_write, build_stamp
from runner.files.yaml_nodes import refuse_deep
from runner.fits.records import METRICS, TEST_METRICS

Pair = tuple[int, int]


@dataclass(frozen=True)
class PlannedCell:
    """A cell with its cost. `settings` are its components with all parameters bound; `problem` is "" if it can run.

    `warnings` say what of the image its network never sees.

    `timeout` bounds the seconds of each of its fits, `retries` says how often one that is lost by chance is trained
    again, and every `checkpoint` seconds their state is kept; none is a part of what the cell is.
    """

    id: str
    name: str
    levels: dict[str, str]
    settings: dict[str, Any]
    parameters: int | None = None
    macs: int | None = None
    receptive_field: Pair | None = None
    problem: str = ""
    timeout: float | None = None
    checkpoint: float | None = None
    warnings: tuple[str, ...] = ()
    retries: int = 0


@dataclass(frozen=True)
class Plan:
    """A whole experiment. `data` and `fits` (fit ids by cell, by repeat and then fold) are known once data is read.

    `test` says whether every fit is measured on the held-out test images too; `file` is the experiment's, as given.
    `plugins`: of each plugin file, as the experiment names it, its `digest`, and the names of its `components` by kind.
    """

    name: str
    description: str
    factors: tuple[str, ...]
    folds: int
    repeats: int
    seed: int
    metric: str
    equivalent: float
    dataset: dict[str, Any]
    training: dict[str, Any]
    cells: tuple[PlannedCell, ...]
    data: dict[str, Any] = field(default_factory=dict)
    fits: dict[str, list[str]] = field(default_factory=dict)
    made_with: dict[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    test: bool = False
    file: str = ""
    plugins: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is measured of every fit after its last epoch."""
        return METRICS + TEST_METRICS if self.test else METRICS

    @property
    def fit_count(self) -> int:
        return len(self.cells) * self.folds * self.repeats

    def fit_keys(self) -> list[tuple[str, str, int, int]]:
        """(fit id, cell id, repeat, fold) of every fit, in the plan's order."""
        return [
            (fit, cell.id, index // self.folds, index % self.folds)
            for cell in self.cells
            for index, fit in enumerate(self.fits.get(cell.id, []))
        ]


def level_name(factor: str, level: str) -> str:
    """A level as it is called in a sentence: a word as it is, a number with the end of its factor's path."""
    says_what_it_is = not re.fullmatch(r"[-+.\deE]+|true|false|null|base", level)
    return level if says_what_it_is else f"{factor.rpartition('.')[2]}={level}"


def digest(plan: Plan) -> str:
    """Identifies all that the plan says."""
    content = vars(plan) | {"cells": [vars(cell) for cell in plan.cells]}
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def save(plan: Plan, path: Path) -> None:
    """Write the plan, if it does not lie there; the file is replaced as a whole or not at all."""
    note, key = path.with_name(".plan.made"), digest(plan)
    if not build_stamp.noted(note, key):
        atomic_write.write(path, text(plan))
        build_stamp.take_note(note, key, [path])


def text(plan: Plan, fits: bool = True) -> str:
    """The plan as YAML, on wish without the ids of the fits."""
    content = {key: value for key, value in asdict(plan).items() if fits or key != "fits"}
    return str(yaml.dump(plain(content), Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False))


def read(path: Path) -> Plan:
    """The plan at `path`; raises RunnerError where it is missing or not a plan."""
    try:
        text = path.read_text(encoding="utf-8")
        refuse_deep(text, str(path), aliases=False)
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        _check(content)
        cells = tuple(_cell(cell) for cell in content.pop("cells"))
        factors, overrides = tuple(content.pop("factors")), tuple(content.pop("overrides"))
        _refuse_paths(id for ids in content.get("fits", {}).values() for id in ids)
        return Plan(cells=cells, factors=factors, overrides=overrides, **content)
    except FileNotFoundError:
        raise RunnerError(f"{path}: no such file; an experiment has it once it was run") from None
    except InputError:
        raise
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError, Finding) as error:
        raise RunnerError(f"{path}: not a plan that this version can read ({' '.join(str(error).split())})") from None


def _refuse_paths(ids: Iterable[str]) -> None:
    """Files are named after fits: in a stranger's plan an id may not lead out of the report's folder."""
    for id in ids:
        if not re.fullmatch(r"[\w-]+", id):
            raise ValueError(f"{id!r} is no id of a fit")


class _Open(BaseModel):
    """What of a part of the plan is read again; the rest of it is as free as it is in an experiment."""

    model_config = ConfigDict(extra="allow")


class _Component(_Open):
    name: str


class _Training(_Open):
    epochs: Annotated[int, Field(ge=1)]


class _Settings(_Open):
    architecture: _Component
    augmentation: list[_Component]
    optimizer: _Component
    training: _Training


class _Data(_Open):
    shape: Annotated[list[int], Field(min_length=3, max_length=3)]
    class_names: list[str]
    size: int
    test_size: int = 0
    licence: str
    citation: str
    fingerprint: str
    train: int
    validation: int


def _check(content: dict[str, Any]) -> None:
    """Raise ValueError, KeyError, TypeError or Finding where `content` is not a plan as `save` writes it."""
    validate(TypeAdapter(Plan), content)
    validate(TypeAdapter(_Data), content["data"])
    validate(TypeAdapter(_Component), content["dataset"])
    validate(TypeAdapter(list[_Settings]), [cell["settings"] for cell in content["cells"]])
    if content["metric"] not in METRICS:
        raise ValueError(f"metric is {content['metric']}; allowed: {', '.join(METRICS)}")
    if content["folds"] < 2 or content["repeats"] < 1:
        raise ValueError(f"{content['folds']} folds and {content['repeats']} repeats")
    if any(cell["levels"].keys() != set(content["factors"]) for cell in content["cells"]):
        raise ValueError("a cell has not a level for each factor")
    count, ids = content["folds"] * content["repeats"], [cell["id"] for cell in content["cells"]]
    fits = content["fits"]
    if fits.keys() != set(ids) or any(len(fits[cell]) != count for cell in fits):
        raise ValueError(f"a cell has not {count} fits")
    for names in (ids, [cell["name"] for cell in content["cells"]], list(chain.from_iterable(fits.values()))):
        if len(set(names)) != len(names):
            raise ValueError("a cell or a fit stands in it twice")


def _cell(content: dict[str, Any]) -> PlannedCell:
    cell = PlannedCell(**content)
    field = cell.receptive_field
    return replace(cell, receptive_field=(field[0], field[1]) if field else None, warnings=tuple(cell.warnings))


def plain(value: Any) -> Any:
    """Tuples as lists, which safe YAML can hold."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value
