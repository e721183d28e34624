"""Which nodes of a cluster are used: as many workers as fit on those that are like this process."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest
from engine_fits import built_fit

from runner.errors import RunnerError
from runner.workers.cluster import nodes
from runner.workers.cluster.connection import Node
from runner.workers.cluster.facts import node_facts

GROUP = (built_fit().spec,)


class Cluster:
    """In place of a connection: nodes whose facts are those here, with some changed; None does not answer."""

    def __init__(self, **changes: dict[str, str] | None) -> None:
        self.changes = changes

    def nodes(self) -> list[Node]:
        return [Node(name, name, {"CPU": 4.0, "memory": 100.0, "GPU": 1.0}) for name in self.changes]

    def ask(self, node: Node, function: Any, distributions: list[str]) -> Future[Any]:
        answer, change = Future[Any](), self.changes[node.id]
        if change is None:
            answer.set_exception(RuntimeError("The node\n does not exist any more"))
        else:
            answer.set_result(node_facts(distributions) | change)
        return answer


def compared(cluster: Cluster, allow_mixed: bool = False) -> nodes.Nodes:
    found = nodes.Nodes(cluster, allow_mixed)  # type: ignore[arg-type]
    found.compare_all([GROUP])
    return found


def test_a_node_that_was_just_lost_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    found = compared(Cluster(one={}, gone=None))
    assert found.excluded == ["gone"] and found.room({"CPU": 1.0}) == 4
    assert "node gone does not answer and is not used: The node does not exist any more" in caplog.text


def test_a_cluster_of_which_no_node_answers_or_that_has_none_is_refused() -> None:
    with pytest.raises(RunnerError, match="no node of the Ray cluster answers"):
        compared(Cluster(gone=None))
    with pytest.raises(RunnerError, match="has no node with a CPU"):
        compared(Cluster())


def test_one_that_differs_is_refused_by_name_or_allowed() -> None:
    cluster = Cluster(one={}, other={"numpy": "1.0", "processor": "another"})
    with pytest.raises(RunnerError, match=r"^node other differs from this process: numpy 1\.0 \(here \S+\); install"):
        compared(cluster)
    assert compared(cluster, allow_mixed=True).room({"CPU": 1.0}) == 8


def test_a_node_without_archrunner_is_refused_even_if_mixing_is_allowed() -> None:
    with pytest.raises(RunnerError, match="node bare differs from this process: archrunner none"):
        compared(Cluster(bare={"archrunner": "none"}), allow_mixed=True)


def test_a_node_that_joins_later_is_used_unless_it_differs(caplog: pytest.LogCaptureFixture) -> None:
    found = compared(Cluster(one={}))
    facts = node_facts(found.distributions)
    assert found.accepts("one", {}) and found.accepts("late", facts)
    assert not found.accepts("odd", facts | {"numpy": "1.0"}) and found.excluded == ["odd"]
    assert "numpy 1.0" in caplog.text and "it is not used" in caplog.text


def test_workers_fit_by_every_resource_that_they_declare() -> None:
    found = compared(Cluster(one={}, two={}))
    assert found.room({"CPU": 1.0, "memory": 0.0}) == 8
    assert found.room({"CPU": 1.0, "GPU": 1.0}) == 2 and found.room({"CPU": 1.0, "GPU": 0.5}) == 4
    assert found.room({"CPU": 1.0, "memory": 30.0}) == 6 and found.room({"CPU": 5.0}) == 0
    assert found.largest("memory") == 100.0 and found.largest("other") == 0.0
