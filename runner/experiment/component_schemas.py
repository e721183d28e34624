"""JSON schemas of components and their parameters: what may stand in a YAML file where a component is named."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BeforeValidator, PlainValidator, TypeAdapter, WrapValidator
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from runner.components import documentation
from runner.components.catalog import Catalog
from runner.components.parameters import Parameter, RegisteredComponent
from runner.fits.metrics import METRICS, TEST_METRICS

Schema = dict[str, Any]

VARIABLE: Schema = {"type": "string", "pattern": r"\$\{"}
"""Any value may be an environment variable."""
NOTHING: Schema = {"type": "null"}
OTHER_NAMES = {"metric": (*METRICS, *TEST_METRICS)}
"""By kind, names that stand where components do, but are the runner's own."""
_SCALARS = ("integer", "number", "boolean", "string", "null")


class _Parameters(GenerateJsonSchema):
    """pydantic's schemas, without a warning for a default that JSON cannot hold: it is only left out."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}


def any_of(*schemas: Schema) -> Schema:
    """What at least one of the schemas allows."""
    texts = {json.dumps(schema, sort_keys=True): schema for schema in schemas}
    return {"anyOf": [*texts.values()]} if len(texts) > 1 else next(iter(texts.values()))


def component(catalog: Catalog, kind: str) -> Schema:
    """A component of that kind: a name, or a mapping with its name and its parameters."""
    entries = list(_entries(catalog, kind))
    names = [{"const": entry.component.name, "description": documentation.summary(entry)} for entry in entries]
    names += [{"const": name} for name in OTHER_NAMES.get(kind, ())]
    mapping = {
        "type": "object",
        "properties": {"name": {"anyOf": [*names, VARIABLE]}},
        "allOf": [{"if": _named(entry), "then": _parameters(entry)} for entry in entries],
    }
    return {"anyOf": [*names, VARIABLE, mapping]}


def complete_component(catalog: Catalog, kind: str) -> Schema:
    """A component that has a name, and all the parameters that it requires; alone or in a list."""
    needs = {
        entry.component.name: (entry, [name for name, parameter in entry.parameters.items() if parameter.required])
        for entry in _entries(catalog, kind)
    }
    given = [{"if": _named(entry), "then": {"required": names}} for entry, names in needs.values() if names]
    return {
        "if": {"type": "object"},
        "then": {"required": ["name"], **({"allOf": given} if given else {})},
        "else": {"not": {"enum": [name for name, (_, names) in needs.items() if names]}},
    }


def parameter_schemas(catalog: Catalog, kind: str) -> dict[str, list[Schema]]:
    """By name, what each component of the kind allows for its parameter of that name."""
    found: dict[str, list[Schema]] = {"name": [{"type": "string"}]}
    for entry in _entries(catalog, kind):
        for name, parameter in (entry.parameters | entry.common).items():
            schema = parameter_schema(parameter)
            schema.pop("default", None)
            found.setdefault(name, []).append(schema)
    return found


def takes_any_name(catalog: Catalog, kind: str) -> bool:
    """Whether a component of the kind checks its parameters itself."""
    return any(entry.accepts_any_name for entry in _entries(catalog, kind))


def parameter_schema(parameter: Parameter) -> Schema:
    """What a parameter may be; anything, if only its own validator knows."""
    try:
        schema = TypeAdapter(_declared(parameter.annotation)).json_schema(schema_generator=_Parameters)
    except (PydanticUserError, TypeError, NameError):
        return {}
    schema = or_variable(_inlined(schema, schema.pop("$defs", {})))
    schema.pop("title", None)
    default = {key: value for key, value in parameter.describe().items() if key == "default"}
    try:
        json.dumps(default)
    except TypeError:
        return schema
    return schema | default


def or_variable(schema: Schema) -> Schema:
    """The schema with ``${NAME}`` allowed wherever it expects a value that is neither a list nor a mapping."""
    schema = dict(schema)
    for key in ("properties", "$defs"):
        if key in schema:
            schema[key] = {name: or_variable(inner) for name, inner in schema[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = or_variable(schema[key])
    # Of several forms of a value, exactly one would match but for variables, which all of them allow.
    forms = schema.pop("oneOf", None) or schema.pop("anyOf", None)
    if forms:
        schema.pop("discriminator", None)
        return schema | {"anyOf": [*(form if _is_scalar(form) else or_variable(form) for form in forms), VARIABLE]}
    if not _is_scalar(schema):
        return schema
    about: Schema = {key: schema.pop(key) for key in ("description", "default", "title") if key in schema}
    return {**about, "anyOf": [schema, VARIABLE]}


def _is_scalar(schema: Schema) -> bool:
    """Whether it allows only values that are no lists and no mappings, and not every text."""
    if schema.get("type") == "string" and not {"pattern", "enum", "const", "maxLength"} & schema.keys():
        return False
    return "enum" in schema or "const" in schema or schema.get("type") in _SCALARS


def _entries(catalog: Catalog, kind: str) -> Iterable[RegisteredComponent]:
    return (entry for (k, _), entry in sorted(catalog.entries.items()) if k == kind)


def _named(entry: RegisteredComponent) -> Schema:
    return {"properties": {"name": {"const": entry.component.name}}, "required": ["name"]}


def _parameters(entry: RegisteredComponent) -> Schema:
    """A mapping with the parameters of one component."""
    parameters = {name: parameter_schema(parameter) for name, parameter in entry.parameters.items()}
    common = {name: parameter_schema(Parameter(name, p.annotation)) for name, p in entry.common.items()}
    return {
        "description": documentation.summary(entry),
        "properties": {"name": {}, **parameters, **common},
        **({} if entry.accepts_any_name else {"additionalProperties": False}),
    }


def _declared(annotation: Any) -> Any:
    """The type that an annotation declares, without validators, whose input only they know.

    One that takes the place of pydantic's check is trusted to take what is declared; one that runs before it may take
    more than that, so that nothing is known.
    """
    if get_origin(annotation) is Annotated:
        if any(isinstance(item, BeforeValidator | WrapValidator) for item in annotation.__metadata__):
            return Any
        others = [item for item in annotation.__metadata__ if not isinstance(item, PlainValidator)]
        declared = _declared(annotation.__origin__)
        return Annotated[(declared, *others)] if others and declared is not Any else declared
    arguments = get_args(annotation)
    if get_origin(annotation) is list:
        return list[_declared(arguments[0])]  # type: ignore[misc]
    if get_origin(annotation) in (Union, UnionType):
        declared = [*map(_declared, arguments)]
        return Any if Any in declared else functools.reduce(operator.or_, declared)
    return annotation


def _inlined(schema: Any, definitions: Mapping[str, Schema], outer: tuple[str, ...] = ()) -> Any:
    """The schema with its definitions in their places, as those of two parameters may have one name.

    A type that contains itself is anything within itself.
    """
    if isinstance(schema, list):
        return [_inlined(item, definitions, outer) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return {} if name in outer else _inlined(definitions[name], definitions, (*outer, name))
    return {key: _inlined(item, definitions, outer) for key, item in schema.items()}
