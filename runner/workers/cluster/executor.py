"""The Ray executor: groups of fits on the nodes of a cluster, with the results, order and retries of the local pool."""

from __future__ import annotations

import logging
import queue
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from runner.errors import RunnerError
from runner.fits.gpu_share import Measured
from runner.fits.grouping import FitGroup
from runner.fits.records import FitResult, failed_result
from runner.workers.cluster.connection import Connection
from runner.workers.cluster.node_worker import NodeWorker, Place
from runner.workers.cluster.nodes import Nodes
from runner.workers.cluster.shipment import pack
from runner.workers.executors.attempt import Attempt, add_details
from runner.workers.executors.backlog import Backlog

log = logging.getLogger("runner.executors")

LOOK_SECONDS = 2.0
"""Between two looks for nodes that joined or left."""
MOST_STARTS = 5
"""So many workers in a row may end before their first group; then the run does."""


@dataclass(eq=False)
class Seat:
    """A worker on some node, or one that Ray still has to place; busy with `attempt`, if it has one.

    It declared `gpus`; `actor` is None until the head knows of it, and `node` is the name of its node.
    """

    gpus: float
    actor: Any = None
    attempt: Attempt | None = None
    ready: bool = False
    node: str = "a node"


Results = list[FitResult] | None
Answer = Callable[[Seat, Any], Results]
"""What is done with what a worker has answered; None if that are no results that count."""


