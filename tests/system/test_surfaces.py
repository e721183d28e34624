"""What others rely on: JSON documents, the plugins in the documentation, the Python functions, the wheel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from command import ROOT, RUNNER, Command

import runner as package
from runner import api
from runner.components.catalog import load_catalog
from runner.components.records import KINDS, ComponentRef
from runner.planning import plan_file
from runner.planning.architecture_facts import examine


def test_json_documents_have_the_documented_keys_and_are_all_of_stdout(tiny: Path, runner: Command) -> None:
    plan = json.loads(runner("plan", tiny, "--json").stdout)
    assert plan.keys() == {
        "experiment", "fits", "fits_at_most", "cells", "data", "epochs", "excluded", "warnings",
    }  # fmt: skip
    assert (plan["experiment"], plan["fits"], plan["fits_at_most"]) == ("tiny", 12, 12)
    assert all(
        cell.keys() == {"id", "levels", "parameters", "macs", "receptive_field", "problem", "warnings"}
        for cell in plan["cells"]
    )
    assert plan["cells"][0]["levels"] == {"architecture.downsample": "max_pool", "architecture.convs": "1"}
    assert plan["cells"][0]["receptive_field"] == [4, 4] and plan["cells"][0]["problem"] is None
    described = json.loads(runner("describe", "stages", "--input", "1x28x28", "--set", "kernel=7", "--json").stdout)
    assert described.keys() == {
        "name", "input", "parameters", "macs", "receptive_field", "not_trained", "activations", "warnings", "layers",
    }  # fmt: skip
    assert described["layers"][0] == {
        "path": "stage1/conv1", "type": "conv", "detail": "7×7", "output": [16, 28, 28], "parameters": 800,
        "macs": 614656, "receptive_field": [7, 7], "jump": [1, 1], "centre": [0.0, 0.0], "not_trained": 0,
        "activations": 16 * 28 * 28, "beyond_image": False,
    }  # fmt: skip
    listed = json.loads(runner("plugins", "--json").stdout)
    assert all(entry.keys() - {"facts"} == {"kind", "name", "source", "parameters"} for entry in listed)
    facts = {entry["name"]: entry["facts"] for entry in listed if entry["kind"] == "dataset"}
    assert facts["npz"] is None and facts["fashion-mnist"]["class_names"][-1] == "ankle boot"
    assert facts["mnist"].keys() == {"shape", "class_names", "size", "test_size", "licence", "citation"}
    assert (facts["mnist"]["shape"], facts["mnist"]["size"], facts["mnist"]["test_size"]) == ([1, 28, 28], 60000, 10000)
    assert {(e["kind"], e["name"]) for e in listed} >= {
        ("architecture", "stages"), ("architecture", "simple_convnet"), ("augmentation", "none"),
        ("augmentation", "shift"), ("augmentation", "flip"), ("optimizer", "sgd"), ("optimizer", "adam"),
        ("dataset", "mnist-5k"), ("dataset", "digits"),
    }  # fmt: skip


def test_the_plugin_in_the_readme_runs_in_an_experiment(tiny: Path, here: Command) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    (tiny.parent / "my_block.py").write_text(code)
    name = re.search(r'name="(\w+)"', code)[1]  # type: ignore[index]
    grid = f"grid:\n  architecture: [{name}, simple_convnet]\n"
    text = tiny.read_text().replace("plugins: []", "plugins: [./my_block.py]")
    tiny.write_text(text[: text.index("grid:")] + grid)
    done = here("run", tiny, "--set", "training.epochs=1")
    assert done.returncode == 0, done.stderr
    assert name in done.stdout


@pytest.mark.parametrize("hook", ["architectures", "augmentations", "optimizers", "datasets", "metrics", "losses"])
def test_the_plugin_in_the_docstring_of_each_hook_runs(hook: str, tiny: Path, here: Command) -> None:
    from runner.components import hookspecs

    text = getattr(hookspecs, f"register_{hook}").__doc__.partition("::\n")[2]
    code = "\n".join(line.removeprefix("        ") for line in text.splitlines())
    (tiny.parent / "plugin.py").write_text(code)
    kind = next(kind for kind, record in KINDS.items() if record.hook == f"register_{hook}")
    name = re.search(r'name="(\w+)"', code)[1]  # type: ignore[index]
    text = re.sub(rf"^{kind}: .*\n", "", tiny.read_text(), flags=re.MULTILINE).replace("[]", "[./plugin.py]")
    section = f"report: {{metric: {name}}}" if kind == "metric" else f"{kind}: {name}"
    tiny.write_text(text[: text.index("grid:")] + f"{section}\n")
    done = here("run", tiny, "--executor", "serial", "--set", "training.epochs=1")
    assert done.returncode == 0, done.stderr


def test_python_users_plan_and_run(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny.parent)
    assert package.plan(tiny).fit_count == 12
    outcome = package.run(tiny, overrides=["training.epochs=1"], executor="serial")
    assert outcome.exit_status == 0 and len(outcome.tables.cells) == 4
    assert package.plan(tiny).fit_count == 12, "the function is still there once the modules are loaded"


def test_the_public_names_are_documented() -> None:
    text = "".join((ROOT / "docs" / "reference" / f"{page}.md").read_text() for page in ("plugins", "networks"))
    missing = [name for name in api.__all__ if f"`{name}" not in text]
    assert not missing


ROW = re.compile(r"\| `(\w+)` \|.*\| (\d+)x(\d+)x(\d+), (\d+) \| ([\d,]+) \| ([\d,]+) \| (\d+)x(\d+) \|")


def test_the_table_of_architectures_matches_the_analysis() -> None:
    catalog, rows = load_catalog(), ROW.findall((ROOT / "docs" / "reference" / "networks.md").read_text())
    for name, *numbers in rows:
        channels, height, width, classes, parameters, macs, *field = (int(n.replace(",", "")) for n in numbers)
        ref, shape = catalog.bind("architecture", ComponentRef(name)), (channels, height, width)
        facts, _ = examine(catalog, ref, shape, classes)
        assert (facts.parameters, facts.macs, facts.receptive_field) == (parameters, macs, tuple(field)), name
    # Those that build any network of a library have no figures of their own.
    libraries = {"timm", "torchvision"}
    assert {name for name, *_ in rows} | libraries == {*catalog.names("architecture")}


def test_the_wheel_has_one_top_level_package_and_contains_every_module(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), "."]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"runner"}
    for folder, target in (("runner", "runner"), ("plugins", "runner/plugins")):
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in (".py", ".j2"):
                assert f"{target}/{file.relative_to(ROOT / folder)}" in names
    # A new environment that has this one's libraries, but not this checkout: a .pth file adds their folder.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run([*pip, "install", "-q", "--no-deps", "--no-compile", str(wheel)], check=True)
    site = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
                          check=True, capture_output=True, text=True).stdout.strip()  # fmt: skip
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    (Path(site) / "libraries.pth").write_text(libraries + "\n")
    code = "import runner; print(runner.__file__)"
    imported_from = subprocess.run(
        [python, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    assert imported_from.startswith(site)
    listed = subprocess.run([tmp_path / "venv" / "bin" / "runner", "plugins", "--json"],
                            cwd=tmp_path, check=True, capture_output=True, text=True).stdout  # fmt: skip
    expected = subprocess.run([RUNNER, "plugins", "--json"], check=True, capture_output=True, text=True).stdout
    assert json.loads(listed) == json.loads(expected)


def test_the_experiment_of_the_readme_is_that_of_the_gallery(tmp_path: Path, runner: Command) -> None:
    """Ten lines, and they plan into the cells of the report whose figure the README shows."""
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(text.splitlines()) == 10
    (tmp_path / "readme.yaml").write_text(text)
    done = runner("plan", "readme.yaml", "--set", "training.device=cpu", "--json")
    assert done.returncode == 0, done.stderr
    gallery = plan_file.read(ROOT / "reports" / "gallery" / "pooling-vs-stride-fashion" / "plan.yaml")
    planned = [(cell["levels"], cell["parameters"], cell["macs"]) for cell in json.loads(done.stdout)["cells"]]
    assert planned == [(cell.levels, cell.parameters, cell.macs) for cell in gallery.cells]
