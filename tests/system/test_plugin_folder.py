"""A plugin of several files in worker processes: each has its code, and none prints into the result."""

from __future__ import annotations

import json
from pathlib import Path

from command import Command, journal_lines

HOOKS = """\
from runner.api import Augmentation, hookimpl
from .transform import Same
@hookimpl
def register_augmentations():
    print("SAID")
    yield Augmentation(name="same", build=lambda: Same())
"""
TRANSFORM = """\
class Same:
    def draw(self, rng, count, shape):
        return {}
    def apply(self, images, draws):
        import values, parts.late
        print("SAID")
        return images * values.FACTOR * parts.late.FACTOR
"""
STUDY = """\
name: s
plugins: [./blocks/]
dataset: {name: digits, subset: 60}
architecture: {name: stages, width: 2, stages: 1}
augmentation: same
optimizer: adam
training: {epochs: 1, engine: numpy}
cross_validation: {folds: 2}
"""


def test_workers_have_every_file_of_a_folder(tmp_path: Path, process: Command) -> None:
    """Also those that are imported only in training; the same with one process, and from another place."""
    results = []
    for place, executor in (("one", "process"), ("two", "serial")):
        folder = tmp_path / place / "blocks"
        (folder / "parts").mkdir(parents=True)
        files = {"__init__": "from . import hooks", "hooks": HOOKS, "transform": TRANSFORM, "values": "FACTOR = 0.5"}
        for name, text in (files | {"parts/__init__": "", "parts/late": "from values import FACTOR"}).items():
            (folder / f"{name}.py").write_text(text)
        (tmp_path / place / "s.yaml").write_text(STUDY)
        done = process("run", f"{place}/s.yaml", "--executor", executor, "--reports", place)
        assert done.returncode == 0, done.stderr
        assert "SAID" not in done.stdout and "SAID" in done.stderr
        fits = [json.loads(line)["fit"] for line in journal_lines(tmp_path / place / "s")]
        results.append({fit["id"]: fit["curves"] for fit in fits})
    assert results[0] == results[1] and len(results[0]) == 2
    values = tmp_path / "one" / "blocks" / "values.py"
    values.write_text("FACTOR = 0.25")
    planned = process("plan", "one/s.yaml", "--reports", "one").stdout
    assert "blocks/values.py of ./blocks/ changed (augmentation 'same')" in planned
