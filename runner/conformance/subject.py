"""What is probed: one component in use, how its code is called, and how a fault of it is written."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import TracebackType
from typing import Any

from runner.components.catalog import Catalog
from runner.components.mistakes import own_names, raised
from runner.components.parameters import RegisteredComponent
from runner.components.records import ComponentRef
from runner.conformance.repeatability import same, seeded_globals
from runner.errors import RunnerError
from runner.text import nearest

log = logging.getLogger("runner.conformance")

IMAGES_PER_CLASS = 100
"""What a loss that weighs the classes is given."""


class Fault(Exception):
    """What is wrong with a component: the line that its user reads, from `where` it is and the `text` about it."""

    def __init__(self, text: str, where: str = "") -> None:
        super().__init__(f"{where}: {text}" if where else text)
        self.text, self.where = text, where


@dataclass(eq=False)
class Subject:
    """A component bound to its parameters, as an experiment uses it.

    `engine` is the one that will train with it; "" if that is not known, and then it has to work on one. `shape`
    (C, H, W), `classes` and `class_names` (by default their numbers) are those of the images. With `together`, its fits
    may be trained together. `notes` gets what is worth knowing and no fault, `alike` becomes false if a note is about
    one engine or a difference between them, and `only` gets the engine that it is written for, if that is one, and by
    what.
    """

    catalog: Catalog
    kind: str
    ref: ComponentRef
    engine: str = ""
    shape: tuple[int, int, int] = (3, 32, 32)
    classes: int = 10
    together: bool = True
    class_names: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    alike: bool = True
    only: str = ""
    fits: bool = False
    """Of an architecture, once it is known: whether its shapes suit images of `shape`."""

    @property
    def entry(self) -> RegisteredComponent:
        return self.catalog.find(self.kind, self.ref.name)

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines whose arrays it is tried with: NumPy's always, torch's unless NumPy trains.

        Loading torch takes a second or two. It is worth it where torch trains, as the commonest fault of all, a
        function of NumPy given a tensor, shows nowhere else. Data sets and metrics are of NumPy alone.
        """
        of_torch = self.engine != "numpy" and self.kind not in ("dataset", "metric")
        return ("numpy", "torch") if of_torch and find_spec("torch") is not None else ("numpy",)

    def build(self) -> Any:
        """The component, built with the generators as at the start of a fit; raises RunnerError."""
        with seeded_globals():
            return self.catalog.build(self.kind, self.ref, *self._arguments())

    def _arguments(self) -> tuple[Any, ...]:
        """What the runner passes to the component's function beside its parameters."""
        names = self.class_names or tuple(map(str, range(self.classes)))
        return {
            "architecture": (self.shape, self.classes),
            "loss": (names, (IMAGES_PER_CLASS,) * self.classes),
            "metric": (names,),
        }.get(self.kind, ())

    def build_twice(self) -> Any:
        """The component; raises Fault if it has other values each time it is built."""
        built, again = self.build(), self.build()
        try:
            equal = same(built, again)
        except Exception:  # values of a plugin's own types may refuse to be compared
            equal = True
        if not equal:
            raise self.fault(
                "it has other values each time it is built; draw random numbers from what it is given when it is "
                "used, or in build from random or numpy.random, which are seeded for each fit"
            )
        return built

    def fault(self, text: str, *functions: Any, error: BaseException | None = None) -> Fault:
        where = self._where(functions, error)
        return Fault(text.replace(f" at {where.rpartition(' of ')[2]}", ""), where)  # the place once

    def at(self, text: str, *functions: Any, error: BaseException | None = None) -> str:
        """`text` after the component and its place: the line that raised `error`, or that of the first function."""
        return f"{self._where(functions, error)}: {text}"

    def _where(self, functions: Iterable[Any], error: BaseException | None) -> str:
        files, source = self._files(), self.entry.source
        places = [_raised(error.__traceback__ if error else None, files)]
        places += [_defined(function, files) for function in (*functions, self.entry.component.build)]
        file, line = next(filter(None, places), ("", 0))
        # A component may be in another file than the plugin that registers it.
        where = source if not file else f"{source}:{line}" if file == source else f"{source} ({file}:{line})"
        return f"{self.kind} {self.ref} of {where}"

    def _files(self) -> set[str]:
        """The files of the component's code."""
        module = getattr(sys.modules.get(self.entry.module), "__file__", None)
        return {self.entry.source, module or "", *(file.path for file in self.entry.files.values())}

    def call(self, name: str, function: Callable[..., Any], *arguments: Any, given: str = "") -> Any:
        """What a function of the component returns; raises Fault if it raises. `given` says with which arrays."""
        try:
            return function(*arguments)
        except (Exception, SystemExit) as error:
            if isinstance(error, RunnerError):
                raise self.fault(str(error), function, error=error) from error
            raise self.fault(f"{name}{given} raised {raised(error)}", function, error=error) from error

    def note(self, text: str, *functions: Any, alike: bool = True) -> None:
        """Add what is worth knowing to the notes, once; not `alike` if the engines are not treated alike."""
        line = self.at(text, *functions)
        self.notes += [line] * (line not in self.notes)
        self.alike &= alike

    @contextmanager
    def only_faults(self) -> Iterator[None]:
        """Turn whatever a component's code raises where nobody expected it into a Fault."""
        try:
            yield
        except Fault:
            raise
        except RunnerError as error:
            has_place = f"{self.kind} {self.ref} of " in str(error)
            raise Fault(str(error)) if has_place else self.fault(str(error), error=error.__cause__) from error
        except (Exception, SystemExit) as error:
            log.debug("%s %s raised", self.kind, self.ref, exc_info=True)
            raise self.fault(f"it raised {type(error).__name__}: {error}", error=error) from error

    def written_for(self, engine: str, sign: str) -> None:
        """Note that it is for one engine alone, as `sign` says."""
        self.only = f"on the {engine} engine only: {sign}"

    def check_optional(self, built: Any, *names: str) -> None:
        """Raise Fault if the component lacks one of the `names`, which it may lack, and has one that is nearly that."""
        for name in names:
            if not hasattr(built, name) and (close := nearest(name, own_names(built), 0.85)):
                raise self.fault(f"it has '{close}', which nothing uses; did you mean '{name}'?", getattr(built, close))

    def check_signature(self, built: Any, name: str, *arguments: str) -> None:
        """Raise Fault unless the method `name` takes so many arguments."""
        self.check_call(getattr(built, name), name, *arguments)

    def check_call(self, function: Any, name: str, *arguments: str) -> None:
        """Raise Fault unless `function`, called `name`, takes so many arguments."""
        expected = f"{name}({', '.join(arguments)})"
        if not callable(function):
            raise self.fault(f"{name} is no function; expected {expected}")
        if inspect.iscoroutinefunction(function):
            raise self.fault(f"{name} is async; write def {expected}", function)
        try:
            signature = inspect.signature(function)
            signature.bind(*arguments)
        except ValueError:  # a builtin without a signature
            return
        except TypeError:
            raise self.fault(f"{name}{signature} is called as {expected}; write it so", function) from None

    def on_each_engine(self, attempt: Callable[[str], Any]) -> dict[str, Any]:
        """What `attempt(engine)` returns by engine. One that fails is a fault if it trains, and else a note.

        Raises Fault, which says on which engine it works, if any.
        """
        results: dict[str, Any] = {}
        faults: dict[str, Fault] = {}
        for engine in self.engines:
            try:
                results[engine] = attempt(engine)
            except Fault as found:
                faults[engine] = found
        if self.engine in faults or not results:
            # If it works nowhere, what is wrong shows best with NumPy, which comes first.
            fault = faults[self.engine] if results else next(iter(faults.values()))
            elsewhere = next(iter(results), "") or self._other_engine(attempt, faults)
            raise Fault(f"{fault}; it works on the {elsewhere} engine" if elsewhere else str(fault))
        only = f"it works on the {next(iter(results), '')} engine only"
        self.notes += [f"{fault.where}: {only}: {fault.text}" for fault in faults.values()]
        self.alike &= not faults
        return results

    def _other_engine(self, attempt: Callable[[str], Any], tried: dict[str, Fault]) -> str:
        """Another engine on which it works; "" if there is none. Only where it fails, so that it may take a while."""
        if "torch" in tried or find_spec("torch") is None:
            return ""
        try:
            attempt("torch")
        except Fault:
            return ""
        return "torch"


def _raised(trace: TracebackType | None, files: set[str]) -> tuple[str, int] | None:
    """The innermost line of `files` in a traceback."""
    place = None
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        place = (name, trace.tb_lineno) if name in files else place
        trace = trace.tb_next
    return place


def _defined(function: Any, files: set[str]) -> tuple[str, int] | None:
    """The first line of a function, found through partial, methods and decorators, if it is in `files`."""
    while inner := next((i for n in ("func", "__func__", "__wrapped__") if (i := getattr(function, n, None))), None):
        function = inner
    if isinstance(function, type):  # a class has no line of its own; its first method does
        function = next(filter(inspect.isfunction, vars(function).values()), None)
    code = getattr(function, "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code is not None and code.co_filename in files else None
