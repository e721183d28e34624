"""What things are, as a hash: equal content gives equal ids, whatever it is called and wherever it runs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def content_id(content: Any) -> str:
    """16 hexadecimal digits that identify `content` (records, mappings, lists, scalars)."""
    return _digest(canonical_text(content))


def mapping_id(texts: Mapping[str, str]) -> str:
    """`content_id` of a mapping of which the canonical text of each value is known."""
    return _digest("{" + ",".join(f"{json.dumps(key)}:{texts[key]}" for key in sorted(texts)) + "}")


def canonical_text(content: Any) -> str:
    return json.dumps(canonical(content), sort_keys=True, separators=(",", ":"), allow_nan=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def canonical(content: Any) -> Any:
    """Plain data that holds all that `content` holds, records with their type's name.

    A field that has its default is left out, so that a record may gain one without becoming another; so is a field
    whose metadata say ``identity: False``.
    """
    if content is None or isinstance(content, (bool, int, float, str)):  # most of it is, so that comes first
        return content
    if dataclasses.is_dataclass(content) and not isinstance(content, type):
        fields = [f for f in dataclasses.fields(content) if f.metadata.get("identity", True)]
        values = {f.name: getattr(content, f.name) for f in fields}
        told = {f.name: canonical(values[f.name]) for f in fields if values[f.name] != f.default}
        return {"": type(content).__name__, **told}
    if isinstance(content, Mapping):
        return {str(key): canonical(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [canonical(item) for item in content]
    raise TypeError(f"{type(content).__name__} has no canonical form")


def array_id(*arrays: np.ndarray) -> str:
    """16 hexadecimal digits that identify arrays by type, shape and content."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
