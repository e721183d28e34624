"""The connection to a Ray cluster. The one module that imports ray, and only once fits are to run there."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from runner.errors import ClusterError, RunnerError
from runner.text import one_line
from runner.workers.cluster.facts import NEUTRAL_FOLDER
from runner.workers.cluster.reach import require_answer, require_head

log = logging.getLogger("runner.executors")
T = TypeVar("T")

KILL_SECONDS = 10.0
"""How long the end of a run waits for the workers' ends; Ray ends them in any case, once it knows of its own."""
STARTS = 3
"""How often Ray is started on this machine: on a busy one it may not be up within the time that it gives itself."""

PATIENCE = {
    # Of a machine that is busy with other work. Ray gives a worker 60 s to register, and a node 10 s for an answer.
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_health_check_timeout_ms": "60000",
    "RAY_gcs_server_request_timeout_seconds": "300",
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Variables of a Ray that is started here, unless the user has set them."""
IMPATIENCE = {"RAY_py_gcs_connect_timeout_s": "10"}
"""Those of a connection to another one: how long its head may take to say which cluster it is."""


@dataclass(frozen=True)
class Node:
    """A node that is alive: its id, its name in messages, and the resources that it declares."""

    id: str
    name: str
    resources: Mapping[str, float]


def require_ray() -> None:
    """Raise RunnerError, with the command that installs it, if ray is absent."""
    if find_spec("ray") is None:
        raise RunnerError("executor ray needs Ray, which is not installed: pip install 'archrunner[ray]'")


class Connection:
    """A connection to the cluster at `address`. It ends with `close`, unless the program had connected before."""

    def __init__(self, address: str, workers: int) -> None:
        """Connect, or with "local" start a Ray of `workers` CPUs; raises RunnerError, after seconds, if that fails."""
        require_ray()
        require_answer(address)
        with _patient(address), _own_signals(), _in_neutral_folder():
            import ray

            _keep_quiet(ray)
            self._ray: Any = ray
            self._is_lost, self._is_ours = False, not ray.is_initialized()
            self._kills: list[Future[None]] = []
            if self._is_ours:
                require_head(self._ray._raylet.GcsClient, address)
                self._connect(address, workers)

    def close(self) -> None:
        """Disconnect; a Ray that was started here ends."""
        if self._is_ours:
            self._is_ours = False
            with _own_signals():
                if self._is_lost:  # it would wait for the head
                    in_background(self._ray.shutdown)
                else:
                    wait(self._kills, timeout=KILL_SECONDS)
                    self._ray.shutdown()

    def lost(self, seconds: float) -> RunnerError:
        """The error to raise as the head has not answered for so many seconds; from now on nothing waits for it."""
        self._is_lost = True
        return ClusterError(
            f"the head of the Ray cluster has not answered for {seconds:g} s; what is finished is saved, and the same "
            "command continues once the cluster is up, or with --executor process"
        )

    def nodes(self) -> list[Node]:
        """The nodes that are alive and have CPUs."""
        return [
            Node(node["NodeID"], f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})", node["Resources"])
            for node in self._ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU", 0) > 0
        ]

    def ask(self, node: Node, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """What `function` returns on a node, even while all its CPUs are in use."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        import runner.workers.cluster.facts as sent

        cloudpickle = self._ray.cloudpickle
        cloudpickle.register_pickle_by_value(sent)
        try:
            there = NodeAffinitySchedulingStrategy(node.id, soft=False)
            task = self._ray.remote(function).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
            return _future(task.remote(*arguments))
        finally:
            cloudpickle.unregister_pickle_by_value(sent)

    def put(self, value: Any) -> Any:
        """A reference to the value in the object store, from which each node gets it once.

        Raises ClusterError if there is no room for it.
        """
        try:
            return self._ray.put(value)
        except Exception as error:
            raise self.raised(error, "this machine") from error

    def start(
        self, actor: type, resources: Mapping[str, float], excluded: Sequence[str], *arguments: Any
    ) -> Future[Any]:
        """An actor with the declared resources, on any node but those with an id in `excluded`, once the head has it.

        Where it is placed, and when, is decided later.
        """
        options: dict[str, Any] = {"num_cpus": resources.get("CPU", 1), "num_gpus": resources.get("GPU", 0)}
        if resources.get("memory"):
            options["memory"] = int(resources["memory"])
        if excluded:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(excluded)})"}
        made = self._ray.remote(actor).options(max_restarts=0, max_task_retries=0, **options)
        return in_background(partial(made.remote, *arguments))

    def call(self, actor: Any, method: str, *arguments: Any) -> Future[Any]:
        """What the method of an actor returns; references among the arguments arrive as their values."""
        return _future(getattr(actor, method).remote(*arguments))

    def kill(self, actor: Any) -> None:
        """End an actor at once, with its processes; returns before it has, as a head that is lost would never say."""
        self._kills = [kill for kill in self._kills if not kill.done()]
        self._kills.append(in_background(partial(self._ray.kill, actor)))

    def cause_of_loss(self, error: BaseException) -> str:
        """Why an actor could not answer, in words; "" if it raised an exception itself."""
        kinds = self._ray.exceptions
        if isinstance(error, kinds.OutOfMemoryError):
            return "out of memory: Ray ended the worker, as its node had little left"
        if isinstance(error, kinds.RayTaskError) or not isinstance(error, kinds.RayError):
            return ""
        died = "node" in str(error) and re.search(
            r"node (has |was |is )?(died|dead|marked dead|terminated)", str(error)
        )
        return "worker lost with its node" if died else "worker lost: its process on the node ended"

    def raised(self, error: BaseException, node: str) -> BaseException:
        """What an actor raised itself, or Ray for it, on the node of that name."""
        cause, kinds = getattr(error, "cause", None) or error, self._ray.exceptions
        if not isinstance(cause, (kinds.ObjectStoreFullError, kinds.OutOfDiskError)):
            return cause
        return ClusterError(
            f"{node}: Ray's object store is full there, and so is the disk that it moves to; with more room (`ray "
            "start --object-store-memory BYTES`, a disk with space below /tmp) the same command continues"
        )

    def _connect(self, address: str, workers: int) -> None:
        options: dict[str, Any] = {}
        if not address.startswith("ray://"):
            options = {"logging_level": logging.CRITICAL, "log_to_driver": False}
        if address == "local":
            options |= {"num_cpus": workers, "include_dashboard": False}
        for start in range(STARTS):
            try:
                self._ray.init(address, **options)
                return
            except Exception as error:  # of many kinds, by what went wrong
                self._ray.shutdown()
                if address != "local" or start == STARTS - 1:
                    raise _refused(address, error) from error
                log.warning("Ray did not start here (%s); trying again", one_line(str(error))[:200])


