"""Architectures that build torch modules of their own, as processes: their bits, their identity, their memory."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from command import RUNNER, environment, run_here, stable_tables
from plugin_modules import PLUGIN, write_study

from runner.planning.plan_file import read

GRID = "grid={architecture: [summing, counting, coded, simple_convnet]}"
Done = subprocess.CompletedProcess[str]


def command(folder: Path, *arguments: str) -> Done:
    """Run the command line as a process of its own."""
    return subprocess.run(
        [str(RUNNER), *arguments], cwd=folder, env=environment(), capture_output=True, text=True, timeout=240
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A folder in which three modules and a network of layer records were trained, and the finished command."""
    folder = tmp_path_factory.mktemp("trained")
    write_study(folder)
    done = command(folder, "run", "e.yaml", "--set", GRID)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_modules_and_networks_are_trained_in_one_study(trained: tuple[Path, Done]) -> None:
    report = trained[0] / "reports" / "tiny"
    cells = pd.read_csv(report / "tables" / "cells.csv").set_index("cell")
    assert (cells["ok"] == 2).all() and (cells["mean"] > 0.2).all()
    modules = dict.fromkeys(["summing", "counting", "coded"], 846)
    assert cells["parameters"].to_dict() == {**modules, "simple_convnet": 53_910}
    assert cells.loc["summing", "receptive_field"] == "6x6" and pd.isna(cells.loc["counting", "receptive_field"])
    assert "counting" in (report / "report.html").read_text() and "summing" in (report / "report.md").read_text()


def test_an_unknown_receptive_field_is_a_dash_in_the_table(trained: tuple[Path, Done]) -> None:
    folder, done = trained
    for text in (done.stdout, (folder / "reports" / "tiny" / "report.md").read_text()):
        row = next(line for line in text.splitlines() if re.match(r"(\| )?counting .*\d", line))
        assert " – " in row


def test_modules_give_the_same_bits_in_other_processes(trained: tuple[Path, Done]) -> None:
    folder = trained[0]
    again = run_here(folder, "run", "e.yaml", "--set", GRID, "--reports", "again")
    assert again.returncode == 0
    assert stable_tables(folder / "again" / "tiny") == stable_tables(folder / "reports" / "tiny")


def test_an_edit_of_the_plugin_changes_the_identity_of_modules(trained: tuple[Path, Done], tmp_path: Path) -> None:
    """What a module computes is known only from its code, so its fits are trained again; those of networks are not."""
    write_study(tmp_path)
    shutil.copytree(trained[0] / "reports", tmp_path / "reports")
    (tmp_path / "modules.py").write_text(PLUGIN.replace("signal + self.body", "signal - self.body"))
    done = run_here(tmp_path, "plan", "e.yaml", "--set", GRID.replace(", coded", ""))
    assert "4 fits to train" in done.stdout, "those of summing and counting, not of simple_convnet"


def test_a_modules_code_is_in_its_identity_whatever_its_parameters_are_called(
    trained: tuple[Path, Done], tmp_path: Path
) -> None:
    write_study(tmp_path)
    (tmp_path / "modules.py").write_text(PLUGIN + "# a comment\n")
    cells = json.loads(run_here(tmp_path, "plan", "e.yaml", "--set", GRID, "--json").stdout)["cells"]
    before = [cell.id for cell in read(trained[0] / "reports" / "tiny" / "plan.yaml").cells]
    changed = {cell["levels"]["architecture"] for cell in cells if cell["id"] not in before}
    assert changed == {"summing", "counting", "coded"}


PEAK = """\
import pathlib, sys
from runner.cli import main
status = main(sys.argv[1:])
print("PEAK", pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
sys.exit(status)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize(
    ("file", "name", "options", "parameters"),
    [
        ("modules.py", "huge", [], 64 * 16_000_000 + 16_000_000 * 11 + 10),
        ("late.py", "late", ["--set", "units=5000000"], 64 * 5_000_000 + 5_000_000 * 11 + 10),
    ],
)
def test_measuring_a_module_allocates_no_numbers(
    file: str, name: str, options: list[str], parameters: int, tmp_path: Path
) -> None:
    """4.8 GB of weights, and 1.5 GB if torch is imported in the function, are described in less than 1 GB of memory.

    Measured by the high-water mark of `/proc`: that of getrusage starts with the size of the parent process.
    """
    write_study(tmp_path)
    arguments = ["describe", name, "--plugin", file, "--input", "1x8x8", "--json", *options]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *arguments], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    document, _, peak = done.stdout.partition("PEAK")
    assert json.loads(document)["parameters"] == parameters
    assert int(peak) < 1_000_000, "KiB"


def test_an_architecture_that_can_do_without_torch_is_described_with_torch_if_it_is_installed(tmp_path: Path) -> None:
    write_study(tmp_path)
    done = run_here(tmp_path, "describe", "either", "--plugin", "late.py", "--input", "1x8x8", "--json")
    assert [layer["type"] for layer in json.loads(done.stdout)["layers"]] == ["Flatten", "Linear"], "torch is installed"
