"""A study half of whose fits wait until the test allows them, so that no test depends on how fast the machine is."""

from __future__ import annotations

from pathlib import Path

from command import TINY

PLUGIN = """\
import time
from pathlib import Path
from runner.api import Augmentation, hookimpl

class Held:
    '''Changes no image, and waits for the file `allowed` in the current folder: in training, not where a plan tries it.
    '''

    def draw(self, rng, count, shape):
        while count > 20 and not Path("allowed").exists():
            time.sleep(0.01)
        return {}

    def apply(self, images, draws):
        return images

@hookimpl
def register_augmentations():
    yield Augmentation(name="held", build=Held)
"""


def write_study(file: Path, engine: str = "numpy") -> None:
    """Four cells of three fits each. Two cells train, of which one is among the first; two wait for `allow`."""
    (file.parent / "held.py").write_text(PLUGIN)
    text = TINY[: TINY.index("grid:")].replace("plugins: []", "plugins: [./held.py]")
    text = text.replace("dataset: digits", "dataset: {name: digits, subset: 600}").replace(
        "batch_size: 100", f"batch_size: 100, engine: {engine}"
    )
    file.write_text(text + "grid:\n  architecture.convs: [1, 2]\n  augmentation: [none, held]\n")


def allow(file: Path) -> None:
    """Let the fits that wait, and all others, train."""
    (file.parent / "allowed").touch()
