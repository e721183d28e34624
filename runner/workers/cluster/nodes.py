"""The nodes of a cluster: which there are, whether each is as the driver is, how many workers they have room for."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from runner.errors import RunnerError
from runner.fits.grouping import FitGroup
from runner.text import plural
from runner.workers.cluster.connection import Connection, Node, in_background
from runner.workers.cluster.facts import PROCESSOR, node_facts
from runner.workers.run_group import provider_versions

log = logging.getLogger("runner.executors")

FACTS_SECONDS = 300.0
"""How long the nodes may take to say what is installed on them, before anything is trained."""

HEAD_SECONDS = 40.0
"""How long the head may not answer during a run: after 60, Ray would end this program without a word of ours."""

Facts = Mapping[str, str]


class Nodes:
    """`distributions` are those whose versions are compared; `excluded` are the ids of nodes that are not used."""

    def __init__(self, connection: Connection, allow_mixed: bool) -> None:
        self._connection, self._allow_mixed = connection, allow_mixed
        self._nodes: list[Node] = []
        self._own: Facts = {}
        self._compared: set[str] = set()
        self._looked = 0.0
        self._asked: Future[list[Node]] | None = None
        self._unanswered = 0.0
        self.distributions: list[str] = []
        self.excluded: list[str] = []

    def look(self) -> None:
        """Note which nodes there are."""
        self._nodes, self._looked = self._connection.nodes(), time.monotonic()

    def look_sometimes(self, seconds: float) -> None:
        """Note which nodes there are, asking every so many seconds and without waiting for the answer.

        Raises ClusterError if the head has not answered for HEAD_SECONDS.
        """
        now = time.monotonic()
        if self._asked is None and now - self._looked >= seconds:
            self._asked, self._looked = in_background(self._connection.nodes), now
            self._unanswered = self._unanswered or now
        if self._asked is not None and self._asked.done():
            if self._asked.exception() is None:
                self._nodes, self._unanswered = self._asked.result(), 0.0
            self._asked = None
        if self._unanswered and now - self._unanswered > HEAD_SECONDS:
            raise self._connection.lost(HEAD_SECONDS)

    def compare_all(self, groups: Sequence[FitGroup]) -> None:
        """Compare all nodes that there are with this process, before the groups are trained.

        Raises RunnerError, naming the node and the difference, for one that differs. One that does not answer is left
        out: it may just have been lost.
        """
        firsts = {group[0].cell: group[0] for group in groups}.values()
        providers = {name for spec in firsts for name in provider_versions(spec)}
        self.distributions = sorted({"archrunner", "numpy", "ray", *(s.training.engine for s in firsts), *providers})
        self._own = node_facts(self.distributions)
        self.look()
        if not self._nodes:
            raise RunnerError("the Ray cluster has no node with a CPU")
        asked = [(node, self._connection.ask(node, node_facts, self.distributions)) for node in self._nodes]
        kinds = Counter[str]()
        for node, answer in asked:
            try:
                facts: Facts = answer.result(timeout=FACTS_SECONDS)
            except Exception as error:
                reason = " ".join(str(error).split())[:200] or type(error).__name__
                log.warning("node %s does not answer and is not used: %s", node.name, reason)
                self.excluded.append(node.id)
                continue
            if difference := self._difference(node.name, facts):
                raise RunnerError(f"{difference}; install the same there, or --allow-mixed trains and records it")
            self._compared.add(node.id)
            kinds[facts[PROCESSOR]] += 1
        if not kinds:
            raise RunnerError("no node of the Ray cluster answers")
        log.info("Ray: %s: %s", plural(kinds.total(), "node"), "; ".join(f"{n} × {kind}" for kind, n in kinds.items()))

    def accepts(self, id: str, facts: Facts) -> bool:
        """Whether the node of a worker that has started is used: one that joined during the run is left out if it
        differs, as fits are being trained elsewhere.
        """
        if id in self._compared:
            return True
        if difference := self._difference(self.name(id), facts):
            log.warning("%s; it is not used", difference)
            self.excluded.append(id)
            return False
        self._compared.add(id)
        return True

    def name(self, id: str) -> str:
        """The name of a node, as far as it is known."""
        return next((node.name for node in self._nodes if node.id == id), id)

    def _difference(self, name: str, theirs: Facts) -> str:
        """In what a node differs, in words; "" if it does not, or may. archrunner itself must be there."""
        other = {key: value for key, value in theirs.items() if key != PROCESSOR and value != self._own[key]}
        if not other:
            return ""
        found = "; ".join(f"{key} {value} (here {self._own[key]})" for key, value in other.items())
        text = f"node {name} differs from this process: {found}"
        if self._allow_mixed and theirs["archrunner"] != "none":
            log.warning("%s", text)
            return ""
        return text

    def room(self, needs: Mapping[str, float]) -> int:
        """How many workers with these needs the nodes have room for, by the resources that they declare."""
        wanted = {key: need for key, need in needs.items() if need}
        used = [node.resources for node in self._nodes if node.id not in self.excluded]
        return sum(min(times(have.get(key, 0.0), need) for key, need in wanted.items()) for have in used)

    def largest(self, resource: str) -> float:
        """The most of a resource that one node declares."""
        return max((node.resources.get(resource, 0.0) for node in self._nodes), default=0.0)


def times(have: float, need: float) -> int:
    """How often a need is there; one below 1, as a share of a GPU, is of a single one."""
    return int(have) * int(1 / need) if 0 < need < 1 else int(have / need)
