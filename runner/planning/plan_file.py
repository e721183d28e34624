"""The plan on disk: `plan.yaml` beside the journal, checked value by value when it is read again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from runner.components.validation import InvalidValues, validate
from runner.errors import InputError, RunnerError
from runner.files import atomic_write, build_stamp
from runner.files.yaml_nodes import refuse_deep
from runner.fits.metrics import METRICS
from runner.planning.plan import CellSettings, Plan, PlannedCell


def digest(plan: Plan) -> str:
    """Identifies everything that the plan says."""
    return hashlib.sha256(json.dumps(_content(plan)).encode()).hexdigest()


def save(plan: Plan, path: Path) -> None:
    """Write the plan unless the file already says so; the file is replaced as a whole or not at all."""
    stamp, key = path.with_name(".plan.made"), digest(plan)
    if not build_stamp.unchanged(stamp, key):
        atomic_write.write(path, text(plan))
        build_stamp.set_stamp(stamp, key, [path])


def text(plan: Plan, fits: bool = True) -> str:
    """The plan as YAML, with or without the ids of its fits."""
    content = {key: value for key, value in _content(plan).items() if fits or key != "fits"}
    return str(yaml.dump(as_lists(content), Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False))


def read(path: Path) -> Plan:
    """The plan at `path`; raises RunnerError if it is missing or not a plan."""
    try:
        text = path.read_text(encoding="utf-8")
        refuse_deep(text, str(path), aliases=False)
        plan = _plan(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
        _refuse_paths(chain.from_iterable(plan.fits.values()))
        return plan
    except FileNotFoundError:
        raise RunnerError(f"{path}: no such file; the first run of an experiment writes it") from None
    except InputError:
        raise
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError, InvalidValues) as error:
        raise RunnerError(f"{path}: not a plan that this version can read ({' '.join(str(error).split())})") from None


def as_lists(value: Any) -> Any:
    """Nested data with lists in place of tuples, which safe YAML can't hold."""
    if isinstance(value, Mapping):
        return {key: as_lists(item) for key, item in value.items()}
    return [as_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def _content(plan: Plan) -> dict[str, Any]:
    """The plan as it stands in the file."""
    cells = [vars(cell) | {"settings": cell.settings.to_dict()} for cell in plan.cells]
    return vars(plan) | {"dataset": plan.dataset.to_dict(), "training": plan.training.to_dict(), "cells": cells}


def _plan(content: Any) -> Plan:
    """The inverse of `_content`; raises one of the errors that `read` catches for anything else."""
    _refuse_unknown(content, Plan)
    for cell in content["cells"]:
        _refuse_unknown(cell, PlannedCell)
    validate(TypeAdapter(_Data), content["data"])
    validate(TypeAdapter(list[_Settings]), [cell["settings"] for cell in content["cells"]])
    cells = [cell | {"settings": asdict(CellSettings.from_dict(cell["settings"]))} for cell in content["cells"]]
    dataset = {"name": content["dataset"].pop("name"), "parameters": content["dataset"]}
    plan = validate(TypeAdapter(Plan), content | {"dataset": dataset, "cells": cells})
    _check(plan)
    return plan


def _refuse_unknown(content: Mapping[str, Any], record: type) -> None:
    unknown = content.keys() - {field.name for field in fields(record)}
    if unknown:
        raise ValueError(f"unknown key '{min(unknown)}'")


def _refuse_paths(ids: Iterable[str]) -> None:
    """Files are named after fits: in a stranger's plan an id must not lead out of the report's folder."""
    for id in ids:
        if not re.fullmatch(r"[\w-]+", id):
            raise ValueError(f"{id!r} is not the id of a fit")


class _Open(BaseModel):
    """The keys that are read again; a component may have any other."""

    model_config = ConfigDict(extra="allow")


class _Component(_Open):
    name: str


class _Training(_Open):
    epochs: Annotated[int, Field(ge=1)]


class _Settings(BaseModel):
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


def _check(plan: Plan) -> None:
    """Raise ValueError where the parts of a plan do not fit together."""
    if plan.metric not in METRICS:
        raise ValueError(f"metric is {plan.metric}; allowed: {', '.join(METRICS)}")
    if plan.folds < 2 or plan.repeats < 1:
        raise ValueError(f"{plan.folds} folds and {plan.repeats} repeats")
    if any(cell.levels.keys() != set(plan.factors) for cell in plan.cells):
        raise ValueError("a cell lacks a level of a factor")
    count, ids = plan.folds * plan.repeats, [cell.id for cell in plan.cells]
    if plan.fits.keys() != set(ids) or any(len(fits) != count for fits in plan.fits.values()):
        raise ValueError(f"a cell does not have {count} fits")
    for names in (ids, [cell.name for cell in plan.cells], list(chain.from_iterable(plan.fits.values()))):
        if len(set(names)) != len(names):
            raise ValueError("a cell or a fit is listed twice")
