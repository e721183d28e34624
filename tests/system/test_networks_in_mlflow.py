"""Saved networks as MLflow has them: loaded by `mlflow.pyfunc` where the study is not, logged once, registered."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from command import RUNNER, environment, run_here
from mlflow import MlflowClient
from mlflow.models import validate_serving_input
from mlflow_runs import free_port, runs_of, server, sqlite
from saved_study import PLUGIN

from runner.errors import RunnerError
from runner.trained.networks import load_network

STUDY = """\
name: logged
plugins: [./own.py]
dataset: {name: digits, subset: 230}
architecture: {name: stages, width: 4, stages: 1}
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 1, batch_size: 20, keep: best, engine: torch}
cross_validation: {folds: 2}
grid:
  way:
    torch: {training.stacking: 2}
    numpy: {training.engine: numpy}
    'a/b [c](d)': {architecture: own_module}
"""
ELSEWHERE = """\
import sys
import mlflow, numpy

images = numpy.load("images.npy")
for number, address in enumerate(sys.argv[1:]):
    loaded = mlflow.pyfunc.load_model(address)
    numpy.save(f"{number}.npy", loaded.predict(images).to_numpy())
"""
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), dtype=np.uint8)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study whose run has published its three networks to a sqlite store."""
    folder = tmp_path_factory.mktemp("logged")
    (folder / "own.py").write_text(PLUGIN.replace("import torch", "import torch\nfrom beside import one", 1))
    (folder / "beside.py").write_text("one = 1\n")
    (folder / "logged.yaml").write_text(STUDY)
    done = run_here(folder, "run", "logged.yaml", publish=True)
    assert done.returncode == 0 and "runner.tracking" not in done.stderr, done.stderr
    return folder


def store(folder: Path) -> str:
    return sqlite(folder / "logged.yaml")


def networks(uri: str) -> list[Any]:
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("logged")
    assert experiment is not None
    return list(client.search_logged_models([experiment.experiment_id]))


def expected(folder: Path, cell: str) -> np.ndarray:
    return load_network(folder / "reports" / "logged", cell, plugins=[folder / "own.py"]).predict(IMAGES)


def by_cell(folder: Path, uri: str) -> dict[str, Any]:
    names = {"torch": "torch", "numpy": "numpy", "a b [c](d)": "a/b [c](d)"}
    return {names[network.name]: network for network in networks(uri)}


def copied(study: Path, target: Path) -> Path:
    """The study without its store."""
    return Path(shutil.copytree(study, target, ignore=shutil.ignore_patterns("mlflow*", "mlartifacts")))


def test_a_process_without_the_study_gets_the_answers_of_predict(study: Path, tmp_path: Path) -> None:
    """Also of a plugin's own module and the file beside it; by all three kinds of address."""
    (elsewhere := tmp_path / "elsewhere").mkdir()
    np.save(elsewhere / "images.npy", IMAGES)
    logged = by_cell(study, store(study))
    cells = ["torch", "numpy", "a/b [c](d)"]
    wanted = [expected(study, cell) for cell in cells]
    registered = run_here(study, "publish", "logged", "--register", "digits", publish=True)
    assert registered.returncode == 0, registered.stderr
    best = registered.stdout.splitlines()[-1]
    assert best.startswith("models:/digits/1: cell '"), registered.stdout
    by_run = logged["numpy"]
    addresses = [
        *(f"models:/{logged[cell].model_id}" for cell in cells), f"runs:/{by_run.source_run_id}/numpy",
        "models:/digits/1",
    ]  # fmt: skip
    everything = [study / name for name in ("own.py", "beside.py", "logged.yaml", "reports/logged")]
    hidden = {path: tmp_path / path.name for path in everything}
    for path, away in hidden.items():
        path.rename(away)
    command = [RUNNER.parent / "python", "-c", ELSEWHERE, *addresses]
    variables = {**environment(publish=True), "MLFLOW_TRACKING_URI": store(study)}
    done = subprocess.run(command, cwd=elsewhere, env=variables, capture_output=True, text=True)
    for path, away in hidden.items():
        away.rename(path)
    assert done.returncode == 0, done.stderr
    the_best = next(number for number, cell in enumerate(cells) if f"cell '{cell}'" in best)
    for number, answers in enumerate([*wanted, wanted[1], wanted[the_best]]):
        assert np.array_equal(np.load(elsewhere / f"{number}.npy"), answers), addresses[number]


