"""Which settings of `cross_validation` go together when images are split by groups, given folds or a given split."""

from __future__ import annotations

from collections.abc import Iterator

from runner.errors import Complaint
from runner.experiment.schema import CrossValidation
from runner.files.yaml_nodes import Node
from runner.text import dotted, yaml_value

SECTION = "cross_validation"


def split_complaints(settings: CrossValidation, document: Node) -> Iterator[Complaint]:
    """The complaints about settings that contradict `groups`, `fold_column` or `split`, one of which is set."""

    def complaint(key: str, message: str) -> Complaint:
        return Complaint(document.find((SECTION, key)), dotted((SECTION, key)), message)

    design = settings.design
    assert design is not None
    if settings.split is not False and settings.fold_column is not False:
        message = "found together with split, and both say which images validate; allowed: one of the two"
        yield complaint("fold_column", message)
    elif settings.split is not False and "folds" in settings.model_fields_set:
        yield complaint("folds", f"found {settings.folds}, but split is a single fold; leave out one of the two")
    found = f"found {settings.repeats}" if isinstance(settings.repeats, int) else "found repeats until decided"
    if design.is_given and settings.repeats != 1:
        key = "fold_column" if settings.fold_column is not False else "split"
        reason = f"{key}: {yaml_value(getattr(design, key))} gives the splits, so that every repeat would have the same"
        yield complaint("repeats", f"{found}, but {reason}; allowed: 1")
    elif settings.split is not False and not isinstance(settings.repeats, int):
        reason = "that rule was not shown to hold with one fold; allowed: a number"
        yield complaint("repeats", f"{found}, but {reason}")
