"""Checks of what few experiments have: early stopping, columns that the splits are made by, torch modules."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from runner.components.records import ComponentRef, ImageData
from runner.data import columns
from runner.experiment.expand import Cell

MOST_NUMBERS = 4096
"""Per image that is whitened: the matrix has the square of this, and computing it takes its cube."""

if TYPE_CHECKING:
    from runner.planning.cell_checker import CellChecker


def check_stop(checker: CellChecker, cell: Cell, data: ImageData | None) -> None:
    """Complain if `training.stop` could stop no fit, or leaves less than a batch to train on."""
    training, complain = cell.settings.training, partial(checker.complain, cell.document)
    stop, batch = training.stop, training.batch_size
    assert stop is not None
    if stop.patience >= training.epochs:
        allowed = f"1 to {training.epochs - 1}" if training.epochs > 1 else "2 or more epochs with training.stop"
        message = f"found {stop.patience}; allowed: {allowed}, as training.epochs is {training.epochs}"
        complain(("training", "stop", "patience"), message)
    splits = checker.experiment.header.cross_validation
    # How many images the parts of a design have, only the data can tell.
    known = data if splits.design is None else None
    images = known.size - math.ceil(known.size / splits.folds) if known else 0
    left = math.ceil(images * (1 - stop.share))
    # A batch that no part could fill is not the fault of the share.
    if left < batch <= images:
        most = math.floor(100 * (images - batch) / images) / 100
        wish = f"at most {most:g}, or batches of at most {left}" if most else f"batches of at most {left}"
        message = f"found {stop.share:g}, which leaves {left} of {images} training images, less than a batch of {batch}"
        complain(("training", "stop", "share"), f"{message}; allowed: {wish}")


def check_columns(checker: CellChecker, data: ImageData) -> None:
    """Complain if the data set does not have the columns that the splits are to be made by."""
    design = checker.experiment.header.cross_validation.design
    assert design is not None
    for key, wanted in design.to_dict().items():
        if not isinstance(wanted, float):
            path = ("cross_validation", key)
            checker.guarded(checker.experiment.document, path, partial(columns.find, data, key, wanted))


def check_images(checker: CellChecker, data: ImageData) -> None:
    """Complain if images are too large to be whitened, or if a published split is not the one that is used."""
    header, complain = checker.experiment.header, partial(checker.complain, checker.experiment.document)
    numbers = math.prod(data.shape)
    if header.dataset.parameters.get("preprocess") == "zca" and numbers > MOST_NUMBERS:
        size = "x".join(map(str, data.shape))
        found = f"found zca, for images of {size} = {numbers:,} numbers, whose matrix has the square of that"
        allowed = f"at most {MOST_NUMBERS:,} numbers, such as 3x36x36; or contrast"
        complain(("dataset", "preprocess"), f"{found}; allowed: {allowed}")
    if header.dataset.parameters.get("published_split") and header.cross_validation.split is not True:
        message = "found true, which says which images validate; it needs cross_validation: {split: true}"
        complain(("dataset", "published_split"), message)


def check_last_batch(checker: CellChecker, cell: Cell, architecture: ComponentRef, data: ImageData) -> None:
    """Complain if the torch module cannot train on a last batch of one image, and some training part leaves one."""
    header, batch_size = checker.experiment.header, cell.settings.training.batch_size
    # Otherwise only the data can tell how many images a fold trains on.
    if cell.settings.training.stop or header.dataset.parameters.get("deduplicate") or header.cross_validation.design:
        return
    folds = header.cross_validation.folds
    sizes = sorted({data.size - data.size // folds, data.size - math.ceil(data.size / folds)})
    path = ("training", "batch_size")
    checker.attempt("try_one_image", "architecture", architecture, cell.document, path, data, batch_size, sizes)
