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
    if values.dtype.kind in "bui" and values.dtype.itemsize <= 2:
        return _looked_up(values, low, high)
    result, cut = np.empty(values.shape, np.uint8), False
    step = max(1, CHUNK // max(1, math.prod(values.shape[1:])))
    for start in range(0, len(values), step):
        part = values[start : start + step].astype(np.float64)
        if not np.isfinite(part).all():
            raise RunnerError("it holds nan or infinity, which no scale makes a grey value")
        cut = cut or bool((part < low).any() or (part > high).any())
        result[start : start + step] = _grey(part, low, high)
    return result, cut


def _grey(values: np.ndarray, low: float, high: float) -> np.ndarray:
    import numpy as np

    grey: np.ndarray = np.rint(255 * ((values - low) / (high - low)).clip(0, 1)).astype(np.uint8)
    return grey


def _looked_up(values: np.ndarray, low: float, high: float) -> tuple[np.ndarray, bool]:
    """As `scaled`, for integers of up to 16 bits, ten times as fast: each possible value is scaled once."""
    import numpy as np

    if not values.size:
        return np.empty(values.shape, np.uint8), False
    kind = np.dtype(np.uint8) if values.dtype.kind == "b" else values.dtype.newbyteorder("=")
    code = np.dtype(f"u{kind.itemsize}")
    table = _grey(np.arange(256**kind.itemsize).astype(code).view(kind).astype(np.float64), low, high)
    native = values.astype(kind)
    cut = bool(native.min() < low or native.max() > high)
    return table[native.view(code)], cut
