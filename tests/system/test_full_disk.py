"""A disk that is full, or not ours to write to, at every place where something is written."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import RUNNER, TINY, Command, environment, stable_tables
from mlflow_runs import kinds, runs_of

from runner.cli import main
from runner.journal.index import read

SMALL = ("--executor", "serial", "--tracking-uri", "none", "--set", "training.engine=numpy",
         "--set", "grid={architecture.convs: [1, 2]}")  # fmt: skip


class Disk:
    """A file system of `size` kB in memory."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        folder.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={size}k", "tmpfs")

    def _mount(self, *options: str) -> None:
        done = subprocess.run(["mount", *options, str(self.folder)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")

    def fill(self, leave: int) -> None:
        """Leave so many kB."""
        facts = os.statvfs(self.folder)
        (self.folder / "filler").write_bytes(bytes(max(0, facts.f_bavail * facts.f_frsize - 1024 * leave)))

    def free(self) -> None:
        (self.folder / "filler").unlink()

    def writable(self, yes: bool) -> None:
        self._mount("-o", f"remount,{'rw' if yes else 'ro'}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.getuid():
        pytest.skip("only root mounts a file system")
    made = Disk(tmp_path / "disk", 16_000)
    yield made
    subprocess.run(["umount", "-l", str(made.folder)], check=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "tiny.yaml").write_text(TINY)
    assert main(["run", str(folder / "tiny.yaml"), "--reports", str(folder), *SMALL]) == 0
    return stable_tables(folder / "tiny")


@pytest.mark.parametrize("leave", [0, 4, 8, 12, 24, 36, 64, 160])
def test_a_run_on_a_full_disk_goes_on_when_there_is_space(
    leave: int, disk: Disk, tiny: Path, undisturbed: dict[str, str], capsys, caplog
) -> None:
    """The space ends at the lock, the plan, the journal, what is kept of fits, a table, a figure, the report."""
    command = ["run", str(tiny), "--reports", str(disk.folder), *SMALL]
    report = disk.folder / "tiny"
    disk.fill(leave)
    status, errors = main(command), capsys.readouterr().err.splitlines()
    assert status in (1, 2) and "Traceback" not in "".join(errors)
    assert "No space left on device" in errors[-1] and str(report) in errors[-1]
    assert not [*report.rglob("*.partial")]
    kept = {result.id for result in read(report / "journal.jsonl")[0]}
    trained = [line for line in errors if line.startswith("[") and "val_accuracy" in line]
    assert len(kept) == len(trained), "a fit that was said to be finished is kept"
    disk.free()
    assert main(command) == 0
    printed = capsys.readouterr()
    assert f"{6 - len(kept)} fits to train" in printed.err and "Traceback" not in printed.err
    lost = {"layers.csv"} if "what there is to look at of it is not" in caplog.text else set()
    tables = stable_tables(report)
    assert {name for name in undisturbed if tables[name] != undisturbed[name]} <= lost


def test_what_is_kept_to_look_at_may_be_lost_but_not_the_fit(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """`fits` is a file here, so that nothing can be written into it as a folder."""
    monkeypatch.chdir(tiny.parent)
    (tiny.parent / "reports" / "tiny").mkdir(parents=True)
    (tiny.parent / "reports" / "tiny" / "fits").touch()
    assert main(["run", str(tiny), *SMALL]) == 0
    assert len(read(tiny.parent / "reports" / "tiny" / "journal.jsonl")[0]) == 6
    assert "the fit is kept, what there is to look at of it is not" in caplog.text
    assert capsys.readouterr().err.count("Traceback") == 0


def test_a_disk_that_is_read_only(disk: Disk, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--reports", str(disk.folder)]
    disk.writable(False)
    for again in (False, True):
        assert main(["run", str(tiny), *where, *SMALL]) == 2
        assert_one_line(capsys, "Read-only file system", disk.folder)
        if not again:
            disk.writable(True)
            assert main(["run", str(tiny), *where, *SMALL]) == 0
            capsys.readouterr()
            disk.writable(False)
    assert main(["report", "tiny", *where]) == 1
    assert_one_line(capsys, "Read-only file system", disk.folder)
    assert main(["publish", "tiny", *where]) == 2
    assert_one_line(capsys, "Read-only file system", disk.folder)
    assert main(["compare", str(disk.folder / "tiny"), "tiny", *where, "--out", str(disk.folder / "new")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(str(disk.folder / "new"))
    assert main(["describe", "noise", "--dataset", "digits", "--out", str(disk.folder / "a.png")]) == 1
    assert_one_line(capsys, "Read-only file system", disk.folder / "a.png")


def assert_one_line(capsys: pytest.CaptureFixture[str], words: str, place: Path) -> None:
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and words in errors and errors.startswith(str(place)), errors


def test_a_cache_without_space_costs_time_and_no_more(
    disk: Disk, tiny: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys
) -> None:
    monkeypatch.chdir(tiny.parent)
    monkeypatch.setenv("ARCHRUNNER_CACHE", str(disk.folder))
    disk.fill(8)
    assert main(["run", str(tiny), *SMALL]) == 0
    assert "cannot cache the data here: No space left on device" in caplog.text
    monkeypatch.setattr("tempfile.tempdir", str(disk.folder))
    capsys.readouterr()
    assert main(["run", str(tiny), *SMALL]) == 1
    assert_one_line(capsys, "No space left on device", disk.folder)


def test_a_store_without_space_gets_everything_once_later(disk: Disk, tiny: Path, runner: Command) -> None:
    store = f"sqlite:///{disk.folder / 'mlflow.db'}"
    command = ["run", tiny, "--tracking-uri", store, "--set", "grid={architecture.convs: [1]}"]
    disk.fill(100)
    down = runner(*command, publish=True)
    assert down.returncode == 0 and "not everything is in MLflow (" in down.stderr and "Traceback" not in down.stderr
    assert not (disk.folder / "mlflow.db").exists()
    disk.free()
    up = runner("publish", "tiny", "--tracking-uri", store, publish=True)
    assert (up.returncode, up.stderr) == (0, "")
    disk.fill(0)
    full = runner(*command, "--set", "seed=1", publish=True)
    assert full.returncode == 0 and "not everything is in MLflow (" in full.stderr
    disk.free()
    assert runner("publish", "tiny", "--tracking-uri", store, publish=True).returncode == 0
    assert kinds(runs_of(store)) == {"cell": 2, "fit": 6, "report": 1}


def test_a_file_that_may_not_grow(tiny: Path) -> None:
    """Another way to run out of space, which needs no rights."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    command = [RUNNER, "run", "tiny.yaml", *SMALL]
    how = {"cwd": tiny.parent, "env": environment(), "capture_output": True, "text": True, "check": False}
    done = subprocess.run(command, preexec_fn=limited, **how)  # type: ignore[call-overload]
    assert done.returncode == 1 and "File too large" in done.stderr and "Traceback" not in done.stderr
    journal = tiny.parent / "reports" / "tiny" / "journal.jsonl"
    kept = len(read(journal)[0])
    again = subprocess.run(command, **how)  # type: ignore[call-overload]
    assert again.returncode == 0 and f"{6 - kept} fits to train" in again.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_output_without_space(tiny: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([RUNNER, "plugins"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "output: No space left on device\n")
