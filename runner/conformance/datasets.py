"""The probe of data sets: the facts that one describes itself by, and the images that it loads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from runner.components.records import ImageData
from runner.conformance.repeatability import same_array
from runner.conformance.subject import Subject
from runner.data import columns
from runner.data.prepare import load_checked
from runner.errors import RunnerError

MOST_BYTES = 200_000_000
"""A larger data set is not loaded twice."""


def probe_dataset(subject: Subject) -> list[str]:
    """What is wrong with a data set by itself, which is loaded: at most one finding."""
    if found := probe_facts(subject):
        return found
    data = subject.build()
    if repeated := [name for name, count in Counter(map(str, data.class_names)).items() if count > 1]:
        return [subject.at(f"class_names has {repeated[0]!r} twice; expected a different name for each class")]
    _load(subject, data, "load", data.load, data.size)
    if data.load_test is not None:
        _load(subject, data, "load_test", data.load_test, data.test_size)
    _check_columns(subject, data)
    return []


def probe_facts(subject: Subject) -> list[str]:
    """What is wrong with the facts of a data set, which is not loaded: at most one finding."""
    data, again = subject.build(), subject.build()
    if not isinstance(data, ImageData):
        return [subject.at(f"it builds {type(data).__name__}; return an ImageData")]
    if wrong := next(_wrong_facts(data), ""):
        return [subject.at(wrong)]
    if (data.facts, data.version) != (again.facts, again.version):
        changed = next((key for key, value in again.facts.items() if data.facts[key] != value), "version")
        return [subject.at(f"its {changed} differs each time it is built; it must be the same as long as the data are")]
    return []


def loading_fault(subject: Subject, error: RunnerError) -> str:
    """The line for a data set that did not load as it describes itself: `error` with the component and its place."""
    try:
        functions: tuple[Any, ...] = (subject.build().load,)
    except RunnerError:
        functions = ()
    return subject.at(str(error).removeprefix("dataset: "), *functions, error=error.__cause__)


def _whole(value: Any, least: int) -> bool:
    return type(value) is int and value >= least  # not NumPy's: the plan writes facts as plain data


def _wrong_facts(data: ImageData) -> Iterator[str]:
    """What is wrong with the facts, each with what is expected."""
    shape, names, test = data.shape, data.class_names, data.load_test
    if not isinstance(shape, (tuple, list)) or len(shape) != 3 or not all(_whole(number, 1) for number in shape):
        yield f"shape is {shape!r}; expected (channels, height, width) as int, such as (1, 28, 28)"
    if not isinstance(names, (tuple, list)) or len(names) < 2:
        yield f"class_names is {names!r}; expected two names or more, such as ('cat', 'dog')"
    if not _whole(data.size, 1):
        yield f"size is {data.size!r}; expected the number of images that load gives, as int"
    for name, load in (("load", data.load), ("load_test", test)):
        if not callable(load) and (load is not None or name == "load"):
            found = type(load).__name__
            yield f"{name} is {found}; expected the function itself, {name}={name} and not {name}={name}()"
    if not _whole(data.test_size, 0) or (data.test_size > 0) != (test is not None):
        given = "given" if test else "missing"
        yield f"test_size is {data.test_size!r} and load_test is {given}; expected both or none"
    if not isinstance(data.version, str):
        yield f"version is {data.version!r}; expected text that changes with the data, or an empty one"


def _check_columns(subject: Subject, data: ImageData) -> None:
    """Raise Fault for groups, folds or a split that cannot be used; of several by name, for one that cannot be read."""
    for key, field in columns.FIELDS.items():
        offered = getattr(data, field)
        for name in () if offered is None else offered if isinstance(offered, Mapping) else (True,):
            # Of several columns a study chooses one: the others need not be words of a split.
            read = columns.read_split if key == "split" and name is True else partial(columns.read, key=key)
            try:
                read(data, wanted=name)
            except RunnerError as error:
                words = str(error).removeprefix("dataset: ")
                text = words if words.startswith(field) else f"{field}: {words}"
                raise subject.fault(text, error=error.__cause__) from error


def _load(subject: Subject, data: ImageData, name: str, load: Callable[[], Any], size: int) -> None:
    """Load a part, twice if it is small; raises Fault if it is not as described, or other each time."""

    def once() -> tuple[np.ndarray, np.ndarray]:
        # Its random numbers are those of the process, which no run seeds before it loads.
        try:
            return load_checked(load, size, data)
        except (RunnerError, OSError) as error:
            text = f"{name}: {str(error).removeprefix('dataset: ')}"
            raise subject.fault(text, load, error=error.__cause__) from error

    first = once()
    if first[0].nbytes <= MOST_BYTES:
        before = [array.copy() for array in first]  # it may change its own array when it is called again
        if not all(map(same_array, before, once())):
            raise subject.fault(f"{name} gives other images or labels each time; seed its generator", load)
    if first[0].max() <= 1:
        cure = "if they were fractions, multiply by 255 before astype('uint8')"
        subject.note(f"{name} gives pixels from 0 to {first[0].max()}, of 255; {cure}", load)
