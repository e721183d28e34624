"""Identity as a hash of content: equal content has equal ids, under any name and on any machine.

Fit ids in existing journals depend on every detail here: a change would make all of them train again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

# For annotations only: `runner plan` answers without loading NumPy (tests/system/test_latency.py).
if TYPE_CHECKING:
    import numpy as np


def content_id(content: Any) -> str:
    """16 hexadecimal digits that identify `content`: dataclass records, mappings, lists, tuples and scalars, nested.

    Raises TypeError for any other type.
    """
    return _digest(canonical_text(content))


def mapping_id(texts: Mapping[str, str]) -> str:
    """`content_id` of a mapping, given the `canonical_text` of each of its values."""
    # Builds the text that canonical_text would, from values encoded once: thousands of cells share them.
    return _digest("{" + ",".join(f"{json.dumps(key)}:{texts[key]}" for key in sorted(texts)) + "}")


def canonical_text(content: Any) -> str:
    """`canonical` content as JSON with sorted keys and without spaces, so that equal content gives equal text."""
    return json.dumps(canonical(content), sort_keys=True, separators=(",", ":"), allow_nan=True)


def _digest(text: str) -> str:
    # `planning.changes` finds ids in the text of plan.yaml by their length of 16.
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def canonical(content: Any) -> Any:
    """`content` as plain data; a record becomes a mapping of its fields, with the name of its class under "".

    A field with its default value is left out, so that a class can gain a field without changing the ids of existing
    records. So is a field whose metadata has ``identity: False``. Raises TypeError for an unknown type.
    """
    if content is None or isinstance(content, (bool, int, float, str)):  # first, as most values are scalars
        return content
    if dataclasses.is_dataclass(content) and not isinstance(content, type):
        fields = [f for f in dataclasses.fields(content) if f.metadata.get("identity", True)]
        values = {f.name: getattr(content, f.name) for f in fields}
        changed = {f.name: canonical(values[f.name]) for f in fields if values[f.name] != f.default}
        # MaxPool and AvgPool have the same fields, so the name counts. No field can be called "".
        return {"": type(content).__name__, **changed}
    if isinstance(content, Mapping):
        # As text, because JSON could not sort keys of different types.
        return {str(key): canonical(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [canonical(item) for item in content]
    raise TypeError(f"{type(content).__name__} has no canonical form")


def array_id(*arrays: np.ndarray) -> str:
    """16 hexadecimal digits that identify arrays, of any shapes and dtypes, by dtype, shape and content, in order."""
    digest = hashlib.sha256()
    for array in arrays:
        # Without the shapes, images could move from one array to the next (training to validation) unnoticed.
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        # ravel puts rows first, whatever the order in memory: a transposed view and its copy have the same id.
        digest.update(array.ravel().view("u1").data)
    return digest.hexdigest()[:16]
