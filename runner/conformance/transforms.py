"""The probe of augmentations: their numbers are drawn and applied to a few images, with the arrays of each engine."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from runner.conformance.arrays import IMAGES, WORDS, check_array, sample_images, sample_targets, to_engine
from runner.conformance.repeatability import same, same_array, seeded_globals
from runner.conformance.subject import Subject
from runner.engines.draws import drawn_arrays

BATCHES = ((0, IMAGES), (1, IMAGES), (2, IMAGES), (3, 1))
"""(seed, images) of the batches; the last batch of an epoch may have one image."""
IMPRECISE = 1e-4
"""By how much rounding may leave the range of values, and the sum of targets 1."""
DARK = 1 / 255 + IMPRECISE
"""The brightest value of images that were divided by 255 twice."""
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
    drawn = [_draw(subject, transform, seed, count) for seed, count in BATCHES]
    _check_draws(subject, transform, drawn)
    results = subject.on_each_engine(lambda engine: _apply_all(subject, transform, drawn, engine))
    _check_brightness(subject, transform, next(iter(results.values())))
    if len(results) > 1:
        _compare(subject, *results.values())
    return []


def _draw(
    subject: Subject, transform: Any, seed: int, count: int, turn: AbstractContextManager[None] | None = None
) -> dict[str, np.ndarray]:
    """The numbers for a batch, drawn in the context `turn`, by default `_turn`."""
    rng = np.random.default_rng(seed)
    with turn or _turn(subject):
        drawn = subject.call("draw", transform.draw, rng, count, subject.shape)
    try:
        return {name: array.copy() for name, array in drawn_arrays(drawn).items()}
    except TypeError as error:
        raise subject.fault(f"draw {error}", transform.draw) from None


def _check_draws(subject: Subject, transform: Any, drawn: list[dict[str, np.ndarray]]) -> None:
    """Raise Fault unless equal generators give equal numbers, and other generators others."""
    again = [_draw(subject, transform, seed, count) for seed, count in reversed(BATCHES)]
    if not same(drawn, again[::-1]):
        cure = "draw all of them from rng, which each fit has of its own"
        raise subject.fault(f"draw gives other numbers for an equal rng; {cure}", transform.draw)
    # One after the other, as the batches of a fit, whose random numbers need not be those of rng.
    one, other = (_draw(subject, transform, seed, IMAGES, nullcontext()) for seed in (0, 1))
    for name, array in one.items():
        per_image = array.ndim > 0 and len(array) == IMAGES and array.dtype.kind == "f"
        if per_image and len(np.unique(array)) > 1 and same_array(array, other.get(name)):
            text = f"draw gives the same {name} for every rng, so that every batch is changed alike; draw it from rng"
            raise subject.fault(text, transform.draw)


def _turn(subject: Subject) -> AbstractContextManager[None]:
    """The generators of `random` and `numpy.random` as a batch finds them.

    Fits that are trained together take turns with them. One that is trained alone finds the same again.
    """
    return nullcontext() if subject.together else seeded_globals()


def _apply_all(subject: Subject, transform: Any, drawn: list[dict[str, np.ndarray]], engine: str) -> list[list[Any]]:
    """The images, and targets, of every batch, which equal draws have to give again.

    At first all batches are drawn before any is changed. Then each is drawn and changed in turn, in the opposite order:
    what a transform keeps of the batch before shows.
    """
    first = [_apply(subject, transform, number, numbers, engine) for number, numbers in enumerate(drawn)]
    again = [
        _apply(subject, transform, number, _draw(subject, transform, *BATCHES[number]), engine)
        for number in reversed(range(len(BATCHES)))
    ]
    for one, other in zip(first, reversed(again), strict=True):
        for name, *pair in zip(("apply", "relabel"), one, other, strict=False):
            if not same(*pair):
                cure = "draw its random numbers in draw, and keep nothing of another batch"
                text = f"{name} gives something else for equal draws; {cure}"
                raise subject.fault(text, getattr(transform, name))
    return first


def _apply(
    subject: Subject, transform: Any, number: int, drawn: dict[str, np.ndarray], engine: str
) -> list[np.ndarray]:
    """The images of a batch, and the targets if it changes them, after one draw."""
    count = BATCHES[number][1]
    numbers = to_engine(engine, drawn)  # relabel gets what apply got, as in a fit
    images = _changed(subject, transform, "apply", sample_images(subject.shape, count, number), numbers, engine)
    lowest, highest = float(images.min()), float(images.max())
    if lowest < -IMPRECISE or highest > 1 + IMPRECISE:
        found = f"apply returns values from {lowest:.3g} to {highest:.3g}"
        raise subject.fault(f"{found}; allowed: 0 (black) to 1 (white), such as by .clip(0, 1)", transform.apply)
    if not hasattr(transform, "relabel"):
        return [images]
    targets = _changed(subject, transform, "relabel", sample_targets(count, subject.classes), numbers, engine)
    sums = targets.sum(1)
    if np.abs(sums - 1).max() > IMPRECISE or targets.min() < -IMPRECISE:
        worst = sums[np.abs(sums - 1).argmax()]
        found = f"relabel returns targets from {targets.min():.3g} that sum to {worst:.3g}"
        raise subject.fault(f"{found}; allowed: 0 or more, with a sum of 1 for each image", transform.relabel)
    return [images, targets]


def _changed(subject: Subject, transform: Any, name: str, array: np.ndarray, numbers: Any, engine: str) -> np.ndarray:
    """What the method `name` makes of an array."""
    function, given, like = getattr(transform, name), to_engine(engine, array), to_engine(engine, array)
    with _turn(subject):
        value = subject.call(name, function, given, numbers, given=f" with {WORDS[engine]}")
    return check_array(subject, name, function, value, like, engine).copy()


def _check_brightness(subject: Subject, transform: Any, batches: list[list[np.ndarray]]) -> None:
    """Raise Fault if all images become nearly black, as if they were of 0 to 255."""
    highest = max(float(images.max()) for images, *_ in batches)
    if highest <= DARK:
        found = f"apply returns values from 0 to {highest:.3g}, of images from 0 to 1"
        raise subject.fault(f"{found}; images have been divided by 255 already", transform.apply)


def _compare(subject: Subject, one: list[list[np.ndarray]], other: list[list[np.ndarray]]) -> None:
    """Note if the engines get other images or targets for the same draws."""
    pairs = [pair for batch in zip(one, other, strict=True) for pair in zip(*batch, strict=True)]
    differing = max(float(np.mean(np.abs(first - second) > 1e-3)) for first, second in pairs)
    if differing > MOST_DIFFERING:
        share = f"{100 * differing:.0f}% of its values differ between {' and '.join(WORDS.values())}"
        subject.note(share, alike=False)
