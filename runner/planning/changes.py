"""Reports what changed since the last run of an experiment, and how many fits each change costs, before any training.

Only the ids decide which fits are trained again. This module finds the reasons: it compares the new plan with the one
that the last run saved.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runner.components.records import ComponentRef
from runner.errors import RunnerError
from runner.experiment.schema import CROSS_ENTROPY
from runner.files import untrusted
from runner.fits.records import FitResult
from runner.planning import plan_file
from runner.planning.differences import design_settings, differences, dropped, match_cells
from runner.planning.plan import Plan, PlannedCell
from runner.planning.plan_file import as_lists
from runner.text import plural, yaml_value

NOT_READ = "the data are taken to be those of the last run; --data reads them to find out"
DATA_FACTS = ("shape", "class_names", "test_size")

MAX_CELLS = 3
"""The most cells that one line names."""


@dataclass
class _Cost:
    """How many fits are trained for one reason, and in which cells."""

    fits: int = 0
    cells: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Changes:
    """One line per reason why fits are trained; `all_fits` says that every fit of the plan is a new one."""

    lines: list[str] = field(default_factory=list)
    all_fits: bool = False


def since_last_run(folder: Path, plan: Plan, results: Mapping[str, FitResult]) -> Changes:
    """What changed between the last run in `folder`, whose journal holds `results`, and `plan`.

    If `plan` has no fit ids, its data was not read. Then, if it has no fingerprint either, the content of the data is
    assumed to be unchanged as long as its facts are, and a line says so.
    """
    file = folder / "plan.yaml"
    if not results or not file.exists() or _continues_last_run(file, plan, set(results)):
        return Changes()
    try:
        old = plan_file.read(file)
    except RunnerError as error:
        return Changes([f"the last run's plan cannot be read, so changes since then are unknown: {error}"])
    for_all = bool(_reasons_for_all(old, plan))
    lines = _other_file(old, plan) + describe(old, plan, results.values())
    return Changes(lines + ([] if for_all or "fingerprint" in plan.data else [NOT_READ]), for_all)


def _other_file(old: Plan, new: Plan) -> list[str]:
    """A line if the last run was of another file, as when a copy was given no name of its own."""
    if not old.file or not new.file or Path(old.file).name == Path(new.file).name:
        return []
    return [f"the last run of '{new.name}' was of another file, {old.file}"]


def _continues_last_run(file: Path, plan: Plan, finished: set[str]) -> bool:
    """Whether `plan` only has to train fits that the last run left, so that nothing has changed."""
    fits = {fit for cell in plan.fits.values() for fit in cell}
    try:
        text = untrusted.read_bytes(file, plan_file.MOST_BYTES).decode("utf-8", "replace")
    except ValueError:  # too large: `plan_file.read` says so
        return False
    # The ids are searched in the text, because parsing a large plan is slow.
    return finished <= fits and fits - finished <= set(re.findall(r"\w{16}", text))


def describe(old: Plan, new: Plan, results: Iterable[FitResult]) -> list[str]:
    """One line per reason: how many fits are trained again or are new, why, and in which cells."""
    results, for_all = list(results), _reasons_for_all(old, new)
    finished = {result.id for result in results}
    old_cells = {cell.id: earlier for earlier, cell in match_cells(old, new)}
    # `runner plan` reads no data, and without it a plan has no fit ids.
    new = new if new.fits else _predict_ids(old, new, old_cells, results if not for_all else [])
    costs: dict[str, _Cost] = {}
    for cell in new.cells:
        again, added = _count_fits(old, new, old_cells.get(cell.id), cell, finished)
        if again:
            reasons = for_all + _reasons_for_cell(old, new, old_cells[cell.id], cell)
            _add(costs, f"trained again: {'; '.join(reasons) or _changed_version(old, new)}", again, cell)
        if added:
            _add(costs, f"new{_growth(old, new) if cell.id in old_cells else ''}", added, cell)
    lines = [f"{_fit_count(cost, new)} {reason}{_cell_list(cost, new)}" for reason, cost in costs.items()]
    return lines + _unused(old, new, old_cells, finished)


def _add(costs: dict[str, _Cost], reason: str, fits: int, cell: PlannedCell) -> None:
    cost = costs.setdefault(reason, _Cost())
    cost.fits += fits
    cost.cells.append(cell.name)


def _fit_count(cost: _Cost, plan: Plan) -> str:
    return f"{cost.fits} of {plural(plan.fit_count, 'fit')} {'is' if cost.fits == 1 else 'are'}"


def _cell_list(cost: _Cost, plan: Plan) -> str:
    return " (all cells)" if len(cost.cells) == len(plan.cells) > 1 else f" ({_name_cells(cost.cells)})"


def _name_cells(cells: Sequence[str]) -> str:
    more = f" and {len(cells) - MAX_CELLS} more" if len(cells) > MAX_CELLS else ""
    return f"cell{'s' if len(cells) > 1 else ''} {', '.join(map(repr, cells[:MAX_CELLS]))}{more}"


def _count_fits(
    old: Plan, new: Plan, old_cell: PlannedCell | None, cell: PlannedCell, finished: set[str]
) -> tuple[int, int]:
    """How many fits of the cell have a result under another id, and how many were not in the last run's plan."""
    again = added = 0
    for index, fit in enumerate(new.fits[cell.id]):
        repeat, fold = divmod(index, new.folds)
        old_fit = _old_id(old, old_cell, repeat, fold)
        if fit in finished or fit == old_fit:
            continue  # trained already, or left over from the last run
        again += old_fit in finished
        # A fit that the last run planned but did not train is neither trained again nor new.
        added += not (old_fit or (old_cell and _was_to_come(old, new, repeat)))
    return again, added


