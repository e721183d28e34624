"""The Ray executor on a cluster of several nodes: the suite of all executors, and what only a cluster can do.

A run on a cluster starts processes for seconds, so that the suite is long; what comes before it stands for it.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command import Command, journal_by_id, journal_lines
from engine_fits import built_fit
from executor_suite import ExecutorRuns, ExecutorSuite, odd, without_processor
from ray_cluster import RayCluster, ray_cluster, use_stand_ins

from runner.errors import RunnerError
from runner.files.cache import cache_folder
from runner.fits.grouping import FitGroup
from runner.fits.records import FitResult, FitSpec
from runner.workers.cluster import nodes
from runner.workers.cluster.connection import Connection
from runner.workers.cluster.executor import RayExecutor
from runner.workers.cluster.facts import processor
from runner.workers.cluster.shipment import Shipment, pack


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(nodes=1) as cluster:
        cluster.add_node(num_cpus=3, num_gpus=1)  # a GPU that is declared alone
        yield cluster


class RayRuns(ExecutorRuns):
    @pytest.fixture
    def options(self, cluster: RayCluster) -> dict[str, Any]:
        return {"executor": "ray", "address": cluster.address, "workers": 2}


class TestRay(RayRuns):
    def test_the_journal_is_the_serial_one_and_says_on_which_node_and_processor_each_fit_was_trained(
        self, study: Path, options: dict[str, Any]
    ) -> None:
        folder = self.same(study, options, **{"cross_validation.repeats": 1})
        fits = [json.loads(line)["fit"] for line in journal_lines(folder)]
        assert len(fits) == 4 and {fit["worker"].partition("/")[0] for fit in fits} == {platform.node()}
        assert {fit["versions"]["processor"] for fit in fits} == {processor()}

    def test_a_fit_whose_process_is_killed_is_tried_again_and_fails_beside_one_that_raises(
        self, study: Path, options: dict[str, Any]
    ) -> None:
        levels = {"killed": {"augmentation": odd("kill")}, "raises": {"augmentation": odd("raise")}}
        folder = self.run(
            study, {**options, "workers": 1}, grid={"kind": levels}, **{"cross_validation.repeats": 1}
        )  # fmt: skip
        reasons = {fit["reason"].partition(": ")[0] for fit in journal_by_id(folder).values()}
        assert reasons == {"worker killed by SIGKILL (tried 2 times)", "ValueError"}
        assert len(journal_lines(folder)) == 4

    def test_plugins_are_sent_to_nodes_that_do_not_see_their_files(
        self, study: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (study.parent / "helper.py").write_text("SHIFT = 1\n")
        code = (study.parent / "odd.py").read_text().replace("import numpy as np", "import numpy as np\nimport helper")
        (study.parent / "odd.py").write_text(code)
        given = {"augmentation": odd("none"), "cross_validation.repeats": 1}
        serial = self.run(study, {"executor": "serial"}, "serial", **given)

        def pack_and_remove(spec: FitSpec) -> Shipment:
            shipment = pack(spec)
            for name in ("odd.py", "helper.py"):
                (study.parent / name).unlink()
            return shipment

        monkeypatch.setattr("runner.workers.cluster.executor.pack", pack_and_remove)
        folder = self.run(study, {**options, "workers": 1}, **given)
        assert without_processor(journal_by_id(folder)) == journal_by_id(serial)
        shipped = [file.name for file in (cache_folder() / "shipped").rglob("*.py") if str(study.parent) in str(file)]
        assert sorted(shipped) == ["helper.py", "odd.py"]

    def test_a_node_that_differs_is_refused_by_name_before_anything_is_trained(
        self, study: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pretend_another_numpy(monkeypatch)
        with pytest.raises(RunnerError) as refused:
            self.run(study, options)
        line = str(refused.value)
        assert re.fullmatch(r"node \S+ \(\S+\) differs from this process: numpy \S+ \(here 1\.0\); install .*", line)
        assert not journal_lines(study.parent / "reports" / "executors")


def test_a_port_of_a_node_is_one_line_at_once(cluster: RayCluster, capfd: pytest.CaptureFixture[str]) -> None:
    """It is a gRPC server of Ray's own, but no head, which `ray.init` asks 20 times."""
    with pytest.raises(RunnerError, match=r"^address \S+: what listens there does not answer as Ray does"):
        Connection(cluster.node_address, 1)
    assert capfd.readouterr().err == ""


def test_a_token_that_the_cluster_does_not_accept_is_one_line(
    cluster: RayCluster, tiny: Path, process: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    done = process("run", "tiny.yaml", "--executor", "ray", "--address", cluster.address)
    line = f"address {cluster.address}: the cluster asks for a token, and does not accept this machine's: set "
    assert done.returncode == 2 and done.stderr == f"{line}RAY_AUTH_MODE=token, and copy the head's ~/.ray/auth_token\n"


def gpu_groups() -> list[FitGroup]:
    """Six groups, of which all but the first are trained on a GPU."""
    spec = built_fit().spec
    return [
        (replace(spec, id=f"{n}", training=replace(spec.training, device="cuda" if n else "cpu")),) for n in range(6)
    ]


def test_workers_share_a_gpu_once_fits_were_measured(cluster: RayCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    use_stand_ins(monkeypatch)
    executor = RayExecutor(cluster.address, None)
    with closing(executor):
        results = [result for group in executor.run(gpu_groups()) for result in group]
        assert sorted(result.id for result in results) == list("012345")
        assert results[0].worker == "1.00" and {result.worker for result in results[1:]} == {"0.33"}
        assert executor.workers == 3


@pytest.mark.long
def test_a_run_that_continues_shares_gpus_from_its_beginning(
    cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_stand_ins(monkeypatch)
    known = FitResult("a", "c", 0, 0, "ok", device_memory=5 * 10**9, device_total=24 * 10**9)
    executor = RayExecutor(cluster.address, None)
    with closing(executor):
        assert executor.learn([known])[0].startswith("Ray: a GPU has room for 3 workers: fits took at most 5,000 MB")
        assert {fit.worker for group in executor.run(gpu_groups()[:2]) for fit in group} == {"0.33"}


@pytest.mark.long
class TestRayAtLength(RayRuns, ExecutorSuite):
    def test_a_node_that_differs_trains_if_mixing_is_allowed(
        self, study: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        pretend_another_numpy(monkeypatch)
        folder = self.run(study, {**options, "allow_mixed": True}, **{"cross_validation.repeats": 1})
        lines = journal_lines(folder)
        assert len(lines) == 4 and "differs from this process: numpy" in caplog.text
        codes = {json.loads(line)["fit"]["versions"]["archrunner's code"] for line in lines}
        assert len(codes) == 1 and re.fullmatch("[0-9a-f]{16}", *codes)


def pretend_another_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process have another NumPy than the nodes."""
    facts, ask = nodes.node_facts, nodes.Connection.ask
    monkeypatch.setattr(nodes, "node_facts", lambda distributions: facts(distributions) | {"numpy": "1.0"})
    monkeypatch.setattr(nodes.Connection, "ask", lambda self, node, _, *given: ask(self, node, facts, *given))
