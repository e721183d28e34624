"""What changed since the last run of an experiment, and which fits that costs: told before anything is trained.

Fits are trained again where their identity is another, which their ids alone decide. This finds the reasons: the plan
that was frozen by the last run is set beside the new one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runner.components.records import ComponentRef
from runner.errors import RunnerError
from runner.fits.records import FitResult
from runner.planning import plan_file
from runner.planning.differences import differences, match_cells
from runner.planning.plan import Plan, PlannedCell
from runner.planning.plan_file import as_lists
from runner.text import yaml_value

MOST_CELLS = 3
"""So many cells are named on one line."""


@dataclass
class _Cost:
    """How many fits one reason costs, and in which cells."""

    fits: int = 0
    cells: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Changes:
    """A line per reason why fits are trained; `all_fits` says that each fit of the plan is a new one."""

    lines: list[str] = field(default_factory=list)
    all_fits: bool = False


def since_last_run(folder: Path, plan: Plan, results: Mapping[str, FitResult]) -> Changes:
    """What changed between the last run in `folder`, whose journal holds `results`, and `plan`.

    A plan without ids of fits was made without reading its data; their content is then taken to be unchanged.
    """
    file = folder / "plan.yaml"
    if not results or not file.exists() or _goes_on(file, plan, set(results)):
        return Changes()
    try:
        old = plan_file.read(file)
    except RunnerError as error:
        return Changes([f"the last run's plan can't be read, so changes since then are unknown: {error}"])
    return Changes(describe(old, plan, results.values()), bool(_for_all(old, plan)))


def _goes_on(file: Path, plan: Plan, known: set[str]) -> bool:
    """Whether the plan only has left what the last run left; seen by the ids alone, as a large plan is slow to read."""
    fits = {fit for cell in plan.fits.values() for fit in cell}
    return known <= fits and fits - known <= set(re.findall(r"\w{16}", file.read_text("utf-8", "replace")))


def describe(old: Plan, new: Plan, results: Iterable[FitResult]) -> list[str]:
    """A line a reason: how many fits are trained again, or are new, why, and in which cells."""
    results, for_all = list(results), _for_all(old, new)
    known = {result.id for result in results}
    before = {cell.id: earlier for earlier, cell in match_cells(old, new)}
    new = new if new.fits else _foreseen(old, new, before, results if not for_all else [])
    costs: dict[str, _Cost] = {}
    for cell in new.cells:
        again, added = _counts(old, new, before.get(cell.id), cell, known)
        if again:
            reasons = for_all + _for_cell(old, new, before[cell.id], cell)
            _add(costs, f"trained again: {'; '.join(reasons) or _unseen(old, new)}", again, cell)
        if added:
            _add(costs, f"new{_growth(old, new) if cell.id in before else ''}", added, cell)
    lines = [f"{_of(cost, new)} {words}{_where(cost, new)}" for words, cost in costs.items()]
    return lines + _left_behind(old, new, before, known)


def _add(costs: dict[str, _Cost], words: str, fits: int, cell: PlannedCell) -> None:
    cost = costs.setdefault(words, _Cost())
    cost.fits += fits
    cost.cells.append(cell.name)


def _of(cost: _Cost, plan: Plan) -> str:
    return f"{cost.fits} of {plan.fit_count} fits {'is' if cost.fits == 1 else 'are'}"


def _where(cost: _Cost, plan: Plan) -> str:
    return " (all cells)" if len(cost.cells) == len(plan.cells) > 1 else f" ({_named(cost.cells)})"


def _named(cells: Sequence[str]) -> str:
    more = f" and {len(cells) - MOST_CELLS} more" if len(cells) > MOST_CELLS else ""
    return f"cell{'s' if len(cells) > 1 else ''} {', '.join(map(repr, cells[:MOST_CELLS]))}{more}"


def _counts(old: Plan, new: Plan, before: PlannedCell | None, cell: PlannedCell, known: set[str]) -> tuple[int, int]:
    """Of the cell's fits without a result: how many had one in the last run under another id, and how many are new."""
    again = added = 0
    for place, fit in enumerate(new.fits[cell.id]):
        earlier = _earlier(old, before, *divmod(place, new.folds))
        if fit in known or fit == earlier:
            continue  # trained already, or left over from the last run
        again += earlier in known
        added += not earlier
    return again, added


def _earlier(old: Plan, cell: PlannedCell | None, repeat: int, fold: int) -> str:
    """The id that the fit had in the last run's plan; "" where that had none."""
    if cell is None or repeat >= old.repeats or fold >= old.folds:
        return ""
    fits = old.fits.get(cell.id, [])
    place = repeat * old.folds + fold
    return fits[place] if place < len(fits) else ""


