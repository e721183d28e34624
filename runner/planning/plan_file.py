"""Reads and writes `plan.yaml`, the plan of the last run, next to the journal.

The file may come from somebody else together with a report, so it is validated completely when it is read.
"""

from __future__ import annotations

import hashlib
import json
import math
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
from runner.files import atomic_write, build_stamp, untrusted
from runner.files.yaml_nodes import refuse_deep
from runner.fits.metrics import METRICS, MOST_MEASURES, TEST_METRICS, Metric
from runner.planning.plan import CellSettings, Plan, PlannedCell
from runner.text import yaml_value

MOST_BYTES, MOST_VALUES = 64_000_000, 1_000_000
"""A larger file is refused. A plan has about one value, of 20 bytes, for each of its fits."""
LONGEST_NAME = 10_000
"""In characters. Figures break names into lines, which takes long for longer ones."""


def digest(plan: Plan) -> str:
    """A hash of the whole plan."""
    return hashlib.sha256(json.dumps(_to_dict(plan)).encode()).hexdigest()


def save(plan: Plan, path: Path) -> None:
    """Write the plan atomically, unless the file already holds it: a large plan takes long to write as YAML."""
    # The stamp records the digest of the plan that the file was written from.
    stamp, key = path.with_name(".plan.made"), digest(plan)
    if not build_stamp.read_stamp(stamp, key):
        atomic_write.write(path, text(plan))
        build_stamp.write_stamp(stamp, key, [path])


def text(plan: Plan, fits: bool = True) -> str:
    """The plan as YAML, with or without the ids of its fits."""
    content = {key: value for key, value in _to_dict(plan).items() if fits or key != "fits"}
    return str(yaml.dump(as_lists(content), Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False))


def read(path: Path) -> Plan:
    """The plan at `path`; raises RunnerError if the file is missing or not a valid plan."""
    try:
        text = untrusted.read_bytes(path, MOST_BYTES).decode()
        # A few aliases can expand a small file to gigabytes, and each value takes hundreds of bytes.
        refuse_deep(text, str(path), aliases=False, most=MOST_VALUES)
        plan = _parse(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
        _check_fit_ids(chain.from_iterable(plan.fits.values()))
        return plan
    except FileNotFoundError:
        raise RunnerError(f"{path}: no such file; the first run of the experiment writes it") from None
    except InputError:
        raise
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError, InvalidValues) as error:
        raise RunnerError(f"{path}: not a plan that this version can read ({' '.join(str(error).split())})") from None


def read_entry(path: Path, key: str) -> str:
    """The text of one key of the plan at `path`, without reading all of a large plan; "" if it is not there."""
    try:
        text = untrusted.read_bytes(path, MOST_BYTES).decode("utf-8", "replace")
        # Its line, and the lines that continue it, which are indented.
        found = re.search(rf"^{key}:.*(\n[ ].*)*", text, re.MULTILINE)
        value = yaml.safe_load(found[0])[key] if found else ""
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return ""
    return value if isinstance(value, str) else ""


