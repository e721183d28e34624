"""The worker on a node: an actor of Ray's that feeds one worker process, the same as on the driver's own machine.

The actor itself trains nothing. So a crash, a time limit or lost memory ends its process alone, and is told apart and
reported by the code of the local pool; the process starts with the same settings, whatever Ray sets for actors; and the
arrays it gets are its own, where those of Ray are read-only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from runner.engines import checkpoint
from runner.fits.grouping import FitGroup
from runner.fits.records import FitResult
from runner.workers.cluster.connection import current_node, ray_folder
from runner.workers.cluster.facts import NEUTRAL_FOLDER, OURS, PROCESSOR, node_facts
from runner.workers.cluster.shipment import Shipment, unpack
from runner.workers.executors.attempt import Attempt
from runner.workers.executors.processes import Context
from runner.workers.executors.worker import Worker, start_fork_server


@dataclass(frozen=True)
class Place:
    """Where a worker is: the id of its node, what is installed there, and the folders of the data that it lacks."""

    node: str
    facts: Mapping[str, str]
    lacking: tuple[str, ...]


class NodeWorker:
    """Trains one group at a time, as the driver sends them."""

    def __init__(self, distributions: Sequence[str], mixed: bool = False) -> None:
        """Where nodes may be `mixed`, each fit records which code of archrunner's trained it."""
        self._facts = node_facts(distributions)
        self._recorded = (PROCESSOR, OURS) if mixed else (PROCESSOR,)

    def begin(self, shipment: Shipment) -> Place:
        """Get ready, and begin to load the engine."""
        for name, value in shipment.environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        with suppress(OSError):  # plugins may use relative paths, where the driver's folder is seen
            os.chdir(shipment.folder)
        self._shipment, self._place = shipment, unpack(shipment)
        # Without what Ray puts in front: its own copies of libraries, and the folder that it was connected in.
        own = [entry for entry in sys.path if entry != NEUTRAL_FOLDER and not Path(entry).is_relative_to(ray_folder())]
        sys.path[:] = [*(f"{self._place.root}{entry}" for entry in shipment.paths), *own]
        self._context = Context()
        start_fork_server(self._context, shipment.engine)
        return Place(current_node(), self._facts, self._place.lacking)

    def store(self, folder: str, arrays: Sequence[object]) -> None:
        """Put a part of the data that this node lacked into its cache: images and labels."""
        images, labels = arrays
        self._place.store(folder, images, labels, self._shipment.parts[folder])  # type: ignore[arg-type]

    def start(self) -> None:
        """Start the worker process."""
        self._worker = Worker(self._context)

    def train(self, group: FitGroup, number: int) -> tuple[list[FitResult], str]:
        """The results of the `number`-th attempt at a group, and what is to go to the driver's stderr.

        Raises DataError if this node's copy of the data was changed.
        """
        attempt = Attempt(tuple(self._place.move(spec) for spec in group), number)
        self._worker.start(attempt)
        while wait([attempt.future], timeout=0.5).not_done:
            self._worker.fail_if_broken(attempt)
        results, printed = self._worker.collect(attempt)
        for part in self._place.held:
            part.refuse_damage()
        if any(result.status == "ok" for result in results):
            checkpoint.remove(Path(attempt.group[0].folder), attempt.group[0].id)
        return [self._with_place(result) for result in results], printed

    def _with_place(self, result: FitResult) -> FitResult:
        """With the processor, and with the node before the process id, which two machines may share."""
        here = {key: self._facts[key] for key in self._recorded}
        versions: Mapping[str, str] = result.versions | here if result.versions else {}
        return replace(result, worker=f"{os.uname().nodename}/{result.worker}", versions=dict(versions))
