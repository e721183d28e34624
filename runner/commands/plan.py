"""`runner plan`: every cell with its cost and its problems, and how long the fits will take. Trains nothing."""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.commands.arguments import add_experiment, add_json, add_reports, positive
from runner.commands.output import count_text, field_text, print_line, print_remark, print_table
from runner.commands.studies import check_experiment_file
from runner.text import disk_size, duration, plural, printable

USUAL_REPEATS = 3
"""Repeats until a study is decided, of at most 8, as a rule: in simulations on real fits they were 2.4 on average for
large differences to 3.5 for differences of 2 points (500 images, 5 folds)."""

DATA_FACTS = (
    "size", "test_size", "shape", "class_names", "class_counts", "duplicates", "groups", "test_groups", "fold_sizes",
    "folds_lacking",
)  # fmt: skip

if TYPE_CHECKING:
    from runner.experiment.schema import Experiment
    from runner.fits.records import FitResult
    from runner.planning.estimate import TimeEstimate
    from runner.planning.plan import Plan, PlannedCell


EXAMPLES = ("runner plan study.yaml", "runner plan study.yaml --set training.epochs=3 --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)
    add_reports(parser)
    parser.add_argument("--data", action="store_true", help="read the data too, and check all that a run checks")
    parser.add_argument("--workers", type=positive, metavar="N", help="worker processes, for the time estimate")
    add_json(parser)


def run(given: argparse.Namespace) -> int:
    from runner.experiment.load import load
    from runner.planning.make_plan import make_plan, problems
    from runner.planning.plan_warnings import plan_warnings

    check_experiment_file(given.file, given.reports)
    experiment = load(given.file, given.set)
    plan = make_plan(experiment)
    found = problems(experiment, plan)
    # A run refuses these before it reads the data.
    if given.data and not found:
        plan = _with_data(experiment, plan)
    if given.json:
        print(json.dumps(document(plan) | saved_document(plan, experiment.plugin_files)))
    else:
        _print_plan(plan, given, experiment)
        if experiment.extends:
            print_line(f"extends {', '.join(experiment.extends)}")
        if plan.keep != "none":
            print_line(saved_text(plan, experiment.plugin_files))
    for warning in plan_warnings(plan):
        print_remark(f"warning: {warning}")
    # After the table: unlike `run`, which refuses a plan with problems, this shows the cells that are fine too.
    for problem in found:
        print_remark(str(problem))
    return 2 if found else 0


def _with_data(experiment: Experiment, plan: Plan) -> Plan:
    """The plan with what only the data tell; raises RunnerError for whatever a run refuses once it has read them."""
    from runner.flow.training import prepared_data
    from runner.planning.fits import plan_fits

    with prepared_data(experiment, plan) as (data, test):
        return plan_fits(experiment, plan, data, test)[0]


def _print_plan(plan: Plan, given: argparse.Namespace, experiment: Experiment) -> None:
    """With the notices and the estimate that follow from what the journal already holds."""
    from runner.planning import library_versions
    from runner.planning.environment import installed_versions
    from runner.planning.estimate import default_workers, estimate

    folder, workers = given.reports / plan.name, given.workers or default_workers()
    known, changes, all_again = _last_run(folder, plan, experiment) if os.path.lexists(folder) else ([], [], False)
    expected = estimate(plan, known, workers, all_again)
    later = [(repeats, estimate(replace(plan, repeats=repeats), known, workers, all_again)) for repeats in _later(plan)]
    # By cell, as this command reads no data and so knows no fit ids. If every fit is trained again, no recorded one
    # stays, and versions cannot be mixed.
    cells = {cell.id for cell in plan.cells if not all_again}
    made = [result.versions for result in known if result.cell in cells and result.status == "ok"]
    mixed = library_versions.mixture_warnings_before_training(plan, made, expected.fits, installed_versions(plan))
    processors = library_versions.processors_so_far(made)
    gpu = _gpu_lines([fit for fit in known if fit.cell in cells] if expected.fits else [])
    print_plan(plan, expected, workers, [*changes, *mixed, *processors, *gpu], later)


def _gpu_lines(results: list[FitResult]) -> list[str]:
    """How many workers a GPU has room for, whichever executor starts them; none if no fit was measured on one."""
    if not any(result.device_memory for result in results):
        return []
    from runner.fits.gpu_share import Measured

    return [sentence for sentence in [Measured().with_results(results).sentence()] if sentence]


def _later(plan: Plan) -> list[int]:
    """The numbers of repeats, beyond those planned now, that an undecided study takes as a rule and at most."""
    return [] if plan.most is None else [n for n in sorted({USUAL_REPEATS, plan.most}) if plan.repeats < n <= plan.most]


def _last_run(folder: Path, plan: Plan, experiment: Experiment) -> tuple[list[FitResult], list[str], bool]:
    """The results in the journal of `folder`, what changed since, and whether every fit is trained again."""
    # Imported here, as a first plan needs none of them.
    from runner.components.catalog import load_catalog
    from runner.data.prepare import cached_fingerprints
    from runner.files.own_files import refuse_links
    from runner.journal.index import read
    from runner.planning.changes import since_last_run

    refuse_links(folder)
    known = {result.id: result for result in read(folder / "journal.jsonl")[0]}
    catalog = load_catalog(experiment.plugin_files)
    fingerprints = cached_fingerprints(catalog, experiment.header.dataset, plan.test) if known else {}
    changes = since_last_run(folder, replace(plan, data=fingerprints | plan.data), known)
    return list(known.values()), changes.lines, changes.all_fits


def print_plan(
    plan: Plan,
    estimate: TimeEstimate,
    workers: int,
    notices: Iterable[str] = (),
    later: Iterable[tuple[int, TimeEstimate]] = (),
) -> None:
    """Every cell with its cost, the data, the number of fits, the notices before they are trained, and their time.

    `later` has numbers of repeats that an undecided study goes on to, and what is to be trained up to there.
    """
    from runner.planning.class_balance import counts_text
    from runner.planning.power import summary

    titles: tuple[str, ...] = ("cell", "parameters", "MACs", "receptive field")
    rows = [_costs(cell) for cell in plan.cells]
    if any(cell.matched for cell in plan.cells):
        from runner.planning.match_text import plan_columns, plan_lines  # rarely needed

        titles, rows = plan_columns(plan, titles, rows)
        notices = [*plan_lines(plan), *notices]
    print_table(titles, rows)
    print()
    print_line(f"data: {_data(plan)}")
    if counts := counts_text(plan):
        print_line(f"images: {counts}{_duplicates(plan)}")
    print_line(f"{plan.name}: {plural(len(plan.cells), 'cell')} × {plural(plan.folds, 'fold')} × {_repeats(plan)}")
    if plan.split_design:
        from runner.planning.split_text import design_text

        print_line(f"splits: {printable(design_text(plan))}")
    if plan.excluded:
        rules = "; ".join(f"{count:,} by {rule}" for rule, count in plan.excluded.items())
        print_line(f"excluded: {plural(sum(plan.excluded.values()), 'combination')} ({rules})")
    for line in subset_lines(plan):
        print_line(printable(line))
    engine, device, precision = (_varied(plan, name) for name in ("engine", "device", "precision"))
    print_line(f"engine {engine} on {device} in {precision}{_stacking(plan)}; {_epochs(plan)}")
    for line in (*_early_stops(plan), *notices):
        print_line(printable(line))
    basis = (
        "from the fits in the journal" if estimate.measured else "a rough guess: none of its fits has been timed yet"
    )
    # A fit that may stop early is counted with all its epochs.
    about = "at most about" if plan.stops and estimate.fits else "about"
    todo, where = plural(estimate.fits, "fit"), plural(workers, "worker")
    print_line(f"{todo} to train: {about} {duration(estimate.seconds)} on {where} ({basis})")
    for repeats, total in later:
        how_often = "at most" if repeats == plan.most else "as a rule about"
        print_line(
            f"{how_often} {repeats} repeats: {plural(total.fits, 'fit')} to train, about {duration(total.seconds)}"
        )
    if power := summary(plan, trained=estimate.measured):
        print_line(printable(power))


def _costs(cell: PlannedCell) -> tuple[str, ...]:
    return cell.name, count_text(cell.parameters), count_text(cell.macs), field_text(cell.receptive_field)


def subset_lines(plan: Plan) -> list[str]:
    """What is left out of the grid, and what can no longer be told; none if all of it is run."""
    if not plan.subset:
        return []
    from runner.planning.subset_text import left_out, limits

    return [f"design: {left_out(plan.subset, len(plan.cells))}", *limits(plan.subset)]


def _data(plan: Plan) -> str:
    """The data set with its size, shape and classes; before the data are read, with its size as it is described."""
    facts = plan.data
    images = f"{plural(facts['size'], 'image')} of {'×'.join(map(str, facts['shape']))}"
    test = f", {plural(facts['test_size'], 'held-out test image')}" if plan.test else ""
    return f"{plan.dataset}, {images}{test}, {plural(len(facts['class_names']), 'class', 'classes')}"


def _duplicates(plan: Plan) -> str:
    """The end of the line with the counts of the classes: what there is of duplicates, unless a warning says it."""
    found = plan.data.get("duplicates")
    if not found or found["images"]:
        return ""
    dropped = found.get("dropped")
    return "; no duplicates" if not dropped else f"; {plural(dropped, 'duplicate')} left out"


def _varied(plan: Plan, setting: str) -> str:
    """The values of a setting of the training, in the order of the cells."""
    return " or ".join(dict.fromkeys(str(getattr(cell.settings.training, setting)) for cell in plan.cells))


def _epochs(plan: Plan) -> str:
    epochs = _all_epochs(plan)
    least, most = epochs[0], epochs[-1]
    return plural(most, "epoch") if least == most else f"{least:,} to {plural(most, 'epoch')}"


def _all_epochs(plan: Plan) -> list[int]:
    return sorted({cell.settings.training.epochs for cell in plan.cells})


def _repeats(plan: Plan) -> str:
    """The end of the line with the number of fits."""
    if plan.most is None:
        return f"{plural(plan.repeats, 'repeat')} = {plural(plan.fit_count, 'fit')}"
    race = ", fewer as cells drop out of the race" if plan.race else ""
    first = (
        f"2 or more repeats until decided: {plural(plan.fit_count, 'fit')} at first ({plural(plan.repeats, 'repeat')})"
    )
    return f"{first}, at most {plan.fits_at_most} ({plan.most} repeats){race}"


def _early_stops(plan: Plan) -> list[str]:
    """How fits may stop before their last epoch: one line per way, and in how many cells they do."""
    cells = Counter(cell.settings.training.stop for cell in plan.cells)
    lines = []
    for stop, count in cells.items():
        if stop is not None:
            where = "" if count == len(plan.cells) else f" in {plural(count, 'cell')}"
            epochs = plural(stop.patience, "epoch")
            part = f"{100 * stop.share:g}% of their training images, set aside for this"
            lines.append(f"fits stop early{where}: after {epochs} without a lower loss on {part}")
    return lines


def _stacking(plan: Plan) -> str:
    """The end of the engine line: how many fits are trained together, if any."""
    sizes = Counter(cell.settings.training.stacking or 1 for cell in plan.cells)
    # `stacking: N` may ask for more fits than a cell has.
    largest = [min(size, plan.folds * plan.repeats) for size in sorted(sizes) if size > 1]
    if not largest:
        return ""
    where = f" in {plural(sum(sizes.values()) - sizes[1], 'cell')}" if sizes[1] else ""
    return f", {' or '.join(map(str, largest))} fits of a cell trained together{where}"


def document(plan: Plan) -> dict[str, Any]:
    """What `--json` prints."""
    from runner.planning.plan_warnings import plan_warnings

    cells = [
        {
            "id": cell.id,
            "levels": cell.levels,
            "parameters": cell.parameters,
            "macs": cell.macs,
            "receptive_field": cell.receptive_field,
            "problem": cell.problem or None,
            "warnings": cell.warnings,
            **({"matched": asdict(cell.matched) | {"off": cell.matched.off}} if cell.matched else {}),
        }
        for cell in plan.cells
    ]
    return {
        "experiment": plan.name,
        "fits": plan.fit_count,
        "fits_at_most": plan.fits_at_most,
        "cells": cells,
        # Of `data`, the counts only with --data.
        "data": {"name": plan.dataset.name, **{key: plan.data[key] for key in DATA_FACTS if key in plan.data}},
        "epochs": _all_epochs(plan),
        "excluded": plan.excluded,
        "warnings": plan_warnings(plan),
        **({"splits": plan.split_design.to_dict()} if plan.split_design else {}),
        **({"design": vars(plan.subset) | {"cells": len(plan.cells)}} if plan.subset else {}),
    }


def saved_document(plan: Plan, plugin_files: tuple[str, ...]) -> dict[str, Any]:
    """What `--json` prints of the networks that `training.keep` saves, if any; the bytes are an upper bound."""
    from runner.trained.promise import promise

    if plan.keep == "none":
        return {}
    now, last = (promise(plan, plugin_files, at_most) for at_most in (False, True))
    sizes = {"networks": now.networks, "bytes": now.bytes}
    return {"saved": sizes | {"networks_at_most": last.networks, "bytes_at_most": last.bytes}}


def saved_text(plan: Plan, plugin_files: tuple[str, ...]) -> str:
    """The line of `plan` on the networks that are saved."""
    from runner.trained.promise import promise

    now, last = (promise(plan, plugin_files, at_most) for at_most in (False, True))
    first = (
        f"training.keep: {plan.keep} saves {plural(now.networks, 'network')}, at most {disk_size(now.bytes)} on disk"
    )
    later = f"; after {plan.most} repeats {plural(last.networks, 'network')}, at most {disk_size(last.bytes)}"
    return first + later * (last.networks > now.networks)
