"""A Ray cluster of several nodes on this machine, each a process of its own, for tests of the Ray executor."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

PATIENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_health_check_timeout_ms": "60000",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}
# At once, as Ray reads them when it is imported: a token of our own, so that none is made in the user's home folder.
os.environ.update(PATIENT)


class RayCluster:
    """Nodes of one CPU each. `address` is the head's."""

    def __init__(self, nodes: int) -> None:
        from ray.cluster_utils import Cluster

        self._cluster: Any = Cluster()
        self.added = [self.add_node() for _ in range(nodes)]

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add_node(self, **settings: Any) -> Any:
        """One more node, when it is up: Ray gives it 30 s, which is not enough for every machine that runs tests."""
        for attempt in range(3):
            try:
                return self._cluster.add_node(num_cpus=1, include_dashboard=False, **settings)
            except Exception:
                if attempt == 2:
                    raise
                time.sleep(5)
        raise AssertionError

    def kill(self, node: Any) -> None:
        """End the processes of a node at once, as if its machine had lost power."""
        self._cluster.remove_node(node, allow_graceful=False)

    def shutdown(self) -> None:
        self._cluster.shutdown()


@contextmanager
def ray_cluster(nodes: int) -> Iterator[RayCluster]:
    """A cluster of so many nodes; its processes have ended when the context has."""
    pytest.importorskip("ray", reason="Ray is not installed")
    cluster = RayCluster(nodes)
    try:
        yield cluster
    finally:
        before = ray_processes()
        cluster.shutdown()
        _, alive = psutil.wait_procs(before, timeout=60)
        assert not alive, alive


def ray_processes(word: str = "ray") -> list[psutil.Process]:
    """The processes below this one that have the word in their command, which Ray's and their workers have."""
    found = []
    for child in psutil.Process(os.getpid()).children(recursive=True):
        try:
            if word in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:  # it has just ended
            continue
    return found
