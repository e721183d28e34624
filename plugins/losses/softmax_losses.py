"""Cross-entropy with label smoothing, and the focal loss; both with class weights. The formulas are in `formulas`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import PlainValidator

from runner.api import Fraction, Loss, LossFunction, NonNegative, RunnerError, hookimpl

FORMS = "balanced, a list of a number above 0 for each class, or a mapping from classes to such numbers"


def _parse(value: Any) -> Any:
    """The value with floats for its numbers; raises ValueError unless it has one of the FORMS."""
    if value is None or value == "balanced":
        return value
    numbers = list(value.values()) if isinstance(value, dict) else value
    if isinstance(numbers, list) and numbers and all(map(_is_weight, numbers)):
        if isinstance(value, dict):
            return {name: float(number) for name, number in value.items()}
        return [float(number) for number in numbers]
    raise ValueError(f"found {json.dumps(value)}; allowed: {FORMS}")


def _is_weight(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < 1e30


ClassWeights = Annotated[Literal["balanced"] | list[float] | dict | None, PlainValidator(_parse)]


def find_weights(
    weights: str | Sequence[float] | Mapping[str, float] | None, class_names: Sequence[str], counts: Sequence[int]
) -> tuple[float, ...] | None:
    """The weight of each class (classes,); None if all count alike.

    "balanced" is images / (classes * images of the class), so that the weights of all training images add up to their
    number (as `compute_class_weight` of scikit-learn; King and Zeng 2001). A class that a mapping leaves out has 1.
    Raises RunnerError for a list of another length, or a name that is no class.
    """
    if weights is None:
        return None
    if weights == "balanced":
        return tuple(sum(counts) / (len(counts) * count) if count else 0.0 for count in counts)
    if not isinstance(weights, Mapping):
        if len(weights) != len(class_names):
            raise RunnerError(f"class_weights: found {len(weights)} numbers; expected {len(class_names)}, one a class")
        return tuple(map(float, weights))
    names = [str(name) for name in class_names]
    for name in weights:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            nearest = f"; did you mean '{near[0]}'?" if near else ";"
            raise RunnerError(f"class_weights: unknown class '{name}'{nearest} allowed: {', '.join(names[:20])}")
    return tuple(weights.get(name, 1.0) for name in names)


def cross_entropy(
    class_names: Sequence[str],
    counts: Sequence[int],
    *,
    label_smoothing: Fraction = 0.0,
    class_weights: ClassWeights = None,
) -> LossFunction:
    """The logarithm of the probability of an image's class, with its sign changed.

    With `label_smoothing` e, that of each class counts e / classes and that of its own 1 - e more. An image counts as
    often as `class_weights` says: "balanced" gives every class the same weight in all.
    """
    from .formulas import CrossEntropy  # which needs NumPy, as a list of components does not

    return CrossEntropy(label_smoothing, find_weights(class_weights, class_names, counts))


def focal(
    class_names: Sequence[str],
    counts: Sequence[int],
    *,
    gamma: NonNegative = 2.0,
    class_weights: ClassWeights = None,
) -> LossFunction:
    """Cross-entropy times (1 - p)^`gamma`: images that are recognised with a high probability p hardly count.

    `class_weights`, the paper's alpha, are those of `cross_entropy`.
    """
    from .formulas import Focal

    return Focal(gamma, find_weights(class_weights, class_names, counts))


@hookimpl
def register_losses() -> Iterable[Loss]:
    for build in (cross_entropy, focal):
        yield Loss(name=build.__name__, build=build)
