"""Lightning, a Trainer a fold, on two processes: python benchmarks/peers/lightning_folds.py tiny|small|medium

Its Trainer is `barebones`: no logger, checkpoints, bars, summary or sanity check; the data loader gives whole batches.
"""

from __future__ import annotations

import logging
import multiprocessing
import sys
from typing import Any

import lightning
import torch
from common import JOBS, WORKERS, Normalised, WholeBatches, accuracy, alone, answer, load, network, splits
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, TensorDataset


class Network(lightning.LightningModule):
    def __init__(self, job: str, name: str, steps: int) -> None:
        super().__init__()
        self.layers = network(load(job)[0].shape[1:], **JOBS[job].networks[name])
        self.lr, self.steps = JOBS[job].lr, steps

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)

    def training_step(self, batch: list[Tensor], _number: int) -> Tensor:
        images, labels = batch
        return F.cross_entropy(self(images), labels)

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch.optim.Adam(self.parameters(), self.lr, fused=True)
        schedule = CosineAnnealingLR(optimizer, self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def fit(job: str, name: str, fold: int) -> tuple[str, float]:
    alone()
    lightning.seed_everything(fold, verbose=False)
    settings, part = JOBS[job], Normalised(*load(job), splits(job)[fold])
    data = TensorDataset(part.train, part.train_labels)
    loader = DataLoader(data, batch_size=None, sampler=WholeBatches(data, settings.batch))
    net = Network(job, name, settings.steps(len(data)))
    lightning.Trainer(accelerator="cpu", devices=1, max_epochs=settings.epochs, barebones=True).fit(net, loader)
    return name, accuracy(net, part.validation, part.validation_labels)


def main(job: str) -> None:
    for logger in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    splits(job)  # and with them the data, which both processes get by the fork
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        results = pool.starmap(fit, [(job, *one) for one in JOBS[job].fits()], chunksize=1)
    answer(job, results)


if __name__ == "__main__":
    alone()
    main(sys.argv[1])
