"""The journal's results as pandas frames."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.data.splits_file import NAME, SavedSplits
from runner.errors import JournalError
from runner.fits import answers
from runner.fits.metrics import CURVES, METRICS, TEST_METRICS
from runner.fits.records import FitResult

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


_FACTS = ("epochs", "best_epoch", "seconds", "worker", "cpu", "finished", "versions")
"""The columns of the fits after the metrics."""
COLUMNS = ("id", "cell", "repeat", "fold", "status", "reason", *METRICS, *TEST_METRICS, *_FACTS)
"""The columns that the frame of the fits always has."""
_MOST_WAITING = 2**20
"""Answers that are counted together, of 8 bytes each."""


@dataclass(frozen=True)
class Frames:
    """The journal's results as pandas frames.

    `fits` has one row per fit: id, cell, repeat, fold, status, reason, the final value of each metric, epochs and
    best_epoch (see `FitResult`), seconds, worker, cpu, finished, versions (by library). Test metrics are nan if the
    experiment does not use the test images. Metrics of plugins follow, by `Metric.journal_key`.
    `curves` has one row per epoch of a successful fit: id, epoch and the curves.
    `confusions` has one row per pair of classes of a successful fit: id, truth and predicted (class numbers), count.
    `right` has by fit id, for each validation image, whether the answer was right: packed bits (see `fits.answers`).
    Fits of an earlier format, or without `splits`, are not in it. `splits` says which images those are. `seen` has the
    numbers of repeats that were planned when somebody could read the results, before more were added by hand.
    """

    fits: pd.DataFrame
    curves: pd.DataFrame
    confusions: pd.DataFrame
    right: dict[str, bytes] = field(default_factory=dict)
    splits: SavedSplits | None = None
    seen: tuple[int, ...] = ()


def frames(results: Iterable[FitResult], splits: SavedSplits | None = None, seen: tuple[int, ...] = ()) -> Frames:
    """The frames of `results`, which may be an iterator that reads them one at a time.

    `splits` are those of the study; without them nothing is known of single images. Curves and confusions are collected
    in typed arrays: as Python objects those of ten thousand fits fill the memory.

    Raises JournalError for answers that cannot be those of the fit's images.
    """
    import pandas as pd

    rows, curves, confusions, right = [], _Curves(), _Confusions(splits), dict[str, bytes]()
    measures = dict[str, None]()
    for result in results:
        rows.append(_row(result))
        measures |= dict.fromkeys(result.measures)
        if result.status == "ok":
            curves.add(result)
            try:
                if bits := confusions.add(result):
                    right[result.id] = bits
            except ValueError as error:
                raise JournalError(f"fit {result.id}: {error}; the journal and {NAME} are not of one study") from None
    fits = pd.DataFrame(rows, columns=[*COLUMNS, *(name for name in measures if name not in COLUMNS)])
    return Frames(fits, curves.frame(), confusions.frame(), right, splits, seen)


def _row(result: FitResult) -> dict[str, Any]:
    return {
        **result.measures,
        **{key: getattr(result, key) for key in ("id", "cell", "repeat", "fold", "status", "reason")},
        **{metric: result.final(metric) for metric in METRICS + TEST_METRICS},
        **{key: getattr(result, key) for key in _FACTS},
    }


class _Curves:
    """The curves of all fits, concatenated."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.epochs = array("q")
        self.values = {name: array("d") for name in CURVES}

    def add(self, result: FitResult) -> None:
        self.ids.append(result.id)
        self.epochs.append(result.epochs)
        for name, values in self.values.items():
            values.extend(result.curves[name])

    def frame(self) -> pd.DataFrame:
        import numpy as np
        import pandas as pd

        # As objects, a row is a reference to its id; NumPy's own text type would copy the id for every epoch.
        ids = np.repeat(np.array(self.ids, dtype=object), self.epochs)
        epoch = np.concatenate([np.arange(1, count + 1) for count in (*self.epochs, 0)])  # 0: it needs one array
        return pd.DataFrame({"id": ids, "epoch": epoch} | {name: np.array(v) for name, v in self.values.items()})


class _Confusions:
    """The confusions of all fits: `rows` has arrays of fit (its position in `ids`), truth, predicted and count.

    They are counted for many fits at once, as NumPy takes longer to begin than for the images of one.
    """

    def __init__(self, splits: SavedSplits | None) -> None:
        self.splits = splits
        self.ids: list[str] = []
        self.rows: list[np.ndarray] = []
        # Of the fits that were not counted yet: their position, and for each image its class and the answer.
        self._positions: list[int] = []
        self._pairs: list[np.ndarray] = []
        self._waiting = 0

    def add(self, result: FitResult) -> bytes:
        """Add a fit's confusions; returns the bits of its right answers, b"" if they are unknown."""
        position = len(self.ids)
        self.ids.append(result.id)
        if result.answers and self.splits and result.repeat < len(self.splits.fold_of):
            return self._add_answers(position, result, self.splits)
        self._count()
        if result.confusion:
            import numpy as np

            self.rows.append(np.array([[position, *row] for row in result.confusion], np.int64))
        return b""

    def _add_answers(self, position: int, result: FitResult, splits: SavedSplits) -> bytes:
        truth = splits.truth(result.repeat, result.fold)
        bits, predicted = answers.unpack_both(result.answers, truth, splits.classes)
        self._positions.append(position)
        self._pairs.append(truth * splits.classes + predicted)
        self._waiting += len(truth)
        if self._waiting > _MOST_WAITING:
            self._count()
        return bits

    def _count(self) -> None:
        if self.splits is None or not self._positions:
            return
        import numpy as np

        classes = self.splits.classes
        fits, pairs = np.repeat(self._positions, [*map(len, self._pairs)]), np.concatenate(self._pairs)
        # Not bincount, which would take memory for all pairs of however many classes the file announces.
        order = np.lexsort((pairs, fits))
        fits, pairs = fits[order], pairs[order]
        changes = (np.diff(fits) != 0) | (np.diff(pairs) != 0)
        first = np.flatnonzero(np.concatenate([np.ones(min(len(pairs), 1), bool), changes]))
        counts = np.diff(first, append=len(pairs))
        self.rows.append(np.stack([fits[first], pairs[first] // classes, pairs[first] % classes, counts], axis=1))
        self._positions, self._pairs, self._waiting = [], [], 0

    def frame(self) -> pd.DataFrame:
        import numpy as np
        import pandas as pd

        self._count()
        fit, truth, predicted, count = np.concatenate([np.empty((0, 4), np.int64), *self.rows]).T
        ids = np.array(self.ids, dtype=object)[fit]
        return pd.DataFrame({"id": ids, "truth": truth, "predicted": predicted, "count": count})
