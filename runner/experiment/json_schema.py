"""A JSON schema (draft 2020-12) of experiment files that knows the components of a catalog: for editors.

It never refuses a file that `runner plan` takes, and says less than it: what depends on several keys at once, such as
the name of a level in `exclude`, is left to the plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from runner.components.catalog import Catalog
from runner.components.records import KINDS, ComponentRef
from runner.experiment.component_schemas import (
    NOTHING,
    Schema,
    any_of,
    complete_component,
    component,
    or_variable,
    parameter_schemas,
    takes_any_name,
)
from runner.experiment.grid_syntax import RESERVED
from runner.experiment.match_rules import EPOCHS, QUANTITIES
from runner.experiment.schema import FACTOR_ROOTS, Header, Settings

COMMENT = "Experiments of archrunner, written by: runner schema"
"""By this a document is known as one of ours. Not a title, which editors would offer as a word to complete."""


class _Sections(GenerateJsonSchema):
    """pydantic's schemas of the sections, without titles, which editors would offer as words to complete."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> Schema:
        """Without the default of a section or of a component, which is no value of YAML."""
        is_plain = not isinstance(schema.get("default"), (BaseModel, ComponentRef, tuple))
        return super().default_schema(schema) if is_plain else self.generate_inner(schema["schema"])

    def function_plain_schema(self, schema: Any) -> Schema:
        return {}  # a component: its key has a schema of its own


def experiment_schema(catalog: Catalog) -> Schema:
    """The schema of experiment files for the components in `catalog`, as a JSON document."""
    keys, definitions = _keys(catalog)
    definitions |= {f"top.{key}": schema for key, schema in keys.items()}
    references = {key: {"$ref": f"#/$defs/top.{key}"} for key in keys}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": COMMENT,
        "type": "object",
        # Completion offers these; what stands in each depends on whether other files complete this one.
        "properties": {key: {} for key in keys},
        "additionalProperties": False,
        "if": {"required": ["extends"]},
        # null takes out what an extended file has.
        "then": {"properties": {key: any_of(reference, NOTHING) for key, reference in references.items()}},
        "else": {"properties": references, **_whole_file(catalog)},
        "$defs": definitions,
    }


