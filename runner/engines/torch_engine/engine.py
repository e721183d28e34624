"""Training on torch: data in memory as tensors, channels_last, one thread, the streams of `runner.seeding`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runner.engines.base import Job
from runner.engines.torch_engine.modules import build_module
from runner.engines.training import (
    EVALUATION_BATCH,
    Masks,
    Rule,
    augmented,
    batches,
    course,
    is_torch_only,
    relabels,
    statistics,
    train,
)
from runner.fit import Curves
from runner.network.parameters import initial_values
from runner.seeding import Key, stream


def cuda_available() -> bool:
    return torch.cuda.is_available()


class TorchEngine:
    """Trains the fits of a group one after another."""

    name = "torch"

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__, "numpy": np.__version__}

    @contextmanager
    def seeded(self, *keys: Key) -> Iterator[None]:
        """A plugin's own module draws its initial values from torch's global stream: seeded here from ours."""
        torch.manual_seed(int(stream("init", *keys).integers(2**63)))
        yield

    def fit(self, group: Sequence[Job]) -> Iterator[Curves | Exception]:
        # One thread a process: on small networks a process a core beats two threads, and sums keep their order.
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        # That also fills every new tensor, to catch reads of memory that was never written: 10-20% of a small fit.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        for job in group:
            try:
                yield train(job, TorchLearner(job))
            except Exception as error:
                yield error


@dataclass(frozen=True)
class Pixels:
    """Images (N, C, H, W) uint8 and labels (N,) on the device, and the training part's statistics by channel."""

    images: Tensor
    labels: Tensor
    mean: Tensor
    deviation: Tensor
    layout: torch.memory_format

    def unit(self, index: Tensor) -> Tensor:
        """The images at `index` in [0, 1]."""
        return self.images[index].to(self.mean.dtype).div_(255)

    def normalised(self, images: Tensor) -> Tensor:
        return images.sub(self.mean).div_(self.deviation).contiguous(memory_format=self.layout)


class TorchLearner:
    """One fit's module, data and update rule."""

    def __init__(self, job: Job) -> None:
        spec = self.spec = job.spec
        self.job = job
        self.device = torch.device(spec.training.device)
        self.dtype = torch.float64 if spec.training.precision == "float64" else torch.float32
        self.masks, self.soft = Masks(*spec.keys), relabels(job)
        # A plugin's own module may rely on the usual order of memory (`view`), so it gets that.
        own = isinstance(job.network, nn.Module)
        self.layout = torch.contiguous_format if own else torch.channels_last
        module: Any = job.network if own else self._module()
        self.module: nn.Module = module.to(self.device, self.dtype).to(memory_format=self.layout)
        self.parameters = list(self.module.parameters())
        self.rule = TorchRule(job, self.parameters) if is_torch_only(job.rule) else Rule(job, _data(self.parameters))
        self.train_part, self.validation_part = self._pixels(spec.train), self._pixels(spec.validation)

    def _module(self) -> nn.Module:
        values = initial_values(self.job.network, self.spec.shape, *self.spec.keys)
        return build_module(self.job.network, self.spec.shape, values, self.masks)

    def _pixels(self, index: np.ndarray) -> Pixels:
        images = torch.from_numpy(self.job.images[index]).to(self.device)
        labels = torch.from_numpy(np.asarray(self.job.labels[index], dtype=np.int64)).to(self.device)
        figures = statistics(self.job.images[self.spec.train])
        mean, deviation = (torch.tensor(v, dtype=self.dtype, device=self.device).view(1, -1, 1, 1) for v in figures)
        return Pixels(images, labels, mean, deviation, self.layout)

    def step(self, index: np.ndarray, draws: Sequence[Mapping[str, np.ndarray]]) -> tuple[Tensor, Tensor]:
        place = torch.from_numpy(index).to(self.device)
        labels = self.train_part.labels[place]
        targets = F.one_hot(labels, self.spec.classes).to(self.dtype) if self.soft else labels
        drawn = [{k: torch.from_numpy(v).to(self.device) for k, v in one.items()} for one in draws]
        images, targets = augmented(self.job, self.train_part.unit(place), targets, drawn)
        scores, loss = self._forward(self.train_part.normalised(images), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self.rule.step([parameter.grad for parameter in self.parameters])
        for parameter in self.parameters:
            parameter.grad = None
        return (loss.detach() * len(index)).double(), (scores.detach().argmax(1) == labels).sum()

    def _forward(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N, classes) and the mean cross-entropy; convolutions and products in the fit's precision."""
        low = self.spec.training.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            scores = self.module(images)
        scores = scores.to(self.dtype)
        return scores, F.cross_entropy(scores, targets)

    @torch.no_grad()
    def evaluate(self) -> tuple[float, float]:
        part, loss_sum, correct = self.validation_part, 0.0, 0
        self.module.eval()
        for index in map(torch.from_numpy, batches(np.arange(len(part.labels)), EVALUATION_BATCH)):
            labels = part.labels[index]
            scores, loss = self._forward(part.normalised(part.unit(index)), labels)
            loss_sum += float(loss) * len(index)
            correct += int((scores.argmax(1) == labels).sum())
        self.module.train()
        return loss_sum / len(part.labels), correct / len(part.labels)


class TorchRule:
    """One of torch's own optimizers, with our schedule and clipping."""

    def __init__(self, job: Job, parameters: list[nn.Parameter]) -> None:
        self.rule: Any = job.rule
        self.parameters, self.course = parameters, course(job)
        self.optimizer: torch.optim.Optimizer = job.rule.over(parameters)  # type: ignore[attr-defined]

    def step(self, gradients: Sequence[Tensor | None]) -> None:
        if self.rule.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.rule.clip)
        rate = self.rule.rate(next(self.course))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()


def _data(parameters: list[nn.Parameter]) -> list[Tensor]:
    return [parameter.detach() for parameter in parameters]
