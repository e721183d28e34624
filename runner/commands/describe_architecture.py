"""`runner describe ARCHITECTURE`: layer by layer, with what each costs and sees."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from runner.commands.output import count_text, field_text, print_line, print_remark, print_table, shape_text
from runner.text import plural

if TYPE_CHECKING:
    from runner.components.catalog import Catalog
    from runner.components.records import ComponentRef
    from runner.network.analysis import Analysis, LayerFacts


def describe(catalog: Catalog, ref: ComponentRef, given: argparse.Namespace) -> int:
    from runner.planning.architecture_facts import examine

    analysis, _ = examine(catalog, ref, given.input, given.classes)
    if given.json:
        print(json.dumps(document(given.name, analysis)))
    else:
        print_description(ref, analysis)
    return 0


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
        else f"unknown: {_unknown_window(analysis)}",
    }
    if beyond:
        facts["*"] = f"{plural(beyond, 'layer')} whose input already sees more than the whole image"
    for name, words in facts.items():
        print_line(f"{name:16}{words}")
    for warning in analysis.warnings:
        print_remark(f"warning: {warning}")


def _unknown_window(analysis: Analysis) -> str:
    """Why the receptive field is unknown."""
    if not analysis.own:
        return "the module can't be traced"
    unknown = [entry for entry in analysis.own if entry.layer.window(entry.input) is None]
    return f"{type(unknown[0].layer).__name__} of layer {unknown[0].path} does not say what its window is"


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


def _nonzero(value: int | None) -> str:
    return "" if value == 0 else count_text(value)
