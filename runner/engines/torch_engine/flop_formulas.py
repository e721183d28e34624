"""The products that torch's FLOP counter takes for no work, because of the operation that they are written with.

It knows products of matrices and batches of them, and convolutions. A matrix times a vector is another operation of
torch, as are those below: see findings/torch_flop_counter_depends_on_the_spelling.sh. Elementwise products and sums are
not counted, here as there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

_Sizes = Sequence[int]


def _matrix_vector(matrix: _Sizes, vector: _Sizes, **_: Any) -> int:
    """(m, n) times (n)."""
    return 2 * matrix[0] * matrix[1]


def _added_matrix_vector(added: _Sizes, matrix: _Sizes, vector: _Sizes, **options: Any) -> int:
    return _matrix_vector(matrix, vector)


def _vectors(first: _Sizes, second: _Sizes, **_: Any) -> int:
    """(n) times (n)."""
    return 2 * first[0]


def _added_batches(added: _Sizes, first: _Sizes, second: _Sizes, **_: Any) -> int:
    """(b, m, n) times (b, n, p)."""
    return 2 * first[0] * first[1] * first[2] * second[2]


def _bilinear(first: _Sizes, weight: _Sizes, *_: Any, **options: Any) -> int:
    """x W y for each of n images and o outputs, with x (n, i), W (o, i, j), y (n, j)."""
    return 2 * first[0] * math.prod(weight)


def _convolution_of_sequences(sequence: _Sizes, kernel: _Sizes, *_: Any, out_shape: Any, **options: Any) -> int:
    """The output (t, n, o) of a kernel (k, c, o)."""
    length, batch, outputs = out_shape
    return 2 * int(length * batch * outputs) * kernel[0] * kernel[1]


_ATEN = torch.ops.aten
FORMULAS: dict[Any, Callable[..., int]] = {
    _ATEN.mv: _matrix_vector,
    _ATEN.addmv: _added_matrix_vector,
    _ATEN.dot: _vectors,
    _ATEN.vdot: _vectors,
    _ATEN.addbmm: _added_batches,
    _ATEN._trilinear: _bilinear,
    _ATEN.conv_tbc: _convolution_of_sequences,
}
"""The number of operations, two for each multiply-add, by the operation; each gets the shapes of its tensors."""
