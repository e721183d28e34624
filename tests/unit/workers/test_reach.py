"""An address where no Ray head can be is refused within seconds, whatever listens there."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from runner.errors import RunnerError
from runner.workers.cluster import reach

SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))


@contextmanager
def listener(serve: Callable[[socket.socket], object]) -> Iterator[str]:
    """The address of a port where one connection is served, and held until the end."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as ended:
        held: list[socket.socket] = []

        def accept() -> None:
            held.append(server.accept()[0])
            serve(held[0])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)
        for connection in (*held, ended):
            connection.close()


@pytest.mark.parametrize(
    "serve",
    [
        lambda connection: None,
        lambda connection: connection.close(),
        lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n"),
        lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ],
    ids=["silent", "closes", "ssh", "http"],
)
def test_what_is_not_ray_is_named(serve: Callable[[socket.socket], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "REACH_SECONDS", 0.5)
    with listener(serve) as address, pytest.raises(RunnerError, match="does not answer as Ray does"):
        reach.require_answer(address)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_what_greets_as_grpc_does_may_be_ray_even_in_pieces(scheme: str) -> None:
    def serve(connection: socket.socket) -> None:
        assert connection.recv(24).startswith(b"PRI * HTTP/2.0")
        connection.sendall(SETTINGS[:2])
        connection.sendall(SETTINGS[2:])

    with listener(serve) as address:
        reach.require_answer(scheme + address)


def test_a_greeting_is_not_asked_for_where_ray_uses_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with listener(lambda connection: connection.close()) as address:
        reach.require_answer(address)


def test_local_and_auto_without_an_address_are_left_to_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for address in ("local", "auto"):
        reach.require_answer(address)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(RunnerError, match=r"address 127\.0\.0\.1:1: no Ray head answers there \(Connection refused\)"):
        reach.require_answer("auto")


class RpcError(Exception):
    """As Ray raises it, with the status of gRPC."""

    def __init__(self, code: int) -> None:
        self.rpc_code = code


class AuthenticationError(Exception):
    """As Ray raises it."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RpcError(12), "what listens there does not answer as Ray does; a head's port is 6379"),
        (RpcError(4), "no Ray head answers there (no answer)"),
        (AuthenticationError(), "does not accept this machine's: set RAY_AUTH_MODE=token, and copy the head's"),
    ],
)
def test_what_rays_own_client_is_refused_for_is_one_line(
    error: Exception, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    tries = []

    def client(address: str) -> None:
        os.write(2, b"[gcs_client.cc] W Failed\n")
        tries.append(address)
        raise error

    with pytest.raises(RunnerError) as refused:
        reach.require_head(client, "10.0.0.1:6379")
    assert str(refused.value).startswith("address 10.0.0.1:6379: ") and words in str(refused.value)
    os.write(2, b"shown again\n")
    assert tries == ["10.0.0.1:6379"] and capfd.readouterr().err == "shown again\n"


def test_what_may_pass_and_addresses_without_a_head_are_left_to_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    asked = []

    def client(address: str) -> None:
        asked.append(address)
        raise RpcError(14)  # unavailable

    for address in ("local", "auto", "ray://10.0.0.1:10001", "10.0.0.1:6379"):
        reach.require_head(client, address)
    assert asked == ["10.0.0.1:6379"]
