"""What the commands print: tables for people on stdout, and the JSON documents of the same facts."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from runner.components.catalog import Catalog
from runner.components.records import KINDS, ComponentRef
from runner.network.analysis import Analysis, LayerFacts
from runner.planning.estimate import Estimate
from runner.planning.plan import Plan
from runner.text import duration, printable, yaml_value

if TYPE_CHECKING:
    from rich.console import Console

    from runner.flow import Options, Outcome
    from runner.reporting.between_studies.side_by_side import Section

WIDE = 240
"""The width of a table that goes to a file or a pipe, where nothing is wrapped."""


def _console() -> Console:
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=WIDE, color_system=None)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1) -> None:
    """Text columns fold where the terminal is narrow; figures don't, so the last of them are left out, and said."""
    rows = list(rows)
    if not sys.stdout.isatty() and _print_plainly([columns, *rows], text_columns):
        return
    from rich.table import Table
    from rich.text import Text

    console = _console()
    widths = [max(map(len, (name, *(row[i] for row in rows)))) + 1 for i, name in enumerate(columns)]
    shown = len(columns)
    while shown > text_columns + 1 and sum(widths[:shown]) > console.width:
        shown -= 1
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for index, column in enumerate(columns[:shown]):
        left = index < text_columns
        table.add_column(column, justify="left" if left else "right", overflow="fold", no_wrap=not left)
    for row in rows:
        table.add_row(*map(Text, row[:shown]))
    console.print(table)
    if shown < len(columns):
        _say(f"(too narrow for: {', '.join(columns[shown:])})")


def _print_plainly(rows: Sequence[Sequence[str]], text_columns: int) -> bool:
    """Print the very same table for a file or a pipe, a hundred times as fast; False where it has to be folded."""
    if not all(text.isascii() and text.isprintable() for row in rows for text in row[:text_columns]):
        return False  # letters may be two columns wide, or lines
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if sum(widths) + len(widths) - 1 > WIDE:
        return False
    aligned = ["<" if index < text_columns else ">" for index in range(len(widths))]
    line = " ".join(f"{{:{side}{width}}}" for side, width in zip(aligned, widths, strict=True))
    print("\n".join(line.format(*row) for row in rows))
    return True


def _say(text: str) -> None:
    if not sys.stdout.isatty() and text.isprintable():
        print(text)
        return
    from rich.text import Text

    _console().print(Text(text), soft_wrap=not sys.stdout.isatty())  # a terminal folds between words


def _field(pair: tuple[int, int] | None) -> str:
    return f"{pair[0]}×{pair[1]}" if pair else "–"


