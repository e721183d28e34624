"""Normalisation over the batch, groups of channels, or neighbouring channels, and scales; forward and backward.

Shapes and notation as in `layers`: x input, y output, g = dL/dy, all (C, H, W, N); a vector is (F, 1, 1, N).
"""

from __future__ import annotations

import numpy as np

from runner.engines.numpy_engine.layers import Array, NumpyLayer, per_channel
from runner.network.layers import BatchNorm, GroupNorm, InstanceNorm, LayerNorm2d, LocalResponseNorm


class BatchNormalisation(NumpyLayer):
    """Each channel brought to mean 0 and variance 1 over the batch, then scaled and shifted.

    Shapes: x, y, g and dL/dx (C, H, W, N); weight, bias, running_mean and running_var (C,). All means, sums and
    variances are per channel, over its M = H W N values.

    Forward:  n = (x - mean) / s with s = sqrt(variance + epsilon); y = weight n + bias. Training uses the mean and the
    variance (divided by M) of the batch and moves the running statistics towards them; evaluation uses those.
    Backward: dL/dweight = sum of g n; dL/dbias = sum of g. For dL/dx let h = dL/dn = g weight. The mean and s depend on
    every x as well, dmean/dx_j = 1/M and ds/dx_j = n_j / M, so by the quotient rule
    dn_i/dx_j = ((i = j) - 1/M - n_i n_j / M) / s, and summed over i: dL/dx = (h - mean of h - n * mean of (h n)) / s.
    Source: Ioffe and Szegedy 2015, "Batch Normalization", algorithm 1 and section 3.
    """

    layer: BatchNorm

    def forward(self, x: Array, training: bool) -> Array:
        if training:
            mean = x.mean((1, 2, 3))
            # Two passes: the mean of squares less the squared mean loses digits where the mean is large.
            variance = np.square(x - per_channel(mean)).mean((1, 2, 3))
            self._update_running(mean, variance, x[0].size)
        else:
            mean, variance = self.arrays["running_mean"], self.arrays["running_var"]
        # epsilon is under the root, so a channel whose values are all equal is not divided by 0.
        self.s = per_channel(np.sqrt(variance + self.layer.epsilon))
        # n and s are all that the backward pass needs; x is not stored.
        self.n = (x - per_channel(mean)) / self.s
        return self.n * per_channel(self.arrays["weight"]) + per_channel(self.arrays["bias"])

    def _update_running(self, mean: Array, variance: Array, count: int) -> None:
        """Move the running statistics by `momentum` towards those of a batch of `count` values per channel."""
        # n is then 0 and y the bias, as on torch.
        if count == 1:  # a last batch of one image behind global pooling: one value has no variance
            return
        # The running variance is the unbiased one, divided by M - 1, as in the paper and in torch.
        unbiased = variance * (count / (count - 1))
        for name, now in (("running_mean", mean), ("running_var", unbiased)):
            self.arrays[name] += self.layer.momentum * (now - self.arrays[name])

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        self.gradients = {"weight": (g * self.n).sum((1, 2, 3)), "bias": g.sum((1, 2, 3))}
        h = g * per_channel(self.arrays["weight"])
        means = h.mean((1, 2, 3), keepdims=True), (h * self.n).mean((1, 2, 3), keepdims=True)
        # For a forward pass in training: in evaluation, mean and s do not depend on x.
        return (h - means[0] - self.n * means[1]) / self.s


