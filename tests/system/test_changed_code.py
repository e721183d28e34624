"""A plugin that changes during a run, or with an upgrade: nothing is recorded under a false identity."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from command import RUNNER, Command, environment, journal_lines

from runner.text import plural

PLUGIN = """
import os, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from dataclasses import dataclass
from dim_helper import FACTOR
from runner.api import Augmentation, hookimpl
@dataclass(frozen=True)
class Dim:
    def draw(self, rng, count, shape):
        return {}
    def apply(self, images, draws):
        time.sleep(0.05)
        return images * FACTOR
def dim():
    return Dim()
@hookimpl
def register_augmentations():
    yield Augmentation(name="dim", build=dim)
"""
STUDY = """
name: s
plugins: [./dim_block.py]
dataset: {name: digits, subset: 120}
architecture: {name: stages, width: 2, stages: 1}
augmentation: dim
optimizer: adam
training: {epochs: 2, batch_size: 10, engine: numpy, retries: 1}
cross_validation: {folds: 4}
grid: {architecture.kernel: [3, 5, 7]}
"""


def write_study(folder: Path) -> None:
    (folder / "dim_block.py").write_text(PLUGIN)
    (folder / "dim_helper.py").write_text("FACTOR = 1.0\n")
    (folder / "s.yaml").write_text(STUDY)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The losses of the study without an edit."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_study(folder)
    subprocess.run([RUNNER, "run", "s.yaml"], cwd=folder, env=environment(), check=True, capture_output=True)
    return losses(folder / "reports" / "s")


@pytest.mark.parametrize("edited", ["dim_block.py", "dim_helper.py"])
def test_a_worker_that_is_replaced_after_an_edit_records_nothing(
    edited: str, undisturbed: dict[str, object], tmp_path: Path, process: Command
) -> None:
    write_study(tmp_path)
    content = (tmp_path / edited).read_text()
    with subprocess.Popen(
        [RUNNER, "run", "s.yaml", "--workers", "1"],
        cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    ) as run:  # fmt: skip
        assert run.stderr is not None
        before = run.stderr.readline() + run.stderr.readline()  # one fit is finished
        assert "[1/12]" in before
        (tmp_path / edited).write_text(content.replace("1.0", "-1.0").replace("images * F", "1 - images * F"))
        workers = [child for child in psutil.Process(run.pid).children(recursive=True) if not child.children()]
        for worker in workers:
            if "forkserver" in " ".join(worker.cmdline()):
                worker.send_signal(signal.SIGKILL)
        errors = run.stderr.read()
        assert run.wait(60) == 1
    said = [line for line in errors.splitlines() if f"{edited} changed after the run was planned" in line]
    assert len(said) == 1 and "Traceback" not in errors
    recorded = journal_lines(tmp_path / "reports" / "s")
    assert 0 < len(recorded) < 12
    (tmp_path / edited).write_text(content)
    again = process("run", "s.yaml")
    assert again.returncode == 0 and f"{plural(12 - len(recorded), 'fit')} to train" in again.stderr
    assert losses(tmp_path / "reports" / "s") == undisturbed


def losses(folder: Path) -> dict[str, object]:
    fits = [json.loads(line)["fit"] for line in journal_lines(folder)]
    return {fit["id"]: fit["curves"] for fit in fits}


PACKAGE = PLUGIN.replace("import os, sys, time", "import time").replace(
    "sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))\n", ""
).replace("from dim_helper", "from dim_package.helper").replace("        time.sleep(0.05)\n", "")  # fmt: skip


def wheel(folder: Path, version: str, factor: float) -> None:
    """Install the package as pip does: its files and its metadata in a folder of sys.path."""
    package, metadata = folder / "dim_package", folder / f"dim_package-{version}.dist-info"
    package.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.dist-info"):
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
    metadata.mkdir()
    (package / "__init__.py").write_text("")
    (package / "block.py").write_text(PACKAGE)
    (package / "helper.py").write_text(f"FACTOR = {factor}\n")
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dim-package\nVersion: {version}\n")
    (metadata / "entry_points.txt").write_text("[runner]\ndim = dim_package.block\n")


def test_an_upgraded_package_is_seen(tmp_path: Path) -> None:
    folder = tmp_path / "lib" / "site-packages"
    (tmp_path / "s.yaml").write_text(STUDY.replace("plugins: [./dim_block.py]\n", "").replace("[3, 5, 7]", "[3]"))

    def runner(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = environment() | {"PYTHONPATH": str(folder)}
        return subprocess.run(
            [RUNNER, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240, check=False
        )

    wheel(folder, "1.0", 1.0)
    first = runner("run", "s.yaml")
    assert first.returncode == 0, first.stderr
    versions = [json.loads(line)["fit"]["versions"] for line in journal_lines(tmp_path / "reports" / "s")]
    assert all(fit["dim-package"] == "1.0" and fit["archrunner"] for fit in versions)
    # The same code under another version: nothing is trained again, and the mixture is reported.
    wheel(folder, "1.1", 1.0)
    grown = runner("run", "s.yaml", "--set", "cross_validation.repeats=2")
    assert "4 fits to train, 4 are in the journal" in grown.stderr
    assert "dim-package 1.0 (4 fits)" in grown.stderr and "1.1" in grown.stderr
    # Other code, in a module that the package imports, even under the same version.
    wheel(folder, "1.1", 0.5)
    planned = runner("plan", "s.yaml", "--set", "cross_validation.repeats=2").stdout
    assert "dim_package.helper (helper.py) of dim-package changed (augmentation 'dim')" in planned
    wheel(folder, "1.2", 0.5)
    assert "dim-package 1.1 -> 1.2 (augmentation 'dim')" in runner("plan", "s.yaml").stdout
