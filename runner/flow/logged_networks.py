"""Which saved networks of a study belong into MLflow: the best of each cell, once all of its fits have ended."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from runner.errors import RunnerError
from runner.journal.index import index
from runner.planning.plan import Plan
from runner.text import plural
from runner.tracking.base import Tracker
from runner.tracking.logged_networks import SavedNetwork
from runner.trained import file, mlflow_files
from runner.trained.choose import SavedFits


def saved_networks(plugins: Sequence[str], plan: Plan, folder: Path) -> list[SavedNetwork]:
    """In the plan's order; `plugins` are the files of plugins, for networks that are code of theirs."""
    saved, (results, _) = SavedFits(folder, plan), index(folder / "journal.jsonl")
    found = []
    for cell in plan.cells:
        fits = plan.fits.get(cell.id, [])
        # Before that, a better one may still come, and MLflow would have both.
        if all(fit in results for fit in fits) and (fit := _best(saved, fits)):
            path = file.path_of(folder, fit)
            found.append(SavedNetwork(cell, results[fit], path, partial(mlflow_files.write, path, plugins)))
    return found


def publish_networks(
    tracker: Tracker, plan: Plan, folder: Path, plugins: Sequence[str], name: str | None, each: bool
) -> list[str]:
    """Log what the store lacks of the saved networks; it is asked, whatever the ledger says. Returns what to print.

    With a `name`, the network of the best cell gets a version of it in the registry, with `each` that of every cell.
    """
    from runner.tracking.logged_networks import register
    from runner.tracking.study_tracker import StudyTracker

    networks = saved_networks(plugins, plan, folder)
    if not networks and name is None:
        return []
    assert isinstance(tracker, StudyTracker)
    ids, _ = tracker.publish_networks(plan, networks, verify=True)
    logged = [network for network in networks if network.fit.id in ids]
    best_cell = SavedFits(folder, plan).cell(None)
    best = [network for network in logged if network.cell.id == best_cell.id]
    if name and not (logged if each else best):
        setting = f"training.keep is {plan.keep}; without a saved network there is nothing to register"
        raise RunnerError(f"--register {name}: cell '{best_cell.name}' has no network in MLflow ({setting})")
    lines = [f"MLflow has {plural(len(logged), 'network')}"]
    lines += [f"that of the best cell: models:/{ids[network.fit.id]} ({network.title})" for network in best]
    chosen = [] if name is None else logged if each else best
    made = register(tracker.client, name, [(network, ids[network.fit.id]) for network in chosen]) if name else []
    for network, (version, is_new) in zip(chosen, made, strict=True):
        lines.append(f"models:/{name}/{version}: {network.title}{'' if is_new else ', registered before'}")
    return lines


def _best(saved: SavedFits, fits: Sequence[str]) -> str | None:
    """The best of the fits whose parameters are saved, None if there are none."""
    paths = [fit for fit in fits if file.path_of(saved.folder, fit).is_file()]
    return saved.best_of(paths) if paths else None
