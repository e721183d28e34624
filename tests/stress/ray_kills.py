"""Runs on a Ray cluster of three nodes that are killed at random moments: `make torture`.

    PYTHONPATH=tests/helpers python tests/stress/ray_kills.py [KILLS]

KILLS (20) hit the driver (`kill -9`, after which the same command continues); one kill in four hits an actor or, in
turn, a node instead, which is replaced, under a driver that goes on. Every other study stops its repeats when decided.
After each kill of a driver no worker may be left, and the journal must begin with every line that it had before. A
study that has come to its end must have each fit once, and the tables of a serial run. Exits with status 1 at the first
violation.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from command import RUNNER, environment, journal_by_id, journal_lines, stable_tables
from executor_suite import without_processor
from ray_cluster import RayCluster, ray_cluster, ray_processes

STUDY = """\
name: torture
dataset: {name: digits, subset: 600}
architecture: {name: stages, width: 2, stages: 1}
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 6, batch_size: 20, engine: numpy, retries: 100, checkpoint: 0.2}
cross_validation: {folds: 5, repeats: REPEATS}
report: {equivalent: 0.005}
grid:
  architecture.downsample: [max_pool, avg_pool]
  architecture.convs: [1, 2]
"""
REPEATS = ("2", "{until: decided, most: 3}")
SECONDS = 600.0
"""A run takes seconds to a minute; after this long it counts as hanging."""


def start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [str(RUNNER), "run", "study.yaml", *options]
    with (folder / "run.log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, env=environment(), stdout=log, stderr=log)


def require(holds: object, message: str) -> None:
    if not holds:
        raise SystemExit(f"VIOLATION: {message}")


def lines(report: Path) -> list[str]:
    return journal_lines(report) if (report / "journal.jsonl").exists() else []


class Session:
    def __init__(self, cluster: RayCluster, kills: int, seed: int = 0) -> None:
        self.cluster, self.kills, self.random, self.counts = cluster, kills, random.Random(seed), Counter[str]()

    def study(self, folder: Path, repeats: str) -> None:
        """One study, killed until it ends or there were enough kills, and then compared with a serial run."""
        folder.mkdir()
        (folder / "study.yaml").write_text(STUDY.replace("REPEATS", repeats))
        report, before = folder / "reports" / "torture", list[str]()
        while True:
            driver = start(folder, "--executor", "ray", "--address", self.cluster.address)
            if not self.disturb(driver, report, len(before)):
                status, log = driver.wait(SECONDS), (folder / "run.log").read_text(errors="replace")
                require(status == 0, f"exit status {status}; the log ends with\n{log[-3000:]}")
                break
            self.wait_for_no_workers()
            after = lines(report)
            require(after[: len(before)] == before, "a line of the journal was lost or changed")
            before = after
        require(lines(report)[: len(before)] == before, "a line of the journal was lost or changed")
        require(
            start(folder, "--executor", "serial", "--reports", "serial").wait(SECONDS) == 0, "the serial run failed"
        )
        serial = folder / "serial" / "torture"
        require(without_processor(journal_by_id(report)) == journal_by_id(serial), "other fits than a serial run")
        require(stable_tables(report) == stable_tables(serial), "other tables than a serial run")
        self.counts["studies verified"] += 1
        print(f"{folder.name} is verified: {len(lines(report))} fits; so far {dict(self.counts)}", flush=True)

    def disturb(self, driver: subprocess.Popen[bytes], report: Path, known: int) -> bool:
        """Whether the driver was killed; else the run is to come to its end."""
        while driver.poll() is None and self.counts["drivers killed"] < self.kills:
            more = len(lines(report)) + self.random.randint(0, 3)
            deadline = time.monotonic() + SECONDS
            while driver.poll() is None and len(lines(report)) < more:
                require(time.monotonic() < deadline, "a run hangs")
                time.sleep(0.02)
            time.sleep(self.random.uniform(0, 1))
            if driver.poll() is not None:
                break
            if self.random.random() < 0.75:
                driver.kill()
                driver.wait()
                self.counts["drivers killed"] += 1
                return True
            self.break_cluster()
        return False

    def break_cluster(self) -> None:
        actors = ray_processes("NodeWorker")
        if actors and self.counts["actors killed"] <= self.counts["nodes killed"]:
            self.random.choice(actors).kill()
            self.counts["actors killed"] += 1
        else:
            self.cluster.kill(self.cluster.added.pop())
            self.cluster.added.append(self.cluster.add_node())
            self.counts["nodes killed"] += 1

    def wait_for_no_workers(self) -> None:
        deadline = time.monotonic() + SECONDS
        while ray_processes("NodeWorker") or ray_processes("forkserver"):
            require(time.monotonic() < deadline, "workers of a killed driver are left")
            time.sleep(0.1)


def main(kills: int) -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ray_cluster(nodes=3) as cluster:
        session, number = Session(cluster, kills), 0
        while session.counts["drivers killed"] < kills:
            session.study(Path(folder) / f"study-{number}", REPEATS[number % 2])
            number += 1
    print(f"losses: 0, in {(time.monotonic() - started) / 60:.0f} min: {dict(session.counts)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