def test_every_cell_has_one_network_with_its_settings_and_values(study: Path) -> None:
    runs = {run.info.run_id: run for run in runs_of(store(study), "logged")}
    logged = networks(store(study))
    assert len(logged) == 3 and {str(network.status) for network in logged} == {"READY"}
    for network in logged:
        fit = runs[network.source_run_id]
        assert fit.data.tags["runner.fit"] == network.tags["runner.fit"]
        values = {metric.key: metric.value for metric in network.metrics}
        assert values["val_accuracy"] == fit.data.metrics["val_accuracy"]
        note = network.tags["mlflow.note.content"]
        assert "It takes raw images (N, 1, 8, 8), pixels from 0 to 255" in note and "[c](d)" not in note
        cell = runs[fit.data.tags["mlflow.parentRunId"]]
        assert network.params.items() <= {**cell.data.params, **fit.data.params}.items()
        assert network.params["architecture"]
        shown = [run.data.tags["runner.kind"] for run in runs.values() if network.model_id in outputs(run)]
        assert sorted(shown) == ["cell", "fit"]
    loaded = mlflow.pyfunc.load_model(f"{logged[0].artifact_location}")
    assert list(loaded.predict(IMAGES).columns) == list("0123456789")
    assert loaded.metadata.metadata["archrunner"]["class_names"] == list("0123456789")
    assert loaded.predict(loaded.input_example).shape == (1, 10), "the example can be given as it is"
    sent = json.dumps({"inputs": IMAGES[:, 0].tolist()})  # to MLflow's server
    with pytest.warns(FutureWarning, match="validate_serving_input"):
        answer = validate_serving_input(logged[0].artifact_location, sent)
    assert np.array_equal(answer.to_numpy(), loaded.predict(IMAGES.astype(np.float64)).to_numpy())


def outputs(run: Any) -> list[str]:
    return [output.model_id for output in run.outputs.model_outputs]


def test_publishing_again_logs_nothing_twice_and_repairs_what_is_missing(study: Path) -> None:
    """Without the ledger too; after a network was deleted, and after a run that was killed while it uploaded one."""
    client, ledger = MlflowClient(tracking_uri=store(study)), study / "reports" / "logged" / "mlflow.jsonl"
    before = {network.model_id for network in networks(store(study))}
    written = ledger.read_text()
    assert "MLflow has 3 networks\n" in run_here(study, "publish", "logged", publish=True).stdout
    assert run_here(study, "run", "logged.yaml", publish=True).returncode == 0
    assert ledger.read_text() == written
    ledger.unlink()
    assert run_here(study, "publish", "logged", publish=True).returncode == 0
    assert {network.model_id for network in networks(store(study))} == before
    one, other, third = networks(store(study))
    assert [len(outputs(run)) for run in runs_of(store(study), "logged") if outputs(run)] == [1] * 6
    client.delete_logged_model(one.model_id)
    experiment = client.get_experiment_by_name("logged").experiment_id
    client.delete_logged_model(other.model_id)
    begun = client.create_logged_model(experiment, other.name, other.source_run_id, other.tags)
    assert "MLflow has 3 networks\n" in run_here(study, "publish", "logged.yaml", publish=True).stdout
    after = networks(store(study))
    assert {network.tags["runner.fit"] for network in after} == {n.tags["runner.fit"] for n in (one, other, third)}
    assert {str(network.status) for network in after} == {"READY"} and len(after) == 3
    assert {begun.model_id, third.model_id} < {network.model_id for network in after}
    assert mlflow.pyfunc.load_model(client.get_logged_model(begun.model_id).artifact_location).predict(IMAGES).size


