"""A Ray cluster of several nodes on this machine, each a process of its own, for tests of the Ray executor."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from runner.fits.records import FitResult, FitSpec
from runner.workers.cluster import executor
from runner.workers.cluster.connection import current_node
from runner.workers.cluster.facts import node_facts
from runner.workers.cluster.node_worker import Place

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
    """Nodes of one CPU each, with other `settings` of Ray's too. `address` is the head's."""

    def __init__(self, nodes: int, **settings: Any) -> None:
        from ray.cluster_utils import Cluster

        self._cluster: Any = Cluster()
        self.added = [self.add_node(**settings) for _ in range(nodes)]

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    @property
    def node_address(self) -> str:
        """That of the first node's own server, which is no head."""
        return f"{self.added[0].node_ip_address}:{self.added[0].node_manager_port}"

    def add_node(self, **settings: Any) -> Any:
        """One more node, when it is up: Ray gives it 30 s, which is not enough for every machine that runs tests."""
        for attempt in range(3):
            try:
                return self._cluster.add_node(**{"num_cpus": 1, "include_dashboard": False} | settings)
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
def ray_cluster(nodes: int, **settings: Any) -> Iterator[RayCluster]:
    """A cluster of so many nodes; its processes have ended when the context has."""
    pytest.importorskip("ray", reason="Ray is not installed")
    cluster = RayCluster(nodes, **settings)
    try:
        yield cluster
    finally:
        before = ray_processes()
        cluster.shutdown()
        _, alive = psutil.wait_procs(before, timeout=60)
        alive = [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
        assert not alive, alive


class StandIn:
    """In place of a `NodeWorker`: trains nothing, and says that each fit took 5 of the 24 GB of a GPU.

    It is sent the folders of the data that it lacks, and `worker` of a result is the share of a GPU that it declared.
    """

    def __init__(self, names: Sequence[str], mixed: bool = False) -> None:
        self.facts = node_facts(names)

    def begin(self, lacking: tuple[str, ...]) -> Place:
        return Place(current_node(), self.facts, lacking)

    def store(self, folder: str, arrays: object) -> None: ...

    def start(self) -> None: ...

    def train(self, group: Sequence[FitSpec], number: int) -> tuple[list[FitResult], str]:
        import ray

        share = ray.get_runtime_context().get_assigned_resources().get("GPU", 0)
        memory = {"device_memory": 5 * 10**9, "device_total": 24 * 10**9}
        return [FitResult(fit.id, fit.cell, 0, 0, "ok", worker=f"{share:.2f}", **memory) for fit in group], ""


def use_stand_ins(monkeypatch: pytest.MonkeyPatch, lacking: tuple[str, ...] = ()) -> None:
    """Let the executor of this process have workers that train nothing, and that lack so many parts of the data."""
    import ray

    here = sys.modules[__name__]
    ray.cloudpickle.register_pickle_by_value(here)  # nodes cannot import a helper of tests
    monkeypatch.setattr(executor, "NodeWorker", StandIn)
    monkeypatch.setattr(executor, "pack", lambda spec: lacking)


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
