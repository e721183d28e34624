"""Trains a group of fits on torch: one module for all of them, their data and their update rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runner.components.protocols import is_around_torch
from runner.components.rule_options import Factors
from runner.engines.base import BuiltFit
from runner.engines.dropout_masks import DropoutMasks
from runner.engines.optimizer_step import OptimizerStep, can_flatten, require_independent_updates, runs_of_equal
from runner.engines.torch_engine import fit_state, layer_probe, parameters
from runner.engines.torch_engine.build import build_module
from runner.engines.torch_engine.flat_parameters import FlatParameters
from runner.engines.torch_engine.images import ImageBatches, Normalisation, merge_fits
from runner.engines.torch_engine.layers import GroupMembers
from runner.engines.torch_engine.parameter_kinds import kinds_of_parameters
from runner.engines.torch_engine.replay import Replay
from runner.engines.torch_engine.torch_optimizer import TorchOptimizerStep
from runner.engines.training_loop import EVALUATION_BATCH, BatchDraws, Evaluation, augment, changes_labels
from runner.errors import RunnerError
from runner.fits.records import Learned
from runner.network.description import describe
from runner.network.parameters import initial_values


class TorchLearner:
    """The torch implementation of `Learner`: F fits of one cell in one module, whose parameters are (F, ...).

    A plugin's own module is always a group of one. Its parameters have no axis of fits, so it is added for the update
    rule.
    """

    def __init__(self, group: Sequence[BuiltFit], normalisation: Normalisation | None = None) -> None:
        self.group, self.spec = list(group), group[0].spec
        self.device = torch.device(self.spec.training.device)
        self.dtype = torch.float64 if self.spec.training.precision == "float64" else torch.float32
        self.masks = [DropoutMasks(*fit.spec.keys) for fit in group]
        self.soft_targets = changes_labels(group[0]) or group[0].loss is not None
        self.members = GroupMembers(self.masks)
        self.is_plugin_module = isinstance(group[0].network, nn.Module)
        self.module: nn.Module = self._build_module().to(self.device, self.dtype)
        self.parameters = list(self.module.parameters())
        # After the move to the device and type: the parameters become views into the flat arrays.
        flat, factors = can_flatten(group) and not self.is_plugin_module, self._factors()
        self.flat = FlatParameters(self.parameters, factors) if flat else None
        if len(group) > 1:
            require_independent_updates(group[0].rule, torch.from_numpy)
        step_class: Any = TorchOptimizerStep if is_around_torch(group[0].rule) else OptimizerStep
        factors = self.flat.factors if self.flat else factors
        self.rule: OptimizerStep | TorchOptimizerStep = step_class(group, self._values(), factors)
        self.normalisation = normalisation or Normalisation.of(group, self.dtype, self.device)
        self.train_part = self.subset(group[0].images, group[0].labels, [fit.spec.train for fit in group])
        self.begin_epoch()

    def _build_module(self) -> nn.Module:
        network: Any = self.group[0].network
        if self.is_plugin_module:
            # Not channels_last: its forward may use `view`, which needs the usual memory format.
            module: nn.Module = network.to(memory_format=torch.contiguous_format)
            return module
        values = [initial_values(network, fit.spec.shape, *fit.spec.keys) for fit in self.group]
        return build_module(network, self.spec.shape, values, self.members)

    def _factors(self) -> list[Factors] | None:
        """What the learning rate and the decay of each parameter are multiplied by; None if no multipliers are set."""
        options = self.group[0].options
        if not options.multipliers:
            return None
        kinds = kinds_of_parameters(self.module, self.group[0].network, self.spec.shape)
        return [options.factors(own) for own in kinds]

    def _values(self) -> list[Tensor]:
        """The parameters (F, ...) for the update rule to change in place; as two arrays if they are flat."""
        if self.flat:
            return self.flat.values
        parameters = [parameter.detach() for parameter in self.parameters]
        return [parameter[None] for parameter in parameters] if self.is_plugin_module else parameters

    def _gradients(self) -> Sequence[Tensor | None]:
        """The gradients in the order and shapes of `_values`; None for a parameter that was not used."""
        if self.flat:
            return self.flat.gradients
        gradients = [parameter.grad for parameter in self.parameters]
        if not self.is_plugin_module:
            return gradients
        return [None if gradient is None else gradient[None] for gradient in gradients]

    def subset(self, images: np.ndarray, labels: np.ndarray, indices: Sequence[np.ndarray]) -> ImageBatches:
        return ImageBatches.on_device(images, labels, indices, like=self.normalisation.mean)

    def begin_epoch(self) -> None:
        # On the device, so that a step does not wait for its own results; in float64, as a whole epoch is added up.
        self.losses = torch.zeros(len(self.group), dtype=torch.float64, device=self.device)
        self.correct = torch.zeros(len(self.group), dtype=torch.int64, device=self.device)

    def training_totals(self) -> list[tuple[float, int]]:
        return list(zip(self.losses.tolist(), self.correct.tolist(), strict=True))

    def step(self, batches: Sequence[np.ndarray], draws: Sequence[BatchDraws]) -> None:
        # Last batches may differ in size. Neighbouring fits with batches of one size go through the module together;
        # padding a batch instead would change the statistics of batch normalisation.
        runs = [fits for fits, count in runs_of_equal([len(batch) for batch in batches]) if count]
        replay = Replay(self.module, self.masks, self.device) if self.rule.ascent else None
        for fits in runs:
            self._count(fits, *self._accumulate_gradients(fits, batches[fits], draws[fits]))
        if self.rule.ascent and replay:
            with torch.no_grad():
                self.rule.ascent.climb(self._gradients())
            self._clear_gradients()
            with replay.again():
                for fits in runs:
                    self._accumulate_gradients(fits, batches[fits], draws[fits])
            with torch.no_grad():
                self.rule.ascent.descend()
        with torch.no_grad():
            self.rule.step(self._gradients(), [len(batch) > 0 for batch in batches])
        self._clear_gradients()

    def _clear_gradients(self) -> None:
        if self.flat:
            self.flat.zero_gradients()
            return
        for parameter in self.parameters:
            parameter.grad = None

    def _accumulate_gradients(
        self, fits: slice, batches: Sequence[np.ndarray], draws: Sequence[BatchDraws]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Add the gradients of some neighbouring fits, whose batches have the same size.

        Returns their scores (F, N, classes), losses (F, N) and labels (F, N).
        """
        positions = [torch.from_numpy(batch).to(self.device) for batch in batches]
        images, labels = self.train_part.batch(fits.start, positions)
        targets = F.one_hot(labels, self.spec.classes).to(self.dtype) if self.soft_targets else labels
        if self.group[0].transforms:
            images, targets = self._augment(self.group[fits], images, targets, draws)
        scores, losses = self._forward(self._module_input(images, fits), targets, fits)
        minimised = losses if self.group[0].loss is None else self._own_losses(scores, targets, fits)
        # Each fit's loss is the mean over its own batch. The parameters of a fit get a gradient only from its own loss,
        # so one backward pass through the sum gives every fit what it would have had alone.
        minimised.mean(1).sum().backward()  # type: ignore[no-untyped-call]
        return scores.detach(), losses.detach(), labels

    def _count(self, fits: slice, scores: Tensor, losses: Tensor, labels: Tensor) -> None:
        """Add a batch of some of the fits to the totals of the epoch."""
        self.losses[fits] += losses.sum(1, dtype=torch.float64)
        self.correct[fits] += (scores.argmax(2) == labels).sum(1)

    def _own_losses(self, scores: Tensor, targets: Tensor, fits: slice) -> Tensor:
        """The losses (F, N) that the experiment chooses, of scores and targets (F, N, classes).

        Fit by fit, as the code of a plugin cannot be trusted to leave the axis of fits alone.
        """
        losses = []
        for fit, own_scores, own_targets in zip(self.group[fits], scores, targets, strict=True):
            assert fit.loss is not None
            values: Any = fit.loss.values(own_scores, own_targets)
            if getattr(values, "shape", None) != scores.shape[1:2]:
                found = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
                expected = f"a tensor ({scores.shape[1]},), one loss for each image"
                raise RunnerError(f"the loss {fit.spec.loss}: values returns {found}; expected {expected}")
            losses.append(values)
        return torch.stack(losses)

    def _module_input(self, images: Tensor, fits: slice) -> Tensor:
        """Images (F, N, C, H, W) in [0, 1] of some of the fits, normalised, as the module's input (N, F*C, H, W).

        The input is channels_last, except for a plugin's own module, whose forward may use `view`.
        """
        images = self.normalisation[fits].normalise(images)
        return images[0] if self.is_plugin_module else merge_fits(images)

    def _augment(
        self, group: Sequence[BuiltFit], images: Tensor, targets: Tensor, draws: Sequence[BatchDraws]
    ) -> tuple[Tensor, Tensor]:
        """Images (F, N, C, H, W) and targets, each fit's changed by its own transforms and draws; same shapes."""
        changed = []
        for fit, fit_images, fit_targets, fit_draws in zip(group, images, targets, draws, strict=True):
            on_device = [{k: torch.from_numpy(v).to(self.device) for k, v in drawn.items()} for drawn in fit_draws]
            changed.append(augment(fit, fit_images, fit_targets, on_device))
        images, targets = (torch.stack(column) for column in zip(*changed, strict=True))
        return images, targets

    def _forward(self, images: Tensor, targets: Tensor, fits: slice) -> tuple[Tensor, Tensor]:
        """Scores (F, N, classes) and cross-entropies (F, N) of some of the fits, from their module's input.

        Targets are labels (F, N), or class shares (F, N, classes). With the precision bfloat16 convolutions and
        matrix products run in bfloat16, and the losses are computed in float32.
        """
        autocast = self.spec.training.precision == "bfloat16"
        with self._module_of(fits) as module, torch.autocast(self.device.type, torch.bfloat16, enabled=autocast):
            output: Tensor = module(images)
        size = targets.shape[:2]
        # (N, F*classes) -> (N, F, classes) -> (F, N, classes).
        scores = output.to(self.dtype).view(size[1], size[0], -1).transpose(0, 1)
        losses = F.cross_entropy(scores.flatten(0, 1), targets.flatten(0, 1), reduction="none")
        return scores, losses.view(size)

    @contextmanager
    def _module_of(self, fits: slice) -> Iterator[Any]:
        """The module, reduced to some of the fits by views of its parameters and buffers."""
        if fits == slice(0, len(self.group)):
            yield self.module
            return
        named = (*self.module.named_parameters(), *self.module.named_buffers())
        # Views: gradients reach those of the whole parameters, and running statistics are updated in the buffers.
        tensors = {name: tensor[fits] for name, tensor in named}
        self.members.masks = self.masks[fits]
        yield lambda images: torch.func.functional_call(self.module, tensors, (images,))
        self.members.masks = self.masks

    @torch.no_grad()
    def evaluate(self, subset: ImageBatches) -> list[Evaluation]:
        """Loss, accuracy and predictions of every fit on its images; see `Learner.evaluate`.

        Subsets may differ in size. A fit that runs out of images repeats its last one, which `real` keeps out of the
        results. Unlike in training that changes nothing else: batch normalisation uses its running statistics.
        """
        counts = [len(index) for index in subset.indices]
        real = torch.arange(max(counts), device=self.device) < torch.tensor(counts, device=self.device)[:, None]
        losses, correct, answers = torch.zeros_like(self.losses), torch.zeros_like(self.correct), []
        for positions, labels, scores, image_losses in self._evaluated(subset):
            share, predicted = scores.softmax(2).max(2)
            counted = real[:, positions]
            losses += (image_losses.double() * counted).sum(1)
            correct += ((predicted == labels) & counted).sum(1)
            answers.append((predicted, share.float()))
        answer, confidence = (torch.cat(column, 1).cpu().numpy() for column in zip(*answers, strict=True))
        return [
            Evaluation(loss / n, right / n, answer[fit, :n], confidence[fit, :n])
            for fit, (n, loss, right) in enumerate(zip(counts, losses.tolist(), correct.tolist(), strict=True))
        ]

    def _evaluated(self, subset: ImageBatches) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """For each batch its positions (N,), labels (F, N), scores (F, N, classes) and losses (F, N)."""
        counts, all_fits = [len(index) for index in subset.indices], slice(0, len(self.group))
        self.module.eval()
        # The limit is on the images of all fits together, so that memory does not grow with the group.
        batch_size = max(1, EVALUATION_BATCH // len(counts))
        for positions in torch.split(torch.arange(max(counts), device=self.device), batch_size):
            images, labels = subset.batch(0, [positions.clamp(max=count - 1) for count in counts])
            yield positions, labels, *self._forward(self._module_input(images, all_fits), labels, all_fits)
        self.module.train()

    @torch.no_grad()
    def shares(self, subset: ImageBatches) -> list[np.ndarray]:
        batches = [scores.softmax(2).float() for _, _, scores, _ in self._evaluated(subset)]
        # Not back in training mode: the module is in the hands of users, and must not learn from their images.
        self.module.eval()
        together = torch.cat(batches, 1).cpu().numpy()
        return [shares[: len(index)] for shares, index in zip(together, subset.indices, strict=True)]

    def learned(self, fit: int) -> Learned:
        mean, deviation = (
            tuple(moments[fit].double().flatten().tolist())
            for moments in (self.normalisation.mean, self.normalisation.deviation)
        )
        return Learned(
            parameters.of_fit(self.module, fit, self.is_plugin_module),
            None if self.is_plugin_module else describe(self.group[fit].network),
            mean, deviation, len(self.group), fit, self.group[fit].preprocessing,
        )  # fmt: skip

    def load(self, learned: Learned) -> None:
        """Give every fit of the group the parameters `learned`; raises ValueError if they are not the network's."""
        parameters.load(self.module, learned.arrays, self.is_plugin_module)

    def inspectable(self, fit: int) -> TorchLearner:
        if len(self.group) == 1:
            return self
        # The normalisation is passed on, as computing it reads all training images.
        single = TorchLearner([self.group[fit]], self.normalisation[fit : fit + 1])
        with torch.no_grad():
            fit_state.load_tensors(single.module, self._network_tensors(fit))
        return single

    def network_state(self, fit: int) -> Any:
        return fit_state.encode_tensors(self._network_tensors(fit))

    @torch.no_grad()
    def restore_network(self, fit: int, state: Any) -> None:
        values = fit_state.decode_tensors(state)
        for name, tensor in self._network_tensors(fit).items():
            tensor.copy_(values[name])

    def _network_tensors(self, fit: int) -> dict[str, Tensor]:
        """Views of one fit's parameters and buffers, by name."""
        tensors = fit_state.module_tensors(self.module)
        # Those of a plugin's own module, always a group of one, have no axis of fits.
        return tensors if len(self.group) == 1 else {name: tensor[fit : fit + 1] for name, tensor in tensors.items()}

    def state(self) -> Any:
        state = {
            "module": fit_state.module_tensors(self.module),
            "rule": self.rule.state(),
            "generators": fit_state.generator_states(self.device),
            "seen": [self.losses, self.correct],
        }
        return fit_state.encode_tensors(state)

    @torch.no_grad()
    def restore(self, state: Any) -> None:
        saved = fit_state.decode_tensors(state)
        # In place: the update rule, and the flat arrays if there are any, share the memory of the parameters.
        fit_state.load_tensors(self.module, saved["module"])
        self.rule.restore(saved["rule"])
        fit_state.restore_generators(saved["generators"], self.device)
        self.losses, self.correct = saved["seen"]

    def first_filters(self) -> np.ndarray | None:
        return layer_probe.first_filters(self.module)

    @torch.no_grad()
    def layer_outputs(self, images: np.ndarray) -> dict[str, tuple[str, np.ndarray]]:
        count = len(images)
        # The labels do not matter: only the layers' outputs are recorded.
        subset = self.subset(images, np.zeros(count, np.int64), [np.arange(count)])
        module_input, labels = self._single_fit_batch(subset, np.arange(count))
        self.module.eval()
        return layer_probe.layer_outputs(self.module, lambda: self._forward(module_input, labels, slice(0, 1)))

    def time_layers(self, index: np.ndarray) -> dict[str, tuple[float, float]]:
        module_input, labels = self._single_fit_batch(self.train_part, index)

        def run() -> None:
            _, losses = self._forward(module_input, labels, slice(0, 1))
            losses.mean().backward()  # type: ignore[no-untyped-call]

        self.module.train()
        # A plugin's own module may draw random numbers here, which must not shift those of the next fit.
        with torch.random.fork_rng(devices=[]):
            seconds = layer_probe.layer_seconds(self.module, run, self.device)
        self._clear_gradients()
        return seconds

    def _single_fit_batch(self, subset: ImageBatches, index: np.ndarray) -> tuple[Tensor, Tensor]:
        """The module's input (N, C, H, W) and the labels (1, N) for positions `index` (N,) in the first fit's part."""
        images, labels = subset.batch(0, [torch.from_numpy(index).to(self.device)])
        return self._module_input(images, slice(0, 1)), labels