def in_background(function: Callable[[], T]) -> Future[T]:
    """What `function` returns, asked for in a thread that the program does not wait for when it ends."""
    future = Future[T]()

    def ask() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=ask, name="ray", daemon=True).start()
    return future


def ray_folder() -> str:
    """The folder of the package."""
    import ray

    return str(Path(ray.__file__).parent)


def current_node() -> str:
    """The id of the node of the actor that asks."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def _refused(address: str, error: Exception) -> RunnerError:
    reason = one_line(str(error))[:300]
    if address == "auto" and isinstance(error, ConnectionError):
        start = "start one with `ray start --head`, or give --address HOST:PORT or --address local"
        return RunnerError(f"address auto: no Ray cluster runs on this machine; {start}")
    if address == "local":
        return RunnerError(f"address local: Ray did not start on this machine, which may be too busy: {reason}")
    return RunnerError(f"address {address}: cannot connect to this Ray cluster: {reason}")


@contextmanager
def _patient(address: str) -> Iterator[None]:
    """Set PATIENCE for a Ray that is started inside; another one has its own settings, and gets IMPATIENCE."""
    settings = PATIENCE if address == "local" else IMPATIENCE
    added = settings.keys() - os.environ.keys()
    os.environ.update({key: settings[key] for key in added})
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's handlers of signals: Ray installs one of its own for SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _in_neutral_folder() -> Iterator[None]:
    """Connect in another folder: Ray's workers import from it first, and a file may be named like a library."""
    here = Path.cwd()
    os.chdir(NEUTRAL_FOLDER)
    try:
        yield
    finally:
        os.chdir(here)


def _keep_quiet(ray: ModuleType) -> None:
    """Ray prints what happens to workers on standard output, which is for results. We say it in our own words."""
    worker = ray._private.worker
    if hasattr(worker, "listen_error_messages"):
        worker.listen_error_messages = lambda *arguments, **options: None


def _future(reference: Any) -> Future[Any]:
    future: Future[Any] = reference.future()
    return future
