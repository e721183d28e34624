"""Plugins that are odd and right pass the probe, and what they may not have meant is said in one line."""

from __future__ import annotations

import ast
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command import run_here
from engine_fits import built_fit, train_curves
from test_faulty_plugins import STUDY

from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.conformance.plugin_check import Checked, check_plugin

FILE = Path(__file__).with_name("odd.py")
EXPECTED = {
    node.name: ast.get_docstring(node)
    for node in ast.parse(FILE.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.islower() and ast.get_docstring(node)
}
SWITCHES = """\
import os
import numpy as np
import torch
from torch import nn
from runner.api import Architecture, hookimpl

def after(switch):
    def build(shape, classes):
        switch()
        return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes))
    return build

@hookimpl
def register_architectures():
    yield Architecture(name="a_switch", build=after(lambda: torch.set_grad_enabled(False)))
    yield Architecture(name="elsewhere", build=after(lambda: os.chdir(os.sep)))
    yield Architecture(name="of_doubles", build=after(lambda: torch.set_default_dtype(torch.float64)))
    yield Architecture(name="of_errors", build=after(lambda: np.seterr(all="raise")))
    yield Architecture(name="plain", build=after(lambda: None))
"""


@pytest.fixture(scope="module")
def checked() -> dict[str, Checked]:
    return {component.name: component for component in check_plugin(str(FILE))}


@pytest.mark.parametrize("name", EXPECTED)
def test_it_is_accepted_with_what_is_worth_knowing(name: str, checked: dict[str, Checked]) -> None:
    component, expected = checked[name], EXPECTED[name]
    assert not component.faults
    if expected == "ok":
        assert component.line.startswith(f"{component.kind} {name}: ok")
    else:
        (note,) = component.notes
        assert expected in note and f"{component.kind} {name} of {FILE}:" in note


def test_the_plan_warns(tmp_path: Path) -> None:
    text = STUDY.replace("FILE", str(FILE)) + "grid: {architecture: [probable, of_doubles]}\n"
    (tmp_path / "s.yaml").write_text(text)
    plan = run_here(tmp_path, "plan", "s.yaml", "--json")
    (warning,), nothing = (cell["warnings"] for cell in json.loads(plan.stdout)["cells"])
    assert "as softmax makes them" in warning and str(FILE) in warning and not nothing


@pytest.mark.parametrize("name", ["of_doubles", "in_numpy", "counting", "normed"])
def test_what_is_accepted_is_trained(name: str) -> None:
    catalog, fit = load_catalog((str(FILE),)), built_fit()
    module = catalog.build(
        "architecture", catalog.bind("architecture", ComponentRef(name)), fit.spec.shape, fit.spec.classes
    )
    changed = catalog.build("augmentation", catalog.bind("augmentation", ComponentRef("reversed_order")))
    losses = train_curves(dataclasses.replace(fit, network=module, transforms=(changed,)))["train_loss"]
    assert np.isfinite(losses).all()


def test_what_a_refused_plugin_set_for_the_process_is_set_back(tmp_path: Path) -> None:
    """A setting that stayed would be blamed on the components that are tried after it."""
    (tmp_path / "p.py").write_text(SWITCHES)
    before = np.geterr(), torch.get_default_dtype(), torch.is_grad_enabled(), Path.cwd()
    checked = {component.name: component.line for component in check_plugin(str(tmp_path / "p.py"))}
    assert (np.geterr(), torch.get_default_dtype(), torch.is_grad_enabled(), Path.cwd()) == before
    assert checked.pop("plain").startswith("architecture plain: ok")
    calls = {"a_switch": "torch.set_grad_enabled", "of_doubles": "torch.set_default_dtype",
             "of_errors": "numpy.seterr", "elsewhere": "os.chdir"}  # fmt: skip
    for name, line in checked.items():
        assert f"it calls {calls[name]} for the whole process" in line and "p.py:" in line


@pytest.mark.parametrize(("stacking", "status"), [("2", 2), ("off", 0)])
def test_random_numbers_of_the_process_are_for_fits_that_are_trained_alone(
    stacking: str, status: int, tmp_path: Path
) -> None:
    text = STUDY.replace("FILE", str(FILE.with_name("broken_augmentations.py"))).replace(
        "{epochs: 1}", f"{{epochs: 1, engine: torch, stacking: {stacking}}}"
    )
    (tmp_path / "s.yaml").write_text(f"{text}augmentation: of_the_process\n")
    done = run_here(tmp_path, "plan", "s.yaml")
    assert done.returncode == status, done.stderr
