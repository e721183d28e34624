"""`runner report --from`: which study of a store is meant, and in one line why there is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command import ROOT, run_here
from faulty_server import FAULTS, address, faulty
from kept_tables import assert_kept_tables
from mlflow import MlflowClient

from runner.flow.fetched_study import fetch
from runner.planning import plan_file
from runner.tracking.new_store import create_store
from runner.tracking.study_archive import pack

GALLERY = ROOT / "reports" / "gallery" / "depth"


class Store:
    """A real sqlite store, and the folder of a colleague who has nothing else."""

    def __init__(self, folder: Path) -> None:
        create_store(folder / "store.db")
        self.folder, self.uri = folder, f"sqlite:///{folder / 'store.db'}"
        self.client = MlflowClient(tracking_uri=self.uri)
        pack(plan_file.read(GALLERY / "plan.yaml"), GALLERY, folder / "study.zip")
        self.reports = folder / "colleague" / "reports"
        self.reports.parent.mkdir()

    def experiment(self, name: str) -> str:
        return str(self.client.create_experiment(name, str(self.folder / "artifacts" / name)))

    def run(self, experiment: str, kind: str = "report", archive: bool = True, **tags: str) -> str:
        tags = {"runner.kind": kind, **{f"runner.{key}": value for key, value in tags.items()}}
        run = str(self.client.create_run(experiment, tags=tags).info.run_id)
        if archive:
            self.client.log_artifact(run, str(self.folder / "study.zip"))
        return run

    def report(self, *words: object, name: str = "depth", uri: str = "") -> Any:
        """`runner report` of tables alone, as figures take long."""
        given = ("report", name, "--from", uri or self.uri, "--format", "csv", *words)
        return run_here(self.reports.parent, *given, publish=True)

    def refusal(self, *words: object, **given: str) -> str:
        """What it says when it fetches nothing."""
        before = {path: path.stat().st_mtime_ns for path in self.reports.rglob("*")}
        done = self.report(*words, **given)
        assert (done.returncode, done.stdout) == (2, "") and done.stderr.count("\n") == 1, done
        assert {path: path.stat().st_mtime_ns for path in self.reports.rglob("*")} == before
        assert self.reports.exists() == bool(before), "no empty folder is left"
        return str(done.stderr).removeprefix(f"{self.uri}: ").rstrip("\n")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.mark.slow
def test_a_fetched_study_is_brought_up_to_date_and_no_other_is_touched(store: Store) -> None:
    run = store.run(store.experiment("depth"))
    done = store.report()
    folder = store.reports / "depth"
    assert (done.returncode, done.stdout) == (0, "reports/depth\n"), done.stderr
    assert_kept_tables(folder, GALLERY)
    assert run_here(store.reports.parent, "report", "depth", "--format", "csv").returncode == 0
    content = (folder / "plan.yaml").read_text()
    (folder / "plan.yaml").write_text("damaged")
    assert store.report().returncode == 0 and (folder / "plan.yaml").read_text() == content
    (elsewhere := store.folder / "elsewhere").mkdir()
    other = Store(elsewhere)
    other.run(other.experiment("depth"))
    message = f"reports/depth: was fetched from experiment 1 of {store.uri}; give another folder with --reports"
    assert store.refusal(uri=other.uri) == message
    with (folder / "journal.jsonl").open("a") as journal:
        journal.write("\n")
    assert "reports/depth: its journal has changed since it was fetched" in store.refusal()
    shutil.rmtree(folder)
    shutil.copytree(GALLERY, folder, ignore=shutil.ignore_patterns("figures", "fits"))
    assert store.refusal() == (
        "reports/depth: found a study that was not fetched, and is left as it is; give another folder with --reports"
    )
    store.client.log_artifact(run, str(GALLERY / "plan.yaml"))
    assert store.report("--reports", "others").returncode == 0


def test_why_there_is_no_study_in_one_line(store: Store) -> None:
    store.experiment("depht")
    assert store.refusal() == "no experiment 'depth'; did you mean 'depht'? allowed: Default, depht"
    experiment = store.experiment("depth")
    assert store.refusal() == "the experiment 'depth' was not published by archrunner"
    store.run(experiment, "cell", archive=False)
    assert store.refusal().startswith("the experiment 'depth' has no report yet; `runner publish depth` sends it")
    run = store.run(experiment, archive=False)
    assert store.refusal() == (
        "the report of 'depth' was published by an older version, without study.zip; `runner publish depth` with this "
        "version adds it, where the study is"
    )
    (store.folder / "damaged").mkdir()
    (store.folder / "damaged" / "study.zip").write_bytes(b"no archive")
    store.client.log_artifact(run, str(store.folder / "damaged" / "study.zip"))
    assert store.refusal() == f"run {run}: study.zip: not an archive of a study (File is not a zip file)"
    store.client.delete_experiment(experiment)
    assert store.refusal() == "the experiment 'depth' was deleted there"


def test_which_of_several_plans_is_meant(store: Store) -> None:
    experiment = store.experiment("depth")
    # No letters of hexadecimal numbers: the random id of a run may begin with those.
    old, new = (store.run(experiment, plan=plan) for plan in ("wwww", "zzzz"))
    message = store.refusal()
    assert message.startswith("the experiment 'depth' has 2 plans; choose one with --plan: ")
    assert "wwww of 20" in message and "zzzz of 20" in message
    assert store.refusal("--plan", "x").startswith("the experiment 'depth' has no plan 'x'; there are ")
    for plan, run in (("zz", new), (old[:8], old)):
        assert fetched_run(fetch(store.uri, "depth", store.folder / plan, plan)) == run
    store.client.set_tag(new, "runner.current", "true")
    assert fetched_run(fetch(store.uri, "depth", store.folder / "current")) == new


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "hangs"])
def test_a_faulty_server_is_refused_in_one_line(fault: str, store: Store) -> None:
    with faulty(fault) as broken:
        assert store.refusal(uri=address(broken)).startswith(f"{address(broken)}: ") and broken.requests


def fetched_run(folder: Path) -> str:
    return str(json.loads((folder / ".fetched").read_text())["run"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("depth", "--from", "sqlite:///no.db"), "--from sqlite:///no.db: no such store"),
        (("depth", "--from", "none"), "--from none: no such store"),
        (("depth", "--from", "server"), "--from: found 'server'; expected an address, such as http://HOST:PORT or"),
        (("depth", "--from", "http://me:word@127.0.0.1:9"), "--from: contains a password, which other users"),
        (("depth", "--from", "http://127.0.0.1:9"), "http://127.0.0.1:9: no MLflow server answers there"),
        (("../depth", "--from", "http://127.0.0.1:9"), "--from: found '../depth'; expected the name of a study"),
        (("depth", "--plan", "a"), "--plan needs --from URI"),
    ],
)
def test_a_store_that_is_none_is_refused(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = run_here(tmp_path, "report", *words, publish=True)
    assert done.returncode == 2 and done.stderr.startswith(message) and done.stderr.count("\n") == 1, done.stderr
    assert "word@" not in done.stderr and not (tmp_path / "no.db").exists() and not (tmp_path / "reports").exists()