def _size(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _some(value: int) -> str:
    return f"{value:,}" if value else ""


def plan(plan: Plan, estimate: Estimate, workers: int, news: Iterable[str] = ()) -> None:
    """Every cell with its cost, the number of fits, what is to be known before they are trained, and their time."""
    _table(
        ("cell", "parameters", "MACs", "receptive field"),
        ((c.name, _count(c.parameters), _count(c.macs), _field(c.receptive_field)) for c in plan.cells),
    )
    training = plan.training
    print()
    _say(f"{plan.name}: {len(plan.cells)} cells × {plan.folds} folds × {plan.repeats} repeats = {plan.fit_count} fits")
    _say(f"engine {training['engine']} on {training['device']} in {training['precision']}{_stacking(plan)}")
    for line in news:
        _say(printable(line))
    basis = "from the fits in the journal" if estimate.measured else "a rough guess: no fit of it has been timed yet"
    _say(f"{estimate.fits} fits to train: about {duration(estimate.seconds)} on {workers} workers ({basis})")


def _stacking(plan: Plan) -> str:
    """How many fits are trained together, if any are."""
    sizes = Counter(cell.settings["training"].get("stacking", 1) for cell in plan.cells)
    largest = [min(size, plan.folds * plan.repeats) for size in sorted(sizes) if size > 1]
    if not largest:
        return ""
    where = f" in {sum(sizes.values()) - sizes[1]} cells" if sizes[1] else ""
    return f", {' or '.join(map(str, largest))} fits of a cell trained together{where}"


def plan_document(plan: Plan) -> dict[str, Any]:
    cells = [
        {
            "id": cell.id,
            "levels": cell.levels,
            "parameters": cell.parameters,
            "macs": cell.macs,
            "receptive_field": cell.receptive_field,
            "problem": cell.problem or None,
            "warnings": cell.warnings,
        }
        for cell in plan.cells
    ]
    return {"experiment": plan.name, "fits": plan.fit_count, "cells": cells}


def warnings(plan: Plan) -> None:
    """What no layer of a network sees, once for all the cells that it happens in; on stderr."""
    cells: dict[str, list[str]] = {}
    for cell in plan.cells:
        for warning in cell.warnings:
            cells.setdefault(warning, []).append(cell.name)
    for warning, names in cells.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        print(f"warning: cell '{names[0]}'{more}: {warning}", file=sys.stderr)


def description(ref: ComponentRef, analysis: Analysis) -> None:
    """An architecture layer by layer; the last figures are left out first where the terminal is narrow."""
    _say(f"{ref} for images of {_size(analysis.input)}")
    print()
    _table(
        ("layer", "type", "output", "parameters", "MACs", "receptive field", "jump", "centre", "activations",
         "not trained"), map(_layer, analysis.layers), text_columns=2,
    )  # fmt: skip
    print()
    beyond = sum(layer.beyond_image for layer in analysis.layers)
    field = analysis.receptive_field
    facts = {
        "parameters": f"{analysis.parameters:,}"
        + (f", and {analysis.not_trained:,} running statistics" if analysis.not_trained else ""),
        "multiply-adds": f"{analysis.macs:,} an image" if analysis.macs is not None else "unknown",
        "activations": f"{analysis.activations:,} an image, {4e-6 * analysis.activations:,.1f} MB in float32"
        if analysis.activations is not None
        else "unknown",
        "receptive field": f"{_field(field)}, before all positions are mixed"
        if field
        else "unknown: the module can't be traced",
    }
    if beyond:
        facts["*"] = f"{beyond} windows slide over what sees more than the whole image already"
    for name, words in facts.items():
        _say(f"{name:16}{words}")
    for warning in analysis.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _layer(facts: LayerFacts) -> tuple[str, ...]:
    beyond = " *" if facts.beyond_image else ""
    return (
        facts.path, f"{facts.type} {facts.detail}".strip(), _size(facts.output), _some(facts.parameters),
        _some(facts.macs), _field(facts.receptive_field) + beyond, _field(facts.jump),
        "–" if facts.centre is None else "{:g}, {:g}".format(*facts.centre),
        _some(facts.activations), _some(facts.not_trained),
    )  # fmt: skip


def description_document(name: str, analysis: Analysis) -> dict[str, Any]:
    whole = ("input", "parameters", "macs", "receptive_field", "not_trained", "activations", "warnings")
    return {
        "name": name,
        **{key: getattr(analysis, key) for key in whole},
        "layers": [asdict(facts) for facts in analysis.layers],
    }


def components(catalog: Catalog) -> None:
    """Every component by kind, what is in the data sets, and the plugins that failed to load."""
    rows = [
        (kind, name, ", ".join(map(_parameter, entry.parameters.values())), entry.source)
        for kind in KINDS
        for (k, name), entry in sorted(catalog.entries.items())
        if k == kind
    ]
    _table(("kind", "name", "parameters", "from"), rows, text_columns=4)
    print()
    facts = {name: catalog.facts(name) for name in catalog.names("dataset")}
    columns = ("data set", "image", "classes", "training", "test", "licence")
    _table(columns, itertools.starmap(_contents, facts.items()), text_columns=6)
    print()
    for name, told in facts.items():
        if told and told["citation"]:
            _say(f"cite for {name}: {told['citation']}")
    for plugin, reason in catalog.failures.items():
        print(f"failed to load: {plugin}: {reason}", file=sys.stderr)


def _contents(name: str, facts: dict[str, Any] | None) -> tuple[str, ...]:
    if facts is None:
        return (name, "as its parameters say", "", "", "", "")
    return (
        name, _size(facts["shape"]), f"{len(facts['class_names'])}", f"{facts['size']:,}", f"{facts['test_size']:,}",
        facts["licence"],
    )  # fmt: skip


def _parameter(parameter: Any) -> str:
    facts = parameter.describe()
    return f"{facts['name']}: {facts['type']}" + (
        f" = {yaml_value(facts['default'])}" if "default" in facts else " (required)"
    )


def components_document(catalog: Catalog) -> list[dict[str, Any]]:
    return [
        {
            "kind": kind,
            "name": name,
            "source": entry.source,
            "parameters": [parameter.describe() for parameter in entry.parameters.values()],
            **({"facts": catalog.facts(name)} if kind == "dataset" else {}),
        }
        for (kind, name), entry in sorted(catalog.entries.items())
    ]


def sections(sections: Iterable[Section]) -> None:
    """Tables, each under its title and with its notes below."""
    for section in sections:
        _say(printable(section.title))
        _table(section.columns, ([printable(text) for text in row] for row in section.rows), section.texts)
        for note in section.notes:
            _say(printable(note))
        print()


def outcome(outcome: Outcome, options: Options, file: str) -> None:
    """The result table and the answers on stdout; what is wrong, and how to go on, on stderr."""
    _table(outcome.verdict["columns"], outcome.verdict["rows"])
    print()
    for sentence in outcome.verdict["answers"]:
        _say(sentence)
    print()
    _say(f"report: {outcome.folder / 'report.html'}")
    sys.stdout.flush()
    for line in _remarks(outcome, options, file):
        print(line, file=sys.stderr)


def _remarks(outcome: Outcome, options: Options, file: str) -> Iterable[str]:
    total = outcome.plan.fit_count
    for failure in outcome.verdict["failures"]:
        yield f"failed: {failure}"
    if outcome.failed:
        yield f"{outcome.failed} of {total} fits failed; `runner run {file} --only failed` trains them again"
    if outcome.stopped:
        yield f"interrupted: {total - outcome.missing} of {total} fits are kept; the same command goes on"
    elif outcome.missing:
        yield f"{outcome.missing} of {total} fits are missing; the same command trains them"
    if outcome.mixed:
        yield f"warning: {printable(outcome.mixed)}"
    if outcome.unpublished:
        more = f"`runner publish {outcome.plan.name}` sends the rest, and so does the next run"
        yield f"MLflow has not got everything ({printable(outcome.unpublished)}); {more}"
    elif not outcome.trained and not outcome.missing:
        yield "nothing to train: all fits were in the journal"
