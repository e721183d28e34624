"""`runner describe OPTIMIZER`: its parameters, and its learning rate over a fit."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from runner.commands.component_facts import document, print_facts
from runner.commands.output import print_line
from runner.engines import rule_check
from runner.errors import PluginError
from runner.text import plural

if TYPE_CHECKING:
    from runner.components.catalog import Catalog
    from runner.components.records import ComponentRef

POINTS, ROWS, BAR = 1000, 20, 24
"""The most steps that are drawn, the most epochs that are printed, and the width of the longest bar."""


def describe(catalog: Catalog, ref: ComponentRef, given: argparse.Namespace) -> int:
    from runner.components.plugin_code import aside

    entry = catalog.find("optimizer", ref.name)
    rule = catalog.build("optimizer", ref)
    rule_check.refuse_unusable(rule, catalog.rule_options(ref), rule_check.label(entry, ref))
    where = f"optimizer {ref} of {entry.source}"
    epochs, steps = given.epochs, given.steps
    with aside():
        drawn = _rates(rule, _spread(epochs * steps, POINTS), epochs, steps, where)
    if given.out:
        from runner.commands.previews import write_schedule

        write_schedule([((n - 1) / steps, rate) for n, rate in drawn], f"{ref}", given.out)
    if given.json:
        rates = [{"step": number, "epoch": (number - 1) / steps, "rate": rate} for number, rate in drawn]
        print(json.dumps({**document(entry, ref), "epochs": epochs, "steps": steps, "rates": rates}))
        return 0
    print_facts(entry, ref)
    if not drawn:
        print_line("its learning rate is unknown: what it builds has no method rate(step)")
    for line in _lines(rule, epochs, steps, where) if drawn else ():
        print_line(line)
    if given.out:
        print_line(f"picture: {given.out}")
    return 0


def _lines(rule: Any, epochs: int, steps: int, where: str) -> Iterator[str]:
    """The learning rate at the beginning of some epochs and at the end, each with a bar."""
    shown = [(epoch - 1) * steps + 1 for epoch in _spread(epochs, ROWS)]
    rates = _rates(rule, [*shown, epochs * steps], epochs, steps, where)
    highest = max(rate for _, rate in rates) or 1.0
    yield f"learning rate over {plural(epochs, 'epoch')} of {plural(steps, 'step')}"
    for number, rate in rates:
        when = "the end" if number == epochs * steps and number not in shown else f"epoch {(number - 1) // steps + 1}"
        yield f"{when:>{len(f'epoch {epochs}')}}  {rate:<9.4g} {'█' * round(BAR * rate / highest)}".rstrip()


def _spread(count: int, most: int) -> list[int]:
    """The numbers 1 to `count`, or `most` of them evenly from the first to the last."""
    if count <= most:
        return list(range(1, count + 1))
    return [1 + round(index * (count - 1) / (most - 1)) for index in range(most)]


def _rates(rule: Any, numbers: list[int], epochs: int, steps: int, where: str) -> list[tuple[int, float]]:
    """(number of the step, learning rate); empty if the rule does not say. Raises PluginError for what is no rate."""
    from runner.components.protocols import Step

    if not callable(getattr(rule, "rate", None)):
        return []
    found = []
    for number in numbers:
        try:
            rate = float(rule.rate(Step(number, epochs * steps, steps)))
        except Exception as error:  # of a plugin, which may raise anything
            raise PluginError(f"{where}: rate(step) raised {type(error).__name__}: {error}") from error
        if not math.isfinite(rate):
            raise PluginError(f"{where}: rate(step) is {rate} at step {number}; expected a finite number")
        found.append((number, rate))
    return found
