"""Every cell before any training: names, parameters, shapes, cost, engine. Experiment -> Plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from runner.components.catalog import Catalog, load_catalog
from runner.components.protocols import UpdateRule, own_engine
from runner.components.records import ComponentRef, ImageData
from runner.components.validation import InvalidValues
from runner.engines import selection
from runner.errors import Complaint, InputError, PluginError, RunnerError
from runner.experiment.expand import Cell, expand, names
from runner.experiment.schema import Experiment, Training
from runner.files.content_hash import canonical_text, content_id, mapping_id
from runner.fits.records import TrainingPlan
from runner.network.analysis import Analysis
from runner.planning import stacking
from runner.planning.architecture_facts import examine
from runner.planning.plan import CellSettings, Plan, PlannedCell
from runner.text import dotted

LARGEST = 10**18
"""No computer trains a network with more parameters, multiply-adds or activations than that."""


def make_plan(experiment: Experiment) -> Plan:
    """The plan of `experiment`, without reading its data.

    Raises InputError for everything that is wrong with names, parameters and levels; an architecture that does not
    work out in some cell is that cell's `problem`.
    """
    catalog = _catalog(experiment)
    checker = _Checker(experiment, catalog)
    data = checker.data()
    raw = expand(experiment)
    cells = [checker.cell(cell, name, data) for cell, name in zip(raw, names(raw), strict=True)]
    if checker.complaints:
        raise InputError(checker.complaints)
    assert data is not None  # else there was a complaint
    planned = tuple(cell for cell in cells if cell is not None)
    _refuse_repeated(experiment, planned)
    header = experiment.header
    return Plan(
        name=header.name,
        description=header.description,
        factors=tuple(experiment.factors),
        folds=header.cross_validation.folds,
        repeats=header.cross_validation.repeats,
        seed=header.seed,
        metric=header.report.metric,
        equivalent=header.report.equivalent,
        dataset=catalog.bind("dataset", header.dataset),
        training=planned[0].settings.training,
        cells=planned,
        data=data.facts,
        overrides=experiment.overrides,
        test=header.cross_validation.test,
        file=experiment.document.where.file,
        plugins=_plugins(experiment, catalog),
    )


def runnable_plan(experiment: Experiment) -> Plan:
    """As `make_plan`; raises InputError for a cell that has a problem, too."""
    plan = make_plan(experiment)
    if complaints := problems(experiment, plan):
        raise InputError(complaints)
    return plan


def problems(experiment: Experiment, plan: Plan) -> list[Complaint]:
    """The problem of every cell that has one."""
    where = experiment.document.find(("grid",) if experiment.factors else ("architecture",))
    return [Complaint(where, f"cell '{cell.name}'", cell.problem) for cell in plan.cells if cell.problem]


def _catalog(experiment: Experiment) -> Catalog:
    files: tuple[str, ...] = ()
    for index, file in enumerate(experiment.plugin_files):
        files = (*files, file)
        try:
            load_catalog(files)
        except PluginError as error:
            where = experiment.document.find(("plugins", index))
            raise InputError([Complaint(where, f"plugins[{index}]", str(error))]) from error
    return load_catalog(files)


def _plugins(experiment: Experiment, catalog: Catalog) -> dict[str, dict[str, Any]]:
    """Of each plugin file its digest and its components, by which the next run tells what was edited."""
    found: dict[str, dict[str, Any]] = {}
    for name, file in zip(experiment.header.plugins, experiment.plugin_files, strict=True):
        entries = [(kind, entry) for (kind, _), entry in sorted(catalog.entries.items()) if entry.source == file]
        components: dict[str, list[str]] = {}
        for kind, entry in entries:
            components.setdefault(kind, []).append(entry.component.name)
        found[name] = {"digest": entries[0][1].version, "components": components}
    return found


@dataclass
class _Checker:
    """Cells of a grid share most of what they are made of: each part is bound, built and examined once."""

    experiment: Experiment
    catalog: Catalog
    complaints: list[Complaint] = field(default_factory=list)
    known: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def once(self, key: tuple[Any, ...], action: Callable[[], Any]) -> Any:
        """What `action` comes to, or raises; the same for all cells with that key."""
        if key not in self.known:
            try:
                self.known[key] = action()
            except (InvalidValues, RunnerError) as error:
                self.known[key] = error
        found = self.known[key]
        if isinstance(found, (InvalidValues, RunnerError)):
            raise found.with_traceback(None)
        return found

    def component(self, kind: str, ref: ComponentRef, document: Any, path: tuple[str | int, ...]) -> Any:
        """The component built; what does not fit is complained of, and None returned."""
        bound = self.bound(kind, ref, document, path)
        if bound is None:
            return None
        build = partial(self.catalog.build, kind, bound)
        return self._guarded(document, path, lambda: self.once(("built", kind, repr(ref)), build))

    def bound(self, kind: str, ref: ComponentRef, document: Any, path: tuple[str | int, ...]) -> ComponentRef | None:
        return self._guarded(document, path, lambda: self.bind(kind, ref))  # type: ignore[no-any-return]

    def bind(self, kind: str, ref: ComponentRef) -> ComponentRef:
        return self.once(("bound", kind, repr(ref)), partial(self.catalog.bind, kind, ref))  # type: ignore[no-any-return]

    def text(self, record: ComponentRef | TrainingPlan) -> str:
        """The canonical text of a bound component or of training settings."""
        return self.once(("text", repr(record)), lambda: canonical_text(record.to_dict()))  # type: ignore[no-any-return]

    def data(self) -> ImageData | None:
        """The data set, of the size that the study takes of it."""
        ref = self.experiment.header.dataset
        data: ImageData | None = self.component("dataset", ref, self.experiment.document, ("dataset",))
        subset = ref.parameters.get("subset")
        if data is not None and self.experiment.header.cross_validation.test and data.load_test is None:
            words = f"{ref.name} has no held-out test images; leave it out"
            self._complain(self.experiment.document, ("cross_validation", "test"), words)
        if data is None or subset is None:
            return data
        if subset > data.size:
            message = f"found {subset}; allowed: 1 to {data.size}, the number of images"
            self._complain(self.experiment.document, ("dataset", "subset"), message)
        return replace(data, size=subset)

    def _guarded(self, document: Any, path: tuple[str | int, ...], action: Callable[[], Any]) -> Any:
        try:
            return action()
        except InvalidValues as finding:
            for inner, message in finding.found:
                self._complain(document, (*path, *inner), message)
        except RunnerError as error:
            self._complain(document, path, str(error))
        return None

    def _complain(self, document: Any, path: tuple[str | int, ...], message: str) -> None:
        self.complaints.append(Complaint(document.find(path), dotted(path), message))

    def cell(self, cell: Cell, name: str, data: ImageData | None) -> PlannedCell | None:
        """The cell with its components bound and its network analysed; None where there was a complaint."""
        settings, document = cell.settings, cell.document
        listed = isinstance(document.value.get("augmentation", document).value, list)
        architecture = self.bound("architecture", settings.architecture, document, ("architecture",))
        augmentation = [
            (
                ref,
                self.component("augmentation", ref, document, ("augmentation", *([index] if listed else []))),
            )
            for index, ref in enumerate(settings.augmentation)
        ]
        optimizer = self.component("optimizer", settings.optimizer, document, ("optimizer",))
        training = self._training(cell)
        needed = own_engine(optimizer)
        if training and needed and training.engine != needed:
            words = f"{settings.optimizer.name} needs the {needed} engine; training.engine is {training.engine}"
            self._complain(document, ("optimizer",), words)
        if None in (architecture, optimizer, training, data, *(built for _, built in augmentation)):
            return None
        assert architecture is not None and data is not None and training is not None
        return self._planned(cell, name, architecture, training, optimizer, data)

    def _training(self, cell: Cell) -> TrainingPlan | None:
        training = cell.settings.training
        if training.stuck_after is not None and training.stuck_after > training.epochs:
            words = f"found {training.stuck_after}; allowed: 1 to {training.epochs}, the epochs"
            self._complain(cell.document, ("training", "stuck_after"), words)

        def decided(key: str, decide: Callable[..., str], *arguments: str) -> Any:
            found = getattr(training, key)
            action = partial(decide, found, *arguments)
            return self._guarded(cell.document, ("training", key), lambda: self.once((key, found, *arguments), action))

        engine = decided("engine", selection.resolve_engine)
        if not engine:
            return None
        device = decided("device", selection.resolve_device, engine)
        precision = decided("precision", selection.resolve_precision, engine)
        if not device or not precision:
            return None
        made = partial(_training_plan, training, engine, device, precision)
        return self.once(("training", repr(training)), made)  # type: ignore[no-any-return]

    def _planned(
        self,
        cell: Cell,
        name: str,
        architecture: ComponentRef,
        training: TrainingPlan,
        rule: UpdateRule,
        data: ImageData,
    ) -> PlannedCell:
        chosen = cell.settings
        augmentation = tuple(self.bind("augmentation", ref) for ref in chosen.augmentation)
        optimizer = self.bind("optimizer", chosen.optimizer)
        settings = CellSettings(architecture, augmentation, optimizer, training)
        try:
            look = partial(self._examined, architecture, data)
            analysis, network, is_module = self.once(("examined", repr(architecture)), look)
            if is_module and training.engine != "torch":
                raise RunnerError(f"{architecture} is a torch module, which the {training.engine} engine can't train")
            if max(analysis.parameters, analysis.macs or 0, analysis.activations or 0) > LARGEST:
                raise RunnerError(f"{architecture} has over 10^18 parameters, multiply-adds or activations")
        except RunnerError as error:
            return PlannedCell(content_id(settings.to_dict()), name, cell.levels, settings, problem=str(error))
        training = self._stacked(cell, training, rule, analysis, is_module)
        content = {
            "architecture": network,
            "augmentation": f"[{','.join(map(self.text, augmentation))}]",
            "optimizer": self.text(optimizer),
            "training": self.text(training),
            "shape": canonical_text(data.shape),
            "classes": canonical_text(data.classes),
            "code": canonical_text(self._code(cell)),
        }
        return PlannedCell(
            mapping_id(content), name, cell.levels, replace(settings, training=training),
            analysis.parameters, analysis.macs, analysis.receptive_field, timeout=chosen.training.timeout,
            checkpoint=chosen.training.checkpoint, warnings=analysis.warnings, retries=chosen.training.retries,
        )  # fmt: skip

    def _stacked(
        self, cell: Cell, training: TrainingPlan, rule: UpdateRule, analysis: Analysis, module: bool
    ) -> TrainingPlan:
        validation = self.experiment.header.cross_validation
        obstacle = stacking.obstacle(training.engine, module, rule)

        def decide() -> int | None:
            wanted = cell.settings.training.stacking
            return stacking.decide(wanted, obstacle, training, analysis, validation.folds, validation.repeats)

        return replace(training, stacking=self._guarded(cell.document, ("training", "stacking"), decide))

    def _examined(self, architecture: ComponentRef, data: ImageData) -> tuple[Analysis, str, bool]:
        """The facts of a network, the canonical text of what identifies it, and whether it is a torch module."""
        analysis, network = examine(self.catalog, architecture, data.shape, data.classes)
        return analysis, canonical_text(network), "module" in network

    def _code(self, cell: Cell) -> list[str]:
        """Versions of the plugin files behind what is not in the network: their code is part of the result."""
        refs = [("augmentation", ref) for ref in cell.settings.augmentation] + [("optimizer", cell.settings.optimizer)]
        return [self.catalog.find(kind, ref.name).version for kind, ref in refs]


def _training_plan(training: Training, engine: str, device: str, precision: str) -> TrainingPlan:
    plain = training.model_dump(include={"epochs", "batch_size", "stuck_after"})
    return TrainingPlan(engine=engine, device=device, precision=precision, **plain)


def _refuse_repeated(experiment: Experiment, cells: tuple[PlannedCell, ...]) -> None:
    first: dict[str, str] = {}
    complaints = []
    for cell in cells:
        earlier = first.setdefault(cell.id, cell.name)
        if earlier != cell.name:
            message = f"sets nothing that '{earlier}' does not: the two cells are the same; exclude one"
            complaints.append(Complaint(experiment.document.find(("grid",)), f"cell '{cell.name}'", message))
    if complaints:
        raise InputError(complaints)
