"""Values of more than 8 bits as 8 bits: what is black and what is white must be said, as no file says it.

A camera of 12 bits writes 16-bit files whose white is 4,095; floats may be from 0 to 1, from 0 to 255, or anything.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from runner.api import RunnerError

if TYPE_CHECKING:
    import numpy as np

CHUNK = 1 << 22
"""Values that are scaled at a time, as each takes 8 bytes meanwhile."""


def _scale(value: Any) -> Any:
    if value is None or value == "uint16":
        return value
    if isinstance(value, list) and len(value) == 2 and all(type(limit) in (int, float) for limit in value):
        low, high = map(float, value)
        if math.isfinite(high - low) and low < high:
            return [low, high]
    raise ValueError(f"found {value!r}; expected uint16, or [low, high], the values that become black and white")


Scale = Annotated[str | list[float] | None, BeforeValidator(_scale)]
"""uint16: 0 is black and 65,535 white; [low, high]: these are, and what is beyond them is cut off."""
HINT = "set scale: [low, high], the values that become black and white"


def scaled(values: np.ndarray, scale: str | list[float]) -> tuple[np.ndarray, bool]:
    """The values as uint8, rounded to the nearest, and whether some were outside the scale and so were cut off.

    Raises RunnerError for values that are not real numbers, for one that is not finite, and if the scale is uint16, for
    other types.
    """
    import numpy as np

    if values.dtype.kind not in "buif":
        raise RunnerError(f"it holds {values.dtype}; expected numbers")
    if scale == "uint16" and (values.dtype.kind, values.dtype.itemsize) != ("u", 2):
        raise RunnerError(f"it holds {values.dtype}, and scale: uint16 is for 16-bit integers without a sign; {HINT}")
    low, high = (0.0, 65535.0) if isinstance(scale, str) else scale
    result, cut = np.empty(values.shape, np.uint8), False
    step = max(1, CHUNK // max(1, math.prod(values.shape[1:])))
    for start in range(0, len(values), step):
        part = values[start : start + step].astype(np.float64)
        if not np.isfinite(part).all():
            raise RunnerError("it holds nan or infinity, which no scale makes a grey value")
        cut = cut or bool((part < low).any() or (part > high).any())
        # Not part - low times one factor: 255 times a fraction is exact where the fraction is.
        result[start : start + step] = np.rint(255 * ((part - low) / (high - low)).clip(0, 1))
    return result, cut
