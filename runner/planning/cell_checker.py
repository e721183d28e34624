"""Checks the cells of a grid one by one: binds their components, analyses their networks and computes their ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from runner.components.catalog import Catalog
from runner.components.protocols import UpdateRule, is_around_torch, required_engine
from runner.components.records import ComponentRef, ImageData
from runner.components.validation import InvalidValues, KeyPath
from runner.engines import selection
from runner.errors import Complaint, RunnerError
from runner.experiment.expand import Cell
from runner.experiment.schema import CROSS_ENTROPY, Experiment, Training, parse_component
from runner.files.content_hash import canonical_text, content_id, mapping_id
from runner.fits.records import EarlyStop, TrainingPlan
from runner.network.analysis import Analysis
from runner.planning import stacking
from runner.planning.architecture_facts import examine, watched
from runner.planning.plan import CellSettings, PlannedCell
from runner.text import dotted, is_name, yaml_value

MAX_SIZE = 10**18
"""More parameters, multiply-adds or activations than any computer can train."""


@dataclass
class CellChecker:
    """Checks cells and collects `complaints`; each distinct component is bound, built and analysed only once.

    The cells of a grid share most of their components, so without the cache a grid of thousands of cells would build
    the same few networks thousands of times.
    """

    experiment: Experiment
    catalog: Catalog
    complaints: list[Complaint] = field(default_factory=list)
    cache: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def check_dataset(self) -> ImageData | None:
        """The data set, with the size of the subset if one is set; None if there is a complaint about it."""
        ref = self.experiment.header.dataset
        data: ImageData | None = self._build("dataset", ref, self.experiment.document, ("dataset",))
        if data is not None:
            known = len(self.complaints)
            self.attempt("try_facts", "dataset", self._bind("dataset", ref), self.experiment.document, ("dataset",))
            if len(self.complaints) > known:  # nothing can be planned with facts of another form
                return None
        subset = ref.parameters.get("subset")
        if data is not None and self.experiment.header.cross_validation.test and data.load_test is None:
            message = f"found true, but data set {ref.name} has no held-out test images; allowed: false"
            self.complain(self.experiment.document, ("cross_validation", "test"), message)
        if data is not None:
            self._check_class_names(data, ref.name)
            if self.experiment.header.cross_validation.design is not None:
                from runner.planning.rare_checks import check_columns

                check_columns(self, data)
            if {"preprocess", "published_split"} & ref.parameters.keys():
                from runner.planning.rare_checks import check_images

                check_images(self, data)
        if data is None or subset is None:
            return data
        if subset > data.size:
            message = f"found {subset}; allowed: 1 to {data.size}, the number of images"
            self.complain(self.experiment.document, ("dataset", "subset"), message)
        # Also if it is too large, so that the checks of the cells go on and add their complaints.
        return replace(data, size=subset)

    def check_replaced(self) -> None:
        """Check the components that the file names itself, also where every level of the grid replaces them.

        A level may give what is missing. Parameters of a component whose name alone is varied are those of others.
        """
        document = self.experiment.document
        set_by_levels = {
            path
            for block in self.experiment.blocks
            for levels in block.values()
            for level in levels
            for path in level.settings
        }
        for kind in ("architecture", "augmentation", "optimizer", "loss"):
            node = document.value.get(kind)
            is_list = node is not None and isinstance(node.value, list)
            for index, data in enumerate(node.to_data() if is_list else [node.to_data()] if node else []):
                try:
                    ref, path = parse_component(data), (kind, *([index] if is_list else []))
                except ValueError:  # it lacks what a level may give; if none does, the cells say so
                    continue
                only_name = ComponentRef(ref.name) if f"{kind}.name" in set_by_levels else ref
                self.guarded(document, path, partial(self._bind_present, kind, only_name))

    def _bind_present(self, kind: str, ref: ComponentRef) -> None:
        """Bind the parameters that are given; what is required, but missing, is no problem here."""
        try:
            self._bind(kind, ref)
        except InvalidValues as invalid:
            if wrong := [problem for problem in invalid.problems if problem[0]]:
                raise InvalidValues(wrong) from None

    def _check_class_names(self, data: ImageData, name: str) -> None:
        # As text, as the report writes them: it could not tell two classes of one name apart.
        numbers: dict[str, list[str]] = {}
        for number, class_name in enumerate(data.class_names):
            numbers.setdefault(str(class_name), []).append(str(number))
        for class_name, same in numbers.items():
            if not is_name(class_name):
                found = f"data set {name} has the class name {yaml_value(class_name)}"
                message = f"{found}; allowed: UTF-8 text without line breaks and other control characters"
                self.complain(self.experiment.document, ("dataset",), message)
            if len(same) > 1:
                message = f"data set {name} has the class name {yaml_value(class_name)} {len(same)} times, for classes"
                message += f" {' and '.join(same)}; expected a different name for each class"
                self.complain(self.experiment.document, ("dataset",), message)

    def check_cell(self, cell: Cell, name: str, data: ImageData | None) -> PlannedCell | None:
        """The cell with its components bound and its network analysed; None if there is a complaint about it."""
        settings, document = cell.settings, cell.document
        is_list = isinstance(document.value.get("augmentation", document).value, list)
        # Only bound: one that cannot be built for these images is a problem of the cell and not a complaint.
        architecture = self._bind_or_complain("architecture", settings.architecture, document, ("architecture",))
        changes: list[tuple[ComponentRef, KeyPath]] = [
            (ref, ("augmentation", *([index] if is_list else []))) for index, ref in enumerate(settings.augmentation)
        ]
        augmentation = [self._build("augmentation", ref, document, path) for ref, path in changes]
        optimizer = self._build("optimizer", settings.optimizer, document, ("optimizer",))
        training = self._training_plan(cell)
        loss = self._check_loss(settings.loss, document, training, data)
        if cell.settings.training.stop is not None:
            from runner.planning.rare_checks import check_stop

            check_stop(self, cell, data)
        engine = required_engine(optimizer)
        if training and engine and training.engine != engine:
            message = f"{settings.optimizer.name} needs the {engine} engine; training.engine is {training.engine}"
            self.complain(document, ("optimizer",), message)
        # Only after everything is checked, so that one command reports all complaints.
        # By identity: a plugin's rule may not let itself be compared.
        if any(part is None for part in (architecture, optimizer, training, data, *augmentation)):
            return None
        assert architecture is not None and data is not None and training is not None
        planned = self._planned_cell(cell, name, architecture, training, optimizer, loss, data)
        together = bool(planned.settings.training.stacking)
        notes: list[str] = []
        for ref, path in (*changes, (settings.optimizer, ("optimizer",))):
            kind, bound = str(path[0]), self._bind(str(path[0]), ref)
            notes += self.attempt("try_component", kind, bound, document, path, training.engine, data, together)
        return replace(planned, warnings=(*planned.warnings, *dict.fromkeys(notes)), matched=cell.matched)

    def network(self, architecture: ComponentRef) -> str:
        """The text that identifies the network of an architecture that a checked cell without a problem has."""
        return self.cache["analysis", repr(architecture)][1]  # type: ignore[no-any-return]

    def _training_plan(self, cell: Cell) -> TrainingPlan | None:
        """The training settings with ``auto`` resolved, but without stacking, which depends on the network."""
        training = cell.settings.training
        if training.stuck_after is not None and training.stuck_after > training.epochs:
            message = f"found {training.stuck_after}; allowed: 1 to {training.epochs}, the number of epochs"
            self.complain(cell.document, ("training", "stuck_after"), message)

        def resolve(key: str, function: Callable[..., str], *arguments: str) -> Any:
            value = getattr(training, key)
            action = partial(function, value, *arguments)
            return self.guarded(
                cell.document, ("training", key), lambda: self._cached((key, value, *arguments), action)
            )

        engine = resolve("engine", selection.resolve_engine)
        if not engine:
            return None
        device = resolve("device", selection.resolve_device, engine)
        precision = resolve("precision", selection.resolve_precision, engine)
        if not device or not precision:
            return None
        create = partial(_create_training_plan, training, engine, device, precision)
        return self._cached(("training", repr(training)), create)  # type: ignore[no-any-return]

    def _check_loss(
        self, given: ComponentRef, document: Any, training: TrainingPlan | None, data: ImageData | None
    ) -> ComponentRef | None:
        """The bound loss; None if it is the plain cross-entropy, or if there is a complaint."""
        if given == CROSS_ENTROPY:
            return None
        if data is None:
            return self._bind_or_complain("loss", given, document, ("loss",))
        built = self._build("loss", given, document, ("loss",), loss_arguments(data))
        if built is None:
            return None
        if training and training.engine == "numpy" and not hasattr(built, "value_and_gradient"):
            message = f"{given.name} has no value_and_gradient, so it needs the torch engine; training.engine is numpy"
            self.complain(document, ("loss",), message)
        bound = self._bind("loss", given)
        if training and hasattr(built, "value_and_gradient" if training.engine == "numpy" else "values"):
            self.attempt("try_component", "loss", bound, document, ("loss",), training.engine, data, False)
        # By what it amounts to, so that a default that is written out changes no fit.
        return bound if bound.name != CROSS_ENTROPY.name or bound != self._bind("loss", CROSS_ENTROPY) else None

    def _planned_cell(
        self,
        cell: Cell,
        name: str,
        architecture: ComponentRef,
        training: TrainingPlan,
        rule: UpdateRule,
        loss: ComponentRef | None,
        data: ImageData,
    ) -> PlannedCell:
        requested = cell.settings
        augmentation = tuple(self._bind("augmentation", ref) for ref in requested.augmentation)
        optimizer = self._bind("optimizer", requested.optimizer)
        settings = CellSettings(architecture, augmentation, optimizer, training, loss)
        try:
            analysis, network, is_module = self._analyse(architecture, training, data)
        except RunnerError as error:
            # Without a network, the settings have to identify the cell. None of its fits is ever trained.
            return PlannedCell(content_id(settings.to_dict()), name, cell.levels, settings, problem=str(error))
        training = self._add_stacking(cell, training, rule, analysis, is_module)
        if is_module:
            from runner.planning.rare_checks import check_last_batch

            check_last_batch(self, cell, architecture, data)
        # The architecture enters the id as the network that it builds, so that two descriptions of the same network
        # give the same cell. Augmentations and optimizers enter as their names and parameters, which do not show an
        # edit of their code; `code` adds the versions of the plugin files that define them.
        content = {
            "architecture": network,
            "augmentation": f"[{','.join(map(self._canonical_text, augmentation))}]",
            "optimizer": self._canonical_text(optimizer),
            "training": self._canonical_text(training),
            # Records do not say for which images they are: the same ones are another network for another shape.
            "shape": canonical_text(data.shape),
            "classes": canonical_text(data.classes),
            "code": canonical_text(self._code_versions(cell, loss)),
        }
        if loss:
            # With the names of the classes, by which it may weigh them.
            content["loss"] = canonical_text([loss.to_dict(), *data.class_names])
        return PlannedCell(
            mapping_id(content), name, cell.levels, replace(settings, training=training),
            analysis.parameters, analysis.macs, analysis.receptive_field, timeout=requested.training.timeout,
            checkpoint=requested.training.checkpoint, warnings=analysis.warnings, retries=requested.training.retries,
        )  # fmt: skip

    def _analyse(
        self, architecture: ComponentRef, training: TrainingPlan, data: ImageData
    ) -> tuple[Analysis, str, bool]:
        """The analysis of the network, the canonical text that identifies it, and whether it is a torch module.

        Raises RunnerError if the network cannot be built or trained.
        """

        def action() -> tuple[Analysis, str, bool]:
            analysis, identity = examine(self.catalog, architecture, data.shape, data.classes)
            # `examine` gives only the identity of a torch module this key.
            return analysis, canonical_text(identity), "module" in identity

        analysis, network, is_module = self._cached(("analysis", repr(architecture)), action)
        # Outside of the cache: cells with the same architecture may have different engines.
        if is_module and training.engine != "torch":
            raise RunnerError(f"{architecture} is a torch module, which the {training.engine} engine cannot train")
        if analysis.own:
            from runner.engines.own_layers import refuse_failing  # rarely needed

            for layer in analysis.own:
                key = ("own layer", repr(layer), training.engine)
                self._cached(key, partial(refuse_failing, layer, training.engine))
        # Whole numbers have no limit, but costs are computed as floats, and a float of over 10^308 is an error.
        if max(analysis.parameters, analysis.macs or 0, analysis.activations or 0) > MAX_SIZE:
            raise RunnerError(f"{architecture} has over 10^18 parameters, multiply-adds or activations")
        return analysis, network, is_module

    def _add_stacking(
        self, cell: Cell, training: TrainingPlan, rule: UpdateRule, analysis: Analysis, is_module: bool
    ) -> TrainingPlan:
        validation = self.experiment.header.cross_validation
        obstacle = stacking.obstacle(training.engine, is_module, rule)

        def decide() -> int | None:
            requested = cell.settings.training.stacking
            return stacking.decide(requested, obstacle, training, analysis, validation.fold_count, validation.repeats)

        return replace(training, stacking=self.guarded(cell.document, ("training", "stacking"), decide))

    def _code_versions(self, cell: Cell, loss: ComponentRef | None) -> list[str]:
        """The versions of the plugin files that define the cell's augmentations, optimizer and loss."""
        refs = [("augmentation", ref) for ref in cell.settings.augmentation] + [("optimizer", cell.settings.optimizer)]
        refs += [("loss", loss)] if loss else []
        entries = [self.catalog.find(kind, ref.name) for kind, ref in refs]
        # Cached, because finding the files of a plugin takes longer than all else that is done for a cell.
        return [
            self._cached(("code", entry.module, entry.component.name), partial(getattr, entry, "version"))
            for entry in entries
        ]

    def _build(
        self, kind: str, ref: ComponentRef, document: Any, path: tuple[str | int, ...], arguments: tuple[Any, ...] = ()
    ) -> Any:
        """The component that `ref` describes; None, after a complaint, if it cannot be built."""
        bound = self._bind_or_complain(kind, ref, document, path)
        if bound is None:
            return None

        def build() -> Any:
            with watched(self.catalog.find(kind, ref.name), bound):
                built = self.catalog.build(kind, bound, *arguments)
            if kind == "optimizer":
                self._refuse_unusable(bound, built)
            return built

        return self.guarded(document, path, lambda: self._cached(("built", kind, repr(ref)), build))

    def _refuse_unusable(self, ref: ComponentRef, rule: UpdateRule) -> None:
        entry, options = self.catalog.find("optimizer", ref.name), self.catalog.rule_options(ref)
        if options.multipliers or is_around_torch(rule):
            from runner.engines import rule_check  # rarely needed

            rule_check.refuse_unusable(rule, options, rule_check.label(entry, ref))

    def attempt(
        self, trial: str, kind: str, ref: ComponentRef, document: Any, path: KeyPath, *how: Any
    ) -> tuple[str, ...]:
        """Complain about a plugin's component that breaks its promises in `trial`; what is worth knowing about others.

        `trial` is a function of `plugin_trials`, and `how` its further arguments. Built-in components are not tried,
        apart from modules, which other packages may make.
        """
        if kind != "architecture" and self.catalog.find(kind, ref.name).is_ours:
            return ()
        from runner.planning import plugin_trials  # rarely needed, and it loads NumPy

        action = partial(getattr(plugin_trials, trial), self.catalog, kind, ref, *how)
        found = self._cached((trial, kind, repr(ref), repr(how)), action)
        for fault in found.faults:
            self.complain(document, path, fault)
        return found.notes  # type: ignore[no-any-return]

    def _bind_or_complain(
        self, kind: str, ref: ComponentRef, document: Any, path: tuple[str | int, ...]
    ) -> ComponentRef | None:
        return self.guarded(document, path, lambda: self._bind(kind, ref))  # type: ignore[no-any-return]

    def _bind(self, kind: str, ref: ComponentRef) -> ComponentRef:
        # The key has repr(ref): a reference cannot be hashed, and as keys 1, 1.0 and True would be equal.
        bind = partial(self.catalog.bind, kind, ref)
        return self._cached(("bound", kind, repr(ref)), bind)  # type: ignore[no-any-return]

    def _canonical_text(self, record: ComponentRef | TrainingPlan) -> str:
        return self._cached(("text", repr(record)), lambda: canonical_text(record.to_dict()))  # type: ignore[no-any-return]

    def _cached(self, key: tuple[Any, ...], action: Callable[[], Any]) -> Any:
        """The result of `action`, which runs once per `key`; an error that it raises is raised again each time."""
        if key not in self.cache:
            try:
                self.cache[key] = action()
            except (InvalidValues, RunnerError) as error:
                self.cache[key] = error
        result = self.cache[key]
        if isinstance(result, (InvalidValues, RunnerError)):
            raise result.with_traceback(None)  # each raise of the same object would lengthen its traceback
        return result

    def guarded(self, document: Any, path: tuple[str | int, ...], action: Callable[[], Any]) -> Any:
        """The result of `action`; None, after a complaint about `path`, if it raises."""
        try:
            return action()
        except InvalidValues as error:
            for inner, message in error.problems:
                self.complain(document, (*path, *inner), message)
        except RunnerError as error:
            self.complain(document, path, str(error))
        return None

    def complain(self, document: Any, path: tuple[str | int, ...], message: str) -> None:
        self.complaints.append(Complaint(document.find(path), dotted(path), message))


def loss_arguments(data: ImageData) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """What a loss is built with while a plan is made: the classes, and equally many images of each."""
    return tuple(data.class_names), (max(1, data.size // data.classes),) * data.classes


def resolve_auto(training: Training) -> Training:
    """The settings with ``auto`` replaced by what it means here, except for `stacking`; unchanged if impossible."""
    try:
        engine = selection.resolve_engine(training.engine)
        device = selection.resolve_device(training.device, engine)
    except RunnerError:
        return training
    return training.model_copy(update={"engine": engine, "device": device})


def _create_training_plan(training: Training, engine: str, device: str, precision: str) -> TrainingPlan:
    unresolved = training.model_dump(include={"epochs", "batch_size", "stuck_after"})
    stop = EarlyStop(**training.stop.model_dump()) if training.stop else None
    return TrainingPlan(engine=engine, device=device, precision=precision, stop=stop, **unresolved)
