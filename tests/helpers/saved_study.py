"""A study whose networks are all saved: of both engines, every precision, stacked or not, of records or a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from command import run_here

from runner.components.catalog import load_catalog
from runner.data.folds import stratified_splits
from runner.fits import answers
from runner.fits.records import FitResult
from runner.journal.index import read
from runner.planning import plan_file

PLUGIN = """\
import torch
from runner.api import *

class Net(torch.nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.convolution, self.norm = torch.nn.Conv2d(channels, 4, 3), torch.nn.BatchNorm2d(4)
        self.scores = torch.nn.Linear(4, classes)
        self.register_buffer("steps", torch.ones(1), persistent=False)

    def forward(self, images):
        if self.training:
            self.steps += 1
        return self.scores(self.norm(self.convolution(images)).relu().mean((2, 3)) * self.steps)

def records(input_shape, classes):
    # layers of every kind
    return Sequential(
        Residual(Conv(4, 3, bias=False), BatchNorm(), ReLU(), Dropout(0.25), Conv(1, (3, 2))), Conv(4, 3, 1, "valid"),
        Conv(4, 3, padding_mode="reflect"), ReLU(), MaxPool(2, ceil=True), PadChannels(6, 1),
        Concat(Conv(2, 3, groups=2, dilation=2), AvgPool(3, 1, padding=1), Sequential(LocalResponseNorm(), GELU())),
        Residual(Conv(14, 3, groups="depthwise"), LayerNorm2d(), SiLU(), LayerScale(0.5), StochasticDepth(0.2)),
        Multiply(GlobalAvgPool(), Conv(2, 1), ReLU6(), Conv(14, 1), Hardsigmoid()), GroupNorm(2), Hardswish(),
        Upsample(2, "bilinear"), ConvTranspose(4, 3, 2, padding=1), InstanceNorm(affine=True), LeakyReLU(), ELU(),
        Upsample(), AdaptiveAvgPool((3, 5)), Tanh(), Concat(GlobalAvgPool(), GlobalMaxPool()), Flatten(),
        Dense(5, bias=False), Sigmoid(), Dropout(), Dense(classes),
    )

@hookimpl
def register_architectures():
    yield Architecture(name="own_module", build=lambda input_shape, classes: Net(input_shape[0], classes))
    yield Architecture(name="own_records", build=records)
"""
STUDY = """\
name: saved
plugins: [./own.py]
dataset: {name: digits, subset: 230}
architecture: {name: stages, width: 4, stages: 1, batch_norm: true}
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 1, batch_size: 20, keep: all, engine: torch}
cross_validation: {folds: 2}
grid:
  way:
    together: {training.stacking: 2}
    bfloat16: {training.stacking: 2, training.precision: bfloat16}
    alone: {training.stacking: off}
    float64: {training.precision: float64}
    numpy: {training.engine: numpy}
    half: {training.engine: numpy, training.precision: float16}
    module: {architecture: own_module}
    records: {architecture: own_records}
"""


def run_study(folder: Path) -> Path:
    """Run the study in `folder`; returns its report's folder."""
    (folder / "own.py").write_text(PLUGIN)
    (folder / "saved.yaml").write_text(STUDY)
    done = run_here(folder, "run", "saved.yaml")
    assert done.returncode == 0, done.stderr
    return folder / "reports" / "saved"


def validated(report: Path) -> Iterator[tuple[FitResult, np.ndarray, np.ndarray, np.ndarray]]:
    """For each fit its result, its validation images, their classes, and the answers in the journal."""
    plan, catalog = plan_file.read(report / "plan.yaml"), load_catalog()
    results = {result.id: result for result in read(report / "journal.jsonl")[0]}
    images, labels = catalog.build("dataset", catalog.bind("dataset", plan.dataset)).load()
    splits = stratified_splits(labels, plan.folds, plan.repeats, plan.seed, plan.dataset.parameters.get("subset"))
    for fit, _, repeat, fold in plan.fit_keys():
        index = splits[repeat * plan.folds + fold].validation
        predicted = answers.unpack(results[fit].answers, labels[index], len(plan.data["class_names"]))
        yield results[fit], images[index], labels[index], predicted
