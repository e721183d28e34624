"""The command line, a function a command. The one place where errors become messages."""

from __future__ import annotations

import argparse
import atexit
import errno
import gc
import json
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from runner import __version__
from runner.arguments import Parser, positive, seconds, shape
from runner.errors import RunnerError
from runner.signals import exit_status, stopping
from runner.text import did_you_mean, printable

if TYPE_CHECKING:
    from runner.components.catalog import Catalog
    from runner.components.records import ComponentRef


class OneLine(logging.Formatter):
    """A message takes one line, whatever names are in it; a traceback that was asked for follows as it is."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))


def program() -> NoReturn:
    """The command as a process of its own, which ends as soon as its work is done.

    Python would first take apart all that was loaded, object by object: after MLflow and pandas that takes a second.
    """
    status = main()
    atexit._run_exitfuncs()  # of multiprocessing and logging, which leave nothing behind
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # closed from the beginning, or since
            stream.flush()
    os._exit(status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    parser = make_parser()
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        given.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    gc.set_threshold(100_000, 20, 100)  # libraries make objects that stay: to go through them often is 20% of start-up
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would read every installed package's metadata
    level = logging.DEBUG if given.verbose else logging.WARNING
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine("%(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("runner").setLevel(level)
    try:
        with stopping():
            status = int(given.command(given))
        if sys.stdout is not None:  # it is None where it was closed from the beginning
            sys.stdout.flush()
        return status
    except RunnerError as error:
        logging.getLogger("runner").debug("in detail", exc_info=True)
        print("\n".join(map(printable, str(error).splitlines())), file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt as stop:
        print("interrupted", file=sys.stderr)
        return exit_status(stop)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: nothing more to say
        return 0
    except OSError as error:
        logging.getLogger("runner").debug("in detail", exc_info=True)
        if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # of files, we know
            error.filename = "output"
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"{error.filename or 'system'}: {error.strerror or error}", file=sys.stderr)
        return 2


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="runner",
        description="Experiments on convolutional architectures, from a YAML grid to a verdict.",
    )
    parser.add_argument("--version", action="version", version=f"archrunner {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = _command(commands, "run", _run, "train what is missing, publish it to MLflow, write the report")
    _experiment(run)
    run.add_argument("--workers", type=positive, metavar="N", help="worker processes (default: one a core)")
    run.add_argument(
        "--executor", choices=["process", "serial"], default="process", help="where fits run (%(default)s)"
    )
    _reports(run)
    _tracking(run)
    run.add_argument(
        "--publish-wait", type=seconds, default=10.0, metavar="SECONDS",
        help="how long the end of the run waits for an MLflow server that answers (%(default)g)",
    )  # fmt: skip
    run.add_argument("--only", choices=["failed"], help="train the failed fits again, and nothing else")
    run.add_argument("--fail-fast", action="store_true", help="stop at the first failed fit")
    run.add_argument("--dry-run", action="store_true", help="show the plan and stop")

    plan = _command(commands, "plan", _plan, "show every cell, its cost and its problems; train nothing")
    _experiment(plan)
    _reports(plan)
    plan.add_argument("--workers", type=positive, metavar="N", help="worker processes, for the time estimate")
    _json(plan)

    describe = _command(
        commands,
        "describe",
        _describe,
        "show an architecture layer by layer, or a picture of what an augmentation does",
    )
    describe.add_argument(
        "name", metavar="NAME", help="an architecture or augmentation, as `runner plugins` lists them"
    )
    describe.add_argument("--input", type=shape, default=(3, 32, 32), metavar="CxHxW", help="image shape (3x32x32)")
    describe.add_argument("--classes", type=positive, default=10, metavar="K", help="number of classes (%(default)s)")
    describe.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of it")
    describe.add_argument("--dataset", default="mnist-5k", metavar="NAME", help="images to draw on (%(default)s)")
    describe.add_argument("--out", type=Path, metavar="FILE", help="the picture (default: NAME.png)")
    _plugin(describe)
    _json(describe)

    report = _command(commands, "report", _report, "write the report again from the journal")
    report.add_argument("experiment", metavar="FILE-or-NAME", help="an experiment's file, or its name")
    report.add_argument("--format", default="html,md,csv", metavar="LIST", help="of html, md, csv, tex, png")
    _reports(report)

    publish = _command(commands, "publish", _publish, "publish to MLflow what it has not got yet; train nothing")
    publish.add_argument("experiment", metavar="FILE-or-NAME", help="an experiment's file, or its name")
    _reports(publish)
    _tracking(publish)

    compare = _command(commands, "compare", _compare, "put experiments side by side where they share cells or factors")
    what = "a file, a name, or a folder with plan.yaml and journal.jsonl"
    compare.add_argument("first", metavar="A", help=f"an experiment: {what}")
    compare.add_argument("others", metavar="B", nargs="+", help="one or more to compare it with")
    compare.add_argument("--out", type=Path, metavar="FOLDER", help="write the tables, and the diagram of ranks, too")
    _reports(compare)
    _json(compare)

    plugins = _command(commands, "plugins", _plugins, "list every component with its parameters")
    _plugin(plugins)
    _json(plugins)

    ui = _command(commands, "ui", _ui, "open the MLflow UI on the store that `run` used")
    _reports(ui)
    _tracking(ui)
    ui.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s: this machine alone)")
    ui.add_argument("--port", type=positive, default=5000, help="(%(default)s)")
    return parser


def _command(commands: Any, name: str, function: Any, help: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
    parser.add_argument("--verbose", action="store_true", help="log tracebacks of plugins and errors")
    parser.set_defaults(command=function, parser=parser)
    return parser


def _experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the experiment, a YAML file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="set a value of the file first"
    )


def _reports(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR", help="(%(default)s)")


def _tracking(parser: argparse.ArgumentParser) -> None:
    text = "MLflow store, or none (default: $MLFLOW_TRACKING_URI, or mlflow.db in the reports)"
    parser.add_argument("--tracking-uri", metavar="URI", help=text)


def _plugin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plugin", action="append", default=[], metavar="FILE", help="load a plugin file too")


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _run(given: argparse.Namespace) -> int:
    from runner import flow, show
    from runner.progress import Lines, Live

    if given.dry_run:
        return _plan(argparse.Namespace(**vars(given), json=False))
    chosen = {"workers": given.workers} if given.workers else {}
    settings = flow.Options(
        executor=given.executor, reports=given.reports, tracking_uri=given.tracking_uri,
        only_failed=given.only == "failed", fail_fast=given.fail_fast, publish_wait=given.publish_wait, **chosen,
    )  # fmt: skip
    progress = Live() if sys.stderr.isatty() else Lines()
    outcome = flow.run(given.file, given.set, settings, progress)
    show.outcome(outcome, settings, given.file)
    return outcome.exit_status


def _plan(given: argparse.Namespace) -> int:
    from runner import show
    from runner.experiment.load import load
    from runner.journal.journal import read
    from runner.planning import changes, library_versions
    from runner.planning.environment import installed
    from runner.planning.estimate import estimate
    from runner.planning.make_plan import make_plan, problems
    from runner.workers.executors import choose

    experiment = load(given.file, given.set)
    plan = make_plan(experiment)
    if given.json:
        print(json.dumps(show.plan_document(plan)))
    else:
        folder, workers = given.reports / plan.name, given.workers or choose.default_workers()
        known = {result.id: result for result in read(folder / "journal.jsonl")[0]}
        news, anew = changes.since_last_run(folder, plan, known)
        expected = estimate(plan, known.values(), workers, anew)
        cells = {cell.id for cell in plan.cells if not anew}
        made = [result.versions for result in known.values() if result.cell in cells and result.status == "ok"]
        mixed = library_versions.ahead(plan, made, expected.fits, installed(plan))
        show.plan(plan, expected, workers, [*news, *([f"warning: {mixed}"] if mixed else [])])
    show.warnings(plan)
    found = problems(experiment, plan)
    for problem in found:
        print(problem, file=sys.stderr)
    return 2 if found else 0


def _describe(given: argparse.Namespace) -> int:
    from runner.components.catalog import load_catalog

    catalog = load_catalog(_files(given.plugin))
    drawn = given.name in catalog.names("augmentation") and given.name not in catalog.names("architecture")
    return _describe_augmentation(catalog, given) if drawn else _describe_architecture(catalog, given)


def _describe_architecture(catalog: Catalog, given: argparse.Namespace) -> int:
    from runner import show
    from runner.planning.architecture_facts import examine

    ref = _bound(catalog, "architecture", given)
    analysis, _ = examine(catalog, ref, given.input, given.classes)
    if given.json:
        print(json.dumps(show.description_document(given.name, analysis)))
    else:
        show.description(ref, analysis)
    return 0


def _describe_augmentation(catalog: Catalog, given: argparse.Namespace) -> int:
    from runner import sheet
    from runner.components.records import ComponentRef
    from runner.components.validation import Finding
    from runner.data.prepare import prepared, read

    if given.json:
        raise RunnerError("--json: an augmentation is described by a picture")
    ref = _bound(catalog, "augmentation", given)
    try:
        dataset = catalog.bind("dataset", ComponentRef(given.dataset))
    except Finding as finding:
        raise RunnerError(f"--dataset {given.dataset}: {finding}") from None
    data = catalog.build("dataset", dataset)
    file = given.out or Path(f"{given.name}.png")
    with prepared(data, catalog.find("dataset", given.dataset).origin) as part:
        sheet.write(catalog.build("augmentation", ref), ref, read(part.folder), given.dataset, file)
    print(file)
    return 0


def _bound(catalog: Catalog, kind: str, given: argparse.Namespace) -> ComponentRef:
    """The component that the command names, with the parameters of its --set options."""
    from runner.components.records import ComponentRef
    from runner.components.validation import Finding
    from runner.files.yaml_nodes import parse

    pairs = [text.partition("=") for text in given.set]
    for text, (key, equals, _) in zip(given.set, pairs, strict=True):
        if not key or not equals:
            raise RunnerError(f"--set {text}: expected KEY=VALUE, such as width=32")
    parameters = {key: parse(value or "null", f"--set {key}").plain() for key, _, value in pairs}
    try:
        return catalog.bind(kind, ComponentRef(given.name, parameters))
    except Finding as finding:
        raise RunnerError("\n".join(f"--set {'.'.join(map(str, p))}: {m}" for p, m in finding.found)) from None


def _report(given: argparse.Namespace) -> int:
    from runner.journal import journal
    from runner.planning import plan
    from runner.reporting.pages.write import FORMATS, write_report

    formats = given.format.split(",")
    for name in formats:
        if name not in FORMATS:
            raise RunnerError(f"--format: unknown '{name}'{did_you_mean(name, FORMATS)}")
    folder = _report_folder(given.reports, given.experiment)
    frozen = plan.read(folder / "plan.yaml")
    results, _ = journal.read(folder / "journal.jsonl")
    write_report(frozen, journal.frames(results), folder, formats)
    print(folder / "report.html" if "html" in formats else folder)
    return 0


def _publish(given: argparse.Namespace) -> int:
    from runner import flow

    folder = _report_folder(given.reports, given.experiment)
    fits, planned = flow.publish(folder, given.tracking_uri)
    partial = "" if fits == planned else f" of {planned}, the others are not trained yet"
    print(f"MLflow has {fits} fits{partial}{'' if (folder / 'report.html').is_file() else ', and no report'}")
    return 0


def _report_folder(reports: Path, experiment: str) -> Path:
    """The folder of a report, which an experiment's file or name stands for, or which is given itself."""
    from runner.experiment.load import load

    is_file = experiment.endswith((".yaml", ".yml"))
    folder = reports / (load(experiment).name if is_file else experiment)
    places = [place for place in (folder, Path(experiment)) if place.is_dir()]
    if not places:
        known = [path.parent.name for path in reports.glob("*/plan.yaml")]
        raise RunnerError(f"{folder}: no such report{did_you_mean(folder.name, known)}")
    return next((place for place in places if (place / "plan.yaml").is_file()), places[0])


