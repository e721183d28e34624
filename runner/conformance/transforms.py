"""The probe of augmentations: their numbers are drawn and applied to a few images, with the arrays of each engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from runner.conformance.arrays import IMAGES, WORDS, check_array, sample_images, sample_targets, to_engine
from runner.conformance.repeatability import same, seeded_globals
from runner.conformance.subject import Subject
from runner.engines.draws import drawn_arrays

BATCHES = ((0, IMAGES), (1, IMAGES), (2, IMAGES), (3, 1))
"""(seed, images) of the batches; the last batch of an epoch may have one image."""
IMPRECISE = 1e-4
"""By how much rounding may leave the range of values, and the sum of targets 1."""
MOST_DIFFERING = 0.01
"""The share of the values that may differ between the engines, as at the edge of a threshold, by more than 0.001."""


def probe_transform(subject: Subject) -> list[str]:
    """Raise Fault for the first thing that is wrong with an augmentation: later ones tend to follow from it."""
    transform = subject.build_twice()
    subject.check_signature(transform, "draw", "rng", "count", "shape")
    subject.check_signature(transform, "apply", "images", "draws")
    subject.check_optional(transform, "relabel")
    if hasattr(transform, "relabel"):
        subject.check_signature(transform, "relabel", "targets", "draws")
    drawn = [(count, _draw(subject, transform, seed, count)) for seed, count in BATCHES]
    results = subject.on_each_engine(lambda engine: [_apply(subject, transform, *d, engine) for d in drawn])
    if len(results) > 1:
        _compare(subject, *results.values())
    return []


def _draw(subject: Subject, transform: Any, seed: int, count: int) -> dict[str, np.ndarray]:
    """The numbers for a batch, which an equal generator has to give again.

    The generators of the process are others then: fits that are trained together share them, so that what is drawn
    from them would depend on which fits those are.
    """

    def once(fold: int) -> dict[str, np.ndarray]:
        with seeded_globals(fold):
            rng = np.random.default_rng(seed)
            drawn = subject.call("draw", transform.draw, rng, count, subject.shape)
        try:
            return drawn_arrays(drawn)
        except TypeError as error:
            raise subject.fault(f"draw {error}", transform.draw) from None

    first, again = once(0), once(1)
    if not same(first, again):
        raise subject.fault("draw gives other numbers for an equal rng; draw all of them from rng", transform.draw)
    return first


def _apply(subject: Subject, transform: Any, count: int, drawn: dict[str, np.ndarray], engine: str) -> list[np.ndarray]:
    """The images of a batch, and the targets if it changes them, after one draw."""
    images = _changed(subject, transform, "apply", sample_images(subject.shape, count), drawn, engine)
    lowest, highest = float(images.min()), float(images.max())
    if lowest < -IMPRECISE or highest > 1 + IMPRECISE:
        found = f"apply returns values from {lowest:.3g} to {highest:.3g}"
        raise subject.fault(f"{found}; allowed: 0 (black) to 1 (white), such as by .clip(0, 1)", transform.apply)
    if not hasattr(transform, "relabel"):
        return [images]
    targets = _changed(subject, transform, "relabel", sample_targets(count, subject.classes), drawn, engine)
    sums = targets.sum(1)
    if np.abs(sums - 1).max() > IMPRECISE or targets.min() < -IMPRECISE:
        worst = sums[np.abs(sums - 1).argmax()]
        found = f"relabel returns targets from {targets.min():.3g} that sum to {worst:.3g}"
        raise subject.fault(f"{found}; allowed: 0 or more, with a sum of 1 for each image", transform.relabel)
    return [images, targets]


def _changed(subject: Subject, transform: Any, name: str, array: np.ndarray, drawn: Any, engine: str) -> np.ndarray:
    """What the method `name` makes of an array, which equal draws have to give again."""
    function = getattr(transform, name)

    def once() -> np.ndarray:
        given, like = to_engine(engine, array), to_engine(engine, array)
        with seeded_globals():
            value = subject.call(name, function, given, to_engine(engine, drawn), given=f" with {WORDS[engine]}")
        return check_array(subject, name, function, value, like, engine)

    first = once()
    if not same(first, once()):
        raise subject.fault(f"{name} gives something else for equal draws; draw its random numbers in draw", function)
    return first


def _compare(subject: Subject, one: list[list[np.ndarray]], other: list[list[np.ndarray]]) -> None:
    """Note if the engines get other images or targets for the same draws."""
    pairs = [pair for batch in zip(one, other, strict=True) for pair in zip(*batch, strict=True)]
    differing = max(float(np.mean(np.abs(first - second) > 1e-3)) for first, second in pairs)
    if differing > MOST_DIFFERING:
        share = f"{100 * differing:.0f}% of its values differ between {' and '.join(WORDS.values())}"
        subject.notes.append(subject.at(share))
