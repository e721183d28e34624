"""The promises of SECURITY.md: untrusted files are data, names are not paths, credentials and temporary files private.

Other tests of them: pickles, which are opened only after their checksum has matched and may name only NumPy arrays, in
tests/unit/plugins/test_datasets.py; hostile names in figures, in tests/unit/reporting/test_figures.py; the addresses on
which `runner ui` listens, in test_mlflow.py and test_current_folder.py.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
import urllib.request
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from command import RUNNER, TINY, Command, environment, run_here
from faulty_server import address, faulty
from mlflow_runs import free_port, kinds, runs_of, server

from runner.cli import main
from runner.errors import RunnerError
from runner.planning import plan_file

SMALL = ("--executor", "serial", "--set", "training.epochs=1", "--set", "training.engine=numpy",
         "--set", "grid={architecture.convs: [1]}")  # fmt: skip
SECRET = "hunter2xyz"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reports folder of the finished small study."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.yaml").write_text(TINY)
    assert run_here(folder, "run", "tiny.yaml", *SMALL).returncode == 0
    return folder / "reports"


@pytest.fixture
def finished(reports: Path, tiny: Path) -> Path:
    """The small study with a report of its own."""
    shutil.copytree(reports, tiny.parent / "reports")
    return tiny


def test_yaml_tags_that_create_objects_are_refused(finished: Path, here: Command) -> None:
    tiny, owned = finished, finished.parent / "owned"
    for tag in (f"!!python/object/apply:os.mkdir ['{owned}']", f"!!python/object/new:os.mkdir [['{owned}']]"):
        tiny.write_text(TINY.replace("description: ", f"description: {tag} # "))
        for command in ("plan", "run"):
            done = here(command, tiny)
            assert done.returncode == 2 and done.stderr.startswith(f"{tiny}:2: ") and "Traceback" not in done.stderr
    plan = tiny.parent / "reports" / "tiny" / "plan.yaml"
    plan.write_text(plan.read_text() + f"more: !!python/object/apply:os.mkdir ['{owned}']\n")
    for command in (["report", "tiny"], ["publish", "tiny"], ["compare", "tiny", "tiny"]):
        done = here(*command, "--reports", plan.parents[1])
        assert done.returncode == 2 and "not a plan that this version can read" in done.stderr
    assert not owned.exists()


def test_arrays_with_pickled_objects_are_refused(finished: Path, here: Command) -> None:
    tiny = finished

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tiny.parent / "owned"),)

    hostile = np.array([Evil()] * 20, object)
    for name in ("images", "labels", "class_names"):
        arrays = {"images": np.zeros((20, 4, 4), np.uint8), "labels": np.arange(20) % 2} | {name: hostile}
        np.savez(tiny.parent / "evil.npz", **arrays)
        done = here("run", tiny, *SMALL, "--set", "dataset={name: npz, file: evil.npz}")
        assert done.returncode == 2 and "evil.npz: " in done.stderr and "Traceback" not in done.stderr
    (arrays_file,) = (tiny.parent / "reports" / "tiny" / "fits").glob("*.npz")
    np.savez(arrays_file, layers=hostile, types=hostile, seconds=hostile)
    assert "damaged" in here("report", "tiny").stderr
    assert not (tiny.parent / "owned").exists()


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/b", "..", ".hidden", "a\\b", "~", "a\x00b", "CON:"])
def test_a_path_as_the_name_of_an_experiment_is_refused(name: str, tiny: Path, here: Command) -> None:
    inside = tiny.parent / "inside"
    inside.mkdir()
    before = sorted(tiny.parent.rglob("*"))
    tiny.write_text(TINY.replace("name: tiny", f"name: '{name}'"))
    done = here("run", tiny, *SMALL, "--reports", inside)
    assert done.returncode == 2 and done.stderr.startswith(f"{tiny}:1: ") and "Traceback" not in done.stderr
    assert sorted(tiny.parent.rglob("*")) == before


@pytest.mark.parametrize("id", ["../../evil", "/etc/passwd", "a/b", "", ".", "a\n"])
def test_a_path_as_a_fit_id_in_an_untrusted_plan_is_refused(id: str, finished: Path, here: Command) -> None:
    report = finished.parent / "reports" / "tiny"
    plan = plan_file.read(report / "plan.yaml")
    plan.fits[plan.cells[0].id][0] = id
    plan_file.save(plan, report / "plan.yaml")
    with pytest.raises(RunnerError, match="is not a valid fit id"):
        plan_file.read(report / "plan.yaml")
    assert here("report", "tiny").returncode == 2


class Elements(HTMLParser):
    """The page's elements with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_report_escapes_all_text(tiny: Path, here: Command) -> None:
    """Text from the YAML file, from a plugin, and the class names of the data set."""
    script, image = "<script>alert(1)</script>", '"><img src=x onerror=alert(2)>'
    (tiny.parent / "hostile.py").write_text(
        "from runner.api import Architecture, hookimpl\n"
        f"def wide(input_shape, classes, *, text: str = {script!r}):\n"
        "    from runner.api import Conv, Dense, Flatten, MaxPool, ReLU, Sequential\n"
        "    return Sequential(Conv(2, 3), ReLU(), MaxPool(2), Flatten(), Dense(classes))\n"
        "@hookimpl\ndef register_architectures():\n    yield Architecture(name='wide', build=wide)\n"
    )
    rng, labels = np.random.default_rng(0), np.arange(40) % 2
    np.savez(
        tiny.parent / "a.npz", images=rng.integers(0, 255, (40, 8, 8), np.uint8), labels=labels,
        class_names=[script, image],
    )  # fmt: skip
    tiny.write_text(f"""\
name: tiny
description: '{script}{image}'
plugins: [./hostile.py]
dataset: {{name: npz, file: a.npz}}
architecture: {{name: stages, width: 2, stages: 1}}
optimizer: {{name: sgd, lr: 1e-2}}
training: {{epochs: 1, engine: numpy}}
cross_validation: {{folds: 2}}
grid:
  '<i>factor':
    '{script}': {{architecture: {{name: wide, text: '</pre><b>wide'}}}}
    '{image}': {{optimizer: {{name: sgd, lr: 1e30}}}}
""")
    assert here("run", tiny).returncode == 1, "one of the cells diverges"
    report = tiny.parent / "reports" / "tiny"
    page = Elements((report / "report.html").read_text())
    assert [tag for tag, _ in page.elements].count("script") == 1, "the report's own"
    assert not [tag for tag, _ in page.elements if tag in ("img", "i", "b", "iframe", "object")]
    assert not [attrs for _, attrs in page.elements for name in attrs if name.startswith("on")]
    for text in (script, image, "<i>factor", "</pre><b>wide"):
        assert text in page.text
    assert not re.search(r"<(script|img|i|b)\b", (report / "report.md").read_text())


