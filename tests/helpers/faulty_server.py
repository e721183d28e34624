"""HTTP servers that misbehave as an MLflow server can: they hang, fail, or cut their answers short."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = (
    "hangs", "500", "507 full", "429 for an hour", "closes at once", "closes mid-answer", "not MLflow", "redirects",
)  # fmt: skip


class FaultyHandler(BaseHTTPRequestHandler):
    """Answers every request with the server's `fault`."""

    protocol_version = "HTTP/1.1"
    server: Any

    def respond(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        fault, length = self.server.fault, int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        self.close_connection = True
        if fault == "hangs":
            self.server.stopped.wait()
        elif fault == "closes mid-answer":
            self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{"experiment": {')
        elif fault == "not MLflow":
            self.send(200, b"<html><title>It works!</title></html>")
        elif fault == "429 for an hour":
            self.send(429, b"", {"Retry-After": "3600"})
        elif fault == "redirects":
            self.send(302, b"", {"Location": self.path})
        elif fault != "closes at once":
            self.send(int(fault[:3]), b'{"error_code": "INTERNAL_ERROR", "message": "<b>no space\\n left</b>"}')

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        # Without "Connection: close", a client may send its next request before it notices that this one is closed.
        for name, value in {**(headers or {}), "Content-Length": str(len(body)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_HEAD = respond

    def log_message(self, *arguments: object) -> None:
        """Print nothing: the default writes every request to standard error."""


class LossyProxy(FaultyHandler):
    """Forwards every request to a real server, and loses its first answer to each kind of request."""

    def respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        # All artifacts are one kind: their paths contain run ids, so each path would count as new.
        kind = "artifact" if "/artifacts/" in self.path else self.path.partition("?")[0]
        self.close_connection = True
        try:
            upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k not in ("Connection", "Transfer-Encoding")}
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            content = answer.read()
        except OSError:
            return  # the real server is down: the connection closes without an answer
        first = kind not in self.server.requests
        self.server.requests.append(kind)
        if not first:
            self.send(answer.status, content, {"Content-Type": answer.headers.get("Content-Type", "")})

    do_GET = do_POST = do_PUT = do_PATCH = do_HEAD = respond


@contextmanager
def faulty(fault: str, handler: type[FaultyHandler] = FaultyHandler, **attributes: object) -> Iterator[Any]:
    """A running server; `requests` are those it received, and `attributes` are set on it for the handler to read."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.fault, server.requests, server.stopped = fault, [], threading.Event()
    vars(server).update(attributes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.stopped.set()  # releases the requests that hang
        server.shutdown()
        server.server_close()


def address(server: Any, user: str = "") -> str:
    return f"http://{user}127.0.0.1:{server.server_port}"
