"""A second forward pass of a batch that sees what the first one saw, for the second gradient of a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from runner.engines.dropout_masks import DropoutMasks
from runner.engines.torch_engine.fit_state import generator_states, restore_generators
from runner.seeding import global_states, restore_globals


class Replay:
    """The random numbers as they are before a pass: those of dropout masks, and of what a plugin's code draws from."""

    def __init__(self, module: nn.Module, masks: Sequence[DropoutMasks], device: torch.device) -> None:
        self.module, self.masks, self.device = module, masks, device
        self.drawn = [own.state() for own in masks]
        self.generators, self.globals = generator_states(device), global_states()

    @contextmanager
    def again(self) -> Iterator[None]:
        """A context in which the same numbers are drawn, and whose changes of the module's buffers are undone.

        So running statistics move once per step, as they would with one gradient.
        """
        for own, state in zip(self.masks, self.drawn, strict=True):
            own.rewind(state)
        restore_generators(self.generators, self.device)
        restore_globals(self.globals)
        buffers = [(buffer, buffer.clone()) for buffer in self.module.buffers()]
        yield
        for buffer, before in buffers:
            buffer.copy_(before)
