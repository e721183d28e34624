"""A small vision transformer (Dosovitskiy et al. 2021), as a module of torch."""

from __future__ import annotations

import torch
from torch import nn

from runner.api import Architecture, Count, RunnerError, hookimpl


class VisionTransformer(nn.Module):
    def __init__(self, shape, classes, patch, width, depth, heads):
        super().__init__()
        channels, height, _ = shape
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.first = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(0.02 * torch.randn(1, 1 + (height // patch) ** 2, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.scores = nn.Linear(width, classes)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(images), -1, -1), tokens], 1) + self.position
        return self.scores(self.norm(self.encoder(tokens)[:, 0]))


def build(input_shape, classes, *, patch: Count = 4, width: Count = 16, depth: Count = 1, heads: Count = 2):
    """`depth` layers of attention between patches of `patch` x `patch` pixels, each a vector of `width` numbers."""
    _, height, across = input_shape
    if height != across or height % patch:
        raise RunnerError(f"vit: images of {height}x{across} are not divided by patches of {patch}x{patch}")
    return VisionTransformer(input_shape, classes, patch, width, depth, heads)


@hookimpl
def register_architectures():
    yield Architecture(name="vit", build=build)