def as_lists(value: Any) -> Any:
    """Nested data with tuples replaced by lists, because safe YAML has no tuples."""
    if isinstance(value, Mapping):
        return {key: as_lists(item) for key, item in value.items()}
    return [as_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def _to_dict(plan: Plan) -> dict[str, Any]:
    """The content of the file."""
    cells = [_cell(cell) for cell in plan.cells]
    # vars() instead of asdict(), which would copy the ids of all fits.
    content = vars(plan) | {"dataset": plan.dataset.to_dict(), "training": plan.training.to_dict(), "cells": cells}
    # Only where there is one, so that all other plans have the text that they have always had.
    design = content.pop("split_design")
    further = {
        "measures": [_measure(measure) for measure in plan.measures],
        "columns": plan.columns,
        "baseline": plan.baseline,
        "subset": plan.subset and asdict(plan.subset),
    }
    content = {key: value for key, value in content.items() if key not in further}
    content |= {key: value for key, value in further.items() if value}
    published = content.pop("published")
    content |= {"published": asdict(published)} if published else {}
    return content | ({"split_design": design.to_dict()} if design else {})


def _cell(cell: PlannedCell) -> dict[str, Any]:
    content = vars(cell) | {"settings": cell.settings.to_dict()}
    matched = content.pop("matched")
    # As above: only where there is one.
    return content | ({"matched": asdict(matched)} if matched else {})


def _measure(metric: Metric) -> dict[str, Any]:
    # What is measured on the test images says so; all others have the text that they have always had.
    return {key: value for key, value in asdict(metric).items() if key != "on_test" or value}


def _parse(content: Any) -> Plan:
    """The inverse of `_to_dict`; raises one of the errors that `read` catches if `content` is not a valid plan."""
    _check_keys(content, Plan)
    for cell in content["cells"]:
        _check_keys(cell, PlannedCell)
    validate(TypeAdapter(_Data), content["data"])
    validate(TypeAdapter(list[_Settings]), [cell["settings"] for cell in content["cells"]])
    cells = [cell | {"settings": asdict(CellSettings.from_dict(cell["settings"]))} for cell in content["cells"]]
    # In the file the parameters of a component are next to its name; the record has them in a mapping of their own.
    dataset = {"name": content["dataset"].pop("name"), "parameters": content["dataset"]}
    plan = validate(TypeAdapter(Plan), content | {"dataset": dataset, "cells": cells})
    _check_consistency(plan)
    return plan


def _check_keys(content: Mapping[str, Any], record: type) -> None:
    # pydantic ignores keys that a dataclass lacks, and a plan of another version would be read wrongly.
    unknown = content.keys() - {field.name for field in fields(record)}
    if unknown:
        raise ValueError(f"unknown key '{min(unknown)}'")


def _check_fit_ids(ids: Iterable[str]) -> None:
    """Raise ValueError for ids that are not safe in a path: files are named after fits, and the plan is untrusted."""
    for id in ids:
        # fullmatch: with a $ at the end, an id could end in a line break.
        if not re.fullmatch(r"[\w-]+", id):
            raise ValueError(f"{id!r} is not a valid fit id")


class _AllowsExtra(BaseModel):
    """Checks only the declared keys, because components have parameters of their own."""

    model_config = ConfigDict(extra="allow")


class _Component(_AllowsExtra):
    name: str


class _Training(_AllowsExtra):
    epochs: Annotated[int, Field(ge=1)]


class _Settings(BaseModel):
    architecture: _Component
    augmentation: list[_Component]
    optimizer: _Component
    training: _Training
    loss: _Component | None = None


class _Data(_AllowsExtra):
    shape: Annotated[list[Annotated[int, Field(ge=1, lt=2**31)]], Field(min_length=3, max_length=3)]
    class_names: list[str]
    size: int
    test_size: int = 0
    licence: str
    citation: str
    fingerprint: str
    train: int
    validation: int
    splits: str = ""
    class_counts: list[Annotated[int, Field(ge=0)]] = []
    duplicates: dict[str, Annotated[int, Field(ge=0)]] = {}
    groups: Annotated[int, Field(ge=1)] | None = None
    test_groups: Annotated[int, Field(ge=0)] | None = None
    fold_sizes: list[Annotated[int, Field(ge=1)]] = []
    folds_lacking: Annotated[int, Field(ge=0)] = 0


def _check_consistency(plan: Plan) -> None:
    """Raise ValueError if the parts of a plan contradict each other."""
    _check_measures(plan)
    _check_grid(plan)
    least = 1 if plan.split_design and plan.split_design.split is not False else 2
    if plan.folds < least or plan.repeats < 1:
        raise ValueError(f"found {plan.folds} folds and {plan.repeats} repeats; expected at least 2 folds and 1 repeat")
    _check_fold_sizes(plan)
    _check_published(plan)
    if not 0 <= plan.equivalent < math.inf:  # not for nan
        raise ValueError(f"equivalent is {yaml_value(plan.equivalent)}; allowed: 0 or more")
    if not plan.cells:
        raise ValueError("it has no cells; expected at least 1")
    if len(plan.data.get("class_counts") or plan.data["class_names"]) != len(plan.data["class_names"]):
        raise ValueError("class_counts does not have one number per class")
    if any(cell.levels.keys() != set(plan.factors) for cell in plan.cells):
        raise ValueError("a cell does not have one level per factor")
    levels = chain.from_iterable(cell.levels.values() for cell in plan.cells)
    columns = (str(value) for value in (plan.split_design.to_dict() if plan.split_design else {}).values())
    names = chain(plan.factors, plan.data["class_names"], (cell.name for cell in plan.cells), levels, columns)
    if (longest := max(map(len, names))) > LONGEST_NAME:
        raise ValueError(f"a name has {longest:,} characters; allowed: {LONGEST_NAME:,}")
    _check_repeats(plan)
    ids = [cell.id for cell in plan.cells]
    for unique in (ids, [cell.name for cell in plan.cells], list(chain.from_iterable(plan.fits.values()))):
        if len(set(unique)) != len(unique):
            raise ValueError("a cell or a fit is listed twice")


def _check_grid(plan: Plan) -> None:
    """Raise ValueError if what is said of the grid is not about the cells."""
    if plan.subset and (plan.subset.of < len(plan.cells) or not plan.subset.cells_a_level.keys() <= set(plan.factors)):
        raise ValueError("subset does not belong to the cells")
    for factor, level in plan.baseline.items():
        if all(cell.levels.get(factor) != level for cell in plan.cells):
            raise ValueError(f"no cell has the level {level} of the baseline")


def _check_fold_sizes(plan: Plan) -> None:
    """Raise ValueError unless the statistics of a `split_design` have what they need."""
    sizes, images = plan.data.get("fold_sizes", []), plan.data["size"]
    expected = plan.folds * plan.repeats if plan.split_design else 0
    if len(sizes) != expected or any(size >= images for size in sizes):
        raise ValueError(f"fold_sizes does not have {expected} numbers of fewer images than there are")


def _check_published(plan: Plan) -> None:
    """Raise ValueError if what was published is not about the plan's cells and metrics."""
    if plan.published is None:
        return
    if plan.published.metric not in plan.metrics or len(plan.published.source) > LONGEST_NAME:
        raise ValueError(f"published.metric is {plan.published.metric}; allowed: {', '.join(plan.metrics)}")
    if unknown := plan.published.values.keys() - {cell.id for cell in plan.cells}:
        raise ValueError(f"published: there is no cell {min(unknown)}")
    if not all(map(math.isfinite, plan.published.values.values())):
        raise ValueError("published: a value is not a finite number")


def _check_measures(plan: Plan) -> None:
    """Raise ValueError if a metric is unknown, could be taken for another column, or has no range."""
    for name in (plan.metric, *plan.columns):
        if name not in plan.metrics:
            raise ValueError(f"metric is {name}; allowed: {', '.join(plan.metrics)}")
    columns = [*(measure.name for measure in plan.measures), *METRICS, *TEST_METRICS, *plan.factors]
    if plan.measures and (len(plan.measures) > MOST_MEASURES or len(set(columns)) != len(columns)):
        raise ValueError(f"measures: expected at most {MOST_MEASURES}, each with a name of its own")
    for measure in plan.measures:
        if not measure.lowest < measure.highest:  # not for nan
            raise ValueError(f"{measure.name} lies in {measure.lowest} to {measure.highest}; expected a range")
        if max(map(len, (measure.name, measure.quantity, measure.value_unit))) > LONGEST_NAME:
            raise ValueError(f"a metric's name has more than {LONGEST_NAME:,} characters")


def _check_repeats(plan: Plan) -> None:
    """Raise ValueError if the numbers of repeats contradict each other or the fits of the cells."""
    if plan.most is not None and not plan.repeats <= plan.most:
        raise ValueError(f"found {plan.repeats} repeats; allowed: at most {plan.most}")
    if plan.race and plan.most is None:
        raise ValueError("it is a race, but its number of repeats is fixed")
    count = plan.folds * plan.repeats
    counts = [len(plan.fits.get(cell.id, ())) for cell in plan.cells]
    if plan.fits.keys() != {cell.id for cell in plan.cells} or not plan.race and set(counts) != {count}:
        raise ValueError(f"a cell does not have {count} fits")
    if max(counts) != count or any(fits < 1 or fits % plan.folds for fits in counts):
        raise ValueError(f"a cell does not have a whole number of repeats, 1 to {plan.repeats}")
