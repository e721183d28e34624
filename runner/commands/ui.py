"""`runner ui`: the MLflow UI on the store that `run` used."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from runner.commands.arguments import add_reports, add_tracking, port, some_text
from runner.errors import RunnerError

EXAMPLES = ("runner ui", "runner ui --port 5001")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_reports(parser)
    add_tracking(parser)
    parser.add_argument(
        "--host", type=some_text, metavar="ADDRESS", default="127.0.0.1",
        help="the address to listen on (%(default)s: this machine only)",
    )  # fmt: skip
    parser.add_argument("--port", type=port, metavar="N", default=5000, help="the port to listen on (%(default)s)")


def run(given: argparse.Namespace) -> int:
    """Become the MLflow server or, if the store is a server's, print its address."""
    from runner.tracking.database import check_database
    from runner.tracking.moved_store import adopt_place
    from runner.tracking.server_address import to_open
    from runner.tracking.store_address import NONE, artifact_root, mask_credentials, sqlite_file, store_uri

    uri = store_uri(given.tracking_uri, given.reports)
    file = sqlite_file(uri)
    if uri == NONE:
        raise RunnerError("--tracking-uri none: there is no store to look at")
    # A server has its own UI at the same address.
    if uri.startswith(("http://", "https://")):
        print(to_open(uri))
        return 0
    if file is not None and not file.exists():
        raise RunnerError(f"{file}: no such store; `runner run` makes it")
    if file is not None:
        adopt_place(file)
    try:
        check_database(uri)  # the server would answer with a traceback
    except RunnerError as error:
        raise RunnerError(f"{mask_credentials(uri)}: {error}") from None
    root = artifact_root(uri)
    server = ["mlflow", "server", "--host", given.host, "--port", str(given.port)]
    command = [sys.executable, "-m", *server, *(["--default-artifact-root", root] if root else [])]
    print(f"MLflow UI on http://{given.host}:{given.port} (Ctrl-C ends it)", file=sys.stderr)
    if given.host not in ("127.0.0.1", "localhost", "::1"):
        print("warning: anyone who can reach that address can read and change the store", file=sys.stderr)
    # execve replaces this process, and with it whatever is still in a buffer.
    sys.stderr.flush()
    # In the environment, as everyone on this machine can see a command and with it the password of a data base.
    # The first ones can be set by the user.
    artifacts = {"MLFLOW_ARTIFACTS_DESTINATION": str(Path("mlartifacts").absolute())}
    environment = {**LEAN, **artifacts, **os.environ, "MLFLOW_BACKEND_STORE_URI": uri}
    # The server imports modules of the folder that it is started in, and that one may be somebody else's.
    os.chdir("/")
    return os.execve(sys.executable, command, environment)


LEAN = {"MLFLOW_WORKERS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""For one person's server: it starts in half the time, with a fifth of the memory. Jobs serve language models.

Telemetry is off, as it is when results are published.
"""