def _old_id(old: Plan, cell: PlannedCell | None, repeat: int, fold: int) -> str:
    """The id of the cell's fit in the last run's plan; "" if that plan did not have it."""
    if cell is None or repeat >= old.repeats or fold >= old.folds:
        return ""
    fits = old.fits.get(cell.id, [])
    index = repeat * old.folds + fold
    return fits[index] if index < len(fits) else ""


def _was_to_come(old: Plan, new: Plan, repeat: int) -> bool:
    """Whether the last run would have gone on to this repeat, as nothing had been decided before it."""
    if old.most is None or new.most is None or (old.folds, old.race) != (new.folds, new.race):
        return False
    return old.repeats <= repeat < old.most


def _predict_ids(old: Plan, new: Plan, old_cells: dict[str, PlannedCell], results: Iterable[FitResult]) -> Plan:
    """The new plan with the ids that its fits will probably have, taken from the last run's plan or from `results`.

    A fit that neither of them has gets a placeholder, which matches no other id.
    """
    result_ids = {(result.cell, result.repeat, result.fold): result.id for result in results}
    fits: dict[str, list[str]] = {cell.id: [] for cell in new.cells}
    for cell in new.cells:
        for index in range(new.folds * new.repeats_of(cell.id)):
            position = divmod(index, new.folds)
            # `results` is empty if every fit gets another id: then none is taken from the old plan either.
            is_same = result_ids and old_cells.get(cell.id) and old_cells[cell.id].id == cell.id
            old_fit = _old_id(old, old_cells[cell.id], *position) if is_same else ""
            fits[cell.id].append(old_fit or result_ids.get((cell.id, *position), f"{cell.id} {position}"))
    return replace(new, fits=fits)


def _reasons_for_all(old: Plan, new: Plan) -> list[str]:
    """The changes that give every fit another id."""
    reasons = _dataset_changes(old, new)
    if old.seed != new.seed:
        reasons.append(f"seed {old.seed} -> {new.seed}")
    # Not the repeats: with more of them, the earlier fits keep their splits and their ids.
    if old.folds != new.folds:
        reasons.append(f"cross_validation.folds {old.folds} -> {new.folds}, which changes every split")
    reasons += _setting_changes(design_settings(old), design_settings(new), "cross_validation")
    if not reasons and _other_columns(old, new):
        reasons.append("the groups, folds or split of the images changed")
    if old.test != new.test:
        reasons.append(f"cross_validation.test {yaml_value(old.test)} -> {yaml_value(new.test)}")
    return reasons


