"""The parts of a team's set-up, each a real one on a free loopback port: PostgreSQL, an S3 endpoint, MLflow servers
with any options, and a proxy that puts a server behind a path prefix.
"""

from __future__ import annotations

import http.client
import logging
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command import environment
from faulty_server import FaultyHandler, address, faulty
from mlflow_runs import free_port

DATABASE_PASSWORD = "for-this-test-only"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


def skip_without(*modules: str) -> None:
    for module in modules:
        pytest.importorskip(module, reason=f"needs the Python package of {module}")


def _postgresql_programs() -> Path:
    """The folder of the server's programs, which Debian leaves out of the path."""
    folders = [Path(found).resolve().parent] if (found := shutil.which("initdb")) else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists():
            break
    else:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    if os.getuid() == 0 and "postgres" not in (user.pw_name for user in pwd.getpwall()):
        pytest.skip("needs the user postgres, as PostgreSQL refuses to run as root")
    return folder


@contextmanager
def postgresql(*databases: str) -> Iterator[str]:
    """A PostgreSQL server with `databases`; the address without the name of a data base, with its password."""
    programs, port = _postgresql_programs(), free_port()
    # It refuses to run as root, and to use a folder that others own.
    user = {"user": "postgres"} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # pytest's own folders are closed to other users
    secret = folder / "password"
    secret.write_text(DATABASE_PASSWORD)
    if user:
        for path in (folder, secret):
            shutil.chown(path, **user)
    quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "timeout": 120, "check": True, **user}
    control = [programs / "pg_ctl", "--pgdata", folder / "data", "-w"]
    settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    try:
        subprocess.run(
            [programs / "initdb", "--pgdata", folder / "data", "--username", "runner", "--pwfile", secret,
             "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"], **quiet,
        )  # fmt: skip
        subprocess.run([*control, "--log", folder / "log", "-o", settings, "start"], **quiet)
        for name in databases:
            subprocess.run(
                [programs / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "runner", name],
                env={**os.environ, "PGPASSWORD": DATABASE_PASSWORD}, **quiet,
            )  # fmt: skip
        yield f"postgresql://runner:{DATABASE_PASSWORD}@127.0.0.1:{port}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **{**quiet, "check": False})
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def bucket(name: str) -> Iterator[dict[str, str]]:
    """An S3 endpoint with an empty bucket; the environment variables by which clients find it."""
    skip_without("boto3", "moto")
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would log each request
    server = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    try:
        client(endpoint).create_bucket(Bucket=name)
        yield {**KEYS, "MLFLOW_S3_ENDPOINT_URL": endpoint}
    finally:
        server.stop()


def client(endpoint: str):
    import boto3

    return boto3.client(
        "s3", endpoint_url=endpoint, region_name=KEYS["AWS_DEFAULT_REGION"],
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"], aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip


@contextmanager
def mlflow_server(folder: Path, *options: str, prefix: str = "", **variables: str) -> Iterator[str]:
    """`mlflow server` with `options`, once it answers; its address."""
    port, log = free_port(), folder / "server.log"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    own = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, *options], cwd=folder, env={**environment(publish=True), **own, **variables},
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not _healthy(f"http://127.0.0.1:{port}{prefix}/health"):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}{prefix}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class PrefixProxy(FaultyHandler):
    """Forwards what is below the server's `prefix` to `upstream`, without the prefix; answers anything else with 404.

    `host`, if it is set, is the host name that it passes on; `refuse` maps methods and ends of paths to its own status.
    """

    def respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.close_connection = True
        server = self.server
        if not self.path.startswith(f"{server.prefix}/"):
            return self.send(404, b"<html><title>404 Not Found</title></html>", {"Content-Type": "text/html"})
        for (method, end), (status, headers) in server.refuse.items():
            if self.command == method and self.path.partition("?")[0].endswith(end):
                return self.send(status, b"<html><title>no</title></html>", headers)
        upstream = http.client.HTTPConnection(server.upstream, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name not in ("Connection", "Host")}
        path = self.path[len(server.prefix) :]
        upstream.request(self.command, path, body, {**headers, "Host": server.host or server.upstream})
        answer = upstream.getresponse()
        content = answer.read()
        return self.send(answer.status, content, {"Content-Type": answer.headers.get("Content-Type", "")})

    do_GET = do_POST = do_PUT = do_PATCH = do_HEAD = respond


@contextmanager
def behind(upstream: str, prefix: str, host: str = "", refuse: object = None) -> Iterator[str]:
    """A proxy before the server at `upstream`; the address below its prefix."""
    name = upstream.removeprefix("http://")
    with faulty("", PrefixProxy, upstream=name, prefix=prefix, host=host, refuse=refuse or {}) as proxy:
        yield f"{address(proxy)}{prefix}"
