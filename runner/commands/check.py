"""`runner plugins --check`: everything in a plugin is tried, and what is wrong is said with its cure."""

from __future__ import annotations

import argparse
import json

from runner.commands.output import print_line
from runner.errors import RunnerError


def run(given: argparse.Namespace) -> int:
    from runner.conformance.plugin_check import check_plugin

    for option in ("plugin", "parameters"):
        if getattr(given, option):
            raise RunnerError(f"--check tries what is in a plugin; leave out --{option}")
    checked = []
    for component in check_plugin(given.check, given.name, given.kind):
        checked.append(component)
        if not given.json:
            print_line(component.line)
    if given.json:
        print(json.dumps([component._asdict() for component in checked]))
    return 2 if any(component.faults for component in checked) else 0