def _other_columns(old: Plan, new: Plan) -> bool:
    """Whether the same design gives other splits, as far as they are known."""
    splits = [plan.data.get("splits") for plan in (old, new)]
    return bool(new.split_design and all(splits) and old.repeats == new.repeats and splits[0] != splits[1])


def _dataset_changes(old: Plan, new: Plan) -> list[str]:
    # Fit ids depend on the content of the data and not on the settings that select it, such as the name of a file. So
    # changed settings only count if the content differs too, or has not been read yet. The subset always counts: it
    # selects the images after the content is fingerprinted.
    settings = _setting_changes(old.dataset.to_dict(), new.dataset.to_dict(), "dataset")
    if "fingerprint" not in new.data:
        return settings or (["the data set's content changed"] if _other_facts(old, new) else [])
    keys = ("fingerprint", "test_fingerprint")
    if any(old.data.get(key) != new.data.get(key) for key in keys if key in old.data and key in new.data):
        return settings or ["the data set's content changed"]
    # `deduplicate` only if it left something out, as it changes nothing otherwise.
    selecting = ["subset", "deduplicate"] if dropped(old) != dropped(new) else ["subset"]
    old_part, new_part = ({key: plan.dataset.parameters.get(key) for key in selecting} for plan in (old, new))
    for part, plan in ((old_part, old), (new_part, new)):
        part["preprocess"] = plan.preprocess or "none"
    return _setting_changes(old_part, new_part, "dataset")


def _other_facts(old: Plan, new: Plan) -> bool:
    """Whether the data sets differ in what is known without reading them."""
    # Which duplicates there are is not, so without them the numbers of images cannot be compared.
    facts = DATA_FACTS if new.dataset.parameters.get("deduplicate") else (*DATA_FACTS, "size")
    return any(as_lists(old.data[key]) != as_lists(new.data.get(key)) for key in facts if key in old.data)


def _reasons_for_cell(old: Plan, new: Plan, old_cell: PlannedCell, cell: PlannedCell) -> list[str]:
    """The changes that give the fits of this cell other ids."""
    if old_cell.id == cell.id:
        return []
    settings = _setting_changes(old_cell.settings.to_dict(), cell.settings.to_dict())
    solved = {path for each in (old_cell, cell) if each.matched for path in each.matched.values}
    settings = [f"{text} (solved by match)" if text.partition(" ")[0] in solved else text for text in settings]
    reasons = settings + _edited_plugins(old, new, cell, ("augmentation", "optimizer", "loss"))
    # Images of another shape, or other classes, change the ids of all cells; `_dataset_changes` reports them.
    if reasons or any(as_lists(old.data.get(key)) != as_lists(new.data.get(key)) for key in ("shape", "class_names")):
        return reasons
    # An edit of an architecture's plugin only matters if it builds another network. Nothing else changed, so it did.
    return _edited_plugins(old, new, cell, ("architecture",)) or ["the installed code of its components changed"]


def _edited_plugins(old: Plan, new: Plan, cell: PlannedCell, kinds: Sequence[str]) -> list[str]:
    """The plugin files that changed and that define components of these kinds that the cell uses."""
    changes = []
    for file, facts in new.plugins.items():
        # A file that the last run did not have is not an edited one.
        before = old.plugins.get(file, facts)
        if before["digest"] == facts["digest"]:
            continue
        registered = [(kind, name) for kind in kinds for name in facts["components"].get(kind, ())]
        if used := [(kind, name) for kind, name in registered if _uses(cell, kind, name)]:
            what = _changed_code(file, before, facts)
            changes.append(f"{what} ({', '.join(f'{kind} {name!r}' for kind, name in used)})")
    return changes


