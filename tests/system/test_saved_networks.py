"""Saved networks as users have them: after a kill, and in other programs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import onnxruntime
import psutil
from command import RUNNER, Command, environment, journal_by_id, journal_lines, run_here
from saved_study import PLUGIN

from runner.trained.networks import load_network

EXPORTED = """\
name: exported
plugins: [./own.py, ./undecided.py]
dataset: {name: digits, subset: 200}
architecture: own_records
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 1, keep: best}
cross_validation: {folds: 2}
grid:
  way:
    torch: {training.engine: torch}
    numpy: {training.engine: numpy}
    module: {architecture: own_module, training.engine: torch}
    undecided: {architecture: undecided, training.engine: torch}
"""
UNDECIDED = """
class Undecided(Net):
    def forward(self, images):
        return super().forward(images if images.mean() > 0 else -images)

@hookimpl
def register_architectures():
    yield Architecture(name="undecided", build=lambda input_shape, classes: Undecided(input_shape[0], classes))
"""
"""A module whose flow depends on the pixels, which torch.export cannot follow."""
OTHER_PROGRAM = """\
import json, sys
import numpy, torch

images = torch.from_numpy(numpy.load("images.npy"))
program = torch.export.load("module.pt2", extra_files=(extra := {"class_names": ""})).module()
assert json.loads(extra["class_names"]) == [str(n) for n in range(10)]
numpy.save("torch.npy", program(images).numpy())
assert not {"runner", "own"} & sys.modules.keys()
"""


def test_exported_networks_give_the_same_probabilities(tmp_path: Path, process: Command) -> None:
    """ONNX in onnxruntime, from both engines, and torch.export in a process that knows neither us nor the plugin."""
    (tmp_path / "own.py").write_text(PLUGIN)
    (tmp_path / "undecided.py").write_text(PLUGIN.partition("@hookimpl")[0] + UNDECIDED)
    (tmp_path / "exported.yaml").write_text(EXPORTED)
    assert run_here(tmp_path, "run", "exported.yaml").returncode == 0
    images = np.random.default_rng(0).integers(0, 256, (7, 1, 8, 8), dtype=np.uint8)
    report = tmp_path / "reports" / "exported"
    for cell in ("torch", "numpy"):
        done = run_here(tmp_path, "export", f"exported/{cell}", "--format", "onnx", "--out", f"{cell}.onnx")
        assert done.returncode == 0 and done.stdout == f"{cell}.onnx\n", done.stderr
        assert done.stderr.startswith(f"cell '{cell}', repeat 1 fold ") and len(done.stderr.splitlines()) == 1
        session = onnxruntime.InferenceSession(tmp_path / f"{cell}.onnx")
        network = load_network(report, cell)
        assert network.engine.name == cell
        for count in (1, 2, 7):  # any number of images
            (given,) = session.run(["probabilities"], {"images": images[:count]})
            np.testing.assert_allclose(given, network.predict(images[:count]), rtol=0, atol=1e-5)
        facts = session.get_modelmeta().custom_metadata_map
        assert json.loads(facts["class_names"]) == list(network.class_names)
    done = run_here(tmp_path, "export", "exported.yaml/module", "--format", "torch", "--out", "module.pt2")
    assert done.returncode == 0, done.stderr
    np.save(tmp_path / "images.npy", images)
    subprocess.run([RUNNER.parent / "python", "-c", OTHER_PROGRAM], cwd=tmp_path, check=True)
    expected = load_network(report, "module", plugins=[tmp_path / "own.py"]).predict(images)
    np.testing.assert_allclose(np.load(tmp_path / "torch.npy"), expected, rtol=0, atol=1e-5)
    done = process("export", "exported.yaml/undecided", "--format", "torch", "--out", "no")
    assert done.returncode == 2 and not done.stdout and len(done.stderr.splitlines()) == 1, done.stderr
    assert "torch cannot export this network: " in done.stderr and not (tmp_path / "no").exists()


def test_a_killed_study_saves_the_same_networks(tiny: Path) -> None:
    report = tiny.parent / "reports" / "tiny"
    sets = (
        "training={epochs: 3, batch_size: 50, keep: best}",
        "cross_validation.folds=4",
        "grid={architecture.convs: [1, 2]}",
    )
    study = ["tiny.yaml", *[word for setting in sets for word in ("--set", setting)]]
    process = subprocess.Popen(
        [RUNNER, "run", *study, "--workers", "2"], cwd=tiny.parent, env=environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while process.poll() is None and not ((report / "journal.jsonl").exists() and journal_lines(report)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for member in family:
        os.kill(member.pid, signal.SIGKILL)
    process.wait()
    psutil.wait_procs(family, timeout=60)
    assert run_here(tiny.parent, "run", *study).returncode == 0
    undisturbed = run_here(tiny.parent, "run", *study, "--reports", "undisturbed")
    assert undisturbed.returncode == 0
    other = tiny.parent / "undisturbed" / "tiny"
    assert journal_by_id(report) == journal_by_id(other)
    saved, expected = ({p.name: p.read_bytes() for p in (r / "fits").glob("*.safetensors")} for r in (report, other))
    assert len(saved) == 2 and saved == expected
    plan = json.loads(run_here(tiny.parent, "plan", *study, "--json").stdout)["saved"]
    used = sum(map(len, saved.values()))
    assert plan["networks"] == 2 and 0.99 * plan["bytes"] <= used <= plan["bytes"]
