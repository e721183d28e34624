"""The rules of `match` in a grid: read from the file, then checked against the levels of their block."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.errors import Complaint, Location
from runner.experiment.grid_syntax import level_label
from runner.experiment.schema import Block, Level
from runner.files.yaml_nodes import Node
from runner.text import did_you_mean, yaml_value

QUANTITIES = ("parameters", "macs", "activations", "seconds", "receptive_field")
KEYS = ("vary", "keep", "like", "within")
DEFAULT_WITHIN = 0.02
EPOCHS = "training.epochs"
EXAMPLE = "{vary: architecture.width, keep: macs, like: {filters: 7x7}, within: 2%}"

_PERCENT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*")


@dataclass(frozen=True)
class Match:
    """A rule that a plan solves: values of the paths `vary` with which a cell has as much of `keep` as another cell.

    The other cell is the same but for the levels `like`. `within` is the largest difference, as a fraction. `path` and
    `places` (the rule's own, under "", and those of its keys) are for messages: equal rules may stand in two places.
    """

    vary: tuple[str, ...]
    keep: str
    like: dict[str, str]
    within: float
    path: str = field(compare=False, repr=False)
    places: Mapping[str, Location] = field(compare=False, repr=False)

    def complaint(self, key: str, message: str) -> Complaint:
        """A complaint about one of the rule's keys, or with "" about the whole of it."""
        return Complaint(self.places.get(key, self.places[""]), f"{self.path}.{key}".rstrip("."), message)


def parse_rule(node: Node, path: str, factor: str, complaints: list[Complaint], where: Location) -> Match | None:
    """The rule of `node`, which stands in `factor`; None, with complaints, if it is not valid in form."""
    if not isinstance(node.value, dict):
        found = yaml_value(node.to_data())
        complaints.append(Complaint(where, path, f"found {found}; expected a mapping such as {EXAMPLE}"))
        return None
    before = len(complaints)
    for key in node.value:
        if key not in KEYS:
            message = f"unknown key '{key}'{did_you_mean(key, KEYS)}"
            complaints.append(Complaint(node.find((key,)), f"{path}.{key}", message))
    values: dict[str, Any] = {}
    for key, read in (("vary", _vary), ("keep", _keep), ("like", _like), ("within", _within)):
        part = node.value.get(key)
        if part is None and key != "within":
            complaints.append(Complaint(where, path, f"is missing {key}; expected a mapping such as {EXAMPLE}"))
            continue
        try:
            values[key] = DEFAULT_WITHIN if part is None else read(part, factor)
        except ValueError as error:
            complaints.append(Complaint(node.find((key,)), f"{path}.{key}", str(error)))
    if len(complaints) > before:
        return None
    rule = Match(path=path, places={"": where} | {key: node.find((key,)) for key in node.value}, **values)
    if EPOCHS in rule.vary and rule.keep != "seconds":
        complaints.append(rule.complaint("vary", f"{EPOCHS} changes nothing but seconds; keep is {rule.keep}"))
        return None
    return rule


def _vary(node: Node, _: str) -> tuple[str, ...]:
    data = node.to_data()
    paths = data if isinstance(data, list) else [data]
    for path in paths:
        is_path = isinstance(path, str) and re.fullmatch(r"architecture\.[^.]+", path) and path != "architecture.name"
        if not is_path and path != EPOCHS:
            allowed = "a parameter of the architecture, such as architecture.width, or a list of them"
            raise ValueError(f"found {yaml_value(path)}; allowed: {allowed}; to keep seconds, also training.epochs")
    if not paths or len(set(paths)) < len(paths):
        raise ValueError(f"found {yaml_value(data)}; expected one path, or a list of different ones")
    return tuple(paths)


def _keep(node: Node, _: str) -> str:
    if node.to_data() not in QUANTITIES:
        found = node.to_data()
        raise ValueError(f"found {yaml_value(found)}{did_you_mean(found, QUANTITIES)}")
    return str(node.value)


def _like(node: Node, factor: str) -> dict[str, str]:
    if isinstance(node.value, dict) and node.value:
        return {name: level_label(level.to_data()) for name, level in node.items()}
    if isinstance(node.value, (dict, list)) or node.value is None:
        expected = f"expected a level of this factor, or a mapping such as {{{factor}: LEVEL}}"
        raise ValueError(f"found {yaml_value(node.to_data())}; {expected}")
    return {factor: level_label(node.value)}


def _within(node: Node, _: str) -> float:
    value, percent = node.to_data(), None
    if isinstance(value, str) and (percent := _PERCENT.fullmatch(value)):
        value = float(percent[1]) / 100
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        meant = f"; did you mean {value:g}%?" if type(value) in (int, float) and 1 <= value < 100 else ";"
        found = yaml_value(node.to_data())
        raise ValueError(f"found {found}{meant} allowed: a percentage from 0% and below 100%, such as 2%")
    return float(value)


def check_rules(block: Block, complaints: list[Complaint]) -> None:
    """Add the complaints about rules that do not fit the other levels of their block."""
    ruled = {factor: rules for factor, levels in block.items() if (rules := _rules(levels))}
    for rules in [*ruled.values()][1:]:
        message = f"factor '{next(iter(ruled))}' has a match too; allowed: one factor with match in each grid"
        complaints.append(rules[0].complaint("", message))
    for factor, rules in ruled.items():
        for rule in rules:
            complaints += _check_like(block, factor, rule)
            complaints += _check_vary(block, factor, rule)


def _rules(levels: list[Level]) -> list[Match]:
    """The rules of a factor's levels, each once: several levels may share one."""
    return list({rule.path: rule for level in levels if (rule := level.match)}.values())


def _check_like(block: Block, own: str, rule: Match) -> list[Complaint]:
    found = []
    for factor, label in rule.like.items():
        levels = {level.label: level for level in block.get(factor, ())}
        if factor not in block:
            found.append(rule.complaint("like", f"unknown factor '{factor}'{did_you_mean(factor, block)}"))
        elif label not in levels:
            message = f"unknown level '{label}' of factor '{factor}'{did_you_mean(label, levels)}"
            found.append(rule.complaint("like", message))
        elif factor == own and levels[label].match not in (None, rule):
            fixed = [name for name, level in levels.items() if level.match is None]
            message = f"level '{label}' of factor '{factor}' is matched itself{did_you_mean('', fixed)}"
            found.append(rule.complaint("like", message))
    if all(rule.like == {own: level.label} for level in block[own] if level.match is rule):
        found.append(rule.complaint("like", "names the level itself; expected another one"))
    return found


def _check_vary(block: Block, factor: str, rule: Match) -> list[Complaint]:
    found = []
    for path in rule.vary:
        if path in block and path != factor:
            name = path.rpartition(".")[2]
            named = f"{{small: {{{path}: 8}}, large: {{{path}: 16}}}}"
            message = f"factor '{path}' varies it too, and its levels would not be what cells have; name them: {name}s:"
            found.append(rule.complaint("vary", f"{message} {named}"))
        for level in block[factor]:
            # With several paths, or a list, what is written gives the proportions of what is solved.
            if len(rule.vary) == 1 and level.match is rule and (where := _set_by(level, path)):
                message = f"sets {path}, which match solves; leave it out there"
                found.append(Complaint(where, f"grid.{factor}.{level.label}", message))
    return found


def _set_by(level: Level, path: str) -> Location | None:
    """Where a level sets one number at `path`."""
    root, _, key = path.partition(".")
    node = level.settings.get(path)
    if node is None and (whole := level.settings.get(root)) is not None and isinstance(whole.value, dict):
        node = whole.value.get(key)
    return None if node is None or isinstance(node.value, list) else node.where
