"""A saved network gives the answers of its fit again; a file that is not as it should be is refused in one line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import run_here
from safetensors.numpy import load_file, save_file
from saved_study import run_study, validated

from runner.errors import RunnerError
from runner.planning import plan_file
from runner.trained.choose import SavedFits
from runner.trained.networks import load_network, open_network


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_study(tmp_path_factory.mktemp("saved"))


@pytest.fixture
def copy(report: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(report, tmp_path / "saved"))


def own(report: Path) -> list[Path]:
    return [report.parents[1] / "own.py"]


def files(report: Path) -> list[Path]:
    return sorted((report / "fits").glob("*.safetensors"))


@pytest.mark.slow
def test_every_fit_answers_as_in_the_journal(report: Path) -> None:
    """The same classes and so the same accuracy, whatever the engine, and for fits that were trained together."""
    ways = set()
    for result, images, labels, recorded in validated(report):
        network = open_network(report / "fits" / f"{result.id}.safetensors", own(report), result.id)
        ways.add((network.engine.name, network.facts.precision, network.facts.together, network.facts.code != ""))
        shares = network.predict(images)
        assert shares.shape == (len(images), 10) and np.allclose(shares.sum(1), 1, atol=1e-5)
        predicted = shares.argmax(1)
        assert np.array_equal(predicted, recorded), network.facts
        assert (predicted == labels).mean() == result.curves["val_accuracy"][-1]
    assert ways == {
        ("torch", "float32", 2, False), ("torch", "bfloat16", 2, False), ("torch", "float32", 1, False),
        ("torch", "float64", 2, False), ("numpy", "float32", 1, False), ("numpy", "float16", 1, False),
        ("torch", "float32", 1, True),
    }  # fmt: skip


def test_the_disk_use_is_what_plan_says(report: Path) -> None:
    folder = report.parents[1]
    saved = json.loads(run_here(folder, "plan", "saved.yaml", "--json").stdout)["saved"]
    used = sum(file.stat().st_size for file in files(report))
    assert saved["networks"] == saved["networks_at_most"] == len(files(report)) == 16
    assert 0.99 * saved["bytes"] <= used <= saved["bytes"] == saved["bytes_at_most"]
    assert "training.keep: all saves 16 networks, at most " in run_here(folder, "plan", "saved.yaml").stdout
    best = run_here(folder, "plan", "saved.yaml", "--json", "--set", "training.keep=best")
    assert json.loads(best.stdout)["saved"]["bytes"] == saved["bytes"] // 2
    none = run_here(folder, "plan", "saved.yaml", "--json", "--set", "training.keep=none")
    assert "saved" not in json.loads(none.stdout)


def test_the_file_is_plain_safetensors(report: Path) -> None:
    fit = SavedFits.open(report).saved(SavedFits.open(report).cell("alone"))[0]
    arrays = load_file(report / "fits" / f"{fit}.safetensors")
    assert arrays["stage1/conv1.weight"].shape == (4, 1, 3, 3) and arrays["stage1/batch_norm1.running_mean"].any()
    module = SavedFits.open(report).saved(SavedFits.open(report).cell("module"))[0]
    arrays = load_file(report / "fits" / f"{module}.safetensors")
    assert arrays["norm.num_batches_tracked"] == 6 and arrays["steps"] == 7, "buffers, also those not in state_dict"


def test_the_cell_and_the_fit_that_are_meant(report: Path) -> None:
    fits = SavedFits.open(report)
    results = {result.id: result for result, *_ in validated(report)}
    means = {
        cell.id: np.mean([results[fit].final("val_accuracy") for fit in fits.plan.fits[cell.id]])
        for cell in fits.plan.cells
    }
    network = load_network(report, plugins=own(report))
    assert means[network.facts.cell] == max(means.values())
    mates = fits.plan.fits[network.facts.cell]
    assert results[network.facts.fit].final("val_accuracy") == max(results[fit].final("val_accuracy") for fit in mates)
    assert load_network(report, "numpy", repeat=1, fold=2).facts.fold == 1
    assert load_network(report, fits.cell("half").id).facts.precision == "float16"
    for arguments, problem in [
        (("nump",), "unknown cell 'nump'; did you mean 'numpy'?"),
        (("numpy", 2), "found repeat 2; allowed: 1 to 1"),
        (("numpy", 1, 3), "found fold 3; allowed: 1 to 2"),
    ]:
        with pytest.raises(RunnerError, match=problem.replace("?", r"\?")):
            load_network(report, *arguments)  # type: ignore[arg-type]
    with pytest.raises(RunnerError, match="no report of a study"):
        load_network(report / "fits")


@pytest.mark.parametrize("cell", ["together", "module"])
def test_the_module_takes_raw_pixels(cell: str, report: Path) -> None:
    network = load_network(report, cell, plugins=own(report))
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), dtype=np.uint8)
    module = network.module
    assert isinstance(module, torch.nn.Module) and not module.training
    for given in (torch.from_numpy(images), torch.from_numpy(images).double()):
        np.testing.assert_allclose(module(given).softmax(1).detach().numpy(), network.predict(images), atol=1e-6)
    assert network.class_names == tuple("0123456789") and network.shape == (1, 8, 8)


def test_images_in_every_layout(report: Path) -> None:
    network = load_network(report, "numpy")
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), dtype=np.uint8)
    frozen = images[:, 0].copy()
    frozen.flags.writeable = False
    for layout in (images[:, 0], images.transpose(0, 2, 3, 1), frozen, images[:, :, ::-1][:, :, ::-1].tolist()):
        given = np.asarray(layout, np.uint8)
        assert np.array_equal(network.predict(given), network.predict(images))
    assert network.predict(images[:0]).shape == (0, 10)
    for wrong in (images.astype(np.float32), images[:, :, :7], images[0, 0], np.uint8(3), images.repeat(3, 1)):
        with pytest.raises(RunnerError, match=r"expected uint8, 0 to 255, \(N, 1, 8, 8\) or \(N, 8, 8, 1\) or"):
            network.predict(wrong)


def test_a_module_of_a_plugin_needs_its_code(report: Path, tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match="is the code of a plugin, which is not loaded; give the file of its plugin"):
        load_network(report, "module")
    changed = tmp_path / "own.py"
    changed.write_text(own(report)[0].read_text().replace(".relu()", ".tanh()"))
    with pytest.raises(RunnerError, match="own.py, is not the one that was trained; restore that code, or train again"):
        load_network(report, "module", plugins=[changed])
    assert load_network(report, "records").facts.architecture == {"name": "own_records"}, "records need no plugin"


def _metadata(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """A damage that changes the facts in a file, which is otherwise written as it should be."""

    def damage(path: Path) -> None:
        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        facts = json.loads(header["__metadata__"]["archrunner"])
        change(facts)
        save_file(load_file(path), path, {"archrunner": json.dumps(facts)})

    return damage


def _tensors(change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        arrays = load_file(path)
        change(arrays)
        save_file(arrays, path, header["__metadata__"])

    return damage


def _deep(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"": "ReLU"}
    for _ in range(levels):
        inner = {"": "Sequential", "layers": [inner], "name": ""}
    return inner


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: p.write_bytes(b""), "not a network that this version can read"),
    "text": (lambda p: p.write_bytes(b"not a header, but a text"), "not a network that this version can read"),
    "cut": (lambda p: p.write_bytes(p.read_bytes()[:-4]), "not a network that this version can read"),
    "longer": (lambda p: p.write_bytes(p.read_bytes() + b"1234"), "not a network that this version can read"),
    "a hole": (lambda p: os.truncate(p, 10**12), "not a network that this version can read"),
    "a huge header": (lambda p: p.write_bytes(b"\xff" * 8 + b"{}"), "not a network that this version can read"),
    "a link": (lambda p: (p.rename(p.with_suffix(".x")), p.symlink_to(p.with_suffix(".x"))), "found a symbolic link"),
    "a pipe": (lambda p: (p.unlink(), os.mkfifo(p)), "found a pipe"),
    "no metadata": (lambda p: save_file(load_file(p), p), "its metadata are not those of archrunner"),
    "another format": (_metadata(lambda f: f.update(format=2)), "its format is not 1"),
    "of another fit": (_metadata(lambda f: f.update(fit="0" * 16)), "it is of the fit 0000000000000000"),
    "another layer": (_metadata(lambda f: f["network"]["layers"][-1].update({"": "Exec"})), "unknown layer 'Exec'"),
    "more units": (_metadata(lambda f: f["network"]["layers"][-1].update(units=11)), "not a network that this version"),
    "many filters": (
        _metadata(lambda f: f["network"]["layers"][0]["layers"][0].update(filters=10**6)),
        r"the network has float32 \(1000000,",
    ),
    "a wide network": (
        _metadata(lambda f: f["network"]["layers"].insert(0, {"": "PadChannels", "channels": 10**9, "stride": 1})),
        "activations per image",
    ),
    "a deep network": (_metadata(lambda f: f.update(network=_deep(300))), "not a network that this version can read"),
    "a large image": (_metadata(lambda f: f.update(input=[1, 2**30, 2**30])), "not a network that this version can"),
    "a name that a terminal executes": (
        _metadata(lambda f: f["class_names"].__setitem__(0, "\x1b[31m")),
        "a name in it has control characters",
    ),
    "no deviation": (_metadata(lambda f: f.update(deviation=[0])), "one mean and deviation other than 0 per channel"),
    "not a number": (_metadata(lambda f: f.update(mean=[float("nan")])), "mean.0"),
    "another engine": (_metadata(lambda f: f.update(engine="../x")), "its engine is '../x'; allowed: torch, numpy"),
    "another place": (_metadata(lambda f: f.update(place=7)), "not among the fits that were trained together"),
    "an unknown fact": (_metadata(lambda f: f.pop("mean")), "mean: Field required"),
    "less arrays": (_tensors(lambda a: a.pop("dense1.bias")), "dense1.bias is missing"),
    "more arrays": (_tensors(lambda a: a.update(x=np.zeros(3, np.float32))), "x is no array of the network"),
    "another type": (_tensors(lambda a: a.update({"dense1.bias": np.zeros(10)})), "dense1.bias is float64"),
    "another shape": (_tensors(lambda a: a.update({"dense1.bias": a["dense1.bias"][:1]})), "the network has float32"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_refused_in_one_line(name: str, copy: Path) -> None:
    damage, problem = DAMAGES[name]
    fit = plan_file.read(copy / "plan.yaml").fits[SavedFits.open(copy).cell("alone").id][0]
    damage(copy / "fits" / f"{fit}.safetensors")
    with pytest.raises(RunnerError, match=problem) as error:
        load_network(copy, "alone", fold=1)
    assert len(str(error.value).splitlines()) == 1 and str(copy) in str(error.value)


def test_a_file_with_any_changed_byte_loads_or_is_refused_in_one_line(copy: Path) -> None:
    """A changed parameter cannot be noticed; anything else is an error of ours, and never another one."""
    fit = SavedFits.open(copy).saved(SavedFits.open(copy).cell("records"))[0]
    path = copy / "fits" / f"{fit}.safetensors"
    content, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(0, header, rng.integers(1, 4)):
            damaged[place] = rng.choice([0, 34, 44, 48, 57, 91, 123, 255, int(damaged[place]) ^ 1])
        path.write_bytes(damaged)
        try:
            open_network(path)
        except RunnerError as error:
            refused += 1
            assert len(str(error).splitlines()) == 1 and str(path) in str(error), error
    assert refused > 100
