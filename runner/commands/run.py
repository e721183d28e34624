"""`runner run`: train what is missing, publish it, write the report, print what came out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from runner.commands.arguments import add_experiment, add_reports, add_tracking, address, positive, seconds
from runner.commands.browse import browse_line
from runner.commands.output import print_line, print_remark, print_table
from runner.commands.studies import check_experiment_file
from runner.text import one_line, plural

if TYPE_CHECKING:
    from runner.flow.outcome import Outcome


EXAMPLES = (
    "runner run study.yaml",
    "runner run study.yaml --set training.epochs=3 --set 'grid.optimizer.lr=[1e-3,1e-2]'",
    "runner run study.yaml --only failed",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="workers (default: one per core, or as many as Ray has CPUs)"
    )
    parser.add_argument(
        "--executor",
        choices=["process", "serial", "ray"],
        metavar="NAME",
        help="where fits run: process, serial or ray (default: the file's, or process)",
    )
    parser.add_argument(
        "--address", type=address, default="auto", metavar="ADDRESS",
        help="the Ray cluster: auto (one on this machine, or $RAY_ADDRESS), local (Ray on this machine alone), "
        "HOST:PORT, or ray://HOST:PORT (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--allow-mixed", action="store_true", help="train on Ray nodes whose libraries differ too")
    add_reports(parser)
    add_tracking(parser)
    parser.add_argument(
        "--publish-wait", type=seconds, default=10.0, metavar="SECONDS",
        help="how long the end of the run waits for an MLflow server that answers (%(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--require-published", action="store_true",
        help="look into MLflow, and end with status 1 if not everything is there",
    )  # fmt: skip
    parser.add_argument("--only", choices=["failed"], help="train the failed fits again, and nothing else")
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first failed fit")
    parser.add_argument("--dry-run", action="store_true", help="show the plan and stop")


def run(given: argparse.Namespace) -> int:
    from runner.flow import study
    from runner.flow.outcome import Options
    from runner.flow.progress import Lines, Live

    if given.dry_run:
        from runner.commands import plan

        return plan.run(argparse.Namespace(**vars(given), data=False, json=False))
    check_experiment_file(given.file, given.reports)
    options = Options(
        workers=given.workers, executor=given.executor or "", reports=given.reports, tracking_uri=given.tracking_uri,
        only_failed=given.only == "failed", fail_fast=given.fail_fast, publish_wait=given.publish_wait,
        address=given.address, allow_mixed=given.allow_mixed, require_published=given.require_published,
    )  # fmt: skip
    # By stderr, where progress goes; stdout may be a file while someone watches the terminal.
    progress = Live() if sys.stderr.isatty() else Lines()
    outcome = study.run(given.file, given.set, options, progress)
    # Only then: the server of what could not be published may be one that never answers.
    browse = "" if outcome.unpublished else browse_line(outcome.plan.name, given.reports, given.tracking_uri)
    print_outcome(outcome, given.file, browse)
    return outcome.exit_status


def print_outcome(outcome: Outcome, file: str, browse: str) -> None:
    """The result table and the answers to stdout; what went wrong, and how to continue, to stderr.

    `browse` is the line on MLflow's UI; "" for none.
    """
    print_table(outcome.verdict["columns"], outcome.verdict["rows"])
    if outcome.verdict["note"]:
        print_line(outcome.verdict["note"])
    print()
    for sentence in outcome.verdict["answers"]:
        print_line(sentence)
    if outcome.decided:
        print_line(outcome.decided)
    print()
    print_line(f"report: {outcome.folder / 'report.html'}")
    if browse:
        print(one_line(browse))  # not wrapped, as a terminal opens an address on one line only
    # If both go to one file, the remarks are to follow the table; stderr is not buffered as stdout is.
    sys.stdout.flush()
    for line in _remarks(outcome, file):
        print_remark(line)


def _remarks(outcome: Outcome, file: str) -> Iterator[str]:
    total = plural(outcome.plan.fit_count, "fit")
    for warning in outcome.warnings:
        yield f"warning: {warning}"
    for failure in outcome.verdict["failures"]:
        yield f"failed: {failure}"
    if outcome.failed:
        again = f"`runner run {file} --only failed` trains {_them(outcome.failed)} again"
        yield f"{outcome.failed:,} of {total} failed; {again}"
    if outcome.stopped:
        finished = _are(outcome.plan.fit_count - outcome.missing, total)
        yield f"interrupted: {finished} finished; the same command trains the rest"
    elif outcome.missing:
        yield f"{_are(outcome.missing, total)} missing; the same command trains {_them(outcome.missing)}"
    if outcome.goes_on:
        yield f"nothing is decided yet; `runner run {file}` trains another repeat"
    if outcome.mixed:
        yield f"warning: {outcome.mixed}"
    yield from (f"MLflow: {note}" for note in outcome.found)
    if outcome.unpublished:
        more = f"`runner publish {outcome.plan.name}` sends the rest, and so does the next run"
        required = "--require-published: " if outcome.must_publish else ""
        yield f"{required}not everything is in MLflow ({outcome.unpublished}); {more}"
    elif not outcome.trained and not outcome.missing:
        yield "nothing to train: all fits are in the journal"


def _are(count: int, total: str) -> str:
    """``1 of 6 fits is``, ``2 of 6 fits are``"""
    return f"{count:,} of {total} {'is' if count == 1 else 'are'}"


def _them(count: int) -> str:
    return "it" if count == 1 else "them"
