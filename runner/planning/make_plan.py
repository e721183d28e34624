"""Experiment -> Plan: checks every cell before any training and determines its names, parameters, cost and engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from runner.components.catalog import Catalog, PluginFileError, load_catalog, reload_edited
from runner.components.records import ComponentRef, ImageData
from runner.errors import Complaint, InputError, Location
from runner.experiment.expand import Cell, Matcher, cell_names, expand
from runner.experiment.grid_syntax import level_label
from runner.experiment.schema import Experiment, Keep
from runner.fits.metrics import COMPARED, Metric
from runner.planning import no_effect
from runner.planning.cell_checker import CellChecker, loss_arguments, resolve_auto
from runner.planning.duplicates import refuse_duplicates
from runner.planning.plan import Plan, PlannedCell, Subset
from runner.planning.plugin_facts import describe_plugins
from runner.text import did_you_mean, dotted, plural


def make_plan(experiment: Experiment) -> Plan:
    """The plan of `experiment`, without reading its data.

    Raises InputError with all complaints about names, parameters and levels. An architecture that cannot be built or
    trained in a cell is not raised but recorded as that cell's `problem`.
    """
    catalog = _load_catalog(experiment)
    checker = CellChecker(experiment, catalog)
    data = checker.check_dataset()
    checker.check_replaced()
    excluded: dict[int, int] = {}
    cells_of_grid = expand(experiment, resolve_auto, excluded, _matcher(experiment, checker, data))
    expanded, subset = _part(experiment, cells_of_grid)
    keep = _keep(experiment, expanded)
    checked = [checker.check_cell(cell, name, data) for cell, name in zip(expanded, cell_names(expanded), strict=True)]
    asked = _measures(experiment, catalog, data, checker.complaints)
    baseline = _baseline(experiment, expanded, checker.complaints)
    if checker.complaints:
        raise InputError(checker.complaints)
    assert data is not None  # otherwise there was a complaint
    cells = tuple(cell for cell in checked if cell is not None)
    # After the complaints, because only cells without any have an id.
    given = {"loss": loss_arguments(data)}
    refuse_duplicates(experiment, cells, catalog, checker.network, given)
    _refuse_undecidable(experiment, cells)
    _refuse_few_images(experiment, data)
    runnable = [(cell.settings, found) for cell, found in zip(expanded, cells, strict=True) if not found.problem]
    header = experiment.header
    plugin_files = zip(header.plugins, experiment.plugin_files, strict=True)
    plan = Plan(
        name=header.name,
        description=header.description,
        factors=tuple(experiment.factors),
        folds=header.cross_validation.fold_count,
        repeats=header.cross_validation.first_repeats,
        seed=header.seed,
        metric=asked[0],
        equivalent=header.report.equivalent,
        dataset=catalog.bind("dataset", header.dataset),
        training=cells[0].settings.training,
        cells=cells,
        data=data.facts,
        overrides=experiment.overrides,
        test=header.cross_validation.test,
        file=experiment.file.encode("utf-8", "backslashreplace").decode(),  # YAML takes no other bytes
        plugins=describe_plugins(catalog, plugin_files, header.dataset, cells, asked[2]),
        most=header.cross_validation.most,
        race=header.search.race is not None,
        keep=keep,
        excluded=_exclusions(experiment, excluded),
        warnings=no_effect.warnings(catalog, runnable, data.shape, data.classes, checker.network, given),
        columns=asked[1],
        measures=asked[2],
        split_design=header.cross_validation.design,
        baseline=baseline,
        subset=subset,
    )
    if header.report.published is None:
        return plan
    from runner.planning.published import find_published  # rarely needed

    return replace(plan, published=find_published(experiment, plan))


def _measures(
    experiment: Experiment, catalog: Catalog, data: ImageData | None, complaints: list[Complaint]
) -> tuple[str, tuple[str, ...], tuple[Metric, ...]]:
    """The metric to compare, those that are shown beside it, and the records of those that are a plugin's."""
    report = experiment.header.report
    # Of unknown classes nobody can say which metrics they have.
    if data is None or (report.metric, report.metrics) in [(ComponentRef(name), ()) for name in COMPARED]:
        return report.metric.name, (), ()
    from runner.planning.measures import find_measures  # rarely needed

    return find_measures(experiment, catalog, data.class_names, complaints)


def _matcher(experiment: Experiment, checker: CellChecker, data: ImageData | None) -> Matcher | None:
    """What solves the cells that the grid matches with others; None if it matches none."""
    levels = (level for block in experiment.blocks for levels in block.values() for level in levels)
    if data is None or not any(level.match for level in levels):
        return None
    from runner.planning.matching import CellMatcher  # rarely needed

    return CellMatcher(experiment, checker.catalog, data)


