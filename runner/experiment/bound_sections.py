"""What a section of a document amounts to once it is bound: defaults added, values converted, ``auto`` resolved."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from runner.components.catalog import Catalog
from runner.components.validation import InvalidValues, validate
from runner.errors import RunnerError
from runner.experiment.schema import NO_AUGMENTATION, Training, parse_component, parse_components
from runner.files.yaml_nodes import Node

Resolve = Callable[[Training], Training]
"""Replaces the ``auto`` of training settings by what it means on this machine."""


class BoundSections:
    """Says which sections amount to the same, however they are written; binds each way of writing one once."""

    def __init__(self, catalog: Catalog, resolve: Resolve) -> None:
        self._catalog, self._resolve = catalog, resolve
        self._amounts: dict[tuple[str, str], tuple[bool, str]] = {}

    def amount(self, document: Node, section: str) -> tuple[bool, str]:
        """Whether `section` of `document` can be bound, and as text what it then amounts to, or else what it holds."""
        node = document.value.get(section)
        data = NO_AUGMENTATION.name if node is None and section == "augmentation" else node and node.to_data()
        # By repr, as for keys 1, 1.0 and True would be equal.
        key = section, repr(data)
        if key not in self._amounts:
            try:
                valid, content = True, self._bind(section, data)
            except (InvalidValues, RunnerError, ValueError):
                valid, content = False, data  # the checks of the cells will complain about it
            # As JSON, in which a list and a tuple, or two NaNs, are equal, and 1 and 1.0 are not.
            self._amounts[key] = valid, json.dumps(content, sort_keys=True, default=repr)
        return self._amounts[key]

    def _bind(self, section: str, data: Any) -> Any:
        if section == "training":
            return self._resolve(validate(_training_adapter(), data)).model_dump()
        if section == "augmentation":
            # Without those that do nothing: [], none and [none, none] are the same.
            refs = [ref for ref in parse_components(data) if ref != NO_AUGMENTATION]
            return [self._catalog.bind(section, ref).to_dict() for ref in refs]
        return self._catalog.bind(section, parse_component(data)).to_dict()


@lru_cache  # pydantic compiles an adapter when it is created
def _training_adapter() -> TypeAdapter[Training]:
    return TypeAdapter(Training)