def test_a_network_is_registered_once_by_a_name(study: Path) -> None:
    client = MlflowClient(tracking_uri=store(study))
    first = run_here(study, "publish", "logged", "--register", "mine", publish=True).stdout.splitlines()[-1]
    words = ("publish", "logged", "--register", "mine", "--of", "each")
    each = [run_here(study, *words, publish=True).stdout.splitlines()[-3:] for _ in range(2)]
    assert first.startswith("models:/mine/1: cell ") and f"{first}, registered before" in each[0]
    assert [line.partition(",")[0] for line in each[0]] == [line.partition(",")[0] for line in each[1]]
    assert all(line.endswith(", registered before") for line in each[1])
    versions = client.search_model_versions("name = 'mine'")
    assert sorted(int(version.version) for version in versions) == [1, 2, 3]
    assert not [version for version in versions if "[c](d)" in version.description], "markup of Markdown is escaped"
    assert {version.tags["runner.fit"] for version in versions} == {
        network.tags["runner.fit"] for network in networks(store(study))
    }
    for wrong, message in [
        (("--register", "a/b"), "--register: found 'a/b'; allowed: a name without / : % and quotation marks\n"),
        (("--of", "each"), "--of each needs --register NAME\n"),
    ]:
        done = run_here(study, "publish", "logged", *wrong, publish=True)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_code_of_a_plugin_is_taken_along_only_if_its_file_is_given(study: Path, tmp_path: Path) -> None:
    """No file that a report names is read as code; and nothing outside of the plugin's folder is taken along."""
    folder = copied(study, tmp_path / "copy")
    refused = run_here(folder, "publish", "logged", publish=True)
    assert "MLflow has 2 networks\n" in refused.stdout and refused.returncode == 0
    assert "cell 'a/b [c](d)', repeat 1 fold" in refused.stderr and refused.stderr.count("\n") == 1
    assert "its architecture 'own_module' is the code of a plugin; give the file of its plugin" in refused.stderr
    given = run_here(folder, "publish", "logged", "--plugin", "own.py", publish=True)
    assert "MLflow has 3 networks\n" in given.stdout and not given.stderr
    network = by_cell(folder, store(folder))["a/b [c](d)"]
    data = Path(network.artifact_location)
    assert {path.name for path in (data / "plugins").iterdir() if path.is_file()} == {"own.py", "beside.py"}
    changed = (data / "plugins" / "own.py").read_text().replace(".relu()", ".tanh()")
    (data / "plugins" / "own.py").write_text(changed)
    with pytest.raises(RunnerError, match="is not the one that was trained"):
        mlflow.pyfunc.load_model(network.artifact_location)
    (data / "network.json").write_text(json.dumps({"fit": "../../x", "plugin": ""}))
    with pytest.raises(RunnerError, match="not a network that archrunner has logged"):
        mlflow.pyfunc.load_model(network.artifact_location)


def test_a_server_has_the_networks_and_the_report_for_those_who_have_nothing_else(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One `mlflow server` with artifacts through it; the report that is fetched has the same bytes."""
    folder = copied(study, tmp_path / "copy")
    report = folder / "reports" / "logged"
    assert run_here(folder, "report", "logged").returncode == 0
    with server(tmp_path, free_port()) as uri:
        sent = run_here(folder, "publish", "logged.yaml", "--tracking-uri", uri, "--register", "mine", publish=True)
        assert sent.returncode == 0 and "models:/mine/1" in sent.stdout, sent.stderr
        words = ("publish", "logged", "--tracking-uri", uri, "--register", "mine")
        assert run_here(folder, *words, publish=True).stdout == sent.stdout.rstrip("\n") + ", registered before\n"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        answers = mlflow.pyfunc.load_model("models:/mine/1").predict(IMAGES).to_numpy()
        (colleague := tmp_path / "colleague").mkdir()
        fetched = run_here(colleague, "report", "logged", "--from", uri, publish=True)
        assert (fetched.returncode, fetched.stdout) == (0, "reports/logged/report.html\n"), fetched.stderr
        nearest = run_here(colleague, "report", "loged", "--from", uri, publish=True)
        assert nearest.returncode == 2 and "no experiment 'loged'; did you mean 'logged'?" in nearest.stderr
    cell = sent.stdout.splitlines()[-1].split("'")[1]
    assert np.array_equal(answers, expected(study, cell))
    files = [path.relative_to(report) for path in (*report.glob("report.*"), *report.glob("tables/*"))]
    assert len(files) > 8
    for file in files:
        assert (colleague / "reports" / "logged" / file).read_bytes() == (report / file).read_bytes(), file
    gone = run_here(colleague, "report", "logged", "--from", uri, publish=True)
    assert (gone.returncode, gone.stderr) == (2, f"{uri}: no MLflow server answers there\n")