def _foreseen(old: Plan, new: Plan, before: dict[str, PlannedCell], results: Iterable[FitResult]) -> Plan:
    """The new plan with the ids that its fits will have, as far as `results` and the last plan tell; else made up."""
    known = {(result.cell, result.repeat, result.fold): result.id for result in results}
    fits: dict[str, list[str]] = {cell.id: [] for cell in new.cells}
    for cell in new.cells:
        for place in range(new.folds * new.repeats):
            slot = divmod(place, new.folds)
            same = known and before.get(cell.id) and before[cell.id].id == cell.id
            earlier = _earlier(old, before[cell.id], *slot) if same else ""
            fits[cell.id].append(earlier or known.get((cell.id, *slot), f"{cell.id} {slot}"))
    return replace(new, fits=fits)


def _for_all(old: Plan, new: Plan) -> list[str]:
    """What makes every fit another."""
    reasons = _data(old, new)
    if old.seed != new.seed:
        reasons.append(f"seed {old.seed} -> {new.seed}")
    if old.folds != new.folds:
        reasons.append(f"cross_validation.folds {old.folds} -> {new.folds}, which makes every split another")
    if old.test != new.test:
        reasons.append(f"cross_validation.test {yaml_value(old.test)} -> {yaml_value(new.test)}")
    return reasons


def _data(old: Plan, new: Plan) -> list[str]:
    """Settings of the data set count where its content is another, or not read yet; its subset always."""
    settings = _changed(old.dataset.to_dict(), new.dataset.to_dict(), "dataset")
    if "fingerprint" not in new.data:
        return settings
    keys = ("fingerprint", "test_fingerprint")
    if any(old.data.get(key) != new.data.get(key) for key in keys if key in old.data and key in new.data):
        return settings or ["the data set's content changed"]
    before, now = ({"subset": plan.dataset.parameters.get("subset")} for plan in (old, new))
    return _changed(before, now, "dataset")


def _for_cell(old: Plan, new: Plan, before: PlannedCell, cell: PlannedCell) -> list[str]:
    """What makes the fits of this cell others."""
    if before.id == cell.id:
        return []
    settings = _changed(before.settings.to_dict(), cell.settings.to_dict())
    edited = _edited(old, new, cell, ("augmentation", "optimizer"))
    reasons = settings + edited
    if reasons or any(as_lists(old.data.get(key)) != as_lists(new.data.get(key)) for key in ("shape", "class_names")):
        return reasons
    return _edited(old, new, cell, ("architecture",)) or ["the installed code that makes it changed"]


def _edited(old: Plan, new: Plan, cell: PlannedCell, kinds: Sequence[str]) -> list[str]:
    """The plugin files that changed behind the cell's components of these kinds."""
    found = []
    for file, facts in new.plugins.items():
        if old.plugins.get(file, facts)["digest"] == facts["digest"]:
            continue
        registered = [(kind, name) for kind in kinds for name in facts["components"].get(kind, ())]
        if listed := [(kind, name) for kind, name in registered if _uses(cell, kind, name)]:
            found.append(f"{file} changed ({', '.join(f'{kind} {name!r}' for kind, name in listed)})")
    return found


def _uses(cell: PlannedCell, kind: str, name: str) -> bool:
    used = getattr(cell.settings, kind)
    return any(ref.name == name for ref in (used if isinstance(used, tuple) else [used]))


def _changed(old: Any, new: Any, *path: str) -> list[str]:
    return [f"{s.path} {_setting(s.a)} -> {_setting(s.b)}" for s in differences(as_lists(old), as_lists(new), path)]


def _setting(value: Any) -> str:
    """A setting as it is read: 0.01, max_pool, adam(lr=0.01)."""
    if value is None or value == []:
        return "none"
    if isinstance(value, dict) and "name" in value:
        return str(ComponentRef.from_dict(value))
    if isinstance(value, list):
        return f"[{', '.join(map(_setting, value))}]"
    return value if isinstance(value, str) else yaml_value(value)


def _unseen(old: Plan, new: Plan) -> str:
    """Nothing that a plan says is another: then we give other results for it (see `IDENTITY` in schedule.py)."""
    versions = [plan.made_with.get("archrunner", "unknown") for plan in (old, new)]
    between = f" ({' -> '.join(versions)})" if versions[0] != versions[1] else ""
    return f"this version of archrunner trains them otherwise{between}"


def _growth(old: Plan, new: Plan) -> str:
    counts = {"repeats": (old.repeats, new.repeats), "folds": (old.folds, new.folds)}
    grown = [f"cross_validation.{name} {was} -> {now}" for name, (was, now) in counts.items() if now > was]
    return f": {', '.join(grown)}" if grown else ""


def _left_behind(old: Plan, new: Plan, before: dict[str, PlannedCell], known: set[str]) -> list[str]:
    """The cells that are planned no more, and the results that no plan uses now."""
    matched = {cell.id for cell in before.values()}
    gone = [cell.name for cell in old.cells if cell.id not in matched]
    unused = {fit for cell in old.fits.values() for fit in cell if fit in known}
    unused -= {fit for cell in new.fits.values() for fit in cell}
    lines = [f"no longer in the plan: {_named(gone)}"] if gone else []
    if unused:
        words = "1 result of the last run stays" if len(unused) == 1 else f"{len(unused)} results of the last run stay"
        lines.append(f"{words} in the journal, unused by this plan")
    return lines
