"""A Ray cluster that is lost during a run, or has no room for the data, is one line; nothing trained is lost."""

from __future__ import annotations

import subprocess
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from command import RUNNER, environment, journal_by_id, journal_lines
from engine_fits import built_fit
from executor_suite import ExecutorRuns, odd, without_processor
from ray_cluster import RayCluster, ray_cluster, ray_processes, use_stand_ins

from runner.errors import ClusterError
from runner.workers.cluster.executor import RayExecutor

pytestmark = pytest.mark.long
MB = 10**6


class TestLosses(ExecutorRuns):
    @pytest.mark.parametrize("whole", [False, True], ids=["its process", "its machine"])
    def test_a_head_lost_in_the_middle_is_one_line_and_the_same_command_continues(
        self, whole: bool, study: Path
    ) -> None:
        levels = {"grid": {"augmentation": ["none", odd("held")]}}
        with ray_cluster(nodes=2) as cluster:
            command = [str(RUNNER), "run", "study.yaml", "--executor", "ray", "--address", cluster.address, "--set"]
            driver = subprocess.Popen(
                [*command, "grid={augmentation: [none, {name: odd, how: held}]}"], cwd=study.parent, text=True,
                env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            )  # fmt: skip
            report, deadline = study.parent / "reports" / "executors", time.monotonic() + 240
            while not ((report / "journal.jsonl").exists() and journal_lines(report)):
                assert time.monotonic() < deadline and driver.poll() is None
                time.sleep(0.1)
            self.lose_head(cluster, whole)
            _, errors = driver.communicate(timeout=240)
            assert driver.returncode == 1 and "Traceback" not in errors
            assert errors.splitlines()[-1] == (
                "the head of the Ray cluster has not answered for 40 s; what is finished is saved, and the same "
                "command continues once the cluster is up, or with --executor process"
            )
            for agent in ray_processes("Agent"):  # Ray's own, of the lost node, which it leaves behind
                agent.kill()
        before = journal_lines(report)
        (study.parent / "allowed").touch()
        serial = self.run(study, {"executor": "serial"}, "serial", **levels)
        with ray_cluster(nodes=1) as cluster:
            folder = self.run(study, {"executor": "ray", "address": cluster.address}, **levels)
        assert journal_lines(folder)[: len(before)] == before and before
        assert without_processor(journal_by_id(folder)) == journal_by_id(serial)

    def lose_head(self, cluster: RayCluster, whole: bool) -> None:
        if whole:
            cluster.kill(cluster.added[0])
        else:
            [head] = ray_processes("gcs_server")
            head.kill()


@pytest.mark.parametrize(("sizes", "where"), [((80, 400), "this machine"), ((400, 80), "node ")])
def test_an_object_store_that_is_full_is_one_line_that_names_the_machine(
    sizes: tuple[int, int], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The store moves to the disk what it has no room for, as long as the disk is not too full.
    monkeypatch.setenv("RAY_local_fs_capacity_threshold", "0.0001")
    use_stand_ins(monkeypatch, lacking=("data",))
    monkeypatch.setattr("runner.data.parts.read", lambda folder: (np.ones(150 * MB, np.uint8), np.ones(3, np.int64)))
    with ray_cluster(nodes=1, object_store_memory=sizes[0] * MB, num_cpus=0) as cluster:
        cluster.add_node(object_store_memory=sizes[1] * MB)
        executor = RayExecutor(cluster.address, 1)
        with closing(executor), pytest.raises(ClusterError) as refused:
            list(executor.run([(built_fit().spec,)]))
    line = str(refused.value)
    assert line.startswith(where) and "Ray's object store is full there" in line
