"""Labels and class names of arrays: whole numbers, texts, or one-hot rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner.api import RunnerError

from .class_names import numbered, refuse_lookalikes

if TYPE_CHECKING:
    import numpy as np

EXPECTED = "whole numbers from 0, texts, or one-hot rows"


def texts(file: Path, name: str, array: np.ndarray) -> list[str]:
    """The texts in an array (N,) of text or of bytes in UTF-8; raises RunnerError for any other, and an empty one."""
    if array.dtype.kind not in "US" or array.ndim != 1:
        raise RunnerError(f"{file}: {name} is {array.dtype} {array.shape}; expected (N,) texts")
    try:
        found = [text.decode() if isinstance(text, bytes) else str(text) for text in array.tolist()]
    except UnicodeDecodeError as error:
        raise RunnerError(f"{file}: {name} holds {error.object!r}, which is not UTF-8; write texts") from None
    if "" in found:
        raise RunnerError(f"{file}: {name}[{found.index('')}] is an empty text; expected the name of a class")
    return found


def label_numbers(
    file: Path, name: str, labels: np.ndarray, size: int, names: Sequence[str]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The labels as (size,) whole numbers, and the names of the classes: `names` if there are some.

    Otherwise they are the numbers, or the texts in the order of their characters. Raises RunnerError unless each class
    has an image.
    """
    import numpy as np

    if len(labels.shape) not in (1, 2) or len(labels) != size:
        raise RunnerError(f"{file}: {name} is {labels.dtype} {labels.shape}; expected {size} {EXPECTED}, one per image")
    if not size:
        raise RunnerError(f"{file}: holds no images")
    if labels.ndim == 1 and labels.dtype.kind in "US":
        ordered, numbers = numbered(texts(file, name, labels), f"{file}: {name}", names)
        return np.array(numbers), ordered
    if labels.ndim == 2:
        labels = from_one_hot(file, name, labels)
    elif labels.dtype.kind not in "ui":
        raise RunnerError(f"{file}: {name} is {labels.dtype} {labels.shape}; expected {size} {EXPECTED}, one per image")
    present = np.unique(labels)
    count = len(names) or len(present)
    if len(present) != count or present[0] != 0 or present[-1] != count - 1 or count < 2:
        expected = f"all of 0 to {count - 1}" if count > 1 else "two classes or more"
        raise RunnerError(
            f"{file}: {name} are {len(present)} different numbers from {present[0]} to {present[-1]}; "
            f"expected {expected}, numbered from 0 without gaps{', one per class name' if names else ''}"
        )
    return labels, tuple(names or map(str, range(count)))


def from_one_hot(file: Path, name: str, rows: np.ndarray) -> np.ndarray:
    """The column of the one in each row (N, K) of zeros; raises RunnerError for other rows."""
    import numpy as np

    if rows.shape[1] < 2 or rows.dtype.kind not in "buif":
        problem = f"{name} is {rows.dtype} {rows.shape}"
        raise RunnerError(f"{file}: {problem}; expected {EXPECTED}; a column of numbers is labels[:, 0]")
    wrong = ((rows != 0) & (rows != 1)).any(axis=1) | ((rows == 1).sum(axis=1) != 1)
    if wrong.any():
        row = int(wrong.argmax())
        raise RunnerError(f"{file}: {name}[{row}] is not one-hot; expected a single 1, and 0 for all other classes")
    return np.asarray(rows.argmax(axis=1))


def check_names(file: Path, array: np.ndarray) -> tuple[str, ...]:
    """The class names in an array: texts, or numbers as texts. Raises RunnerError for lookalikes."""
    import numpy as np

    flat = np.atleast_1d(array)
    names = (
        tuple(map(str, flat.tolist()))
        if flat.dtype.kind in "ui" and flat.ndim == 1
        else tuple(texts(file, "class_names", flat))
    )
    if len(set(names)) == len(names):  # planning names the classes that share one
        refuse_lookalikes(names, f"{file}: class_names")
    return names