def _compare(given: argparse.Namespace) -> int:
    from runner import show
    from runner.reporting.between_studies import compare, side_by_side

    folders = [_report_folder(given.reports, experiment) for experiment in (given.first, *given.others)]
    compared = compare.compare([compare.read(folder) for folder in folders])
    written = side_by_side.write(compared, given.out) if given.out else []
    if given.json:
        print(json.dumps(side_by_side.document(compared)))
    else:
        show.sections(side_by_side.sections(compared))
    for line in side_by_side.remarks(compared, written):
        print(line, file=sys.stderr)
    return 0


def _plugins(given: argparse.Namespace) -> int:
    from runner import show
    from runner.components.catalog import load_catalog

    catalog = load_catalog(_files(given.plugin))
    if given.json:
        print(json.dumps(show.components_document(catalog)))
    else:
        show.components(catalog)
    return 0


def _files(plugins: Sequence[str]) -> tuple[str, ...]:
    for plugin in plugins:
        if not Path(plugin).is_file():
            raise RunnerError(f"--plugin {plugin}: no such file")
    return tuple(str(Path(plugin).resolve()) for plugin in plugins)


def _ui(given: argparse.Namespace) -> int:
    """Becomes the MLflow server, or says where it is."""
    from runner.tracking.store_address import NONE, artifact_root, masked, sqlite_file, store_uri

    uri = store_uri(given.tracking_uri, given.reports)
    file = sqlite_file(uri)
    if uri == NONE:
        raise RunnerError("--tracking-uri none: there is no store to look at")
    if uri.startswith(("http://", "https://")):
        print(masked(uri))
        return 0
    if file is not None and not file.exists():
        raise RunnerError(f"{file}: no such store; `runner run` makes it")
    root = artifact_root(uri)
    server = ["mlflow", "server", "--host", given.host, "--port", str(given.port)]
    command = [sys.executable, "-m", *server, *(["--default-artifact-root", root] if root else [])]
    print(f"MLflow UI on http://{given.host}:{given.port} (Ctrl-C ends it)", file=sys.stderr)
    if given.host not in ("127.0.0.1", "localhost", "::1"):
        print("warning: whoever reaches that address can read and change the store", file=sys.stderr)
    sys.stderr.flush()
    # In the environment, as everyone on this machine can see a command and with it the password of a data base.
    return os.execve(sys.executable, command, {**_LEAN, **os.environ, "MLFLOW_BACKEND_STORE_URI": uri})


_LEAN = {"MLFLOW_WORKERS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Of a server for one person: there in half the time, in a fifth of the memory. The jobs serve language models."""
