"""What MLflow needs beside a saved network's file to load it: MLmodel, signature, an example, the code of a plugin.

The file of the parameters is not read for this beyond its header, and not copied: it is uploaded from where it is.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from runner.components.catalog import load_catalog
from runner.components.plugin_paths import find_plugin
from runner.errors import RunnerError
from runner.files import atomic_write
from runner.network.base import Shape
from runner.trained import file
from runner.trained.file import DISTRIBUTION, Facts
from runner.trained.pyfunc import CONTENTS, IMAGES

PLUGINS = "plugins"
"""The folder for the code of a plugin."""
LOADER = "runner.trained.pyfunc"
EXAMPLE, SERVED_EXAMPLE = "input_example.json", "serving_input_example.json"


def write(path: Path, plugins: Sequence[str | Path], folder: Path) -> Callable[[str], None]:
    """Write into `folder` the files of the network at `path`, except that file itself, which belongs beside them.

    Returns what writes the last one, MLmodel, for the id that MLflow gives. `plugins` are the files of plugins, needed
    for a network that is a plugin's own code: that code is copied. Raises RunnerError, in one line, if it is not there
    or cannot be taken along.
    """
    with file.reading(path) as opened:
        facts = file.read_facts(opened)
    plugin, requirements = _take_along(facts, folder, plugins)
    contents = json.dumps({"fit": path.stem, "plugin": plugin})
    atomic_write.write(folder / CONTENTS, contents)
    requirements = [f"{DISTRIBUTION}=={_public(DISTRIBUTION)}", *requirements]
    if facts.engine == "torch":
        requirements.append(f"torch=={_public('torch')}")
    atomic_write.write(folder / "requirements.txt", "\n".join([f"mlflow=={_public('mlflow')}", *requirements]) + "\n")
    environment = {"python": platform.python_version(), "dependencies": ["-r requirements.txt"]}
    atomic_write.write(folder / "python_env.yaml", json.dumps(environment) + "\n")  # JSON is YAML
    example = _example(facts.input).tolist()
    atomic_write.write(folder / EXAMPLE, json.dumps({IMAGES: example}))
    atomic_write.write(folder / SERVED_EXAMPLE, json.dumps({"inputs": {IMAGES: example}}))
    return partial(_write_description, facts, path.stat().st_size, folder)


def _write_description(facts: Facts, size: int, folder: Path, model_id: str) -> None:
    """The file MLmodel."""
    from mlflow.models import Model
    from mlflow.pyfunc import add_to_model

    add: Any = add_to_model
    description = Model(
        signature=_signature(facts),
        saved_input_example_info={"artifact_path": EXAMPLE, "serving_input_path": SERVED_EXAMPLE, "type": "ndarray"},
        metadata={"archrunner": _summary(facts)},
        model_size_bytes=size + sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()),
        model_id=model_id,
    )
    # Not `mlflow.pyfunc.save_model`: it would copy the parameters, and any uv.lock of the current folder.
    add(description, LOADER, python_env="python_env.yaml")
    description.save(folder / "MLmodel")


def _signature(facts: Facts) -> Any:
    """Images of any type and layout in, a column of probabilities per class out.

    MLflow compares the type and the shape of an array with a signature exactly, and so one of bytes would refuse
    floats, and (N, C, H, W) images with the channels last. Only objects of shape (-1,) stand for any array.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    columns: list[Any] = [ColSpec(DataType.float, name) for name in facts.class_names]
    return ModelSignature(Schema([TensorSpec(np.dtype(object), (-1,), IMAGES)]), Schema(columns))


def _summary(facts: Facts) -> dict[str, Any]:
    """What a reader of MLmodel should know."""
    channels, height, width = facts.input
    return {
        "study": facts.study,
        "cell": facts.cell,
        "fit": facts.fit,
        "repeat": facts.repeat + 1,
        "fold": facts.fold + 1,
        "images": f"(N, {channels}, {height}, {width}) or (N, {height}, {width}, {channels}), raw pixels, 0 to 255",
        "class_names": facts.class_names,
    }


def _example(shape: Shape) -> np.ndarray:
    """A batch of one grey ramp: an image that belongs to nobody."""
    height, width = shape[1:]
    ramp = np.add.outer(np.arange(height), np.arange(width)) * 255 // max(height + width - 2, 1)
    return np.broadcast_to(ramp.astype(np.uint8), (1, *shape))


def _take_along(facts: Facts, folder: Path, plugins: Sequence[str | Path]) -> tuple[str, list[str]]:
    """Copy the code that the network needs into `folder`; returns the plugin's place there, "" for none, and the
    installed packages that are required."""
    if facts.network is not None:
        return "", []
    name = str(facts.architecture.get("name"))
    files = tuple(str(find_plugin(str(plugin))) for plugin in plugins)
    entry = load_catalog(files).entries.get(("architecture", name))
    if entry is None:
        hint = "give the file of its plugin (--plugin FILE), or the experiment's file instead of its name"
        raise RunnerError(f"its architecture '{name}' is the code of a plugin; {hint}")
    if entry.version != facts.code:
        raise RunnerError(f"the code of its architecture '{name}', {entry.source}, is not the one that was trained")
    if not entry.is_file:
        distribution = entry.distribution
        return "", [] if entry.is_ours or distribution is None else [f"{distribution[0]}=={distribution[1]}"]
    source = Path(entry.source)
    for code in entry.files.values():
        if not Path(code.path).is_relative_to(source.parent):
            raise RunnerError(f"its architecture '{name}' uses {code.path}, which is outside of its plugin's folder")
        target = folder / PLUGINS / Path(code.path).relative_to(source.parent)
        atomic_write.write(target, Path(code.path).read_bytes())
    return f"{PLUGINS}/{source.name}", []


def _public(distribution: str) -> str:
    """Its version, without the part of a build such as +cpu, which no index has."""
    return version(distribution).partition("+")[0]
