"""`runner ui`: a study's cells in MLflow's UI."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from runner.commands.arguments import add_reports, add_tracking, port, some_text
from runner.commands.output import print_remark
from runner.errors import RunnerError

if TYPE_CHECKING:
    from runner.tracking.ui_address import Page, Server

EXAMPLES = ("runner ui", "runner ui study", "runner ui study --port 5001")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "study", metavar="FILE-or-NAME", nargs="?", default="",
        help="the experiment to show (default: the one whose fits are the latest)",
    )  # fmt: skip
    add_reports(parser)
    add_tracking(parser)
    parser.add_argument(
        "--host", type=some_text, metavar="ADDRESS", default="127.0.0.1",
        help="the address to listen on (%(default)s: this machine only)",
    )  # fmt: skip
    parser.add_argument("--port", type=port, metavar="N", default=5000, help="the port to listen on (%(default)s)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser too, if this is a terminal")


def run(given: argparse.Namespace) -> int:
    """Print the address of the study's page, and serve it until Ctrl-C if the store is not a server's."""
    from runner.tracking.database import check_database
    from runner.tracking.moved_store import adopt_place
    from runner.tracking.store_address import NONE, mask_credentials, sqlite_file, store_uri

    uri, study = store_uri(given.tracking_uri, given.reports), _study_name(given)
    file = sqlite_file(uri)
    if uri == NONE:
        raise RunnerError("--tracking-uri none: there is no store to look at")
    # A server has its own UI at the same address.
    if uri.startswith(("http://", "https://")):
        from runner.tracking.ui_address import Server

        _show(_find_page(Server(uri), study), given.open)
        return 0
    if file is not None and not file.exists():
        raise RunnerError(f"{file}: no such store; `runner run` makes it")
    try:
        check_database(uri)  # the server would answer with a traceback
    except RunnerError as error:
        raise RunnerError(f"{mask_credentials(uri)}: {error}") from None
    if file is not None:
        adopt_place(file)
    return _serve(given, uri, study)


def _serve(given: argparse.Namespace, uri: str, study: str) -> int:
    from runner.commands.ui_server import serving
    from runner.tracking.store_address import artifact_root

    with serving(uri, artifact_root(uri), given.host, given.port, given.verbose) as running:
        try:
            page = _find_page(running.server, study)
            print(f"MLflow UI on http://{given.host}:{given.port} (Ctrl-C ends it)", file=sys.stderr)
            if given.host not in ("127.0.0.1", "localhost", "::1"):
                print("warning: anyone who can reach that address can read and change the store", file=sys.stderr)
            _show(page, given.open)
            running.wait()
        except KeyboardInterrupt:  # the way to end it, and no fault
            return 0


def _study_name(given: argparse.Namespace) -> str:
    """The experiment's name: as given or, of a file or folder, the one that it stands for."""
    is_path = given.study.endswith((".yaml", ".yml")) or os.sep in given.study
    if not is_path:
        return str(given.study)
    from runner.commands.arguments import report_folder

    return report_folder(given.reports, given.study).name


def _find_page(server: Server, study: str) -> Page:
    from runner.tracking.ui_address import NoAnswer, Page

    try:
        return server.find_page(study)
    except NoAnswer as error:
        return Page(server.home(), f"the server did not answer ({error}), so this is the address of its first page")


def _show(page: Page, may_open: bool) -> None:
    if page.remark:
        print_remark(page.remark)
    sys.stderr.flush()
    print(page.address, flush=True)
    if may_open and sys.stdout.isatty():
        import webbrowser

        webbrowser.open(page.address)
