"""`runner new package`: what it writes is built, installed into a new environment, found there, and passes its test."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import yaml
from command import Command, environment


def call(folder: Path, *command: object) -> str:
    done = subprocess.run([*map(str, command)], cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_package_is_built_installed_and_used(tmp_path: Path, here: Command) -> None:
    assert here("new", "package", "my-blocks").returncode == 0
    package, build = tmp_path / "my-blocks", ("-q", "--no-deps", "--no-build-isolation")
    call(package, sys.executable, "-m", "pip", "wheel", *build, "-w", tmp_path, ".")
    (wheel,) = tmp_path.glob("my_blocks-0.1.0-*.whl")
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert names == {"my_blocks", "my_blocks-0.1.0.dist-info"}
    # A new environment with this one's libraries, so that nothing is downloaded.
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    (site / "libraries.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in libraries))
    call(tmp_path, sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel)
    (found,) = json.loads(call(tmp_path, python, "-m", "runner", "plugins", "my-blocks", "--json"))
    assert (found["kind"], found["source"]) == ("architecture", "my-blocks 0.1.0")
    # All but the test that trains, which tests/unit/commands/test_new.py runs, as it is that of a plugin file too.
    tried = call(package, python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not every_fit", "tests")
    assert "1 passed, 1 deselected" in tried
    steps = yaml.safe_load((package / ".github/workflows/tests.yml").read_text())["jobs"]["tests"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [
        'pip install ".[test]" build', "pytest", "runner plugins my-blocks", "python -m build",
    ]  # fmt: skip
