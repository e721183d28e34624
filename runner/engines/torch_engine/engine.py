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

from runner.engines.base import Job, Trained
from runner.engines.torch_engine import keeping, watching
from runner.engines.torch_engine.modules import build_module
from runner.engines.training import (
    EVALUATION_BATCH,
    Course,
    Masks,
    Measured,
    Rule,
    augmented,
    is_torch_only,
    relabels,
    statistics,
    train,
)
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

    def fit(self, group: Sequence[Job]) -> Iterator[Trained | Exception]:
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
    """Those of the images (N, C, H, W) uint8 and labels (N,) on the device that stand at `index`, and the training
    part's statistics by channel. On the processor the images are not copied: all workers map the same ones.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    mean: Tensor
    deviation: Tensor
    layout: torch.memory_format

    def batch(self, some: Tensor) -> tuple[Tensor, Tensor]:
        """Images in [0, 1] and labels of some of the part, counted within it."""
        place = self.index[some]
        return self.images[place].to(self.mean.dtype).div_(255), self.labels[place]

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
        self.mean, self.deviation = (
            torch.tensor(figures, dtype=self.dtype, device=self.device).view(1, -1, 1, 1)
            for figures in statistics(job.images, spec.train)
        )
        self.train_part = self.part(job.images, job.labels, spec.train)

    def _module(self) -> nn.Module:
        values = initial_values(self.job.network, self.spec.shape, *self.spec.keys)
        return build_module(self.job.network, self.spec.shape, values, self.masks)

    def part(self, images: np.ndarray, labels: np.ndarray, index: np.ndarray) -> Pixels:
        place = [torch.from_numpy(array).to(self.device) for array in (images, labels, index)]
        return Pixels(place[0], place[1], place[2], self.mean, self.deviation, self.layout)

    def step(self, index: np.ndarray, draws: Sequence[Mapping[str, np.ndarray]]) -> tuple[Tensor, Tensor]:
        images, labels = self.train_part.batch(torch.from_numpy(index).to(self.device))
        targets = F.one_hot(labels, self.spec.classes).to(self.dtype) if self.soft else labels
        drawn = [{k: torch.from_numpy(v).to(self.device) for k, v in one.items()} for one in draws]
        images, targets = augmented(self.job, images, targets, drawn)
        scores, loss = self._learn(self.train_part.normalised(images), targets)
        with torch.no_grad():
            self.rule.step([parameter.grad for parameter in self.parameters])
        for parameter in self.parameters:
            parameter.grad = None
        return (loss.detach() * len(index)).double(), (scores.detach().argmax(1) == labels).sum()

    def _learn(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and loss; the parameters are left with their gradients."""
        scores, loss = self._forward(images, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return scores, loss

    def _forward(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N, classes) and the mean cross-entropy; convolutions and products in the fit's precision."""
        low = self.spec.training.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            scores = self.module(images)
        scores = scores.to(self.dtype)
        return scores, F.cross_entropy(scores, targets)

    @torch.no_grad()
    def evaluate(self, part: Pixels) -> Measured:
        loss_sum, correct, count = 0.0, 0, len(part.index)
        answers = []
        self.module.eval()
        for some in torch.split(torch.arange(count, device=self.device), EVALUATION_BATCH):
            images, labels = part.batch(some)
            scores, loss = self._forward(part.normalised(images), labels)
            loss_sum += float(loss) * len(some)
            share, predicted = scores.softmax(1).max(1)
            correct += int((predicted == labels).sum())
            answers.append((predicted, share.float()))
        self.module.train()
        answer, confidence = (torch.cat(column).cpu().numpy() for column in zip(*answers, strict=True))
        return Measured(loss_sum / count, correct / count, answer, confidence)

    def state(self) -> Any:
        module, drawn = keeping.tensors(self.module), keeping.generators(self.device)
        return keeping.plain({"module": module, "rule": self.rule.state(), "generators": drawn})

    @torch.no_grad()
    def restore(self, state: Any) -> None:
        kept = keeping.lively(state)
        keeping.put(self.module, kept["module"])
        self.rule.restore(kept["rule"])
        keeping.set_generators(kept["generators"], self.device)

    def filters(self) -> np.ndarray | None:
        return watching.first_filters(self.module)

    @torch.no_grad()
    def observe(self, images: np.ndarray) -> dict[str, tuple[str, np.ndarray]]:
        count = len(images)
        shown = self.part(images, np.zeros(count, np.int64), np.arange(count))
        pixels, labels = shown.batch(torch.arange(count, device=self.device))
        self.module.eval()
        return watching.outputs(self.module, lambda: self._forward(shown.normalised(pixels), labels))

    def time_layers(self, index: np.ndarray) -> dict[str, tuple[float, float]]:
        images, labels = self.train_part.batch(torch.from_numpy(index).to(self.device))
        pixels = self.train_part.normalised(images)
        self.module.train()
        with torch.random.fork_rng(devices=[]):  # a plugin's own module may draw; the next fit shall not notice
            seconds = watching.seconds(self.module, lambda: self._learn(pixels, labels), self.device)
        for parameter in self.parameters:
            parameter.grad = None
        return seconds


class TorchRule:
    """One of torch's own optimizers, with our schedule and clipping."""

    def __init__(self, job: Job, parameters: list[nn.Parameter]) -> None:
        self.rule: Any = job.rule
        self.parameters, self.course = parameters, Course(job)
        self.optimizer: torch.optim.Optimizer = job.rule.over(parameters)  # type: ignore[attr-defined]

    def step(self, gradients: Sequence[Tensor | None]) -> None:
        if self.rule.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.rule.clip)
        rate = self.rule.rate(next(self.course))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()

    def state(self) -> dict[str, Any]:
        return {"done": self.course.done, **keeping.optimizer_state(self.optimizer, self.parameters)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.course.done = state["done"]
        keeping.set_optimizer_state(self.optimizer, self.parameters, state)


def _data(parameters: list[nn.Parameter]) -> list[Tensor]:
    return [parameter.detach() for parameter in parameters]
