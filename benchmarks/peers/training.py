"""One fit in a plain training loop, for the peers that have none of their own: Hydra and Ray Tune."""

from __future__ import annotations

import numpy as np
import torch
from common import GRIDS, NormalisedFold, accuracy, network, use_one_thread
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR


def fit(grid: str, name: str, fold: int, images: np.ndarray, labels: np.ndarray, split: tuple) -> float:
    """Train one network on one fold; returns its accuracy on the validation part."""
    use_one_thread()
    torch.manual_seed(fold)
    settings, part = GRIDS[grid], NormalisedFold(images, labels, split)
    net = network(images.shape[1:], **settings.networks[name])
    optimizer = torch.optim.Adam(net.parameters(), settings.lr, fused=True)
    schedule = CosineAnnealingLR(optimizer, settings.steps(len(part.train)))
    for _ in range(settings.epochs):
        for batch in torch.randperm(len(part.train)).split(settings.batch):
            loss = F.cross_entropy(net(part.train[batch]), part.train_labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return accuracy(net, part.validation, part.validation_labels)
