"""Reads MLflow runs, and starts MLflow servers, for the tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from command import RUNNER, environment
from mlflow import MlflowClient
from mlflow.entities import Run

from runner.tracking.new_store import create_store


def runs_of(uri: str, experiment: str = "tiny") -> list[Run]:
    client = MlflowClient(tracking_uri=uri)
    existing = client.get_experiment_by_name(experiment)
    assert existing is not None
    return list(client.search_runs([existing.experiment_id], max_results=1000))


def kinds(runs: list[Run]) -> dict[str, int]:
    return dict(Counter(run.data.tags["runner.kind"] for run in runs))


def sqlite(tiny: Path) -> str:
    return f"sqlite:///{tiny.parent / 'reports' / 'mlflow.db'}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_server(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Starts a real MLflow tracking server on loopback, in its own process group, and waits until it answers."""
    if not (folder / "server.db").exists():
        create_store(folder / "server.db")  # a copy, which saves the server a second of migrations
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'server.db'}",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    process = subprocess.Popen(
        command,
        env={**environment(publish=True), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
            return process
        except OSError:
            time.sleep(0.2)
    os.killpg(process.pid, 9)
    raise AssertionError("the server did not start")


@contextmanager
def ui(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """`runner ui` in `folder`, once it shows a page: its process, the page's address, and the lines on stderr."""
    with (folder / "output").open("w+") as log:
        process = subprocess.Popen(
            [RUNNER, "ui", "--port", str(free_port()), *options], cwd=folder, env=environment(publish=True),
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        try:
            assert process.stdout
            address = process.stdout.readline().strip()  # nothing if it ends before
            yield process, address, (folder / "output").read_text().splitlines()
        finally:
            process.terminate()
            process.wait(timeout=60)


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


@contextmanager
def server(folder: Path, port: int) -> Iterator[str]:
    process = start_server(folder, port)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 9)
        process.wait()
