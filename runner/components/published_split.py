"""A data set whose held-out test part is the validation part of a fixed split, as in papers that have no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.components.records import ImageData
from runner.errors import RunnerError

if TYPE_CHECKING:
    import numpy as np


def with_published_split(data: ImageData, name: str) -> ImageData:
    """The images of both parts as one, split into train (the training part) and validation (the test part).

    What the data set says of groups and folds is left out, as it is of one part only. Raises RunnerError if the data
    set, called `name`, has no test part.
    """
    load_test = data.load_test
    if load_test is None:
        raise RunnerError(f"published_split: data set {name} has no held-out test images; allowed: false")

    def load() -> tuple[np.ndarray, np.ndarray]:
        import numpy as np

        parts = data.load(), load_test()
        for (images, _), size in zip(parts, (data.size, data.test_size), strict=True):
            if len(images) != size:
                raise RunnerError(f"dataset: a part has {len(images)} images; expected {size}, as announced")
        images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return images, labels

    def split() -> Sequence[str]:
        return ["train"] * data.size + ["validation"] * data.test_size

    return replace(
        data,
        size=data.size + data.test_size,
        load=load,
        test_size=0,
        load_test=None,
        version=data.version and f"{data.version} published split",
        groups=None,
        folds=None,
        split=split,
        test_groups=None,
    )
