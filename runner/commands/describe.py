"""`runner describe`: one architecture layer by layer, or a picture of an augmentation or of a data set."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.commands.arguments import add_json, add_plugin, plugin_files, positive, shape
from runner.commands.output import field_text, print_line, print_remark, print_table, shape_text
from runner.errors import Complaint, InputError, Location, RunnerError
from runner.text import dotted, plural

if TYPE_CHECKING:
    from runner.components.catalog import Catalog
    from runner.components.records import ComponentRef
    from runner.network.analysis import Analysis, LayerFacts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="an architecture, augmentation or data set: see `runner plugins`")
    parser.add_argument("--input", type=shape, default=(3, 32, 32), metavar="CxHxW", help="image shape (3x32x32)")
    parser.add_argument("--classes", type=positive, default=10, metavar="K", help="number of classes (%(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="set one of its parameters")
    parser.add_argument("--dataset", default="mnist-5k", metavar="NAME", help="images to draw on (%(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the picture (default: NAME.png)")
    add_plugin(parser)
    add_json(parser)


def run(given: argparse.Namespace) -> int:
    from runner.components.catalog import load_catalog

    catalog = load_catalog(plugin_files(given))
    names = {kind: catalog.names(kind) for kind in ("architecture", "augmentation", "dataset")}
    # An unknown name counts as an architecture, so the error lists the architectures.
    if given.name in names["augmentation"] and given.name not in names["architecture"]:
        return _augmentation(catalog, given)
    if given.name in names["dataset"] and given.name not in names["architecture"]:
        from runner.commands import describe_dataset

        return describe_dataset.describe(catalog, _bound(catalog, "dataset", given), given)
    return _architecture(catalog, given)


def _architecture(catalog: Catalog, given: argparse.Namespace) -> int:
    from runner.planning.architecture_facts import examine

    ref = _bound(catalog, "architecture", given)
    analysis, _ = examine(catalog, ref, given.input, given.classes)
    if given.json:
        print(json.dumps(document(given.name, analysis)))
    else:
        print_description(ref, analysis)
    return 0


def _augmentation(catalog: Catalog, given: argparse.Namespace) -> int:
    from runner.commands import previews
    from runner.components.records import ComponentRef
    from runner.components.validation import InvalidValues
    from runner.data.parts import read
    from runner.data.prepare import prepare_dataset

    if given.json:
        raise RunnerError("--json: an augmentation is described by a picture")
    ref, file = _bound(catalog, "augmentation", given), given.out or Path(f"{given.name}.png")
    try:
        with prepare_dataset(catalog, ComponentRef(given.dataset)) as part:
            part.verify()
            previews.write(catalog.build("augmentation", ref), ref, read(part.folder), given.dataset, file)
    except InvalidValues as finding:
        raise RunnerError(f"--dataset {given.dataset}: {finding}") from None
    print(file)
    return 0


def _bound(catalog: Catalog, kind: str, given: argparse.Namespace) -> ComponentRef:
    """The named component with the parameters of the --set options; raises RunnerError for what does not fit."""
    from runner.components.records import ComponentRef
    from runner.components.validation import InvalidValues
    from runner.files.yaml_nodes import parse

    pairs = [text.partition("=") for text in given.set]
    for text, (key, equals, _) in zip(given.set, pairs, strict=True):
        if not key or not equals:
            raise RunnerError(f"--set {text}: expected KEY=VALUE, such as width=32")
    # YAML, so that a value has the type that it would have in an experiment's file; no value is null there too.
    parameters = {key: parse(value or "null", f"--set {key}").to_data() for key, _, value in pairs}
    try:
        return catalog.bind(kind, ComponentRef(given.name, parameters))
    except InvalidValues as finding:
        # A parameter that is missing has no path.
        places = [(Location(f"--set {dotted(path)}".rstrip()), message) for path, message in finding.problems]
        raise InputError(Complaint(place, "", message) for place, message in places) from None


def print_description(ref: ComponentRef, analysis: Analysis) -> None:
    """An architecture layer by layer, then its totals."""
    print_line(f"{ref} for images of {shape_text(analysis.input)}")
    print()
    print_table(
        ("layer", "type", "output", "parameters", "MACs", "receptive field", "jump", "centre", "activations",
         "not trained"), map(_layer, analysis.layers), text_columns=2,
    )  # fmt: skip
    print()
    beyond = sum(layer.beyond_image for layer in analysis.layers)
    field = analysis.receptive_field
    facts = {
        "parameters": f"{analysis.parameters:,}"
        + (f", and {analysis.not_trained:,} running statistics" if analysis.not_trained else ""),
        "multiply-adds": f"{analysis.macs:,} per image" if analysis.macs is not None else "unknown",
        "activations": f"{analysis.activations:,} per image, {4e-6 * analysis.activations:,.1f} MB in float32"
        if analysis.activations is not None
        else "unknown",
        "receptive field": f"{field_text(field)}, before all positions are mixed"
        if field
        else "unknown: the module can't be traced",
    }
    if beyond:
        facts["*"] = f"{plural(beyond, 'layer')} whose input already sees more than the whole image"
    for name, words in facts.items():
        print_line(f"{name:16}{words}")
    for warning in analysis.warnings:
        print_remark(f"warning: {warning}")


def _layer(facts: LayerFacts) -> tuple[str, ...]:
    beyond = " *" if facts.beyond_image else ""
    return (
        facts.path, f"{facts.type} {facts.detail}".strip(), shape_text(facts.output), _nonzero(facts.parameters),
        _nonzero(facts.macs), field_text(facts.receptive_field) + beyond, field_text(facts.jump),
        "–" if facts.centre is None else "{:g}, {:g}".format(*facts.centre),
        _nonzero(facts.activations), _nonzero(facts.not_trained),
    )  # fmt: skip


def document(name: str, analysis: Analysis) -> dict[str, Any]:
    """What `--json` prints."""
    whole = ("input", "parameters", "macs", "receptive_field", "not_trained", "activations", "warnings")
    return {
        "name": name,
        **{key: getattr(analysis, key) for key in whole},
        "layers": [asdict(facts) for facts in analysis.layers],
    }


def _nonzero(value: int) -> str:
    return f"{value:,}" if value else ""
