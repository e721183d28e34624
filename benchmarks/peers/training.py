"""One fit by a plain loop, for the peers that bring no loop of their own: Hydra and Ray Tune."""

from __future__ import annotations

import numpy as np
import torch
from common import JOBS, Normalised, accuracy, alone, network
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR


def fit(job: str, name: str, fold: int, images: np.ndarray, labels: np.ndarray, split: tuple) -> float:
    """Train one network on one fold; its accuracy on the validation part."""
    alone()
    torch.manual_seed(fold)
    settings, part = JOBS[job], Normalised(images, labels, split)
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
