"""Servers that misbehave: each stands in for an MLflow server that is slow, full, half dead or wrong."""

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


class Faulty(BaseHTTPRequestHandler):
    """Answers every request with the server's `fault`."""

    protocol_version = "HTTP/1.1"
    server: Any

    def answer(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        fault, length = self.server.fault, int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        self.close_connection = True
        if fault == "hangs":
            self.server.over.wait()
        elif fault == "closes mid-answer":
            self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{"experiment": {')
        elif fault == "not MLflow":
            self.say(200, b"<html><title>It works!</title></html>")
        elif fault == "429 for an hour":
            self.say(429, b"", {"Retry-After": "3600"})
        elif fault == "redirects":
            self.say(302, b"", {"Location": self.path})
        elif fault != "closes at once":
            self.say(int(fault[:3]), b'{"error_code": "INTERNAL_ERROR", "message": "<b>no space\\n left</b>"}')

    def say(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        # Said, as a client that did not know might send its next request before it sees that the connection is closed.
        for name, value in {**(headers or {}), "Content-Length": str(len(body)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_HEAD = answer

    def log_message(self, *given: object) -> None:
        """Nothing on the tests' output."""


class Proxy(Faulty):
    """Passes everything on to a real server; the first answer to each kind of request is lost on its way back."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
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
        first = kind not in self.server.asked
        self.server.asked.append(kind)
        if not first:
            self.say(answer.status, content, {"Content-Type": answer.headers.get("Content-Type", "")})

    do_GET = do_POST = do_PUT = do_PATCH = do_HEAD = answer


@contextmanager
def faulty(fault: str, handler: type[Faulty] = Faulty, **facts: object) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.fault, server.asked, server.over = fault, [], threading.Event()
    vars(server).update(facts)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()


def address(server: Any, user: str = "") -> str:
    return f"http://{user}127.0.0.1:{server.server_port}"