def files_with(folder: Path, secret: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


def run_as_process(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = environment(publish=True) | variables
    return subprocess.run([RUNNER, *command], cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("fault", ["500", "not MLflow", "closes at once"])
def test_no_message_or_file_contains_a_password_when_publishing_fails(
    fault: str, tiny: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As a process, and in this one, of which `capfd` gets what libraries print past our streams."""
    with faulty(fault) as broken:
        uris = (address(broken, f"me:{SECRET}@"), f"{address(broken)}/?token={SECRET}")
        for uri, run in zip(uris, (run_as_process if fault == "500" else run_here, run_here), strict=True):
            variables = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_TRACKING_PASSWORD": SECRET}
            for command in (["run", tiny.name, *SMALL], ["publish", "tiny"]):
                done = run(tiny.parent, *command, "--verbose", **variables)
                assert done.returncode == (0 if command[0] == "run" else 2)
                printed = capfd.readouterr()
                assert done.stderr and SECRET not in done.stdout + done.stderr + printed.out + printed.err
        assert broken.requests
    assert files_with(tiny.parent, SECRET) == []


def test_a_password_reaches_the_server_and_is_stored_nowhere(tiny: Path) -> None:
    """With a real server, whose files are searched too: its data base with tags and parameters, and its artifacts."""
    port = free_port()
    with server(tiny.parent, port) as address:
        uri = address.replace("//", f"//me:{SECRET}@")
        done = subprocess.run(
            [RUNNER, "run", tiny.name, *SMALL, "--publish-wait", "60", "--verbose"], cwd=tiny.parent,
            env={**environment(), "MLFLOW_TRACKING_URI": uri}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0 and "not everything is in MLflow" not in done.stderr, done.stderr
        assert kinds(runs_of(address)) == {"cell": 1, "fit": 3, "report": 1}
        page = f"{address}/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=runner-cells"
        assert done.stdout.splitlines()[-1] == f"browse: runner ui {tiny.stem}, or {page}"
        assert urllib.request.urlopen(f"{address}/health", timeout=30).status == 200
    assert SECRET not in done.stdout + done.stderr
    assert (tiny.parent / "server.db").exists() and files_with(tiny.parent, SECRET) == []


@pytest.mark.parametrize("uri", [f"http://me:{SECRET}@host", f"postgresql://me:{SECRET}@host/db?password={SECRET}"])
def test_a_password_on_the_command_line_is_refused(uri: str, tiny: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tiny.parent)
    for command in (["run", str(tiny)], ["ui"]):
        assert main([*command, "--tracking-uri", uri]) == 2
        printed = capsys.readouterr()
        assert "contains a password" in printed.err and SECRET not in printed.err + printed.out
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{SECRET}@host.invalid/mlflow")
    assert main(["ui"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "http://host.invalid/mlflow/\n", "an address that can be opened"
    assert "did not answer" in printed.err and SECRET not in printed.err


OWN_DATASET = """\
import numpy as np
from runner.api import Dataset, ImageData, hookimpl

def own():
    def load():
        rng = np.random.default_rng(0)
        return rng.integers(0, 255, (60, 1, 8, 8), np.uint8), np.arange(60) % 2
    return ImageData(shape=(1, 8, 8), class_names=("a", "b"), size=60, load=load)

@hookimpl
def register_datasets():
    yield Dataset(name="own", build=own)
"""


@pytest.mark.parametrize("dataset", ["own", "digits"])
def test_temporary_files_and_copies_of_data_are_readable_only_by_their_owner(
    dataset: str, tiny: Path, request: pytest.FixtureRequest
) -> None:
    """With a umask that permits everything, while workers train and checkpoints are written."""
    (tiny.parent / "own.py").write_text(OWN_DATASET)
    text = TINY.replace("plugins: []", "plugins: [./own.py]").replace("dataset: digits", f"dataset: {dataset}")
    text = text.replace("convs: [1, 2]", "convs: [1]")
    tiny.write_text(text.replace("epochs: 2", "epochs: 20, checkpoint: 0.001s, engine: numpy"))
    # Not below tmp_path, which is long: multiprocessing's sockets go there, and a socket's path has at most 107 bytes.
    temporary, cache = Path(tempfile.mkdtemp(prefix="private-")), tiny.parent / "cache"
    request.addfinalizer(lambda: shutil.rmtree(temporary))
    temporary.chmod(0o755)
    cache.mkdir(mode=0o755)
    variables = {"TMPDIR": str(temporary), "ARCHRUNNER_CACHE": str(cache)}
    run = subprocess.Popen(
        [RUNNER, "run", tiny], cwd=tiny.parent, env={**environment(), **variables}, umask=0,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    # Most of these files exist only for a moment, so the folders are listed again and again until the run ends.
    modes: dict[Path, int] = {}
    while run.poll() is None:
        checkpoints = (tiny.parent / "reports" / "tiny" / "fits").glob("*.checkpoint*")
        for path in [*temporary.iterdir(), *cache.glob("*"), *checkpoints]:
            try:
                modes[path] = stat.S_IMODE(path.stat().st_mode)
            except FileNotFoundError:
                continue
        time.sleep(0.002)
    assert run.returncode == 0
    open_to_others = {path.name: oct(mode) for path, mode in modes.items() if mode & 0o077}
    assert not open_to_others
    assert ".checkpoint" in {path.suffix for path in modes}
    # The plugin's data set has no version, so it is not cached; workers get it through a temporary folder.
    data_file = "archrunner-" if dataset == "own" else "prepared"
    assert [path for path in modes if path.name.startswith(data_file)], sorted(modes)