def _changed_code(plugin: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What changed in a plugin's code: its own file, files that it imports, or the version of its package."""
    versions = [facts.get("version", "") for facts in (old, new)]
    if versions[0] != versions[1]:
        return f"{plugin} {versions[0]} -> {versions[1]}"
    # Plans of earlier versions do not have the files.
    before, after = old.get("files", {}), new.get("files", {})
    edited = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if not before or not edited or Path(plugin).name in edited:
        return f"{plugin} changed"
    return f"{', '.join(edited)} of {plugin} changed"


def _uses(cell: PlannedCell, kind: str, name: str) -> bool:
    refs = getattr(cell.settings, kind)
    return any(ref and ref.name == name for ref in (refs if isinstance(refs, tuple) else [refs]))


def _setting_changes(old: Any, new: Any, *path: str) -> list[str]:
    # As lists, because a plan in memory may have tuples, and one that was read from its file has none.
    changes = differences(as_lists(old), as_lists(new), path)
    # A cell without a loss is trained with the plain cross-entropy.
    unset = {"loss": CROSS_ENTROPY.to_dict()}
    ends = [(c.path, *(unset.get(c.path) if value is None else value for value in (c.a, c.b))) for c in changes]
    return [f"{where} {_setting_text(before)} -> {_setting_text(after)}" for where, before, after in ends]


def _setting_text(value: Any) -> str:
    """A setting as a reader expects it: 0.01, max_pool, adam(lr=0.01)."""
    if value is None or value == []:
        return "none"
    if isinstance(value, dict) and "name" in value:
        return str(ComponentRef.from_dict(value))
    if isinstance(value, list):
        return f"[{', '.join(map(_setting_text, value))}]"
    return value if isinstance(value, str) else yaml_value(value)


def _changed_version(old: Plan, new: Plan) -> str:
    """The reason if nothing in the plans differs: then `IDENTITY` in fits.py was increased between the two runs."""
    versions = [plan.made_with.get("archrunner", "unknown") for plan in (old, new)]
    between = f" ({' -> '.join(versions)})" if versions[0] != versions[1] else ""
    return f"this version of archrunner gives different results{between}"


def _growth(old: Plan, new: Plan) -> str:
    """The repeats and folds that explain new fits in a cell that the last run had, and the race that ended."""
    changes = []
    # Of two fixed numbers only a larger one gives new fits.
    if old.repeats_setting != new.repeats_setting and (old.most or new.most or new.repeats > old.repeats):
        changes.append(f"cross_validation.repeats {old.repeats_setting} -> {new.repeats_setting}")
    if new.folds > old.folds:
        changes.append(f"cross_validation.folds {old.folds} -> {new.folds}")
    if old.race and not new.race:
        changes.append("search.race best -> none")
    return f": {', '.join(changes)}" if changes else ""


def _unused(old: Plan, new: Plan, old_cells: dict[str, PlannedCell], finished: set[str]) -> list[str]:
    """Lines for the cells that are no longer in the plan, and for the results that no fit of the plan uses."""
    matched = {cell.id for cell in old_cells.values()}
    removed = [cell.name for cell in old.cells if cell.id not in matched]
    unused = {fit for cell in old.fits.values() for fit in cell if fit in finished}
    unused -= {fit for cell in new.fits.values() for fit in cell}
    unused -= _may_come(old, new)
    lines = [f"no longer in the plan: {_name_cells(removed)}"] if removed else []
    if unused:
        subject = (
            "1 result of the last run stays" if len(unused) == 1 else f"{len(unused)} results of the last run stay"
        )
        lines.append(f"{subject} in the journal, unused by this plan")
    return lines


def _may_come(old: Plan, new: Plan) -> set[str]:
    """The fits of the last run's plan in repeats that the new plan lacks now, but goes on to while it is undecided."""
    fits: set[str] = set()
    most = new.folds * (new.most or 0)
    for cell, planned in new.fits.items():
        earlier = old.fits.get(cell, [])
        if earlier[: len(planned)] == planned:  # the same splits and seeds, so that the next ones are the same too
            fits.update(earlier[len(planned) : most])
    return fits
