"""The hooks of a plugin. Each yields (or returns a list of) named records of one kind."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from runner.components.records import Architecture, Augmentation, Dataset, Loss, Metric, Optimizer

GROUP = "runner"
"""The pluggy project name and the entry-point group under which published plugins are registered."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a function of a plugin as one of the hooks, by its name: ``@hookimpl``."""


@hookspec
def register_architectures() -> Iterable[Architecture]:
    """Architectures, by name.

    A complete plugin::

        from runner.api import Architecture, Conv, Dense, Flatten, MaxPool, ReLU, Sequential, hookimpl

        def wide(input_shape, classes, *, width: int = 32):
            return Sequential(Conv(width, 5), ReLU(), MaxPool(2), Flatten(), Dense(classes))

        @hookimpl
        def register_architectures():
            yield Architecture(name="wide", build=wide)
    """
    return ()


@hookspec
def register_augmentations() -> Iterable[Augmentation]:
    """Augmentations, by name.

    A complete plugin::

        from dataclasses import dataclass
        from runner.api import Augmentation, hookimpl

        @dataclass(frozen=True)
        class Dim:
            lowest: float

            def draw(self, rng, count, shape):
                return {"factor": rng.uniform(self.lowest, 1, (count, 1, 1, 1)).astype("float32")}

            def apply(self, images, draws):
                return images * draws["factor"]

        def dim(*, lowest: float = 0.5):
            return Dim(lowest)

        @hookimpl
        def register_augmentations():
            yield Augmentation(name="dim", build=dim)
    """
    return ()


@hookspec
def register_optimizers() -> Iterable[Optimizer]:
    """Optimizers, by name.

    A complete plugin::

        from dataclasses import dataclass
        from runner.api import Optimizer, hookimpl

        @dataclass(frozen=True)
        class SignDescent:
            lr: float
            slots: tuple[str, ...] = ()

            def update(self, parameter, gradient, state, step):
                parameter -= self.lr * ((gradient > 0) * 1.0 - (gradient < 0) * 1.0)

        def sign_descent(*, lr: float = 1e-3):
            return SignDescent(lr)

        @hookimpl
        def register_optimizers():
            yield Optimizer(name="sign_descent", build=sign_descent)
    """
    return ()


@hookspec
def register_datasets() -> Iterable[Dataset]:
    """Data sets, by name.

    A complete plugin::

        import numpy as np
        from runner.api import Dataset, ImageData, hookimpl

        def load():
            rng = np.random.default_rng(0)
            labels = np.arange(200) % 2
            images = rng.integers(0, 100, (200, 1, 8, 8)) + 100 * labels[:, None, None, None]
            return images.astype("uint8"), labels

        def noise():
            return ImageData(shape=(1, 8, 8), class_names=("dark", "light"), size=200, load=load)

        @hookimpl
        def register_datasets():
            yield Dataset(name="noise", build=noise)
    """
    return ()


@hookspec
def register_metrics() -> Iterable[Metric]:
    """Metrics, by name.

    A complete plugin::

        from runner.api import Metric, hookimpl

        def worst_recall(class_names):
            def compute(truth, predicted):
                return min((predicted[truth == number] == number).mean() for number in set(truth.tolist()))

            return compute

        @hookimpl
        def register_metrics():
            yield Metric(name="worst_recall", build=worst_recall, unit="%", needs="answers")
    """
    return ()


@hookspec
def register_losses() -> Iterable[Loss]:
    """Losses, by name.

    A complete plugin, for both engines; without `value_and_gradient` it trains on torch only::

        from dataclasses import dataclass

        import numpy as np
        from runner.api import Loss, hookimpl

        @dataclass(frozen=True)
        class Brier:
            weight: float

            def values(self, scores, targets):
                return self.weight * ((scores.softmax(1) - targets) ** 2).sum(1)

            def value_and_gradient(self, scores, targets):
                shares = np.exp(scores - scores.max(1, keepdims=True))
                shares /= shares.sum(1, keepdims=True)
                error = 2 * self.weight * (shares - targets)
                gradient = shares * (error - (shares * error).sum(1, keepdims=True))
                return self.weight * ((shares - targets) ** 2).sum(1), gradient

        def brier(class_names, counts, *, weight: float = 1.0):
            return Brier(weight)

        @hookimpl
        def register_losses():
            yield Loss(name="brier", build=brier)
    """
    return ()
