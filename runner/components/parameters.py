"""The parameters of a registered component: read from its signature, then bound to the values of a YAML file.

Only keyword-only parameters are set from YAML; positional ones (an architecture's input shape and number of classes)
are the runner's own arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from runner.components import parameter_types, plugin_code
from runner.components.parameter_types import plain
from runner.components.records import Component, ComponentRef
from runner.components.validation import InvalidValues, KeyPath, type_name, validate
from runner.errors import PluginError
from runner.files.content_hash import content_id
from runner.text import did_you_mean, yaml_value


@dataclass(frozen=True)
class Parameter:
    """One keyword-only parameter of a component."""

    name: str
    annotation: Any
    default: Any = inspect.Parameter.empty

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """Checks values against the annotation; raises PluginError for an annotation that YAML has no values for."""
        # Built on first use, as most components of a catalog are never bound.
        wrong = parameter_types.unsupported(self.annotation)
        try:
            if not wrong:
                return TypeAdapter(self.annotation)
        except (PydanticUserError, TypeError) as error:  # bounds that a type does not have, say
            wrong = f"{self.annotation}: {str(error).partition(chr(10))[0]}"
        message = f"parameter '{self.name}' has the type {wrong}, which YAML has no values for"
        raise PluginError(f"{message}; allowed: {parameter_types.ALLOWED}")

    @cached_property
    def is_rich(self) -> bool:
        """Whether its values are not all plain data: members of an enumeration, paths, dataclasses."""
        return any(True for _ in parameter_types.classes(self.annotation))

    def bind(self, value: Any) -> Any:
        """A value of YAML as the parameter is bound, as plain data; raises InvalidValues."""
        if not self.is_rich:
            return self.checked(value)
        # Twice, as pydantic does not look at the defaults of a dataclass: a whole number there may stand for a float.
        return plain(self.checked(plain(self.checked(value))))

    def checked(self, value: Any) -> Any:
        """A value of YAML, or a bound one, as the component's function gets it; raises InvalidValues."""
        try:
            return validate(self.adapter, value, lambda path: parameter_types.field_names(self.annotation, path))
        except InvalidValues as finding:
            if _is_choice(self.annotation) and len(finding.problems) > 1:
                # Of several types each has its own complaint.
                allowed = type_name(self.annotation)
                raise InvalidValues([((), f"found {yaml_value(value)}; allowed: {allowed}")]) from None
            raise

    @cached_property
    def bound_default(self) -> Any:
        """The default as it would be bound if it were given: a whole number becomes a float where one is expected.

        So a default and the same value written out are equal. A default that does not match its type stays as it is.
        """
        default = plain(self.default)
        # Only these are validated, as building a type adapter is slow, and most defaults would not change.
        if not (_has_whole_number(default) and (self.is_rich or _mentions_float(self.annotation))):
            return default
        try:
            return self.bind(default)
        except (InvalidValues, PluginError, TypeError):
            return default

    def describe(self) -> dict[str, Any]:
        """Name, type and, unless required, default, as `runner plugins` lists them."""
        facts: dict[str, Any] = {"name": self.name, "type": type_name(self.annotation)}
        return facts if self.required else {**facts, "default": plain(self.default)}


