"""Solves the settings that a grid leaves open with `match`: with which a cell costs as much as another one.

The other cell, the reference, differs in the levels that the rule names. A rule varies one number, or the proportion of
several: then the largest of them is any whole number, and the others keep their proportion to it, rounded. A number
with a fraction is solved in hundredths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runner.components.catalog import Catalog
from runner.components.records import ComponentRef, ImageData
from runner.components.rule_options import passes
from runner.components.validation import InvalidValues
from runner.errors import Complaint, RunnerError
from runner.experiment.apply import apply_levels
from runner.experiment.match_rules import EPOCHS, Match
from runner.experiment.schema import Block, Experiment, Level, parse_component
from runner.files.yaml_nodes import Node
from runner.fits.records import Matched, Solved
from runner.planning.best_integer import Values, best_integer, distance
from runner.planning.costs_of import costs_of
from runner.planning.match_text import NAMES, off_text, quantity_text, solved_text
from runner.text import did_you_mean, level_name, yaml_value

CELL = "{cell}"
"""Stands for the cell's name in what several cells may have in common."""
FRACTION = 100
"""Into how many parts a number with a fraction is divided."""


class _NotMatched(Exception):
    """Why a cell cannot be matched; `key` is that of the rule that is at fault."""

    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True)
class _Settings:
    """What the cost of a cell follows from: its bound architecture, its epochs, and the gradients of a step."""

    architecture: ComponentRef
    epochs: int
    passes: int


