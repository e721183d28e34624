"""skorch in scikit-learn's GridSearchCV on two processes: python benchmarks/peers/skorch_grid.py tiny|small|medium

Without skorch's own validation part, log and scores in training, and with whole batches from its data loader, as its
documentation advises for data in memory.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from common import JOBS, WORKERS, WholeBatches, alone, answer, load, network, splits
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader


class Normalise(TransformerMixin, BaseEstimator):
    """By channel, as the training part says."""

    def fit(self, images: np.ndarray, labels: np.ndarray | None = None) -> Normalise:
        self.mean_, self.deviation_ = (of((0, 2, 3), keepdims=True) for of in (images.mean, images.std))
        return self

    def transform(self, images: np.ndarray) -> np.ndarray:
        return (images - self.mean_) / self.deviation_


class Network(torch.nn.Module):
    """A network of the job by its name, which is what the grid varies."""

    def __init__(self, job: str, name: str) -> None:
        super().__init__()
        alone()
        self.layers = network(load(job)[0].shape[1:], **JOBS[job].networks[name])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


class Batches(DataLoader):
    def __init__(self, dataset: Any, batch_size: int, **options: Any) -> None:
        super().__init__(dataset, batch_size=None, sampler=WholeBatches(dataset, batch_size), **options)


def estimator(job: str, images: int) -> Pipeline:
    settings = JOBS[job]
    net = NeuralNetClassifier(
        Network,
        module__job=job,
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


def main(job: str) -> None:
    images, labels = load(job)
    names = list(reversed(JOBS[job].networks))
    search = GridSearchCV(
        estimator(job, len(splits(job)[0][0])),
        {"net__module__name": names},
        scoring="accuracy",
        cv=splits(job),
        refit=False,
        n_jobs=WORKERS,
        error_score="raise",
    )
    found = search.fit(images, labels).cv_results_
    scores = [found[f"split{fold}_test_score"] for fold in range(JOBS[job].folds)]
    answer(job, [(name, float(score)) for row in scores for name, score in zip(names, row, strict=True)])


if __name__ == "__main__":
    alone()
    main(sys.argv[1])