def _keys(catalog: Catalog) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """The schema of each key at the top level, and the definitions that these refer to."""
    keys: dict[str, Schema] = {}
    definitions: dict[str, Schema] = {}
    for section in (Header, Settings):
        generated = section.model_json_schema(schema_generator=_Sections, ref_template="#/$defs/{model}")
        parts = generated.pop("$defs", {})
        # What a section lacks may stand in the grid or in an extended file; an item of a list is given as a whole.
        items = {part["items"]["$ref"] for schema in parts.values() for part in schema["properties"].values()
                 if "$ref" in part.get("items", ())}  # fmt: skip
        for name, schema in parts.items():
            left_out = {"title"} if f"#/$defs/{name}" in items else {"title", "required"}
            definitions[name] = or_variable({key: part for key, part in schema.items() if key not in left_out})
        keys |= or_variable(generated)["properties"] | _components(section)
        for inner in filter(None, map(_section, section.model_fields.values())):
            definitions[inner.__name__]["properties"] |= _components(inner)
    definitions |= {kind: component(catalog, kind) for kind in KINDS}
    paths = _paths(catalog, definitions)
    definitions["match"] = or_variable(_match())
    definitions["level"] = {
        "type": "object",
        "properties": {**paths, "match": {"$ref": "#/$defs/match"}},
        "propertyNames": any_of({"const": "match"}, _path_names(catalog, paths)),
    }
    definitions["levels"] = {
        "description": "Named levels, each with the paths that it sets; {} sets nothing.",
        "type": "object",
        "minProperties": 1,
        # A level may be called match as well.
        "properties": {"match": any_of({"$ref": "#/$defs/match"}, {"$ref": "#/$defs/level"})},
        "additionalProperties": {"$ref": "#/$defs/level"},
    }
    factors = _factors(catalog, paths)
    text_or_list = any_of({"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1})
    return keys | {
        "extends": {"description": "Files that give what this one leaves out.", **text_or_list},
        "grid": any_of(factors, {"type": "array", "items": factors}),
        "exclude": {
            "description": "Combinations of levels that are left out, from factors to the names of their levels.",
            "type": "array",
            "items": {"type": "object", "minProperties": 1},
        },
    }, definitions


def _match() -> Schema:
    """A rule that a plan solves; which names there are in `like` and `vary` is left to the plan."""
    path: Schema = {"type": "string", "pattern": rf"^(architecture\.[^.]+|{re.escape(EPOCHS)})$"}
    level: Schema = {"not": {"type": ["array", "null"]}}
    return {
        "description": "Solve the paths in vary, so that a cell has as much of keep as the cell with the levels like.",
        "type": "object",
        "properties": {
            "vary": any_of(path, {"type": "array", "items": path, "minItems": 1, "uniqueItems": True}),
            "keep": {"enum": [*QUANTITIES]},
            "like": {"description": "A level of this factor, or a mapping from factors to levels.", **level},
            "within": {"description": "The largest difference, such as 2%.", "type": ["number", "string"]},
        },
        "required": ["vary", "keep", "like"],
        "additionalProperties": False,
    }


def _components(section: type[BaseModel]) -> dict[str, Schema]:
    """The schemas of those keys of a section under which components stand, one or a list."""
    found: dict[str, Schema] = {}
    for key, field in section.model_fields.items():
        kind = key if key in KINDS else key.removesuffix("s")  # `metrics` are several of the kind `metric`
        annotation = str(field.annotation)
        if kind in KINDS and ComponentRef.__name__ in annotation:
            one = {"$ref": f"#/$defs/{kind}"}
            found[key] = any_of(one, {"type": "array", "items": one}) if "tuple" in annotation else one
    return found


def _paths(catalog: Catalog, definitions: dict[str, Schema]) -> dict[str, Schema]:
    """What may stand at each path that a level can set: a section's keys, components, and their parameters."""
    paths: dict[str, Schema] = {}
    for root in FACTOR_ROOTS:
        if section := _section(Settings.model_fields[root]):
            keys = definitions[section.__name__]["properties"]
            paths |= {f"{root}.{key}": schema for key, schema in keys.items()}
            continue
        paths[root] = _components(Settings)[root]
        for name, schemas in parameter_schemas(catalog, root).items():
            paths[f"{root}.{name}"] = any_of(*schemas)
    return paths


def _path_names(catalog: Catalog, paths: dict[str, Schema]) -> Schema:
    """The paths that a level may set. Of a deeper path, such as training.stop.patience, only the root is checked."""
    closed = [root for root in FACTOR_ROOTS if root not in KINDS or not takes_any_name(catalog, root)]
    return {
        "pattern": rf"^({'|'.join(FACTOR_ROOTS)})(\.|$)",
        "anyOf": [{"enum": sorted(paths)}, {"not": {"pattern": rf"^({'|'.join(closed)})(\.[^.]*)?$"}}],
    }


def _factors(catalog: Catalog, paths: dict[str, Schema]) -> Schema:
    """Factors: a path with a list of its values, or any name with named levels. null takes out one that is extended."""
    levels = {"$ref": "#/$defs/levels"}
    listed: Schema = {"type": "array", "minItems": 1}
    roots = "|".join(FACTOR_ROOTS)
    return {
        "type": "object",
        "properties": {path: any_of({**listed, "items": schema}, levels, NOTHING) for path, schema in paths.items()},
        "patternProperties": {rf"^({roots})(\.|$)": any_of(listed, levels, NOTHING)},
        "additionalProperties": any_of(levels, NOTHING),
        "propertyNames": {
            "not": {"enum": sorted(RESERVED)},
            "anyOf": [_path_names(catalog, paths), {"not": {"pattern": rf"^({roots})\."}}],
        },
    }


def _whole_file(catalog: Catalog) -> Schema:
    """What a file must say that extends no other: all of it, but for what its grid may add."""
    needed = {
        key: _complete(section) if (section := _section(field)) else complete_component(catalog, key)
        for key, field in Settings.model_fields.items()
        if field.is_required()
    }
    return {
        "required": _required(Header),
        "allOf": [
            {"properties": {**_complete(Header)["properties"], "dataset": complete_component(catalog, "dataset")}},
            {"if": {"not": {"required": ["grid"]}}, "then": {"required": [*needed], "properties": needed}},
        ],
    }


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """The section that stands under a key; None if something else does."""
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _complete(section: type[BaseModel]) -> Schema:
    """A section and those within it with all that they require."""
    within = {
        key: {"if": {"type": "object"}, "then": _complete(inner)}
        for key, field in section.model_fields.items()
        if (inner := next(_models(field.annotation), None))
    }
    return {"required": _required(section), "properties": within}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a key may be given, one for `Stop | None`; not those in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, Annotated):
        for part in get_args(annotation):
            yield from _models(part)


def _required(section: type[BaseModel]) -> list[str]:
    return [key for key, field in section.model_fields.items() if field.is_required()]
