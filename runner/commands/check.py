"""`runner plugins --check`: everything in a plugin is tried, and what is wrong is said with its cure."""

from __future__ import annotations

import argparse
import json

from runner.commands.output import print_line


def run(given: argparse.Namespace) -> int:
    from runner.conformance.plugin_check import check_plugin

    checked = list(check_plugin(given.check))
    if given.json:
        print(json.dumps([component._asdict() for component in checked]))
    else:
        for component in checked:
            print_line(component.line)
    return 2 if any(component.faults for component in checked) else 0
