"""What a data set says of each image beside its label: its group, its fold, and whether it is for validation.

`runner plan` only looks for a column, and loads no NumPy for it; a run reads it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runner.components.records import ImageData
from runner.errors import PluginError, RunnerError
from runner.text import did_you_mean, yaml_value

if TYPE_CHECKING:
    import numpy as np

    from runner.components.records import Column

FIELDS = {"groups": "groups", "fold_column": "folds", "split": "split"}
"""The field of ImageData that a setting of `cross_validation` reads."""
USUAL = {"groups": ("group", "groups"), "fold_column": ("fold", "folds"), "split": ("split", "part")}
"""The names of the column that `true` means, in a data set with columns."""
TRAIN, VALIDATION = ("train", "training"), ("validation", "val", "valid", "dev")
"""The words of a given split, in any case."""
HINT = "npz takes an array, image-folder a pattern of the file names, tables a column"


def find(data: ImageData, key: str, wanted: bool | str) -> Column:
    """The column that the setting `cross_validation.<key>` names, True being the usual one.

    Raises RunnerError, with what is allowed, if the data set does not have it.
    """
    offered = getattr(data, FIELDS[key])
    if isinstance(offered, Mapping):
        return offered[_name(offered, key, wanted)]  # type: ignore[no-any-return]
    if offered is None:
        raise RunnerError(_absent(key, wanted))
    if wanted is not True:
        message = f"but the {FIELDS[key]} of this data set have no name; allowed: true"
        raise RunnerError(f"found {yaml_value(wanted)}, {message}")
    return offered  # type: ignore[no-any-return]


def _absent(key: str, wanted: bool | str) -> str:
    return f"found {yaml_value(wanted)}, but the data set has no {FIELDS[key]} of its images ({HINT})"


def _name(offered: Mapping[str, Column], key: str, wanted: bool | str) -> str:
    """The name of the column that is `wanted`, True being the usual one; raises RunnerError as `find`."""
    if not offered:
        raise RunnerError(_absent(key, wanted))
    found = f"found {yaml_value(wanted)}"
    if isinstance(wanted, bool):
        usual = [name for name in USUAL[key] if name in offered]
        if len(usual) != 1:
            problem = f"no column {' or '.join(USUAL[key])}" if not usual else f"columns {' and '.join(usual)}"
            raise RunnerError(f"{found}, but the data set has {problem}; name one: allowed: {', '.join(offered)}")
        return usual[0]
    if wanted not in offered:
        raise RunnerError(f"{found}{did_you_mean(wanted, offered)}")
    return wanted


def read(data: ImageData, key: str, wanted: bool | str) -> tuple[np.ndarray, tuple[str, ...]]:
    """The values of a column as numbers (N,) from 0, and each number's text, in the order of the values.

    Whole numbers are in the order of their size, all else in that of their characters. Raises RunnerError for a column
    of another length, and for a value that is missing or neither text nor a whole number.
    """
    return numbered(find(data, key, wanted), FIELDS[key] if wanted is True else f"column '{wanted}'", data.size)


def numbered(column: Column, what: str, size: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """As `read`, of a column that should have `size` values; `what` is its name in messages."""
    import numpy as np

    values = _plain(_loaded(column, what), what, size)
    order = sorted(set(values), key=None if all(isinstance(value, int) for value in values) else str)
    texts = tuple(map(str, order))
    if len(set(texts)) < len(texts):
        raise RunnerError(f"{what}: holds both the number and the text {_repeated(texts)}; expected one of them")
    number = {value: index for index, value in enumerate(order)}
    return np.array([number[value] for value in values], np.int64), texts


def read_test_groups(data: ImageData, wanted: bool | str) -> tuple[str, ...] | None:
    """The groups of the held-out test part, each once as a text; None if the data set does not say them.

    `wanted` is ``cross_validation.groups``. Raises RunnerError as `read`.
    """
    offered, name = data.test_groups, wanted
    if isinstance(offered, Mapping):
        # The column that the training part's groups are read from, if that has a name.
        known = data.groups if isinstance(data.groups, Mapping) else offered
        name = _name(known, "groups", wanted) if known else ""
        offered = offered.get(name)
    if offered is None:
        return None
    what = f"column '{name}' of the test part" if isinstance(name, str) else "test_groups"
    return numbered(offered, what, data.test_size)[1]


def read_split(data: ImageData, wanted: bool | str) -> np.ndarray:
    """Whether each image (N,) is for validation, from a column with the words train and validation."""
    import numpy as np

    numbers, texts = read(data, "split", wanted)
    for text in texts:
        if text.lower() not in TRAIN + VALIDATION:
            allowed = "allowed: train, validation (or val); images of a test part do not belong in the training part"
            raise RunnerError(f"split: found {text!r}; {allowed}")
    validates: np.ndarray = np.array([text.lower() in VALIDATION for text in texts], np.bool_)[numbers]
    if validates.all() or not validates.any():
        raise RunnerError(f"split: every image is for {'validation' if validates.all() else 'training'}")
    return validates


def _loaded(column: Column, what: str) -> Any:
    """The values; raises PluginError for any exception in the data set's own code."""
    if not callable(column):
        return column
    try:
        return column()
    except (RunnerError, OSError):  # these name the file already
        raise
    except Exception as error:  # a plugin's code may raise anything
        raise PluginError(f"dataset: reading its {what} raised {type(error).__name__}: {error}") from error


def _plain(values: Any, what: str, size: int) -> list[int | str]:
    """The values as texts and whole numbers."""
    import numpy as np

    # Not of a list: NumPy would make texts of its numbers if it holds both, and None a text.
    array = values if isinstance(values, np.ndarray) else None
    shape: tuple[int, ...] = () if not hasattr(values, "__len__") else (len(values),)
    shape = shape if array is None else array.shape
    if shape != (size,):
        found = f"{shape[0]:,} values" if len(shape) == 1 else f"an array of shape {shape}" if shape else repr(values)
        raise RunnerError(f"{what}: found {found}; expected {size:,}, one per image")
    return [_value(item, what, index) for index, item in enumerate(array.tolist() if array is not None else values)]


def _value(item: Any, what: str, index: int) -> int | str:
    if hasattr(item, "item"):  # a scalar of NumPy's
        item = item.item()
    if isinstance(item, bytes):
        item = item.decode("utf-8", "backslashreplace")
    if item is None or (isinstance(item, float) and math.isnan(item)) or (isinstance(item, str) and not item.strip()):
        raise RunnerError(f"{what}: image {index + 1} has no value; every image needs one")
    if isinstance(item, float) and item.is_integer():  # what a table makes of whole numbers, once one was missing
        item = int(item)
    if not isinstance(item, (int, str)):
        raise RunnerError(f"{what}: image {index + 1} has {item!r}; expected texts or whole numbers")
    return int(item) if isinstance(item, int) else item


def _repeated(texts: tuple[str, ...]) -> str:
    return next(text for index, text in enumerate(texts) if text in texts[:index])
