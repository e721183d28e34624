"""A study of architectures that build torch modules of their own, and the plugin files that define them."""

from __future__ import annotations

import re
from pathlib import Path

from command import TINY

PLUGIN = """\
from runner.api import Architecture, Count, Flatten, Dense, Sequential, hookimpl
import torch
from torch import nn

class Summing(nn.Module):
    def __init__(self, channels, classes, width):
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.drop, self.pool = nn.Dropout(0.2), nn.MaxPool2d(2)
        self.head = nn.Linear(width * 16, classes)

    def forward(self, images):
        signal = torch.relu(self.stem(images))
        return self.head(self.pool(self.drop(signal + self.body(signal))).flatten(1))

class Counting(Summing):
    def forward(self, images):
        return super().forward(images if len(images) else images + 1)

class Deciding(Summing):
    def forward(self, images):
        return super().forward(images if images.mean() > 0 else -images)

class Raising(Summing):
    def forward(self, images):
        raise ValueError("no such\\nchannel")

class Twice(Summing):
    def forward(self, images):
        return images, images

def of(module):
    def build(input_shape, classes, *, width: Count = 4):
        return module(input_shape[0], classes, width)
    return build

def four(input_shape, classes):
    return Summing(1, 4, 2)

def channels(input_shape, classes):
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, classes))

def forgot(input_shape, classes):
    return nn.Linear

def huge(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16_000_000), nn.ReLU(), nn.Linear(16_000_000, classes))

def coded(input_shape, classes, *, code: int = 1, module: int = 2):
    return Summing(1, classes, 4)

@hookimpl
def register_architectures():
    for module in (Summing, Counting, Deciding, Raising, Twice):
        yield Architecture(name=module.__name__.lower(), build=of(module))
    for build in (four, channels, forgot, huge, coded):
        yield Architecture(name=build.__name__, build=build)
"""

IMPORTS_LATE = """\
from runner.api import Architecture, Dense, Flatten, Sequential, hookimpl

def late(input_shape, classes, *, units: int = 10):
    from torch import nn
    return nn.Sequential(nn.Flatten(), nn.Linear(64, units), nn.Linear(units, classes))

def either(input_shape, classes):
    try:
        from torch import nn
    except ImportError:
        return Sequential(Flatten(), Dense(classes))
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

@hookimpl
def register_architectures():
    yield Architecture(name="late", build=late)
    yield Architecture(name="either", build=either)
"""


def write_study(folder: Path) -> None:
    """An experiment and plugin files with modules; tests set its grid with `--set grid=`."""
    (folder / "modules.py").write_text(PLUGIN)
    (folder / "late.py").write_text(IMPORTS_LATE)
    text = TINY[: TINY.index("grid:")].replace("plugins: []", "plugins: [./modules.py]")
    text = re.sub("architecture: .*", "architecture: summing", text).replace("folds: 3", "folds: 2")
    (folder / "e.yaml").write_text(text)
