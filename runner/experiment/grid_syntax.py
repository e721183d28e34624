"""Parses the `grid` and `exclude` sections into factors, levels and exclusions, and checks their form."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from runner.errors import Complaint
from runner.experiment.schema import FACTOR_ROOTS, Block, Header, Level
from runner.files.yaml_nodes import Node
from runner.text import call, did_you_mean, is_name, yaml_value

RESERVED = frozenset(
    """id cell repeat fold status reason val_accuracy val_loss train_accuracy train_loss test_accuracy
    test_loss epochs best_epoch seconds worker fits ok failed mean std ci_low ci_high rank_low rank_high
    val_accuracy_mean val_loss_mean train_accuracy_mean train_loss_mean test_accuracy_mean test_loss_mean parameters
    macs receptive_field balanced_accuracy test_accuracy_std test_accuracy_noise""".split()  # noqa: SIM905 (easier to read than a list of quoted names)
)
"""Columns of the CSV tables. A factor becomes a column too, so it cannot have one of these names."""

_NO_CONTROL = "no line breaks and other control characters"


@dataclass(frozen=True)
class GridSection:
    """The parsed grid. `exclude` holds one mapping from factors to level labels per exclusion."""

    blocks: tuple[Block, ...]
    exclude: tuple[dict[str, str], ...]

    @property
    def paths(self) -> set[str]:
        """The paths that any level sets."""
        return {p for block in self.blocks for levels in block.values() for level in levels for p in level.settings}

    @property
    def always_set(self) -> set[str]:
        """The paths that every cell sets: in each block, all levels of some factor set them."""
        blocks = [
            {path for levels in block.values() for path in set.intersection(*(set(level.settings) for level in levels))}
            for block in self.blocks
            # A factor without levels has its complaint already, and set.intersection() of none would raise.
            if all(block.values())
        ]
        return set.intersection(*blocks) if blocks else set()


def level_label(value: Any) -> str:
    """A level's label derived from its value: ``max_pool``, ``0.001``, ``shift+flip``, ``shift(pixels=2)``,
    ``{patience: 3}``.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "+".join(map(level_label, value)) or "[]"
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        return call(value["name"], {key: item for key, item in value.items() if key != "name"}, level_label)
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {level_label(item)}' for key, item in value.items())}}}"  # as in the file
    return json.dumps(value)


def parse_grid(document: Node, complaints: list[Complaint]) -> GridSection:
    """The blocks and exclusions of `document`; errors are added to `complaints`.

    Without a grid there is one empty block, which expands to one cell.
    """
    grid = document.value.get("grid")
    sections = [grid] if grid is not None else []
    if grid is not None and isinstance(grid.value, list):
        sections = grid.value
    blocks = tuple(_parse_block(section, complaints) for section in sections) or ({},)
    exclude = document.value.get("exclude")
    return GridSection(blocks, _parse_exclude(exclude, blocks, complaints) if exclude is not None else ())


def _parse_block(section: Node, complaints: list[Complaint]) -> Block:
    if not isinstance(section.value, dict):
        found = yaml_value(section.to_data())
        message = f"found {found}; expected a mapping from factors to their levels, or a list of such mappings"
        complaints.append(Complaint(section.where, "grid", message))
        return {}
    block = {factor: _parse_levels(section, factor, node, complaints) for factor, node in section.items()}
    _check_shared_paths(section, block, complaints)
    if any(level.match for levels in block.values() for level in levels):
        from runner.experiment.match_rules import check_rules  # rarely needed

        check_rules(block, complaints)
    for factor, levels in block.items():
        for kind, name in (("factor", factor), *(("level", level.label) for level in levels)):
            if not is_name(name) or name != name.strip() or not name:
                allowed = "some text, without spaces around it" if is_name(name) else _NO_CONTROL
                message = f"found the {kind} {yaml_value(name)}; allowed: {allowed}"
                complaints.append(Complaint(section.find((factor,)), f"grid.{factor}", message))
    return block


def _parse_levels(section: Node, factor: str, node: Node, complaints: list[Complaint]) -> list[Level]:
    path = f"grid.{factor}"
    where = section.find((factor,))
    if factor in RESERVED:
        message = f"'{factor}' is reserved for a column of the tables; rename the factor"
        complaints.append(Complaint(where, path, message))
    if not isinstance(node.value, (list, dict)) or not node.value:
        message = f"found {yaml_value(node.to_data())}; expected a list of values, or a mapping of named levels"
        complaints.append(Complaint(where, path, message))
        return []
    if isinstance(node.value, dict):
        return _parse_named_levels(node, factor, complaints)
    _check_path(node, path, factor, complaints, f"'{factor}' is not a path to a setting, so it needs named levels")
    levels = [Level(level_label(item.to_data()), {factor: item}) for item in node.value]
    for index, level in enumerate(levels):
        # By label, which tables and exclusions go by: 3 and '3' differ as values, but could not be told apart there.
        if level.label in [earlier.label for earlier in levels[:index]]:
            complaints.append(Complaint(node.find((index,)), path, f"level {level.label} is listed twice"))
    return levels


