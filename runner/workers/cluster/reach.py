"""Whether a Ray head can be listening at an address: asked before Ray is, which would try for minutes."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from runner.errors import RunnerError

REACH_SECONDS = 5.0
"""How long a head may take to accept a connection, and then to greet."""

HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""The beginning of every connection of HTTP/2, which gRPC is made of: its fixed words, and a frame of no settings."""
SETTINGS = 4
"""The type of the frame that a server begins with (RFC 9113, 3.4); it is the fourth byte."""


def require_answer(address: str) -> None:
    """Raise RunnerError after seconds if nothing accepts connections at a cluster's address, or if it is not Ray's."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # also "local"
        return
    try:
        with socket.create_connection((host, int(port)), timeout=REACH_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0") in ("", "0") and not _greets(connection):
                other = "what listens there does not answer as Ray does; a head's port is 6379"
                raise RunnerError(f"address {address}: {other}, unless it was started with another")
    except (OSError, OverflowError) as error:
        reason = "no answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or str(error)
        raise RunnerError(f"address {address}: no Ray head answers there ({reason}); is the cluster up?") from None


def _greets(connection: socket.socket) -> bool:
    """Whether the other side speaks HTTP/2, as Ray does."""
    frame = b""
    with suppress(OSError):  # also of a side that is silent
        connection.sendall(HELLO)
        while len(frame) < 4 and (more := connection.recv(9)):
            frame += more
    return frame[3:4] == bytes((SETTINGS,))
