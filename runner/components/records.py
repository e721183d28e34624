"""Components: what a plugin registers and an experiment names.

A component is a record with a name and a `build` function whose keyword-only parameters are what YAML may set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Protocol

from pydantic import Field

if TYPE_CHECKING:
    import numpy as np

Shape = tuple[int, int, int]
"""Channels, height and width of one image or one layer's output."""

Count = Annotated[int, Field(ge=1)]
"""A whole number of at least 1."""
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
"""A number from 0 up to, but not, 1."""
Probability = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Component:
    """A named component. `build` is a plain function; its typed keyword-only parameters are set from YAML."""

    kind: ClassVar[str]
    common: ClassVar[Mapping[str, Any]] = {}
    """Parameters that the runner itself reads, which every component of the kind has."""
    name: str
    build: Callable[..., Any]


@dataclass(frozen=True)
class Architecture(Component):
    """``build(input_shape, classes, *, ...) -> Network``: the layers for images of `input_shape` [C, H, W].

    Where the vocabulary does not reach, it may return a `torch.nn.Module`. With ``strict: true`` a stride that leaves
    rows or columns of its input unseen is an error.
    """

    kind: ClassVar[str] = "architecture"
    common: ClassVar[Mapping[str, Any]] = {"strict": bool}


@dataclass(frozen=True)
class Augmentation(Component):
    """``build(*, ...) -> Transform``: random changes of the training images."""

    kind: ClassVar[str] = "augmentation"


@dataclass(frozen=True)
class Optimizer(Component):
    """``build(*, ...) -> UpdateRule``: how a gradient changes a parameter."""

    kind: ClassVar[str] = "optimizer"


@dataclass(frozen=True)
class Dataset(Component):
    """``build(*, ...) -> ImageData``: labelled images, described without reading them.

    With ``subset: N`` a study takes a stratified part of them, drawn by its seed.
    """

    kind: ClassVar[str] = "dataset"
    common: ClassVar[Mapping[str, Any]] = {"subset": Count}


KINDS: dict[str, type[Component]] = {record.kind: record for record in (Architecture, Augmentation, Optimizer, Dataset)}

Draws = Mapping[str, Any]
"""What an augmentation drew for one batch: arrays by name, those of NumPy turned into the engine's own."""


class Transform(Protocol):
    """An augmentation: NumPy draws the random numbers, the engine applies them to its own arrays.

    Keeping the two apart is what gives every engine, executor and number of workers the same images. A transform that
    changes labels has a third method, ``relabel(targets, draws)``, on targets (N, classes) that sum up to 1.
    """

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        """Random numbers (or indices made from them) for a batch of `count` images of `shape`."""
        ...

    def apply(self, images: Any, draws: Draws) -> Any:
        """`images` (N, C, H, W), float32 in [0, 1], changed as `draws` says; both are arrays of one engine."""
        ...


class Step(NamedTuple):
    """Where a fit stands: the number of this step, from 1, of all its steps, and the steps in an epoch."""

    number: int
    total: int
    in_epoch: int = 1

    @property
    def epochs(self) -> float:
        """Epochs behind the fit before this step, with fractions."""
        return (self.number - 1) / self.in_epoch


class UpdateRule(Protocol):
    """An optimizer's rule for one parameter, written with operators that NumPy and torch arrays share.

    The first axis of every array is that of the fits that are trained together; what is summed up over a parameter
    must leave it alone. A rule with an attribute `clip` has its gradients scaled down to that norm over all parameters
    of a fit. One with ``elementwise = True`` looks at each number alone, but for whether the array has more than two
    axes, as weights have: it may be shown many parameters as one array, which is faster.
    """

    slots: tuple[str, ...]
    """Names of the running arrays it keeps for each parameter; each starts as zeros of the parameter's shape."""

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], step: Step) -> None:
        """Change `parameter` and `state` in place."""
        ...


def is_torch_only(rule: Any) -> bool:
    """Whether a rule is one of torch's own optimizers: it has `over`, `rate` and `clip` in place of `update`."""
    return hasattr(rule, "over")


@dataclass(frozen=True)
class ImageData:
    """Labelled images: their facts at once, the arrays when `load` is called.

    `load()` returns images (N, C, H, W) uint8 and labels (N,) integers from 0 to classes - 1: the training part, of
    `size` images, which cross-validation splits. `load_test()` returns the held-out test part, of `test_size` images,
    which cross-validation never touches; None where there is none. `version` names the content of both parts without
    reading it: as long as it stays the same, so do the arrays; "" where that is unknown.
    """

    shape: Shape
    class_names: tuple[str, ...]
    size: int
    load: Callable[[], tuple[np.ndarray, np.ndarray]] = field(repr=False)
    licence: str = "unknown"
    citation: str = ""
    test_size: int = 0
    load_test: Callable[[], tuple[np.ndarray, np.ndarray]] | None = field(default=None, repr=False)
    version: str = ""

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def facts(self) -> dict[str, Any]:
        """What it is, as plain data, for the plan and for who looks for a data set."""
        told = ("size", "test_size", "licence", "citation")
        plain = {"shape": list(self.shape), "class_names": list(self.class_names)}
        return plain | {name: getattr(self, name) for name in told}


@dataclass(frozen=True)
class ComponentRef:
    """A component as an experiment names it: plain data, so it travels to workers and into the plan."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        return {"name": self.name, **self.parameters}

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v}' for k, v in self.parameters.items())})"
