"""What the conformance probe finds in the plugins' components of a plan. Built-in ones are tried by our own tests."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from runner.components.catalog import Catalog
from runner.components.records import ComponentRef, ImageData
from runner.conformance.architectures import refuses_one_image
from runner.conformance.datasets import probe_facts
from runner.conformance.probes import Probe, probe
from runner.conformance.subject import Subject


class Found(NamedTuple):
    """The faults of a component, one line each, and what is worth knowing and no fault."""

    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def try_component(
    catalog: Catalog, kind: str, bound: ComponentRef, engine: str, data: ImageData, together: bool
) -> Found:
    """An augmentation, an optimizer or a loss with the arrays of NumPy and of the engine that trains.

    Whether a rule mixes fits matters only where some are trained `together`.
    """
    return _probe(Subject(catalog, kind, bound, engine, data.shape, data.classes, together, data.class_names))


def try_facts(catalog: Catalog, kind: str, bound: ComponentRef) -> Found:
    """What a data set says of itself."""
    return _probe(Subject(catalog, kind, bound, "numpy"), probe_facts)


def try_metric(catalog: Catalog, bound: ComponentRef, class_names: Sequence[str]) -> Found:
    """A metric with random answers of these classes."""
    names = tuple(class_names)
    return _probe(Subject(catalog, "metric", bound, "numpy", classes=len(names), class_names=names))


def try_one_image(
    catalog: Catalog, kind: str, bound: ComponentRef, data: ImageData, batch_size: int, sizes: Sequence[int]
) -> Found:
    """Whether a torch module can train on a last batch of one image, which training parts of `sizes` may leave."""
    sizes = [size for size in sizes if size > 1]  # one image for training is refused for other reasons
    lone = [size for size in sizes if size % batch_size == 1 or batch_size == 1]
    if not lone:
        return Found()
    others = (batch_size + step for distance in itertools.count(1) for step in (distance, -distance))
    better = next(n for n in others if n > 1 and all(size % n != 1 for size in sizes))

    def refuses(subject: Subject) -> list[str]:
        why = refuses_one_image(subject)
        found = f"found {batch_size}, which leaves a last batch of one of the {lone[0]} images that a fold trains on"
        return [f"{found}; allowed: another, such as {better} ({why})"] if why else []

    return _probe(Subject(catalog, kind, bound, "torch", data.shape, data.classes), refuses)


def _probe(subject: Subject, function: Probe | None = None) -> Found:
    return Found(tuple(probe(subject, function)), tuple(subject.notes))
