"""A group of fits in training: one module for all, their data and update rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runner.components.protocols import own_engine
from runner.engines.base import BuiltFit
from runner.engines.dropout_masks import DropoutMasks
from runner.engines.optimizer_step import OptimizerStep, can_flatten, refuse_mixing, runs_of_equal
from runner.engines.torch_engine import fit_state, layer_probe
from runner.engines.torch_engine.build import build_module
from runner.engines.torch_engine.flat_parameters import FlatParameters
from runner.engines.torch_engine.images import ImageBatches, Normalisation, side_by_side
from runner.engines.torch_engine.layers import GroupMembers
from runner.engines.torch_engine.torch_optimizer import TorchOptimizerStep
from runner.engines.training_loop import EVALUATION_BATCH, BatchDraws, Evaluation, augmented, relabels
from runner.network.parameters import initial_values


class TorchLearner:
    """F fits of one cell, side by side in one module whose parameters have a first axis of fits.

    A plugin's own module is a group of one, and its parameters are as they are.
    """

    def __init__(self, group: Sequence[BuiltFit], normalisation: Normalisation | None = None) -> None:
        self.group, self.spec = list(group), group[0].spec
        self.device = torch.device(self.spec.training.device)
        self.dtype = torch.float64 if self.spec.training.precision == "float64" else torch.float32
        self.masks, self.soft = [DropoutMasks(*job.spec.keys) for job in group], relabels(group[0])
        self.members = GroupMembers(self.masks)
        self.own = isinstance(group[0].network, nn.Module)
        self.module: nn.Module = self._module().to(self.device, self.dtype)
        self.parameters = list(self.module.parameters())
        self.joined = FlatParameters(self.parameters) if can_flatten(group) and not self.own else None
        if len(group) > 1:
            refuse_mixing(group[0].rule)
        make: Any = TorchOptimizerStep if own_engine(group[0].rule) else OptimizerStep
        self.rule: OptimizerStep | TorchOptimizerStep = make(group, self._values())
        self.normalisation = normalisation or Normalisation.of(group, self.dtype, self.device)
        self.train_part = self.part(group[0].images, group[0].labels, [job.spec.train for job in group])
        self.begin()

    def _module(self) -> nn.Module:
        network: Any = self.group[0].network
        if self.own:
            module: nn.Module = network.to(memory_format=torch.contiguous_format)
            return module
        values = [initial_values(network, job.spec.shape, *job.spec.keys) for job in self.group]
        return build_module(network, self.spec.shape, values, self.members)

    def _values(self) -> list[Tensor]:
        """The parameters (fits, ...), to be changed in place; or all of them in two arrays."""
        if self.joined:
            return self.joined.values
        return [parameter.detach()[None] if self.own else parameter.detach() for parameter in self.parameters]

    def _gradients(self) -> Sequence[Tensor | None]:
        if self.joined:
            return self.joined.gradients
        found = [parameter.grad for parameter in self.parameters]
        return [gradient[None] if self.own and gradient is not None else gradient for gradient in found]

    def part(self, images: np.ndarray, labels: np.ndarray, indices: Sequence[np.ndarray]) -> ImageBatches:
        return ImageBatches.at(images, labels, indices, like=self.normalisation.mean)

    def begin(self) -> None:
        self.losses = torch.zeros(len(self.group), dtype=torch.float64, device=self.device)
        self.correct = torch.zeros(len(self.group), dtype=torch.int64, device=self.device)

    def seen(self) -> list[tuple[float, int]]:
        return list(zip(self.losses.tolist(), self.correct.tolist(), strict=True))

    def step(self, batches: Sequence[np.ndarray], draws: Sequence[BatchDraws]) -> None:
        for fits, count in runs_of_equal([len(batch) for batch in batches]):
            if count:
                self._learn(fits, batches[fits], draws[fits])
        with torch.no_grad():
            self.rule.step(self._gradients(), [len(batch) > 0 for batch in batches])
        self._forget_gradients()

    def _forget_gradients(self) -> None:
        if self.joined:
            self.joined.forget_gradients()
            return
        for parameter in self.parameters:
            parameter.grad = None

    def _learn(self, fits: slice, batches: Sequence[np.ndarray], draws: Sequence[BatchDraws]) -> None:
        """Leave the parameters of some neighbouring fits, whose batches have one size, with their gradients."""
        some = [torch.from_numpy(batch).to(self.device) for batch in batches]
        images, labels = self.train_part.batch(fits.start, some)
        targets = F.one_hot(labels, self.spec.classes).to(self.dtype) if self.soft else labels
        if self.group[0].transforms:
            images, targets = self._augmented(self.group[fits], images, targets, draws)
        scores, losses = self._forward(self._taken_in(images, fits), targets, fits)
        losses.mean(1).sum().backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self.losses[fits] += losses.sum(1, dtype=torch.float64)
            self.correct[fits] += (scores.argmax(2) == labels).sum(1)

    def _taken_in(self, images: Tensor, fits: slice) -> Tensor:
        """Images (F, N, C, H, W) in [0, 1] of some of the fits as their module takes them in, (N, F*C, H, W).

        A plugin's own module may rely on the usual order of memory (`view`), so it gets that.
        """
        images = self.normalisation[fits].applied(images)
        return images[0] if self.own else side_by_side(images)

    def _augmented(
        self, group: Sequence[BuiltFit], images: Tensor, targets: Tensor, draws: Sequence[BatchDraws]
    ) -> tuple[Tensor, Tensor]:
        changed = []
        for job, one, wanted, drawn in zip(group, images, targets, draws, strict=True):
            on_device = [{k: torch.from_numpy(v).to(self.device) for k, v in of.items()} for of in drawn]
            changed.append(augmented(job, one, wanted, on_device))
        images, targets = (torch.stack(column) for column in zip(*changed, strict=True))
        return images, targets

    def _forward(self, images: Tensor, targets: Tensor, fits: slice) -> tuple[Tensor, Tensor]:
        """Scores (F, N, classes) and cross-entropies (F, N); convolutions and products in the fits' precision."""
        low = self.spec.training.precision == "bfloat16"
        with self._at_work(fits) as module, torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            output: Tensor = module(images)
        size = targets.shape[:2]
        scores = output.to(self.dtype).view(size[1], size[0], -1).transpose(0, 1)
        losses = F.cross_entropy(scores.flatten(0, 1), targets.flatten(0, 1), reduction="none")
        return scores, losses.view(size)

    @contextmanager
    def _at_work(self, fits: slice) -> Iterator[Any]:
        """The module of some of the fits."""
        if fits == slice(0, len(self.group)):
            yield self.module
            return
        part = {name: tensor[fits] for name, tensor in (*self.module.named_parameters(), *self.module.named_buffers())}
        self.members.masks = self.masks[fits]
        yield lambda images: torch.func.functional_call(self.module, part, (images,))
        self.members.masks = self.masks

    @torch.no_grad()
    def evaluate(self, part: ImageBatches) -> list[Evaluation]:
        """Fits with fewer images than others see some of theirs twice, which does not count."""
        counts = [len(index) for index in part.indices]
        real = torch.arange(max(counts), device=self.device) < torch.tensor(counts, device=self.device)[:, None]
        losses, correct, answers = torch.zeros_like(self.losses), torch.zeros_like(self.correct), []
        every = slice(0, len(self.group))
        self.module.eval()
        for some in torch.split(torch.arange(max(counts), device=self.device), max(1, EVALUATION_BATCH // len(counts))):
            images, labels = part.batch(0, [some.clamp(max=count - 1) for count in counts])
            scores, cost = self._forward(self._taken_in(images, every), labels, every)
            share, predicted = scores.softmax(2).max(2)
            counted = real[:, some]
            losses += (cost.double() * counted).sum(1)
            correct += ((predicted == labels) & counted).sum(1)
            answers.append((predicted, share.float()))
        self.module.train()
        answer, confidence = (torch.cat(column, 1).cpu().numpy() for column in zip(*answers, strict=True))
        return [
            Evaluation(loss / n, right / n, answer[fit, :n], confidence[fit, :n])
            for fit, (n, loss, right) in enumerate(zip(counts, losses.tolist(), correct.tolist(), strict=True))
        ]

    def alone(self, fit: int) -> TorchLearner:
        if len(self.group) == 1:
            return self
        one = TorchLearner([self.group[fit]], self.normalisation[fit : fit + 1])
        with torch.no_grad():
            fit_state.put(one.module, {name: t[fit : fit + 1] for name, t in fit_state.tensors(self.module).items()})
        return one

    def state(self) -> Any:
        module, drawn = fit_state.tensors(self.module), fit_state.generators(self.device)
        seen = [self.losses, self.correct]
        return fit_state.to_bytes({"module": module, "rule": self.rule.state(), "generators": drawn, "seen": seen})

    @torch.no_grad()
    def restore(self, state: Any) -> None:
        kept = fit_state.from_bytes(state)
        fit_state.put(self.module, kept["module"])
        self.rule.restore(kept["rule"])
        fit_state.set_generators(kept["generators"], self.device)
        self.losses, self.correct = kept["seen"]

    def filters(self) -> np.ndarray | None:
        return layer_probe.first_filters(self.module)

    @torch.no_grad()
    def observe(self, images: np.ndarray) -> dict[str, tuple[str, np.ndarray]]:
        count = len(images)
        shown = self.part(images, np.zeros(count, np.int64), [np.arange(count)])
        pixels, labels = self._all_of(shown, np.arange(count))
        self.module.eval()
        return layer_probe.outputs(self.module, lambda: self._forward(pixels, labels, slice(0, 1)))

    def time_layers(self, index: np.ndarray) -> dict[str, tuple[float, float]]:
        pixels, labels = self._all_of(self.train_part, index)

        def run() -> None:
            _, losses = self._forward(pixels, labels, slice(0, 1))
            losses.mean().backward()  # type: ignore[no-untyped-call]

        self.module.train()
        with torch.random.fork_rng(devices=[]):  # a plugin's own module may draw; the next fit shall not notice
            seconds = layer_probe.seconds(self.module, run, self.device)
        self._forget_gradients()
        return seconds

    def _all_of(self, part: ImageBatches, index: np.ndarray) -> tuple[Tensor, Tensor]:
        """What goes into the module of one fit for the images of a part at `index`, and their labels (1, N)."""
        images, labels = part.batch(0, [torch.from_numpy(index).to(self.device)])
        return self._taken_in(images, slice(0, 1)), labels