@dataclass(frozen=True)
class _Scale:
    """The values of the paths that a rule varies, as a function of one whole number.

    `base` has the values by path as they are written; a number stands for a list of one. `parts` is what the whole
    number is divided by.
    """

    base: Mapping[str, tuple[int, ...]]
    listed: frozenset[str]
    parts: int = 1

    def at(self, number: int) -> dict[str, Solved]:
        """The values by path."""
        if self.parts > 1:
            return dict.fromkeys(self.base, number / self.parts)
        largest = max(value for values in self.base.values() for value in values)
        scaled = {
            # Rounded half up, in whole numbers, so that it is exact.
            path: tuple(max(1, (2 * value * number + largest) // (2 * largest)) for value in values)
            for path, values in self.base.items()
        }
        return {path: values if path in self.listed else values[0] for path, values in scaled.items()}


class CellMatcher:
    """A `Matcher`; what depends on the same settings is computed once."""

    def __init__(self, experiment: Experiment, catalog: Catalog, data: ImageData) -> None:
        self._experiment, self._catalog, self._data = experiment, catalog, data
        self._costs: dict[tuple[str, str], Values | None] = {}
        self._found: dict[tuple[Any, ...], int | None] = {}

    def __call__(
        self, block: Block, combination: dict[str, Level], document: Node, complaints: list[Complaint]
    ) -> tuple[Node, Matched | None]:
        """The document with what the cell's rule solves, and what that is; unchanged if the cell has no rule.

        It is unchanged too if a part of the cell is not valid, about which its checks complain.
        """
        rule = next((level.match for level in combination.values() if level.match), None)
        if rule is None:
            return document, None
        named = {factor: _named(block, factor, label) for factor, label in rule.like.items()}
        if all(level.label == combination[factor].label for factor, level in named.items()):
            return document, None  # the others are matched with this cell
        other = apply_levels(self._experiment.document, (combination | named).values(), complaints)
        try:
            own = self._settings(document, rule)
        except (InvalidValues, RunnerError, ValueError):
            return document, None
        try:
            matched = self._solve(rule, own, self._target(rule, other))
        except _NotMatched as reason:
            name = ", ".join(level_name(factor, level.label) for factor, level in combination.items())
            complaints.append(rule.complaint(reason.key, str(reason).replace(CELL, f"cell '{name}'")))
            return document, None
        return _with_values(document, matched.values, rule), matched

    def _settings(self, document: Node, rule: Match | None = None) -> _Settings:
        """Those of a document; raises InvalidValues, RunnerError or ValueError if they are not valid."""
        ref, optimizer = (parse_component(document.value[key].to_data()) for key in ("architecture", "optimizer"))
        # A parameter without a default may be left to the rule.
        entry = self._catalog.find("architecture", ref.name)
        keys = [path.partition(".")[2] for path in (rule.vary if rule else ())]
        open_ = {key: 1 for key in keys if key in entry.parameters and entry.parameters[key].required}
        bound = self._catalog.bind("architecture", ComponentRef(ref.name, {**open_, **ref.parameters}))
        training = document.value["training"].to_data() if "training" in document.value else {}
        epochs = training.get("epochs", 1 if rule and EPOCHS in rule.vary else None)
        if type(epochs) is not int or epochs < 1:
            raise ValueError("not a number of epochs")
        return _Settings(bound, epochs, passes(self._catalog.bind("optimizer", optimizer).parameters))

    def _target(self, rule: Match, reference: Node) -> Values:
        try:
            settings = self._settings(reference)
            found = self._cost(rule.keep, settings)
        except InvalidValues as error:
            _, message = error.problems[0]
            raise _NotMatched(f"the cell that {_like(rule)} has is not valid: {message}", "like") from None
        except (RunnerError, ValueError) as error:
            raise _NotMatched(f"the cell that {_like(rule)} has is not valid: {error}", "like") from None
        if found is None:
            raise _NotMatched(f"the {NAMES[rule.keep]} of {settings.architecture} cannot be known", "keep")
        return found

    def _solve(self, rule: Match, own: _Settings, target: Values) -> Matched:
        scale = _scale(rule, own)

        def quantity(number: int) -> Values | None:
            try:
                return self._cost(rule.keep, self._at(own, scale.at(number)))
            except (InvalidValues, RunnerError):
                return None

        # Cells that differ in other settings have the same answer.
        key = (repr(own), repr(scale), rule.keep, target)
        if key not in self._found:
            self._found[key] = best_integer(quantity, target)
        number = self._found[key]
        found = quantity(number) if number else None
        paths = " and ".join(rule.vary)
        if number is None or found is None:
            raise _NotMatched(f"{CELL} is a network that cannot be built at any {paths}", "vary")
        if _is_flat(quantity, found):
            raise _NotMatched(f"{paths} does not change the {NAMES[rule.keep]} of {own.architecture.name}", "vary")
        matched = Matched(rule.keep, rule.like, rule.within, scale.at(number), found, target)
        if distance(found, target) > rule.within * (1 + 1e-9):
            raise _NotMatched(
                f"{CELL} cannot have the {quantity_text(rule.keep, target)} of {_like(rule)} within"
                f" {100 * rule.within:g}%; the nearest is {solved_text(matched)} with"
                f" {quantity_text(rule.keep, found)} ({off_text(matched.off)})"
            )
        return matched

    def _at(self, own: _Settings, values: Mapping[str, Solved]) -> _Settings:
        """The settings with the solved values; raises InvalidValues for those that a parameter may not have."""
        parameters = {path.partition(".")[2]: _plain(value) for path, value in values.items() if path != EPOCHS}
        epochs = values.get(EPOCHS, own.epochs)
        assert isinstance(epochs, int)
        if not parameters:
            return _Settings(own.architecture, epochs, own.passes)
        given = ComponentRef(own.architecture.name, {**own.architecture.parameters, **parameters})
        return _Settings(self._catalog.bind("architecture", given), epochs, own.passes)

    def _cost(self, keep: str, settings: _Settings) -> Values | None:
        """The quantity `keep`, None if it is unknown; raises RunnerError if there is no such network."""
        kind = "macs" if keep == "seconds" else keep
        key = (kind, repr(settings.architecture))
        if key not in self._costs:
            self._costs[key] = costs_of(self._catalog, settings.architecture, self._data, kind)
        found = self._costs[key]
        if keep != "seconds" or found is None:
            return found
        return tuple(macs * settings.passes * settings.epochs for macs in found)


def _named(block: Block, factor: str, label: str) -> Level:
    return next(level for level in block[factor] if level.label == label)


def _like(rule: Match) -> str:
    return ", ".join(level_name(factor, label) for factor, label in rule.like.items())


def _plain(value: Solved) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _with_values(document: Node, values: Mapping[str, Solved], rule: Match) -> Node:
    where = rule.complaint("vary", "").where
    for path, value in values.items():
        root, _, key = path.partition(".")
        node = Node(value, where) if not isinstance(value, tuple) else Node([Node(v, where) for v in value], where)
        document = document.with_component_expanded(root).with_value((root, key), node)
    return document


def _scale(rule: Match, own: _Settings) -> _Scale:
    """What the rule varies, from the values that the cell has."""
    name, known = own.architecture.name, own.architecture.parameters
    base: dict[str, tuple[int, ...]] = {}
    listed: set[str] = set()
    for path in rule.vary:
        key = path.partition(".")[2]
        if path != EPOCHS and key not in known:
            raise _NotMatched(f"{name} has no parameter '{key}'{did_you_mean(key, known)}", "vary")
        value: Any = own.epochs if path == EPOCHS else known[key]
        if isinstance(value, float) and len(rule.vary) == 1:
            return _Scale({path: (1,)}, frozenset(), FRACTION)
        is_list = isinstance(value, (list, tuple))
        listed |= {path} if is_list else set()
        # Nothing, as a rule, stands for a number that follows from others.
        values = tuple(value) if is_list else (1 if value is None and len(rule.vary) == 1 else value,)
        if not values or any(type(number) is not int or number < 1 for number in values):
            allowed = "a parameter that is a whole number from 1, a list of them, or alone a number with a fraction"
            raise _NotMatched(f"{path} of {name} is {yaml_value(_plain(value))}; allowed: {allowed}", "vary")
        base[path] = values
    return _Scale(base, frozenset(listed))


def _is_flat(quantity: Callable[[int], Values | None], found: Values) -> bool:
    """Whether the quantity is the same at all numbers, as far as can be seen."""
    return all(quantity(2**power) in (None, found) for power in range(13))