def _parse_named_levels(node: Node, factor: str, complaints: list[Complaint]) -> list[Level]:
    """The levels of a factor; those without a rule of their own have that of the factor, if it has one."""
    path, rule = f"grid.{factor}", None
    named = dict(node.items())
    if "match" in named and not _sets_paths(named["match"]):
        from runner.experiment.match_rules import parse_rule  # rarely needed

        rule = parse_rule(named.pop("match"), f"{path}.match", factor, complaints, node.find(("match",)))
    levels = [_parse_named_level(node, factor, name, inner, complaints) for name, inner in named.items()]
    if rule is None:
        return levels
    # Not to the level that the others are matched with, if nothing else tells the two cells apart.
    own = [level.label for level in levels if not level.match and rule.like != {factor: level.label}]
    if not own:
        complaints.append(rule.complaint("", "there is no level to match; expected one beside that of like"))
    return [replace(level, match=rule) if level.label in own else level for level in levels]


def _sets_paths(node: Node) -> bool:
    """Whether this is a level that happens to be called match, and not a rule."""
    return isinstance(node.value, dict) and all(key.partition(".")[0] in FACTOR_ROOTS for key in node.value)


def _parse_named_level(node: Node, factor: str, name: str, inner: Node, complaints: list[Complaint]) -> Level:
    path = f"grid.{factor}"
    where = node.find((name,))
    # An empty mapping is a level too, at which the factor sets nothing.
    if not isinstance(inner.value, dict):
        found = yaml_value(inner.to_data())
        message = f"found {found}; expected a mapping from paths to values, such as {{training.epochs: 3}}, or {{}}"
        complaints.append(Complaint(where, f"{path}.{name}", message))
        # The complaint ends the load; the name is still needed to check `exclude`.
        return Level(name, {})
    settings, rule = dict(inner.items()), None
    if "match" in settings:
        from runner.experiment.match_rules import parse_rule  # rarely needed

        place = inner.find(("match",))
        rule = parse_rule(settings.pop("match"), f"{path}.{name}.match", factor, complaints, place)
    for key, value in settings.items():
        _check_path(value, f"{path}.{name}", key, complaints, f"'{key}' is not a path that a level can set")
    return Level(name, settings, rule)


def _check_path(node: Node, path: str, key: str, complaints: list[Complaint], message: str) -> None:
    """Add a complaint if `key` is not a path that may vary; `message` describes an unknown path."""
    root, _, rest = key.partition(".")
    # Before the other keys of the header, as this one has a reason to give.
    if root == "dataset":
        message = "the data set cannot vary within an experiment, because all cells share the same splits"
        complaints.append(Complaint(node.where, path, f"{message}; write one experiment per data set"))
    elif root not in FACTOR_ROOTS:
        if root in Header.model_fields:
            message = f"'{key}' cannot vary within an experiment"
        complaints.append(Complaint(node.where, path, f"{message}{did_you_mean(root, FACTOR_ROOTS)}"))
    elif root == "training" and not rest:
        complaints.append(Complaint(node.where, path, "set one of its keys, such as training.epochs"))


def _check_shared_paths(section: Node, block: Block, complaints: list[Complaint]) -> None:
    """Add a complaint for each path that two factors of a block set: one would silently overwrite the other."""
    owner: dict[str, str] = {}
    for factor, levels in block.items():
        # Equal paths only: `optimizer` and `optimizer.lr` may both vary, as expand sets the shorter one first.
        for path in {path for level in levels for path in level.settings}:
            if owner.setdefault(path, factor) != factor:
                message = f"sets {path}, which factor '{owner[path]}' also sets"
                complaints.append(Complaint(section.find((factor,)), f"grid.{factor}", message))


def _parse_exclude(node: Node, blocks: tuple[Block, ...], complaints: list[Complaint]) -> tuple[dict[str, str], ...]:
    labels: dict[str, list[str]] = {}
    for block in blocks:
        for factor, levels in block.items():
            # With several blocks a factor may have the level "base", where a block does not vary it.
            labels.setdefault(factor, ["base"] if len(blocks) > 1 else []).extend(level.label for level in levels)
    if not isinstance(node.value, list):
        message = f"found {yaml_value(node.to_data())}; expected a list of mappings from factors to levels"
        complaints.append(Complaint(node.where, "exclude", message))
        return ()
    return tuple(parse_levels(item, f"exclude[{index}]", labels, complaints) for index, item in enumerate(node.value))


def parse_levels(item: Node, path: str, labels: dict[str, list[str]], complaints: list[Complaint]) -> dict[str, str]:
    """The levels that the mapping at `path` names, by factor; `labels` has the levels that each factor has."""
    if not isinstance(item.value, dict) or not item.value:
        message = f"found {yaml_value(item.to_data())}; expected a mapping from factors to levels"
        complaints.append(Complaint(item.where, path, message))
        return {}
    # A level without a name is given by its value, which has the same label here as in the grid.
    exclusion = {factor: level_label(node.to_data()) for factor, node in item.items()}
    for factor, level in exclusion.items():
        if factor not in labels:
            message = f"unknown factor '{factor}'{did_you_mean(factor, labels) or '; there is no grid'}"
            complaints.append(Complaint(item.find((factor,)), path, message))
        elif level not in labels[factor]:
            node = item.value[factor]
            message = f"unknown level '{level}' of factor '{factor}'"
            if isinstance(node.value, list):
                message = f"found {yaml_value(node.to_data())}; expected one level"
            message += did_you_mean(level, labels[factor])
            complaints.append(Complaint(item.find((factor,)), path, message))
    return exclusion
