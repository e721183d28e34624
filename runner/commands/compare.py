"""`runner compare`: experiments side by side where they share cells or factors."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from runner.commands.arguments import add_json, add_reports, folder_path, report_folder
from runner.commands.output import print_line, print_remark, print_table
from runner.text import printable

if TYPE_CHECKING:
    from runner.reporting.between_studies.side_by_side import TitledTable


EXAMPLES = ("runner compare study other-study", "runner compare study.yaml backup/study --out differences")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = "a file, a name, or a folder with plan.yaml and journal.jsonl"
    parser.add_argument("first", metavar="A", help=f"an experiment: {what}")
    parser.add_argument("others", metavar="B", nargs="+", help="one or more to compare it with")
    parser.add_argument(
        "--out", type=folder_path, metavar="FOLDER", help="write the tables, and the diagram of ranks, too"
    )
    add_reports(parser)
    add_json(parser)


def run(given: argparse.Namespace) -> int:
    from runner.reporting.between_studies import compare, side_by_side

    experiments = (given.first, *given.others)
    reports = [compare.read_report(report_folder(given.reports, experiment)) for experiment in experiments]
    compare.refuse_same(reports, experiments)  # after they are read: what is damaged in one is to be known in any case
    comparison = compare.compare(reports)
    written = side_by_side.write(comparison, given.out) if given.out else []
    if given.json:
        print(json.dumps(side_by_side.document(comparison)))
    else:
        _print_sections(side_by_side.sections(comparison))
    # To stderr, so that stdout is the tables or one JSON document and nothing else.
    for line in side_by_side.remarks(comparison, written):
        print_remark(line)
    return 0


def _print_sections(sections: Iterable[TitledTable]) -> None:
    """Tables, each under its title and with its notes below."""
    for section in sections:
        print_line(printable(section.title))
        print_table(section.columns, ([printable(text) for text in row] for row in section.rows), section.texts)
        for note in section.notes:
            print_line(printable(note))
        print()