@dataclass(frozen=True)
class RegisteredComponent:
    """A component and its source: a distribution with its version, or the path of a plugin file.

    `module` is the plugin's name in sys.modules. `distribution` is the name and the version of the installed package
    that provides the component; None for a plugin file.
    """

    component: Component
    source: str
    module: str = ""
    distribution: tuple[str, str] | None = None

    @property
    def place(self) -> str:
        """The source, with the line of the component's function if that is in the plugin file."""
        code = getattr(self.component.build, "__code__", None)
        return f"{self.source}:{code.co_firstlineno}" if code and code.co_filename == self.source else self.source

    @property
    def is_file(self) -> bool:
        return self.distribution is None

    @property
    def is_ours(self) -> bool:
        """Whether it is built in."""
        return self.module.partition(".")[0] == plugin_code.OURS

    @property
    def files(self) -> dict[str, plugin_code.SourceFile]:
        """The files of its code by module name, the plugin's own first; empty for a built-in component."""
        return {} if self.is_ours else plugin_code.files_of(self.module)

    @property
    def version(self) -> str:
        """A hash of its code and of the version that it declares, so that a change is noticed.

        Of a built-in component the version that it declares alone: that of the library that it wraps, or "".

        Not of the names of the files: a plugin file may move, as long as what it imports keeps its name.
        """
        files = self.files
        own = files.pop(self.module, None)
        if own is None:
            return self.component.version
        others = sorted([plugin_code.short_name(name), file.digest] for name, file in files.items())
        # Without others the hash of the file itself, which fits of earlier versions were identified by.
        code = content_id([own.digest, others]) if others else own.digest
        return content_id([code, self.component.version]) if self.component.version else code

    @property
    def origin(self) -> str:
        """Identifies the component among all of the same name, earlier edits of its file included."""
        return f"{self.component.name} from {self.source} {self.version}"

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """The keyword-only parameters by name. Raises PluginError if the type of one is not defined."""
        return {
            p.name: Parameter(p.name, parameter_types.evaluate(self.component.build, p), p.default)
            for p in self._signature
            if p.kind is inspect.Parameter.KEYWORD_ONLY
        }

    @property
    def positional(self) -> list[inspect.Parameter]:
        """The parameters that are not keyword-only, which YAML cannot set."""
        keywords = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
        return [parameter for parameter in self._signature if parameter.kind not in keywords]

    @property
    def accepts_any_name(self) -> bool:
        """Whether it takes parameters of any name (``**parameters``) and checks them itself."""
        return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in self._signature)

    @cached_property
    def _signature(self) -> list[inspect.Parameter]:
        return list(inspect.signature(self.component.build).parameters.values())

    @property
    def common(self) -> dict[str, Parameter]:
        """The parameters that the runner reads for every component of the kind, unless it names one of its own so."""
        common = self.component.common
        return {name: Parameter(name, type, None) for name, type in common.items() if name not in self.parameters}

    def build_arguments(self, bound: Mapping[str, Any]) -> dict[str, Any]:
        """The bound parameters that the component's function takes, without those that only the runner reads."""
        by_any_name = self.accepts_any_name
        arguments = {
            name: value
            for name, value in bound.items()
            if name in self.parameters or (by_any_name and name not in self.component.common)
        }
        for name, parameter in self.parameters.items():
            if name in arguments and parameter.is_rich:
                arguments[name] = parameter.checked(arguments[name])
        return arguments

    def common_values(self, bound: Mapping[str, Any]) -> dict[str, Any]:
        """The bound parameters that the runner reads, without those that only the component's function takes."""
        return {name: bound[name] for name in self.common if name in bound}

    def bind(self, given: Mapping[str, Any]) -> ComponentRef:
        """A reference to the component with every parameter set: the given values, checked, and the defaults.

        Raises InvalidValues with every unknown, missing or wrong parameter.
        """
        # Unless a common parameter is given, it stays unset.
        parameters = self.parameters | {name: p for name, p in self.common.items() if name in given}
        unknown = [name for name in given if name not in parameters]
        bound: dict[str, Any] = {name: given[name] for name in unknown} if self.accepts_any_name else {}
        problems = [] if self.accepts_any_name else [self._unknown(name) for name in unknown]
        for name, parameter in parameters.items():
            if name in given:
                try:
                    value = parameter.bind(given[name])
                    # A common parameter that changes nothing is as good as one that is not given.
                    if value is not None or name in self.parameters:
                        bound[name] = value
                except InvalidValues as invalid:
                    problems += [((name, *path), message) for path, message in invalid.problems]
            elif parameter.required:
                message = f"{self.component.name} needs the parameter '{name}' ({type_name(parameter.annotation)})"
                problems.append(((), message))
            else:
                # A default is not checked here, but when a plugin file is loaded (`catalog._check_signature`).
                bound[name] = parameter.bound_default
        if problems:
            # By their text, because paths of names and indices cannot be compared.
            raise InvalidValues(sorted(problems, key=str))
        return ComponentRef(self.component.name, bound)

    def _unknown(self, name: str) -> tuple[KeyPath, str]:
        allowed = [*self.parameters, *self.common]
        return (name,), f"{self.component.name} has no parameter '{name}'{did_you_mean(name, allowed)}"


def _is_choice(annotation: Any) -> bool:
    """Whether it is a union of several types, apart from None."""
    if get_origin(annotation) is Annotated:
        return _is_choice(annotation.__origin__)
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    return get_origin(annotation) in (Union, UnionType) and len(kinds) > 1


def _has_whole_number(value: Any) -> bool:
    if isinstance(value, Mapping):
        value = list(value.values())
    return any(map(_has_whole_number, value)) if isinstance(value, (list, tuple)) else type(value) is int


def _mentions_float(annotation: Any) -> bool:
    return annotation is float or any(map(_mentions_float, get_args(annotation)))
