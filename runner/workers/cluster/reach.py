"""Whether a Ray head listens at an address: asked before Ray itself connects, which would try for minutes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runner.errors import RunnerError

REACH_SECONDS = 5.0
"""How long a head may take to accept a connection, and then to greet."""

HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""The beginning of every connection of HTTP/2, which gRPC is made of: its fixed words, and a frame of no settings."""
SETTINGS = 4
"""The type of the frame that a server begins with (RFC 9113, 3.4); it is the fourth byte."""

DEADLINE_EXCEEDED, UNIMPLEMENTED = 4, 12
"""What gRPC says of a server that does not answer, and of one that has no such method."""


def require_answer(address: str) -> None:
    """Raise RunnerError after seconds if nothing accepts connections at a cluster's address, or if it is not Ray's."""
    address = _named(address)
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not address:
        return
    try:
        with socket.create_connection((host, int(port)), timeout=REACH_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0") in ("", "0") and not _greets(connection):
                raise _another(address)
    except (OSError, OverflowError) as error:
        reason = "no answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or str(error)
        raise _unreachable(address, reason) from None


def require_head(client: Callable[..., object], address: str) -> None:
    """Raise RunnerError if Ray's own `client` of a head cannot be made for an address: in one try, where Ray has 20.

    What may pass, as of a head that is just starting, is left to Ray.
    """
    address = _named(address)
    if not address or address.startswith("ray://"):
        return
    try:
        with _silent():
            client(address=address)
    except Exception as error:
        code = getattr(error, "rpc_code", None)
        if code == UNIMPLEMENTED:
            raise _another(address) from error
        if code == DEADLINE_EXCEEDED:
            raise _unreachable(address, "no answer") from error
        if type(error).__name__ == "AuthenticationError":
            raise RunnerError(
                f"address {address}: the cluster asks for a token, and does not accept this machine's: set "
                "RAY_AUTH_MODE=token, and copy the head's ~/.ray/auth_token"
            ) from error


def _named(address: str) -> str:
    """The address of the cluster, HOST:PORT or ray://HOST:PORT; "" if Ray starts or finds it itself."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "")
    return address if address.rpartition(":")[2].isdecimal() else ""


def _another(address: str) -> RunnerError:
    other = "what listens there does not answer as Ray does; a head's port is 6379"
    return RunnerError(f"address {address}: {other}, unless it was started with another")


def _unreachable(address: str, reason: str) -> RunnerError:
    return RunnerError(f"address {address}: no Ray head answers there ({reason}); is the cluster up?")


@contextmanager
def _silent() -> Iterator[None]:
    """Without what Ray's compiled code writes to stderr."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _greets(connection: socket.socket) -> bool:
    """Whether the other side speaks HTTP/2, as Ray does."""
    frame = b""
    with suppress(OSError):  # also of a side that is silent
        connection.sendall(HELLO)
        while len(frame) < 4 and (more := connection.recv(9)):
            frame += more
    return frame[3:4] == bytes((SETTINGS,))
