"""skorch in scikit-learn's GridSearchCV, two processes: python benchmarks/peers/skorch_grid.py tiny|small|medium

skorch's own validation split, log and training scores are off, and its data loader indexes whole batches, as its
documentation recommends for data in memory.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from common import GRIDS, WORKERS, WholeBatches, load, network, print_results, splits, use_one_thread
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader


class Normalise(TransformerMixin, BaseEstimator):
    """Normalises per channel by the mean and deviation of the training part."""

    def fit(self, images: np.ndarray, labels: np.ndarray | None = None) -> Normalise:
        self.mean_, self.deviation_ = (reduce((0, 2, 3), keepdims=True) for reduce in (images.mean, images.std))
        return self

    def transform(self, images: np.ndarray) -> np.ndarray:
        return (images - self.mean_) / self.deviation_


class Network(torch.nn.Module):
    """A network by its name, the parameter over which the grid is searched."""

    def __init__(self, grid: str, name: str) -> None:
        super().__init__()
        use_one_thread()  # also in the pool's processes, which build the network themselves
        self.layers = network(load(grid)[0].shape[1:], **GRIDS[grid].networks[name])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


class Batches(DataLoader):
    def __init__(self, dataset: Any, batch_size: int, **options: Any) -> None:
        super().__init__(dataset, batch_size=None, sampler=WholeBatches(dataset, batch_size), **options)


def estimator(grid: str, images: int) -> Pipeline:
    settings = GRIDS[grid]
    net = NeuralNetClassifier(
        Network,
        module__grid=grid,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        optimizer__fused=True,
        lr=settings.lr,
        max_epochs=settings.epochs,
        batch_size=settings.batch,
        iterator_train=Batches,
        iterator_valid__batch_size=500,
        train_split=None,
        callbacks=[LRScheduler(CosineAnnealingLR, step_every="batch", T_max=settings.steps(images))],
        callbacks__print_log=None,
        callbacks__train_loss=None,
        verbose=0,
    )
    return Pipeline([("normalise", Normalise()), ("net", net)])


def main(grid: str) -> None:
    images, labels = load(grid)
    names = list(reversed(GRIDS[grid].networks))
    search = GridSearchCV(
        estimator(grid, len(splits(grid)[0][0])),
        {"net__module__name": names},
        scoring="accuracy",
        cv=splits(grid),
        refit=False,
        n_jobs=WORKERS,
        error_score="raise",
    )
    results = search.fit(images, labels).cv_results_
    scores = [results[f"split{fold}_test_score"] for fold in range(GRIDS[grid].folds)]
    print_results(grid, [(name, float(score)) for row in scores for name, score in zip(names, row, strict=True)])


if __name__ == "__main__":
    use_one_thread()
    main(sys.argv[1])
