"""Components: what a plugin registers and an experiment refers to by name.

A component is a record of a name and a `build` function, whose keyword-only parameters can be set in YAML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from runner.components import rule_options
from runner.text import call, did_you_mean, is_name

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
    hook: ClassVar[str]
    """The name of the hook that yields components of the kind."""
    given: ClassVar[tuple[str, ...]] = ()
    """The positional parameters of `build`, which the runner passes."""
    common: ClassVar[Mapping[str, Any]] = {}
    """Parameters of every component of the kind, read by the runner itself instead of `build`: name -> type."""
    name: str
    build: Callable[..., Any]
    version: str = ""

    def problem(self) -> str:
        """What is wrong with the fields of the record; "" if nothing is."""
        return ""


@dataclass(frozen=True)
class Architecture(Component):
    """``build(input_shape, classes, *, ...) -> Network``: a network for images of `input_shape` (C, H, W).

    If the layer records cannot express it, it may return a `torch.nn.Module`. With ``strict: true``, a stride that
    leaves rows or columns of its input unseen is an error.
    """

    kind: ClassVar[str] = "architecture"
    hook: ClassVar[str] = "register_architectures"
    given: ClassVar[tuple[str, ...]] = ("input_shape", "classes")
    common: ClassVar[Mapping[str, Any]] = {"strict": bool}


@dataclass(frozen=True)
class Augmentation(Component):
    """``build(*, ...) -> Transform``: random changes of the training images."""

    kind: ClassVar[str] = "augmentation"
    hook: ClassVar[str] = "register_augmentations"


@dataclass(frozen=True)
class Optimizer(Component):
    """``build(*, ...) -> UpdateRule`` or a `TorchRule`: how a parameter is updated from its gradient.

    Any rule can be given multipliers by kind of parameter, Lookahead and SAM; see `components.rule_options`.
    """

    kind: ClassVar[str] = "optimizer"
    hook: ClassVar[str] = "register_optimizers"
    common: ClassVar[Mapping[str, Any]] = rule_options.COMMON


@dataclass(frozen=True)
class Dataset(Component):
    """``build(*, ...) -> ImageData``: labelled images, described without reading them.

    With ``subset: N``, an experiment uses a stratified part of N images, drawn with its seed. With
    ``deduplicate: true``, it uses one of several images with equal pixels, and none that the held-out test part has.
    ``preprocess`` is what `fits.preprocessing` makes of each image, and with ``published_split: true`` the held-out
    test part is the validation part of a given split.

    If its images come from image files, `read_image(path, shape, parameters)` reads another one as it reads its own:
    an array (C, H, W) uint8, for the bound parameters of `build` and a network that takes images of `shape`.
    """

    kind: ClassVar[str] = "dataset"
    hook: ClassVar[str] = "register_datasets"
    common: ClassVar[Mapping[str, Any]] = {
        "subset": Count,
        "deduplicate": bool,
        "preprocess": Literal["none", "contrast", "zca"],
        "published_split": bool,
    }
    read_image: Callable[[str, tuple[int, int, int], Mapping[str, Any]], np.ndarray] | None = None


@dataclass(frozen=True)
class Metric(Component):
    """``build(class_names, *, ...) -> compute``: one number per fit, from its answers for its validation images.

    ``compute(truth, predicted)`` gets the class (N,) of each image and what a fit says of it: with
    ``needs="probabilities"`` the softmax (N, classes) of its scores, with ``needs="answers"`` the class (N,) it takes
    the image for, which every journal has, so that such a metric appears in reports of earlier studies too.

    A value lies in `lowest` to `highest`. With the unit ``%`` it is a share, 0 to 1, which is shown in percent, and
    differences in points. `title` is the metric in words; "" stands for its name. `share_of_images` says that a value
    is the fraction of the images of which something is true, so that it varies at least by binomial noise.
    """

    kind: ClassVar[str] = "metric"
    hook: ClassVar[str] = "register_metrics"
    given: ClassVar[tuple[str, ...]] = ("class_names",)
    title: str = ""
    higher_is_better: bool = True
    unit: str = ""
    lowest: float = 0.0
    highest: float = 1.0
    needs: Literal["answers", "probabilities"] = "probabilities"
    share_of_images: bool = False

    def problem(self) -> str:
        texts = isinstance(self.title, str) and isinstance(self.unit, str)
        if not (texts and is_name(self.title + self.unit or "-")):
            return "title and unit: expected text on one line"
        numbers = all(type(end) in (int, float) for end in (self.lowest, self.highest))
        if not (numbers and self.lowest < self.highest):
            return f"lowest {self.lowest!r}, highest {self.highest!r}: expected two numbers, the lower one first"
        if self.needs not in ("answers", "probabilities"):
            return f"needs {self.needs!r}{did_you_mean(self.needs, ('answers', 'probabilities'))}"
        flags = {"higher_is_better": self.higher_is_better, "share_of_images": self.share_of_images}
        return "".join(
            f"{name} {flag!r}: allowed: True, False" for name, flag in flags.items() if type(flag) is not bool
        )


@dataclass(frozen=True)
class Loss(Component):
    """``build(class_names, counts, *, ...) -> LossFunction``: what a fit makes small.

    `counts` are the numbers of training images of each class. While a plan is made, which reads no data, all are equal.
    """

    kind: ClassVar[str] = "loss"
    hook: ClassVar[str] = "register_losses"
    given: ClassVar[tuple[str, ...]] = ("class_names", "counts")


KINDS: dict[str, type[Component]] = {
    record.kind: record for record in (Architecture, Augmentation, Optimizer, Dataset, Metric, Loss)
}


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
    only by studies that use them; or a mapping of names to these, from which a study chooses. `test_groups` are those
    of the held-out test part, by the same names: a study by groups that measures it refuses a group that is in both.
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
    test_groups: Columns | None = field(default=None, repr=False, compare=False)

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
