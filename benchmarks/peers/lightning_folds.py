"""Lightning, one Trainer per fold, two processes: python benchmarks/peers/lightning_folds.py tiny|small|medium

The Trainer is `barebones`: no logger, checkpoints, progress bars, summary or sanity check. The data loader indexes
whole batches.
"""

from __future__ import annotations

import logging
import multiprocessing
import sys
from typing import Any

import lightning
import torch
from common import (
    GRIDS,
    WORKERS,
    NormalisedFold,
    WholeBatches,
    accuracy,
    load,
    network,
    print_results,
    splits,
    use_one_thread,
)
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, TensorDataset


class Network(lightning.LightningModule):
    def __init__(self, grid: str, name: str, steps: int) -> None:
        super().__init__()
        self.layers = network(load(grid)[0].shape[1:], **GRIDS[grid].networks[name])
        self.lr, self.steps = GRIDS[grid].lr, steps

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)

    def training_step(self, batch: list[Tensor], _number: int) -> Tensor:
        images, labels = batch
        return F.cross_entropy(self(images), labels)

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch.optim.Adam(self.parameters(), self.lr, fused=True)
        schedule = CosineAnnealingLR(optimizer, self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def fit(grid: str, name: str, fold: int) -> tuple[str, float]:
    """Train one network on one fold; returns its name and its accuracy on the validation part."""
    use_one_thread()
    lightning.seed_everything(fold, verbose=False)
    settings, part = GRIDS[grid], NormalisedFold(*load(grid), splits(grid)[fold])
    data = TensorDataset(part.train, part.train_labels)
    loader = DataLoader(data, batch_size=None, sampler=WholeBatches(data, settings.batch))
    net = Network(grid, name, settings.steps(len(data)))
    lightning.Trainer(accelerator="cpu", devices=1, max_epochs=settings.epochs, barebones=True).fit(net, loader)
    return name, accuracy(net, part.validation, part.validation_labels)


def main(grid: str) -> None:
    for logger in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    splits(grid)  # loads the data too; both processes inherit the cached results when they are forked
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        results = pool.starmap(fit, [(grid, *one) for one in GRIDS[grid].fits()], chunksize=1)
    print_results(grid, results)


if __name__ == "__main__":
    use_one_thread()
    main(sys.argv[1])
