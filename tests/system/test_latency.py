"""How many modules a command imports, which decides how soon it answers: of others, as in 667660a, and of ours.

Seconds depend on the machine; `benchmarks/latency.py` measures them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "mlflow", "pandas", "sklearn", "scipy", "matplotlib", "mlxtend", "jinja2", "pebble", "sqlalchemy")
PARSING = ("pydantic", "pluggy", "yaml", "rich", "numpy", "importlib.metadata")
PROGRAM = """
import sys
if __name__ == "__main__":
    from runner.cli import main
    try:
        main(sys.argv[1:])
    except SystemExit:
        pass
    print("LOADED", *sys.modules)
"""


def loaded(folder: Path, *arguments: str) -> set[str]:
    """The names of the modules that are loaded when the command ends."""
    program = folder / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("LOADED ")[2].split())


@pytest.mark.parametrize(
    "arguments, limit, forbidden",
    [
        (["--help"], 116, (*HEAVY, *PARSING)),
        (["plan", "tiny.yaml"], 292, (*HEAVY, "numpy", "rich")),
        (["plan", "tiny.yaml", "--json"], 292, (*HEAVY, "numpy", "rich")),
        (["describe", "stages"], 334, (*HEAVY, "numpy")),
        (["plugins"], 334, (*HEAVY, "numpy")),
        (["report", "none"], 292, (*HEAVY, "numpy")),
    ],
    ids=["help", "plan", "plan-json", "describe", "plugins", "no-report"],
)
def test_a_command_that_trains_nothing_loads_few_modules(
    tiny: Path, arguments: list[str], limit: int, forbidden: tuple[str, ...]
) -> None:
    modules = loaded(tiny.parent, *arguments)
    ours = {name for name in modules if name.partition(".")[0] == "runner"}
    # Those of components are all loaded, to know their names and parameters.
    components = {name for name in ours if name.startswith("runner.plugins.")}
    assert len(modules - ours) <= limit and len(ours - components) <= 75
    assert not modules.intersection(forbidden)


def test_the_driver_of_a_run_loads_no_engine(tiny: Path) -> None:
    # Results from workers are unpickled here. If they named a class of an engine, that would import the engine.
    modules = loaded(tiny.parent, "run", "tiny.yaml", "--tracking-uri", "none")
    assert "pebble" in modules and not modules & {"torch", "mlflow", "sklearn"}
