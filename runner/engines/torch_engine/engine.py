"""Training on torch: data in memory as tensors, channels_last, one thread, the streams of `runner.seeding`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runner.components import Step
from runner.engines.base import Job
from runner.engines.torch_engine.modules import build_module
from runner.errors import Diverged
from runner.fit import Curves
from runner.network.parameters import initial_values
from runner.seeding import stream

EVALUATION_BATCH = 500


def cuda_available() -> bool:
    return torch.cuda.is_available()


class TorchEngine:
    """Trains the fits of a group one after another."""

    name = "torch"

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__, "numpy": np.__version__}

    def fit(self, group: Sequence[Job]) -> Iterator[Curves | Exception]:
        # One thread a process: on small networks a process a core beats two threads, and sums keep their order.
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        # That also fills every new tensor, to catch reads of memory that was never written: 10-20% of a small fit.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        for job in group:
            try:
                yield Fit(job).train()
            except Exception as error:
                yield error


@dataclass(frozen=True)
class Pixels:
    """Images (N, C, H, W) uint8 and labels (N,) on the device, and the training part's statistics by channel."""

    images: Tensor
    labels: Tensor
    mean: Tensor
    deviation: Tensor

    def unit(self, index: Tensor) -> Tensor:
        """The images at `index` as float32 in [0, 1]."""
        return self.images[index].float().div_(255)

    def normalised(self, images: Tensor) -> Tensor:
        return images.sub(self.mean).div_(self.deviation).contiguous(memory_format=torch.channels_last)


class Fit:
    """One fit's module, data and random streams."""

    def __init__(self, job: Job) -> None:
        spec = self.spec = job.spec
        self.job = job
        self.device = torch.device(spec.training.device)
        values = initial_values(job.network, spec.shape, *spec.keys)
        module = build_module(job.network, spec.shape, values).to(self.device)
        self.module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.rule = Rule(job, list(self.module.parameters()))
        mean, deviation = self._statistics()
        self.train_part = self._pixels(spec.train, mean, deviation)
        self.validation_part = self._pixels(spec.validation, mean, deviation)

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel over the training images alone, of pixels in [0, 1]."""
        images = self.job.images[self.spec.train]
        counts = np.stack([np.bincount(images[:, c].ravel(), minlength=256) for c in range(images.shape[1])])
        share, level = counts / counts.sum(1, keepdims=True), np.arange(256) / 255
        mean = share @ level
        deviation = np.sqrt((share * (level - mean[:, None]) ** 2).sum(1))
        deviation[deviation == 0] = 1.0  # a channel without variation stays at zero
        as_tensor = (torch.tensor(v, dtype=torch.float32, device=self.device) for v in (mean, deviation))
        mean_tensor, deviation_tensor = (t.view(1, -1, 1, 1) for t in as_tensor)
        return mean_tensor, deviation_tensor

    def _pixels(self, index: np.ndarray, mean: Tensor, deviation: Tensor) -> Pixels:
        images = torch.from_numpy(self.job.images[index]).to(self.device)
        labels = torch.from_numpy(np.asarray(self.job.labels[index], dtype=np.int64)).to(self.device)
        return Pixels(images, labels, mean, deviation)

    def train(self) -> Curves:
        """All epochs; raises Diverged at the first epoch whose loss is not a finite number."""
        curves: Curves = {"train_loss": [], "train_accuracy": [], "val_loss": [], "val_accuracy": []}
        for epoch in range(self.spec.training.epochs):
            figures = (*self._epoch(epoch), *self._evaluate(self.validation_part))
            for values, figure in zip(curves.values(), figures, strict=True):
                values.append(figure)
            for name in ("train_loss", "val_loss"):
                if not math.isfinite(curves[name][-1]):
                    raise Diverged(f"diverged: {name} is {curves[name][-1]} after epoch {epoch + 1}")
        return curves

    def _epoch(self, epoch: int) -> tuple[float, float]:
        """One pass over the training part; its mean loss and accuracy, each batch measured before its step."""
        count = len(self.spec.train)
        order = torch.from_numpy(stream("order", *self.spec.keys, epoch).permutation(count))
        draws = stream("augment", *self.spec.keys, epoch)
        loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        for index in torch.split(order, self.spec.training.batch_size):
            images = self.train_part.normalised(self._augmented(self.train_part.unit(index), draws))
            labels = self.train_part.labels[index]
            scores, loss = self._forward(images, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            self.rule.step()
            loss_sum += loss.detach() * len(index)
            correct += (scores.detach().argmax(1) == labels).sum()
        return float(loss_sum) / count, int(correct) / count

    def _augmented(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        for transform in self.job.transforms:
            draws = transform.draw(rng, len(images), self.spec.shape)
            images = transform.apply(images, {k: torch.from_numpy(v).to(self.device) for k, v in draws.items()})
        return images

    def _forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N, classes) and the mean cross-entropy; convolutions and products in the fit's precision."""
        low = self.spec.training.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            scores = self.module(images)
        scores = scores.float()
        return scores, F.cross_entropy(scores, labels)

    @torch.no_grad()
    def _evaluate(self, pixels: Pixels) -> tuple[float, float]:
        """Mean loss and accuracy."""
        loss_sum, correct, count = 0.0, 0, len(pixels.labels)
        self.module.eval()
        for index in torch.split(torch.arange(count), EVALUATION_BATCH):
            labels = pixels.labels[index]
            scores, loss = self._forward(pixels.normalised(pixels.unit(index)), labels)
            loss_sum += float(loss) * len(index)
            correct += int((scores.argmax(1) == labels).sum())
        self.module.train()
        return loss_sum / count, correct / count


class Rule:
    """An update rule over a module's parameters, with its running arrays."""

    def __init__(self, job: Job, parameters: list[nn.Parameter]) -> None:
        self.rule = job.rule
        self.parameters = parameters
        self.states = [{slot: torch.zeros_like(p) for slot in job.rule.slots} for p in parameters]
        training = job.spec.training
        self.steps, self.total = 0, training.epochs * math.ceil(len(job.spec.train) / training.batch_size)

    @torch.no_grad()
    def step(self) -> None:
        self.steps += 1
        for parameter, state in zip(self.parameters, self.states, strict=True):
            if parameter.grad is not None:
                self.rule.update(parameter, parameter.grad, state, Step(self.steps, self.total))
                parameter.grad = None
