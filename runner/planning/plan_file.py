"""The plan on disk: `plan.yaml` beside the journal, checked value by value when it is read again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from runner.components.validation import Finding, validate
from runner.errors import InputError, RunnerError
from runner.files import atomic_write, build_stamp
from runner.files.yaml_nodes import refuse_deep
from runner.fits.records import METRICS
from runner.planning.plan import Plan, PlannedCell


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
