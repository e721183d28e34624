"""What is written beside a network for MLflow, and the code of plugins that is taken along, or why not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from runner.components.catalog import load_catalog
from runner.errors import RunnerError
from runner.trained.file import Facts, encode
from runner.trained.mlflow_files import write

PLUGIN = """\
from runner.api import Architecture, hookimpl
{line}
@hookimpl
def register_architectures():
    yield Architecture(name="mine", build=lambda input_shape, classes: None)
"""


def saved(folder: Path, plugin: Path | None, code: str = "") -> Path:
    """The file of a network that is the code of `plugin`, or of layer records."""
    described = None if plugin else {"layers": []}
    code = code or (load_catalog((str(plugin),)).find("architecture", "mine").version if plugin else "")
    facts = Facts(
        1, "0.1.0", "study", "abc", "cell", 0, 1, {"name": "mine"}, described, code, (3, 4, 5), ["cat", "dög"],
        [0.5] * 3, [0.25] * 3, "numpy", "cpu", "float32",
    )  # fmt: skip
    path = folder / "abc.safetensors"
    path.write_bytes(encode(facts, {"a": np.zeros(1, np.float32)}))
    return path


def test_the_files_name_the_classes_and_show_an_image(tmp_path: Path) -> None:
    import mlflow
    from mlflow.models import Model

    path = saved(tmp_path, None)
    write(path, (), tmp_path / "out")("m-1")
    files = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert files == {
        "MLmodel", "requirements.txt", "python_env.yaml", "input_example.json", "serving_input_example.json",
        "network.json",
    }, "the parameters are uploaded from where they are"  # fmt: skip
    described = Model.load(str(tmp_path / "out"))
    assert described.model_id == "m-1" and described.get_output_schema().input_names() == ["cat", "dög"]
    example = described.load_input_example(str(tmp_path / "out"))["images"]
    assert example.shape == (1, 3, 4, 5) and (example.min(), example.max()) == (0, 255)
    facts = described.metadata["archrunner"]
    assert (facts["repeat"], facts["fold"], facts["class_names"]) == (1, 2, ["cat", "dög"])
    requirements = (tmp_path / "out" / "requirements.txt").read_text().splitlines()
    assert [line.partition("==")[0] for line in requirements] == ["mlflow", "archrunner"]
    assert requirements[0] == f"mlflow=={mlflow.__version__}" and not any("+" in line for line in requirements)


def test_code_beside_a_plugin_is_taken_along(tmp_path: Path) -> None:
    (folder := tmp_path / "mine").mkdir()
    (folder / "__init__.py").write_text(PLUGIN.format(line="from . import helper"))
    (folder / "helper.py").write_text("one = 1\n")
    (folder / "notes.txt").write_text("not code\n")
    write(saved(tmp_path, folder), [folder], tmp_path / "out")
    data = tmp_path / "out"
    assert json.loads((data / "network.json").read_text()) == {"fit": "abc", "plugin": "plugins/mine"}
    taken = [file.relative_to(data) for file in sorted((data / "plugins").rglob("*")) if file.is_file()]
    assert [str(file) for file in taken] == ["plugins/mine/__init__.py", "plugins/mine/helper.py"]
    assert (data / "plugins/mine/helper.py").read_bytes() == (folder / "helper.py").read_bytes()


def test_code_that_cannot_be_taken_along_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (elsewhere / "far_away_helper.py").write_text("one = 1\n")
    (plugin := tmp_path / "plugin" / "own.py").parent.mkdir()
    plugin.write_text(PLUGIN.format(line="import far_away_helper"))
    monkeypatch.syspath_prepend(str(elsewhere))
    path = saved(tmp_path, plugin)
    for plugins, reason in [
        ([], "its architecture 'mine' is the code of a plugin; give the file of its plugin (--plugin FILE), or"),
        ([plugin], f"its architecture 'mine' uses {elsewhere}/far_away_helper.py, which is outside of its plugin's"),
    ]:
        with pytest.raises(RunnerError) as caught:
            write(path, plugins, tmp_path / "out")
        assert str(caught.value).startswith(reason)
    with pytest.raises(RunnerError, match="is not the one that was trained"):
        write(saved(tmp_path, plugin, "0" * 16), [plugin], tmp_path / "out")
    assert not (tmp_path / "out" / "MLmodel").exists()
