"""Components: what a plugin registers and an experiment refers to by name.

A component is a record of a name and a `build` function, whose keyword-only parameters can be set in YAML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from runner.components import rule_options
from runner.text import call

# For annotations only: `runner plan` answers without loading NumPy (tests/system/test_latency.py).
if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Values = np.ndarray | Sequence[Any]
    Column = Values | Callable[[], Values]
    Columns = Column | Mapping[str, Column]

Count = Annotated[int, Field(ge=1)]
"""A whole number of at least 1."""
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A finite number of at least 0."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A finite number of more than 0."""
Fraction = Annotated[float, Field(ge=0, lt=1)]
"""A number of at least 0 and less than 1."""
Probability = Annotated[float, Field(ge=0, le=1)]
"""A number from 0 to 1."""


@dataclass(frozen=True)
class Component:
    """A named component. `build` is a plain function whose typed keyword-only parameters are set from YAML.

    `version` stands for what its results depend on besides code and parameters, such as the content of a file that it
    reads: fits with another version are other fits.
    """

    kind: ClassVar[str]
    common: ClassVar[Mapping[str, Any]] = {}
    """Parameters of every component of the kind, read by the runner itself instead of `build`: name -> type."""
    name: str
    build: Callable[..., Any]
    version: str = ""


@dataclass(frozen=True)
class Architecture(Component):
    """``build(input_shape, classes, *, ...) -> Network``: a network for images of `input_shape` (C, H, W).

    If the layer records cannot express it, it may return a `torch.nn.Module`. With ``strict: true``, a stride that
    leaves rows or columns of its input unseen is an error.
    """

    kind: ClassVar[str] = "architecture"
    common: ClassVar[Mapping[str, Any]] = {"strict": bool}


@dataclass(frozen=True)
class Augmentation(Component):
    """``build(*, ...) -> Transform``: random changes of the training images."""

    kind: ClassVar[str] = "augmentation"


@dataclass(frozen=True)
class Optimizer(Component):
    """``build(*, ...) -> UpdateRule`` or a `TorchRule`: how a parameter is updated from its gradient.

    Any rule can be given multipliers by kind of parameter, Lookahead and SAM; see `components.rule_options`.
    """

    kind: ClassVar[str] = "optimizer"
    common: ClassVar[Mapping[str, Any]] = rule_options.COMMON


@dataclass(frozen=True)
class Dataset(Component):
    """``build(*, ...) -> ImageData``: labelled images, described without reading them.

    With ``subset: N``, an experiment uses a stratified part of N images, drawn with its seed. With
    ``deduplicate: true``, it uses one of several images with equal pixels, and none that the held-out test part has.

    If its images come from image files, `read_image(path, shape, parameters)` reads another one as it reads its own:
    an array (C, H, W) uint8, for the bound parameters of `build` and a network that takes images of `shape`.
    """

    kind: ClassVar[str] = "dataset"
    common: ClassVar[Mapping[str, Any]] = {"subset": Count, "deduplicate": bool}
    read_image: Callable[[str, tuple[int, int, int], Mapping[str, Any]], np.ndarray] | None = None


KINDS: dict[str, type[Component]] = {record.kind: record for record in (Architecture, Augmentation, Optimizer, Dataset)}


@dataclass(frozen=True)
class ImageData:
    """Labelled images: the facts immediately, the arrays when `load` is called.

    `load()` returns images (N, C, H, W) uint8 and labels (N,), integers from 0 to classes - 1: the training part of
    N = `size` images, which cross-validation splits. `load_test()` returns the held-out test part of `test_size`
    images, which cross-validation never uses; None if there is none. `shape` is (C, H, W). `version` identifies the
    content of both parts without reading it: equal versions promise equal arrays; "" if it is unknown.

    What else is known of each image of the training part, for `cross_validation`: the `groups` that belong together
    (patients, writers, scenes), the `folds` of a published cross-validation, and the words train and validation of a
    published `split`. Each is None, N values (texts or whole numbers) or a function that returns them, which is called
    only by studies that use them; or a mapping of names to these, from which a study chooses.
    """

    # Not `network.base.Shape`: components do not import the network (docs/decisions/005-layout.md).
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    size: int
    load: Callable[[], tuple[np.ndarray, np.ndarray]] = field(repr=False)
    licence: str = "unknown"
    citation: str = ""
    test_size: int = 0
    load_test: Callable[[], tuple[np.ndarray, np.ndarray]] | None = field(default=None, repr=False)
    version: str = ""
    groups: Columns | None = field(default=None, repr=False, compare=False)
    folds: Columns | None = field(default=None, repr=False, compare=False)
    split: Columns | None = field(default=None, repr=False, compare=False)

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def facts(self) -> dict[str, Any]:
        """The facts as plain data, for the plan and for `runner plugins`."""
        # Lists, because safe YAML has no tuples for plan.yaml to give back.
        lists = {"shape": list(self.shape), "class_names": list(self.class_names)}
        return lists | {name: getattr(self, name) for name in ("size", "test_size", "licence", "citation")}


@dataclass(frozen=True)
class ComponentRef:
    """A reference to a component, by name and parameters: plain data, as it goes to workers and into the plan."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, **self.parameters}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ComponentRef:
        """The inverse of `to_dict`; raises KeyError without a name."""
        return cls(content["name"], {key: value for key, value in content.items() if key != "name"})

    def __str__(self) -> str:
        """``shift(pixels=2)``, without parameters that are None."""
        return call(self.name, {key: value for key, value in self.parameters.items() if value is not None})
