"""MLflow's server as a child process: started, waited for until it answers, and ended with all that it started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from runner.errors import RunnerError
from runner.text import printable
from runner.tracking.store_address import SQLITE, mask_credentials
from runner.tracking.ui_address import Server

LEAN = {
    "MLFLOW_WORKERS": "1",
    # Jobs serve language models.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    # As in the client, where it is off for the same reason: nothing of a study leaves this machine unasked.
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""For one person's server: it starts in half the time, with a fifth of the memory, and reports to nobody."""

LONGEST_START = 120.0
"""Seconds that a server may take until it answers; it takes about four."""
LONGEST_END = 10.0
"""Seconds that it may take to end by itself."""
POLL_INTERVAL = 0.1
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses that stand for all of this machine's, and one that a browser on it can open."""


@dataclass(frozen=True)
class Running:
    """A server that was started, how to ask it, and what it has printed."""

    server: Server
    process: subprocess.Popen[bytes]
    output: IO[bytes]

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + LONGEST_START
        while not self.server.is_ready():
            if self.process.poll() is not None:
                raise self.ended()
            if time.monotonic() > deadline:
                raise RunnerError(f"the MLflow server did not answer within {LONGEST_START:g} s: {self._last_line()}")
            time.sleep(POLL_INTERVAL)

    def wait(self) -> NoReturn:
        """Wait until it ends, which it does not by itself, and raise RunnerError."""
        self.process.wait()
        raise self.ended()

    def ended(self) -> RunnerError:
        return RunnerError(f"the MLflow server ended with status {self.process.returncode}: {self._last_line()}")

    def _last_line(self) -> str:
        self.output.seek(0)
        lines = [line for line in self.output.read().decode(errors="replace").splitlines() if line.strip()]
        return printable(mask_credentials(lines[-1])) if lines else "it printed nothing"


@contextmanager
def serving(uri: str, root: str | None, host: str, port: int, verbose: bool) -> Iterator[Running]:
    """MLflow's server on the store at `uri`, once it answers; raises RunnerError if it does not start.

    `root` is the folder of the artifacts of new experiments, if it is not the server's default. What the server prints
    is shown if it is `verbose`, else only its last line if it ends by itself.
    """
    _refuse_taken(host, port)
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port)]
    command += ["--default-artifact-root", root] if root else []
    # In the environment, as everyone on this machine can see a command and with it the password of a data base.
    # The first ones can be set by the user.
    artifacts = {"MLFLOW_ARTIFACTS_DESTINATION": str(Path("mlartifacts").absolute())}
    # A line per request would fill the disk in the end, if nobody sees it.
    quiet = {} if verbose else {"UVICORN_LOG_LEVEL": "warning"}
    environment = {**LEAN, **quiet, **artifacts, **os.environ, "MLFLOW_BACKEND_STORE_URI": uri}
    environment.pop("MLFLOW_WORKSPACE", None)  # a setting of clients, with which a server does not start
    with tempfile.TemporaryFile() as output:
        process = _start(command, environment, None if verbose else output)
        # In messages, a sqlite store is a file.
        server = Server(f"http://{browsable(host)}:{port}", mask_credentials(uri).removeprefix(SQLITE))
        try:
            running = Running(server, process, output)
            running.wait_until_ready()
            yield running
        finally:
            _end(process)


def browsable(host: str) -> str:
    """The host in an address that a browser on this machine opens."""
    host = EVERYWHERE.get(host, host)
    return f"[{host}]" if ":" in host else host


def _refuse_taken(host: str, port: int) -> None:
    """Raise RunnerError if nothing can listen there: another server's answer would be taken for that of ours."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As servers do: connections of one that has ended may linger.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise RunnerError(f"{host}:{port}: {error.strerror or error}; `--port N` takes another port") from None


def _start(command: list[str], environment: Mapping[str, str], output: IO[bytes] | None) -> subprocess.Popen[bytes]:
    # In a session of its own, so that a Ctrl-C reaches it once, from here, and that all of it can be ended.
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        # The server imports modules of the folder that it is started in, and that one may be somebody else's.
        cwd="/", preexec_fn=_end_with_parent if sys.platform == "linux" else None,
    )  # fmt: skip


def _end_with_parent() -> None:
    """Have the system end this process when its parent is gone, however that ended."""
    import ctypes

    set_death_signal = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGTERM)


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):  # all of it has ended
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(LONGEST_END)
