"""How much memory a fit takes beside the images, which all workers share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import ROOT, environment

GROWTH = """\
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import engine_fits

from runner.engines.training_loop import train

learner_of = engine_fits.LEARNERS[sys.argv[1]]
images = np.load(sys.argv[2], mmap_mode="c")
labels, index = np.arange(len(images)) % 3, np.arange(len(images))
job = replace(engine_fits.built_fit(), transforms=())
train([job], learner_of)

def own():
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) // 1024

before = own()
spec = replace(job.spec, train=index, validation=index)
learner = learner_of([replace(job, spec=spec, images=images, labels=labels)])
learner.step([index[::5000]], [()])
learner.evaluate(learner.subset(images, labels, [index[:1000]]))
print(own() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("engine", ["torch", "numpy"])
def test_a_fit_holds_no_copy_of_the_images(engine: str, tmp_path: Path) -> None:
    """A fit's own memory holds only its current batches, so eight workers share one copy of the images."""
    images = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, (2_400_000, 2, 8, 8))
    images[::100_000] = 100  # the rest of the file is a hole
    images.flush()
    command = [sys.executable, "-c", GROWTH, engine, str(tmp_path / "images.npy")]
    root = ROOT
    done = subprocess.run(command, cwd=root / "tests" / "helpers", env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 50, "megabytes of 300"