def _part(experiment: Experiment, cells: list[Cell]) -> tuple[list[Cell], Subset | None]:
    """The cells that `design` takes from those of the grid, and what that leaves out; None if it takes all."""
    design = experiment.header.design
    if design.kind == "full":
        return cells, None
    # Only here: it takes NumPy, without which other plans answer sooner.
    from runner.planning.subset import choose, describe

    levels = [tuple(cell.levels.values()) for cell in cells]
    try:
        chosen = choose(levels, design, experiment.header.seed)
    except ValueError as error:
        raise InputError([Complaint(experiment.document.find(("design",)), "design", str(error))]) from None
    return [cells[i] for i in chosen], describe(experiment.factors, levels, chosen, design.kind)


def _baseline(experiment: Experiment, cells: Sequence[Cell], complaints: list[Complaint]) -> dict[str, str]:
    """`report.baseline` with the labels of its levels; those that no cell has are complaints."""
    given = experiment.header.report.baseline
    found = {factor: level_label(value) for factor, value in given.items()}
    for factor, level in found.items():
        levels = list(dict.fromkeys(cell.levels[factor] for cell in cells if factor in cell.levels))
        if level in levels:
            continue
        message = f"unknown level '{level}' of factor '{factor}'{did_you_mean(level, levels)}"
        if not levels:
            message = f"unknown factor '{factor}'{did_you_mean(factor, experiment.factors) or '; there is no grid'}"
        path = ("report", "baseline", factor)
        complaints.append(Complaint(experiment.document.find(path), dotted(path), message))
    return found


def _keep(experiment: Experiment, cells: Sequence[Cell]) -> Keep:
    """`training.keep`; raises InputError if the grid varies it."""
    chosen = {cell.settings.training.keep for cell in cells}
    if len(chosen) > 1:
        found = f"it varies training.keep ({', '.join(sorted(chosen))})"
        message = f"{found}; allowed: one value for the whole study, as it changes no result, so set it in training"
        raise InputError([Complaint(experiment.document.find(("grid",)), "grid", message)])
    return chosen.pop()


def _refuse_undecidable(experiment: Experiment, cells: Sequence[PlannedCell]) -> None:
    """Raise InputError if the repeats are to stop when decided, but there is only one cell."""
    path = ("cross_validation", "repeats")
    if len(cells) < 2 and experiment.header.cross_validation.most is not None:
        message = "there is only one cell, so nothing can be decided; vary something in the grid, or give a number"
        raise InputError([Complaint(experiment.document.find(path), dotted(path), message)])


def _refuse_few_images(experiment: Experiment, data: ImageData) -> None:
    """Raise InputError if some class must have fewer images than there are folds; which one, only the data can tell."""
    if experiment.header.cross_validation.design:
        return  # only the data can tell
    path, folds = ("cross_validation", "folds"), experiment.header.cross_validation.folds
    images = f"{plural(data.size, 'image')} of {plural(data.classes, 'class', 'classes')}"
    most = data.size // data.classes
    if most >= folds:
        return
    message = f"found {folds}; {images} allow at most {most} folds, as each has images of every class"
    if most < 2:
        message = f"{images} cannot be cross-validated; each class needs at least 2"
    raise InputError([Complaint(experiment.document.find(path), dotted(path), message)])


def _exclusions(experiment: Experiment, excluded: Mapping[int, int]) -> dict[str, int]:
    """The exclusions, as text, with the numbers of combinations that they leave out."""
    counts: dict[str, int] = {}
    for rule, count in sorted(excluded.items()):
        text = ", ".join(f"{factor}={level}" for factor, level in experiment.exclude[rule].items())
        counts[text] = counts.get(text, 0) + count
    return counts


def runnable_plan(experiment: Experiment) -> Plan:
    """Like `make_plan`, but also raises InputError if any cell has a problem."""
    plan = make_plan(experiment)
    if complaints := problems(experiment, plan):
        raise InputError(complaints)
    return plan


def problems(experiment: Experiment, plan: Plan) -> list[Complaint]:
    """One complaint per cell that has a problem."""
    return [
        Complaint(_cause(experiment, cell), f"cell '{cell.name}'", cell.problem) for cell in plan.cells if cell.problem
    ]


def _cause(experiment: Experiment, cell: PlannedCell) -> Location:
    """Where the architecture of a cell with a problem comes from: the level that sets it, if just one does."""
    found = {
        node.where
        for block in experiment.blocks
        for factor, levels in block.items()
        for level in levels
        if cell.levels.get(factor) == level.label
        for path, node in level.settings.items()
        if path.partition(".")[0] == "architecture"
    }
    if len(found) == 1:
        return found.pop()
    return experiment.document.find(("grid",) if found else ("architecture",))


def _load_catalog(experiment: Experiment) -> Catalog:
    reload_edited()
    try:
        return load_catalog(experiment.plugin_files)
    except PluginFileError as error:
        index = experiment.plugin_files.index(error.file)
        where = experiment.document.find(("plugins", index))
        raise InputError([Complaint(where, f"plugins[{index}]", str(error))]) from error
