"""What becomes of an image in [0, 1] before a network sees it, if a study's data set sets `preprocess`.

Contrast: the mean of the image's own numbers is subtracted, and the rest is scaled to one length. Whitening, after it:
multiplied by a matrix that makes the numbers of the training images uncorrelated, with as little change as possible.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

# For types only: `runner plan` uses these records, and answers sooner without NumPy.
if TYPE_CHECKING:
    import numpy as np

Preprocess = Literal["contrast", "zca"]
SCALE, OF = 55.0, 3 * 32 * 32
"""The length of an image of `OF` numbers after contrast normalisation; that of others is in proportion to the root of
their number, so that all have the same standard deviation, 0.992. Source: Goodfellow et al. 2013, "Maxout Networks",
by the code of pylearn2 (`global_contrast_normalize` with scale 55, and no other bias)."""
FLAT = 1e-3
"""The length, for values in [0, 1], below which an image counts as constant: a quarter of one of 255 grey values in a
single pixel. It becomes zero; else nothing but rounding errors would be scaled up."""


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """`kind`, and for whitening the `mean` (D,) of contrast-normalised images of D numbers and the `matrix` (D, D)."""

    kind: Preprocess
    mean: np.ndarray | None = None
    matrix: np.ndarray | None = None

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Those that were fitted, by name."""
        return {name: array for name in ("mean", "matrix") if (array := getattr(self, name)) is not None}


def contrast_normalised(images: Any) -> Any:
    """Images (..., D) of NumPy or torch minus their own means and scaled to one length, a constant one zero."""
    centred = images - images.mean(axis=-1, keepdims=True)
    length = (centred * centred).sum(axis=-1, keepdims=True) ** 0.5
    target = SCALE * math.sqrt(images.shape[-1] / OF)
    return centred * ((length >= FLAT) * (target / length.clip(min=FLAT)))


def preprocess(images: Any, mean: Any = None, matrix: Any = None) -> Any:
    """Images (..., N, D) in [0, 1], contrast-normalised, and whitened if there are a `mean` (..., 1, D) and a matrix.

    The `matrix` is (..., D, D), and all are arrays of one library.
    """
    normalised = contrast_normalised(images)
    return normalised if matrix is None else (normalised - mean) @ matrix