class RayExecutor:
    """Runs groups on actors, of which each has one at a time: no more groups than workers are in flight.

    `workers` is the most of them; None takes as many as the cluster's CPUs allow, those of nodes that join later too.
    """

    def __init__(self, address: str, workers: int | None, allow_mixed: bool = False) -> None:
        self.address, self.most, self.allow_mixed = address, workers, allow_mixed
        self._connection: Connection | None = None
        self._seats: list[Seat] = []
        self._events: queue.SimpleQueue[Callable[[], Results]] = queue.SimpleQueue()
        self._parts: dict[str, Any] = {}
        self._memory = self._failed_starts = 0
        self._on_gpu, self._measured = False, Measured()

    def prepare(self, engine: str) -> None:
        """Connect, so that a cluster that cannot be reached is refused before the data are read."""
        if self._connection is None:
            from runner.planning.estimate import default_workers

            self._connection = Connection(self.address, self.most or default_workers())
            self._nodes = Nodes(self._connection, self.allow_mixed)

    @property
    def workers(self) -> int:
        """How many groups run at the same time, with the nodes that there are now."""
        self.prepare("")
        self._nodes.look()
        return self._wanted() or 1

    def learn(self, known: Iterable[FitResult]) -> list[str]:
        """Note what earlier fits took of a GPU; returns a sentence on how many workers share one, if any was measured.

        Each further fit counts too.
        """
        self._measured = self._measured.with_results(known)
        return [f"Ray: {sentence}" for sentence in [self._measured.sentence()] if sentence]

    def run(self, groups: Sequence[FitGroup]) -> Generator[list[FitResult], None, None]:
        """Train the groups, started in the given order; see `Executor.run`.

        Raises RunnerError if a node differs from this process in what decides results.
        """
        if not groups:
            return
        self.prepare("")
        self._nodes.compare_all(groups)
        self._shipment = self._here.put(pack(groups[0][0]))
        self._on_gpu = any(group[0].training.device == "cuda" for group in groups)
        self._backlog = Backlog(groups)
        try:
            while self._backlog.remaining:
                self._nodes.look_sometimes(LOOK_SECONDS)
                self._fill()
                if results := self._next_results():
                    yield results
        except BaseException:
            self._end_workers()
            raise

    def close(self) -> None:
        """End the workers, and the connection."""
        if self._connection:
            self._end_workers()
            self._connection.close()
            self._connection = None

    @property
    def _here(self) -> Connection:
        assert self._connection is not None, "prepare connects"
        return self._connection

    def _wanted(self) -> int:
        return self._nodes.room(self._needs()) if self.most is None else self.most

    def _needs(self) -> dict[str, float]:
        """The resources of a worker: as memory, the largest peak of the fits so far; for a GPU see `gpu_share`."""
        memory = min(float(self._memory), self._nodes.largest("memory"))
        return {"CPU": 1.0, "GPU": self._measured.share if self._on_gpu else 0.0, "memory": memory}

    def _fill(self) -> None:
        """Ask for workers as long as there are groups for them, and give those that are ready a group."""
        needs = self._needs()
        for seat in [seat for seat in self._seats if not seat.attempt and seat.gpus != needs["GPU"]]:
            log.info("Ray: %s", self._measured.sentence())
            self._end(seat)  # the one that takes its place declares what fits take
        waiting = sum(not seat.ready for seat in self._seats)
        while len(self._seats) < self._wanted() and waiting < len(self._backlog):
            self._seats.append(self._start(needs))
            waiting += 1
        for seat in self._seats:
            if seat.ready and not seat.attempt and (attempt := self._backlog.take()):
                seat.attempt = attempt
                self._call(seat, self._trained, "train", attempt.group, attempt.number)

    def _start(self, needs: dict[str, float]) -> Seat:
        seat = Seat(needs["GPU"])
        given = self._nodes.distributions, self.allow_mixed
        future = self._here.start(NodeWorker, needs, self._nodes.excluded, *given)
        future.add_done_callback(lambda done: self._events.put(partial(self._made, seat, done)))
        return seat

    def _made(self, seat: Seat, done: Future[Any]) -> Results:
        seat.actor = done.result()
        if seat in self._seats:
            self._call(seat, self._begun, "begin", self._shipment)
        else:  # ended since
            self._here.kill(seat.actor)
        return None

    def _call(self, seat: Seat, then: Answer, method: str, *arguments: Any) -> None:
        """Call a method of the seat's worker; `then` gets the seat and the answer, in the thread of `run`."""
        future = self._here.call(seat.actor, method, *arguments)
        future.add_done_callback(lambda done: self._events.put(partial(self._answered, seat, then, done)))

    def _next_results(self) -> Results:
        """Wait a while for something to happen; the results of a group if that is what happened, and they count."""
        # In a queue of Python's, where a signal's own exception arrives: Ray's `wait` would replace it by another.
        try:
            event = self._events.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            return None
        return event()

    def _answered(self, seat: Seat, then: Answer, future: Future[Any]) -> Results:
        """Pass on what a worker answered; raises what its code raised."""
        if seat not in self._seats:  # ended since
            return None
        error = future.exception()
        if error is None:
            return then(seat, future.result())
        if lost := self._here.cause_of_loss(error):
            return self._lost(seat, lost, error)
        raise self._here.raised(error, seat.node)

    def _begun(self, seat: Seat, place: Place) -> None:
        """A worker is placed; it gets the data that its node lacks, and starts."""
        seat.node = f"node {self._nodes.name(place.node)}"
        if not self._nodes.accepts(place.node, place.facts):
            self._end(seat)
            return
        for folder in place.lacking:
            if folder not in self._parts:
                from runner.data.parts import read

                self._parts[folder] = self._here.put(read(folder))
            self._call(seat, _nothing, "store", folder, self._parts[folder])
        self._call(seat, self._started, "start")

    def _started(self, seat: Seat, answer: None) -> None:
        seat.ready, self._failed_starts = True, 0

    def _trained(self, seat: Seat, answer: tuple[list[FitResult], str]) -> Results:
        results, printed = answer
        print(printed, end="", file=sys.stderr, flush=True)
        self._memory = max(self._memory, *(result.memory for result in results))
        self._measured = self._measured.with_results(results)
        return self._settle(seat, results)

    def _lost(self, seat: Seat, cause: str, error: BaseException) -> Results:
        """The worker has ended, or cannot be reached any more; the results of its group say why."""
        self._end(seat)
        if seat.attempt is None:
            self._failed_starts += not seat.ready
            if self._failed_starts >= MOST_STARTS:
                raise RunnerError(f"workers end as they start on the cluster: {' '.join(str(error).split())[:500]}")
            return None
        failed = [failed_result(spec, cause, retryable=True) for spec in seat.attempt.group]
        return self._settle(seat, [add_details(result, "", 0, seat.attempt.number) for result in failed])

    def _settle(self, seat: Seat, results: list[FitResult]) -> Results:
        attempt, seat.attempt = seat.attempt, None
        assert attempt is not None
        counts = self._backlog.settle(attempt, results)
        # Before the results are yielded: the worker is busy again while the driver writes to the journal.
        self._fill()
        return results if counts else None

    def _end(self, seat: Seat) -> None:
        self._seats.remove(seat)
        if seat.actor:
            self._here.kill(seat.actor)

    def _end_workers(self) -> None:
        for seat in list(self._seats):
            self._end(seat)


def _nothing(seat: Seat, answer: None) -> None:
    """There is nothing to do about this answer."""