class LocalResponseNormalisation(NumpyLayer):
    """Each value divided by a power of the squares around it, in neighbouring channels at the same position.

    Shapes: x, y, g, d and dL/dx (C, H, W, N). Below, i and j are channels; near(i) are the `size` channels around i,
    those that exist.

    Forward:  d_i = k + alpha * sum over j in near(i) of x_j^2; y_i = x_i d_i^-beta.
    Backward: x_i is in its own numerator, and in d_j of every j with i in near(j), where dd_j/dx_i = 2 alpha x_i. So
    dL/dx_i = g_i d_i^-beta - 2 alpha beta x_i * (sum over those j of g_j x_j d_j^(-beta - 1)).
    Source: Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks", section 3.3. As
    there, alpha multiplies the sum of the squares; in torch it multiplies their mean.
    """

    layer: LocalResponseNorm

    def forward(self, x: Array, training: bool) -> Array:
        self.x = x
        # d >= k > 0, so its powers exist. For an even size the extra channel is in front, as in torch.
        self.d = self.layer.k + self.layer.alpha * self._sum_near(x * x, self.layer.size // 2)
        return x * self.d**-self.layer.beta

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        beta = self.layer.beta
        # The channels j with i in near(j): the neighbourhood mirrored, which differs if `size` is even.
        shared = self._sum_near(g * self.x * self.d ** (-beta - 1), (self.layer.size - 1) // 2)
        return g * self.d**-beta - 2 * self.layer.alpha * beta * self.x * shared

    def _sum_near(self, values: Array, before: int) -> Array:
        """For every channel the sum over `size` channels, `before` of them in front of it."""
        channels, after = len(values), self.layer.size - 1 - before
        # Zeros in place of the channels that do not exist add nothing to a sum.
        padded = np.pad(values, ((before, after), (0, 0), (0, 0), (0, 0)))
        return sum(padded[offset : offset + channels] for offset in range(self.layer.size))  # type: ignore[return-value]


class Standardisation(NumpyLayer):
    """Parts of an image brought to mean 0 and variance 1, then each channel scaled and shifted if it has parameters.

    Shapes: x, y, g and dL/dx (C, H, W, N); weight and bias (C,). `split` gives a view of an image as one or more parts,
    and `axes` are those within a part. All means and variances are over the M values of a part, whose own image is all
    that they depend on: training and evaluation are the same.

    Forward:  n = (x - mean) / s with s = sqrt(variance + epsilon), the variance divided by M; y = weight n + bias.
    Backward: dL/dweight = sum of g n and dL/dbias = sum of g, over images and positions. With h = dL/dn = g weight,
    dL/dx = (h - mean of h - n * mean of (h n)) / s, by the same steps as in batch normalisation, of whose M values are
    here those of a part.
    Source: Ba et al. 2016, "Layer normalization", section 3.
    """

    layer: GroupNorm | InstanceNorm | LayerNorm2d
    axes: tuple[int, ...]

    def split(self, x: Array) -> Array:
        raise NotImplementedError

    def forward(self, x: Array, training: bool) -> Array:
        parts = self.split(x)
        centred = parts - parts.mean(self.axes, keepdims=True)
        self.s = np.sqrt(np.square(centred).mean(self.axes, keepdims=True) + self.layer.epsilon)
        self.n = (centred / self.s).reshape(x.shape)
        if not self.arrays:
            return self.n
        return self.n * per_channel(self.arrays["weight"]) + per_channel(self.arrays["bias"])

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        self.gradients = {"weight": (g * self.n).sum((1, 2, 3)), "bias": g.sum((1, 2, 3))}
        h, n = self.split(g * per_channel(self.arrays["weight"]) if self.arrays else g), self.split(self.n)
        means = h.mean(self.axes, keepdims=True), (h * n).mean(self.axes, keepdims=True)
        return ((h - means[0] - n * means[1]) / self.s).reshape(g.shape)


class LayerNormalisation(Standardisation):
    """Standardisation of each position's channels.

    Source: Liu et al. 2022, "A ConvNet for the 2020s", section 2.6.
    """

    axes = (0,)

    def split(self, x: Array) -> Array:
        return x


class GroupNormalisation(Standardisation):
    """Standardisation of groups of neighbouring channels, over all positions: (G, C / G, H, W, N).

    Source: Wu and He 2018, "Group normalization", section 3.
    """

    layer: GroupNorm
    axes = (1, 2, 3)

    def split(self, x: Array) -> Array:
        return x.reshape(self.layer.groups, -1, *x.shape[1:])


class InstanceNormalisation(Standardisation):
    """Standardisation of each channel, over all positions.

    Source: Ulyanov et al. 2016, "Instance normalization: the missing ingredient for fast stylization".
    """

    axes = (1, 2)

    def split(self, x: Array) -> Array:
        return x


class LayerScaling(NumpyLayer):
    """Each channel times a learned number w.

    Shapes: x, y, g and dL/dx (C, H, W, N); weight (C,).
    Forward:  y = w x.
    Backward: dL/dw = sum of g x over images and positions; dL/dx = g w.
    Source: Touvron et al. 2021, "Going deeper with image transformers", section 2.1.
    """

    def forward(self, x: Array, training: bool) -> Array:
        self.x = x
        return x * per_channel(self.arrays["weight"])

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        self.gradients = {"weight": (g * self.x).sum((1, 2, 3))}
        return g * per_channel(self.arrays["weight"])
