"""What a section of a document amounts to once it is bound: defaults added, values converted, ``auto`` resolved."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from runner.components.catalog import Catalog
from runner.components.validation import InvalidValues, validate
from runner.errors import RunnerError
from runner.experiment.schema import (
    DEFAULTS,
    NO_AUGMENTATION,
    Training,
    parse_component,
    parse_components,
    parse_loss,
)
from runner.files.yaml_nodes import Node

Resolve = Callable[[Training], Training]
"""Replaces the ``auto`` of training settings by what it means on this machine."""
Amount = Mapping[str, str]
"""Each key of a bound section with its value as text, in which a list and a tuple are equal, and 1 and 1.0 are not."""


class BoundSections:
    """Says what sections amount to, however they are written; binds each way of writing one once."""

    def __init__(self, catalog: Catalog, resolve: Resolve) -> None:
        self._catalog, self._resolve = catalog, resolve
        self._amounts: dict[tuple[str, str], Amount | None] = {}

    def amount(self, document: Node, section: str) -> Amount | None:
        """What `section` of `document` amounts to; None if it is not valid, which the checks of cells complain about.

        Several augmentations have one key, as a path cannot lead into their list.
        """
        node = document.value.get(section)
        data = DEFAULTS.get(section) if node is None else node.to_data()
        # By repr, as for keys 1, 1.0 and True would be equal.
        key = section, repr(data)
        if key not in self._amounts:
            try:
                bound = self._bind(section, data)
                self._amounts[key] = {k: json.dumps(item, sort_keys=True, default=repr) for k, item in bound.items()}
            except (InvalidValues, RunnerError, ValueError):
                self._amounts[key] = None
        return self._amounts[key]

    def _bind(self, section: str, data: Any) -> dict[str, Any]:
        if section == "training":
            return self._resolve(validate(_training_adapter(), data)).model_dump()
        if section == "augmentation":
            # Without those that do nothing: [], none and [none, none] are the same.
            refs = [ref for ref in parse_components(data) if ref != NO_AUGMENTATION]
            bound = [self._catalog.bind(section, ref).to_dict() for ref in refs]
            return bound[0] if len(bound) == 1 else {"": bound}
        parse = parse_loss if section == "loss" else parse_component
        return self._catalog.bind(section, parse(data)).to_dict()


@lru_cache  # pydantic compiles an adapter when it is created
def _training_adapter() -> TypeAdapter[Training]:
    return TypeAdapter(Training)
