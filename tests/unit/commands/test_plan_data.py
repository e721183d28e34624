"""`plan` names the data, and refuses what `run` refuses: from the data's description, or with --data from the data."""

import json
from pathlib import Path

import numpy as np
import pytest
from command import TINY, Command, run_here
from PIL import Image

STUDY = """\
name: own
dataset: {name: npz, file: d.npz}
architecture: {name: stages, width: 2, stages: 1}
optimizer: adam
training: {epochs: 1, engine: numpy}
cross_validation: {folds: 3}
"""


@pytest.fixture
def study(tmp_path):
    """Writes the experiment with another line in place of its section of that name, and the arrays."""

    def write(section="", labels=(0, 1) * 15, copies=(), test=0, **arrays):
        lines = STUDY.splitlines()
        name = section.partition(":")[0]
        lines = [section if section and line.startswith(f"{name}:") else line for line in lines]
        (tmp_path / "own.yaml").write_text("\n".join(lines) + "\n")
        images = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8), np.uint8)
        for to, source in copies:
            images[to] = images[source]
        if test:
            arrays |= {"test_images": images[:test], "test_labels": np.array(labels[:test])}
        np.savez(tmp_path / "d.npz", images=images, labels=np.array(labels), **arrays)
        return tmp_path

    return write


FACTS = {
    "folds": ("cross_validation: {folds: 20}", {}),
    "one image": ("dataset: {name: npz, file: d.npz, subset: 3}", {}),
    "subset": ("dataset: {name: npz, file: d.npz, subset: 31}", {}),
    "folds of a subset": ("dataset: {name: npz, file: d.npz, subset: 5}", {}),
    "test": ("cross_validation: {folds: 3, test: true}", {}),
    "stuck": ("training: {epochs: 1, engine: numpy, stuck_after: 2}", {}),
    "shape": ("architecture: {name: stages, width: 2, stages: 9}", {}),
    "an absent class": ("", {"labels": (0, 2) * 15}),
    "names": ("", {"class_names": ["a", "b", "b"]}),
    "no file": ("dataset: {name: npz, file: e.npz}", {}),
    "parameter": ("dataset: {name: npz, file: d.npz, deduplicate: 1}", {}),
}
DATA = {
    "a rare class": ("", {"labels": (0, 1) * 14 + (2, 2)}),
    "duplicates": ("dataset: {name: npz, file: d.npz, deduplicate: true}",
                   {"labels": (0,) * 20 + (1,) * 4, "copies": ((21, 20), (22, 20))}),
    "a subset without duplicates": ("dataset: {name: npz, file: d.npz, deduplicate: true, subset: 29}",
                                    {"copies": ((1, 0), (3, 0))}),
}  # fmt: skip


@pytest.mark.parametrize("case", FACTS)
def test_what_the_description_of_the_data_tells_is_refused_before_they_are_read(study, case):
    section, arrays = FACTS[case]
    folder = study(section, **arrays)
    refused = run_here(folder, "run", "own.yaml")
    assert refused.returncode == 2 and refused.stderr and not (folder / "reports").exists()
    for command in (("plan", "own.yaml"), ("plan", "own.yaml", "--data"), ("run", "own.yaml", "--dry-run")):
        done = run_here(folder, *command)
        assert (done.returncode, done.stderr) == (2, refused.stderr)


@pytest.mark.parametrize("case", DATA)
def test_what_only_the_data_tell_is_refused_once_they_are_read(study, case):
    section, arrays = DATA[case]
    folder = study(section, **arrays)
    refused = run_here(folder, "run", "own.yaml")
    assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
    done = run_here(folder, "plan", "own.yaml", "--data")
    assert (done.returncode, done.stderr, done.stdout) == (2, refused.stderr, "")
    assert run_here(folder, "plan", "own.yaml").returncode == 0
    assert not (folder / "reports").exists()


