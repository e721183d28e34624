"""The plan: every cell and every fit, decided before anything is trained. Frozen beside the journal as plan.yaml."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from runner import storage
from runner.errors import RunnerError
from runner.fit import METRICS, TEST_METRICS

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


def save(plan: Plan, path: Path) -> None:
    """Write the plan; the file is replaced as a whole or not at all."""
    storage.write(path, text(plan))


def text(plan: Plan, fits: bool = True) -> str:
    """The plan as YAML, on wish without the ids of the fits."""
    content = {key: value for key, value in asdict(plan).items() if fits or key != "fits"}
    return str(yaml.dump(_plain(content), Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False))


def read(path: Path) -> Plan:
    """The plan at `path`; raises RunnerError where it is missing or not a plan."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        cells = tuple(_cell(cell) for cell in content.pop("cells"))
        factors, overrides = tuple(content.pop("factors")), tuple(content.pop("overrides"))
        return Plan(cells=cells, factors=factors, overrides=overrides, **content)
    except FileNotFoundError:
        raise RunnerError(f"{path}: no such file; an experiment has it once it was run") from None
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise RunnerError(f"{path}: not a plan that this version can read ({' '.join(str(error).split())})") from None


def _cell(content: dict[str, Any]) -> PlannedCell:
    cell = PlannedCell(**content)
    field = cell.receptive_field
    return replace(cell, receptive_field=(field[0], field[1]) if field else None, warnings=tuple(cell.warnings))


def _plain(value: Any) -> Any:
    """Tuples as lists, which safe YAML can hold."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
