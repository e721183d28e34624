"""The Ray executor on a cluster of several nodes: the suite of all executors, and what only a cluster can do."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from command import journal_by_id, journal_lines
from executor_suite import ExecutorSuite, odd, without_processor
from ray_cluster import RayCluster, ray_cluster

from runner.errors import RunnerError
from runner.files.cache import cache_folder
from runner.fits.records import FitSpec
from runner.workers.cluster import nodes
from runner.workers.cluster.facts import processor
from runner.workers.cluster.shipment import Shipment, pack


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(nodes=3) as cluster:
        yield cluster


class TestRay(ExecutorSuite):
    @pytest.fixture
    def options(self, cluster: RayCluster) -> dict[str, Any]:
        return {"executor": "ray", "address": cluster.address, "workers": 2}

    def test_plugins_are_sent_to_nodes_that_do_not_see_their_files(
        self, study: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (study.parent / "helper.py").write_text("SHIFT = 1\n")
        code = (study.parent / "odd.py").read_text().replace("import numpy as np", "import numpy as np\nimport helper")
        (study.parent / "odd.py").write_text(code)
        serial = self.run(study, {"executor": "serial"}, "serial", augmentation=odd("none"))

        def pack_and_remove(spec: FitSpec) -> Shipment:
            shipment = pack(spec)
            for name in ("odd.py", "helper.py"):
                (study.parent / name).unlink()
            return shipment

        monkeypatch.setattr("runner.workers.cluster.executor.pack", pack_and_remove)
        folder = self.run(study, options, augmentation=odd("none"))
        assert without_processor(journal_by_id(folder)) == journal_by_id(serial)
        shipped = [file.name for file in (cache_folder() / "shipped").rglob("*.py") if str(study.parent) in str(file)]
        assert sorted(shipped) == ["helper.py", "odd.py"]

    def test_the_journal_says_on_which_node_and_processor_each_fit_was_trained(
        self, study: Path, options: dict[str, Any]
    ) -> None:
        folder = self.run(study, options, **{"cross_validation.repeats": 1})
        fits = [json.loads(line)["fit"] for line in journal_lines(folder)]
        assert {fit["worker"].partition("/")[0] for fit in fits} == {platform.node()}
        assert {fit["versions"]["processor"] for fit in fits} == {processor()}

    def test_a_node_that_differs_is_refused_by_name_unless_mixing_is_allowed(
        self, study: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        facts = nodes.node_facts
        monkeypatch.setattr(nodes, "node_facts", OtherHere(facts))
        monkeypatch.setattr(nodes.Connection, "ask", lambda self, node, _, *given: ask(self, node, facts, *given))
        with pytest.raises(RunnerError) as refused:
            self.run(study, options)
        line = str(refused.value)
        assert re.fullmatch(r"node \S+ \(\S+\) differs from this process: numpy \S+ \(here 1\.0\); install .*", line)
        assert not journal_lines(study.parent / "reports" / "executors")
        folder = self.run(study, {**options, "allow_mixed": True}, **{"cross_validation.repeats": 1})
        assert len(journal_lines(folder)) == 4 and "differs from this process: numpy" in caplog.text


ask = nodes.Connection.ask


class OtherHere:
    """The facts of this process, with another NumPy."""

    def __init__(self, facts: Callable[..., dict[str, str]]) -> None:
        self.facts = facts

    def __call__(self, distributions: Sequence[str]) -> dict[str, str]:
        return self.facts(distributions) | {"numpy": "1.0"}