def test_a_file_that_is_no_image_is_found_before_anything_is_trained(tmp_path):
    for number in range(8):
        folder = tmp_path / "root" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(folder / f"{number}.png")
    (tmp_path / "root" / "a" / "bad.png").write_bytes(b"no image")
    (tmp_path / "own.yaml").write_text(STUDY.replace("npz, file: d.npz", "image-folder, root: root, size: 8"))
    refused, done = (run_here(tmp_path, *command) for command in (("run", "own.yaml"), ("plan", "own.yaml", "--data")))
    assert refused.returncode == done.returncode == 2 and refused.stderr == done.stderr
    assert "bad.png" in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_plan_names_the_data_and_with_them_the_counts(study):
    folder = study("cross_validation: {folds: 3, test: true}", labels=(0,) * 20 + (1,) * 10, test=4)
    said = run_here(folder, "plan", "own.yaml").stdout
    assert "data: npz(file=d.npz, order=auto), 30 images of 1×8×8, 4 held-out test images, 2 classes\n" in said
    assert "images:" not in said and "; 1 epoch\n" in said
    read = run_here(folder, "plan", "own.yaml", "--data")
    assert "images: 0 20, 1 10; no duplicates\n" in read.stdout
    assert "warning: imbalance: 66.7% of the images are of class '0'" in read.stderr
    assert "warning: duplicates: 4 of the 4 held-out test images stand in the data" in read.stderr
    assert not (folder / "reports").exists()


def test_the_facts_of_a_plan_as_json(study):
    folder = study(copies=((1, 0), (2, 0), (28, 29)))
    facts = json.loads(run_here(folder, "plan", "own.yaml", "--json").stdout)
    assert facts["data"] == {"name": "npz", "size": 30, "test_size": 0, "shape": [1, 8, 8], "class_names": ["0", "1"]}
    assert (facts["epochs"], facts["excluded"], facts["warnings"]) == ([1], {}, [])
    facts = json.loads(run_here(folder, "plan", "own.yaml", "--json", "--data").stdout)
    assert facts["data"]["class_counts"] == [15, 15]
    assert facts["data"]["duplicates"] | {"leaked": 0} == {"images": 5, "sets": 2, "contradictory": 2, "leaked": 0}
    (line,) = facts["warnings"]
    assert line.startswith(
        "duplicates: 5 images have equal pixels to another (2 sets, 2 of them with different labels)"
    )


def test_many_classes_take_one_short_line(study):
    folder = study("cross_validation: {folds: 2}", labels=tuple(range(40)) * 2 + (7, 7, 7))
    assert "images: 2 (0) to 5 (7) of a class; no duplicates\n" in run_here(folder, "plan", "own.yaml", "--data").stdout
    folder = study("cross_validation: {folds: 2}", labels=tuple(range(40)) * 2)
    assert "images: 2 of each class; no duplicates\n" in run_here(folder, "plan", "own.yaml", "--data").stdout


def test_the_plan_names_every_engine_and_precision(tiny: Path, here: Command) -> None:
    grid = "grid={training.precision: [float32, float64], training.engine: [numpy, torch]}"
    done = here("plan", tiny, "--set", grid)
    assert "engine numpy or torch on cpu in float32 or float64" in done.stdout


def test_a_class_that_a_subset_leaves_out_is_the_subsets_fault(tmp_path: Path, here: Command) -> None:
    images, labels = np.zeros((60, 8, 8), np.uint8), np.array([0] * 57 + [1] * 3)
    images[:, 0, 0] = np.arange(60)
    np.savez(tmp_path / "rare.npz", images=images, labels=labels)
    text = TINY.replace("dataset: digits", "dataset: {name: npz, file: rare.npz, subset: 20}")
    (tmp_path / "rare.yaml").write_text(text)
    done = here("plan", "rare.yaml", "--data")
    assert done.returncode == 2 and "(with dataset.subset: 20)" in done.stderr, done.stderr
