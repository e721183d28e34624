"""`runner describe`: any component, by its kind, in the module for that kind."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from runner.commands.arguments import add_json, add_plugin, picture, plugin_files, positive, shape
from runner.commands.output import print_remark
from runner.commands.plugins import refuse_file
from runner.errors import Complaint, InputError, Location, RunnerError
from runner.text import dotted, nearest, yaml_value

if TYPE_CHECKING:
    from runner.components.catalog import Catalog
    from runner.components.parameters import RegisteredComponent
    from runner.components.records import ComponentRef

DESCRIBED_IN = {
    kind: f"runner.commands.describe_{kind}"
    for kind in ("architecture", "augmentation", "optimizer", "dataset", "metric", "loss")
}
"""By kind, the module whose `describe(catalog, ref, given)` prints a bound component and returns the exit status."""
OPTIONS: dict[str, tuple[tuple[str, ...], Any]] = {
    "input": (("architecture",), (3, 32, 32)),
    "classes": (("architecture",), 10),
    "dataset": (("augmentation",), "mnist-5k"),
    "epochs": (("optimizer",), 10),
    "steps": (("optimizer",), 100),
    "out": (("augmentation", "optimizer", "dataset"), None),
}
"""The kinds that each option is for, and what it is if it is not given."""

EXAMPLES = (
    "runner describe stages --input 1x28x28 --set width=32",
    "runner describe adam --set schedule=cosine --epochs 20 --out rate.png",
    "runner describe shift --dataset digits",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a component, as `runner plugins` lists them")
    parser.add_argument("--kind", choices=[*DESCRIBED_IN], metavar="KIND", help="%(choices)s, if several have NAME")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="set one of its parameters")
    parser.add_argument("--input", type=shape, metavar="CxHxW", help="architecture: image shape (3x32x32)")
    parser.add_argument("--classes", type=positive, metavar="K", help="architecture: number of classes (10)")
    parser.add_argument("--dataset", metavar="NAME", help="augmentation: images to draw on (mnist-5k)")
    parser.add_argument("--epochs", type=positive, metavar="N", help="optimizer: length of the fit (10)")
    parser.add_argument("--steps", type=positive, metavar="N", help="optimizer: batches of an epoch (100)")
    parser.add_argument(
        "--out", type=picture, metavar="FILE", help="the picture, .png (augmentation, data set: NAME.png)"
    )
    add_plugin(parser)
    add_json(parser)


def run(given: argparse.Namespace) -> int:
    from runner.components.catalog import load_catalog
    from runner.components.records import ComponentRef
    from runner.components.validation import InvalidValues

    catalog = load_catalog(plugin_files(given))
    kind = _kind(catalog, given)
    for option, (kinds, default) in OPTIONS.items():
        if getattr(given, option) is None:
            setattr(given, option, default)
        elif kind not in kinds:
            allowed = [f"--{name}" for name, (others, _) in OPTIONS.items() if kind in others]
            known = f"; it has {', '.join(allowed)}" if allowed else ""
            raise RunnerError(f"--{option}: {given.name} is of the kind {kind}, which has no such option{known}")
    parameters = _parameters(given.set)
    entry = catalog.find(kind, given.name)
    missing = [parameter.name for parameter in entry.parameters.values() if parameter.required]
    missing = [name for name in missing if name not in parameters]
    try:
        ref = catalog.bind(kind, ComponentRef(given.name, parameters))
    except InvalidValues as finding:
        # What is missing has no path.
        wrong = [(Location(f"--set {dotted(path)}"), message) for path, message in finding.problems if path]
        if missing and not wrong:
            return _incomplete(entry, ComponentRef(given.name, parameters), missing, given.json)
        problems = wrong or [(Location("--set"), message) for _, message in finding.problems]
        raise InputError(Complaint(where, "", message) for where, message in problems) from None
    return int(import_module(DESCRIBED_IN[kind]).describe(catalog, ref, given))


def _incomplete(entry: RegisteredComponent, ref: ComponentRef, missing: list[str], as_json: bool) -> int:
    """Print what is known of a component before its required parameters are set."""
    from runner.commands.component_facts import document, print_facts

    if as_json:
        print(json.dumps(document(entry, ref)))
    else:
        print_facts(entry, ref)
    sys.stdout.flush()
    print_remark(f"for more, set what it requires: {' '.join(f'--set {name}=VALUE' for name in missing)}")
    return 0


def _kind(catalog: Catalog, given: argparse.Namespace) -> str:
    """The kind of the component that is meant; raises RunnerError unless there is just one."""
    kinds = [kind for kind in DESCRIBED_IN if (kind, given.name) in catalog.entries]
    if given.kind and kinds and given.kind not in kinds:
        raise RunnerError(f"--kind {given.kind}: {given.name} is of the kind {' and '.join(kinds)}")
    if given.kind:
        return str(given.kind)
    if len(kinds) > 1:
        choices = " or ".join(f"--kind {kind}" for kind in kinds)
        raise RunnerError(f"{given.name} is the name of several components; choose one with {choices}")
    if not kinds:
        refuse_file(given.name)
    # Of an unknown name, the kind that has the nearest one: the error lists what that kind has.
    close = nearest(given.name, [name for _, name in catalog.entries])
    if given.name and not kinds and not given.plugin and not nearest(given.name, [close], 0.8):
        perhaps = f"; did you mean '{close}'?" if close else ";"
        raise RunnerError(
            f"unknown component {yaml_value(given.name)}{perhaps} see runner plugins; one of a plugin's file needs "
            "--plugin FILE"
        )
    likely = [kind for kind in DESCRIBED_IN if (kind, close) in catalog.entries]
    return (kinds or likely or [*DESCRIBED_IN])[0]


def _parameters(given: Sequence[str]) -> dict[str, Any]:
    """The parameters of the --set options; raises RunnerError for what is none."""
    from runner.files.yaml_nodes import parse

    parameters: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise RunnerError(f"--set {text}: expected KEY=VALUE, such as width=32")
        if key in parameters:
            raise RunnerError(f"--set {text}: '{key}' is set twice")
        # YAML, so that a value has the type that it would have in an experiment's file; no value is null there too.
        parameters[key] = parse(value or "null", f"--set {key}").to_data()
    return parameters
