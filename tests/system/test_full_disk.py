"""A disk that is full or read-only, at every file that a command writes."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import RUNNER, TINY, Command, environment, stable_tables
from mlflow_runs import kinds, runs_of

from runner.cli import main
from runner.journal.index import read
from runner.text import plural

pytestmark = pytest.mark.figures

SMALL = ("--executor", "serial", "--tracking-uri", "none", "--set", "training.engine=numpy",
         "--set", "grid={architecture.convs: [1, 2]}")  # fmt: skip


class Disk:
    """A file system of `size` kB in memory, which can be filled and made read-only."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        folder.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={size}k", "tmpfs")

    def _mount(self, *options: str) -> None:
        done = subprocess.run(["mount", *options, str(self.folder)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")

    def fill(self, leave: int) -> None:
        """Fill the disk up to `leave` kB."""
        status = os.statvfs(self.folder)
        (self.folder / "filler").write_bytes(bytes(max(0, status.f_bavail * status.f_frsize - 1024 * leave)))

    def free(self) -> None:
        (self.folder / "filler").unlink()

    def writable(self, yes: bool) -> None:
        self._mount("-o", f"remount,{'rw' if yes else 'ro'}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.getuid():
        pytest.skip("only root can mount a file system")
    disk = Disk(tmp_path / "disk", 16_000)
    yield disk
    subprocess.run(["umount", "-l", str(disk.folder)], check=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tables of a run with enough space."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "tiny.yaml").write_text(TINY)
    assert main(["run", str(folder / "tiny.yaml"), "--reports", str(folder), *SMALL]) == 0
    return stable_tables(folder / "tiny")


@pytest.mark.parametrize("leave", [0, 4, 8, 12, 24, 36, 64, 160])
def test_a_run_stopped_by_a_full_disk_resumes_when_there_is_space(
    leave: int, disk: Disk, tiny: Path, undisturbed: dict[str, str], capsys, caplog
) -> None:
    """The larger `leave`, the later the disk is full: at the lock, plan, journal, a fit's files or the report."""
    command = ["run", str(tiny), "--reports", str(disk.folder), *SMALL]
    report = disk.folder / "tiny"
    disk.fill(leave)
    status, errors = main(command), capsys.readouterr().err.splitlines()
    assert status in (1, 2) and "Traceback" not in "".join(errors)
    assert "No space left on device" in errors[-1] and str(report) in errors[-1]
    assert not [*report.rglob("*.partial")]
    recorded = {result.id for result in read(report / "journal.jsonl")[0]}
    trained = [line for line in errors if line.startswith("[") and "val_accuracy" in line]
    assert len(recorded) == len(trained), "a fit that is reported as finished is in the journal"
    disk.free()
    assert main(command) == 0
    printed = capsys.readouterr()
    assert f"{plural(6 - len(recorded), 'fit')} to train" in printed.err and "Traceback" not in printed.err
    # layers.csv is made from the files of the fits, which are not written again.
    incomplete = {"layers.csv"} if "the fit is recorded, but its files are not" in caplog.text else set()
    tables = stable_tables(report)
    assert {name for name in undisturbed if tables[name] != undisturbed[name]} <= incomplete


def test_a_fit_is_recorded_even_if_its_files_cannot_be_written(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """`fits` is a file here, so it cannot be used as a folder."""
    monkeypatch.chdir(tiny.parent)
    (tiny.parent / "reports" / "tiny").mkdir(parents=True)
    (tiny.parent / "reports" / "tiny" / "fits").touch()
    assert main(["run", str(tiny), *SMALL]) == 0
    assert len(read(tiny.parent / "reports" / "tiny" / "journal.jsonl")[0]) == 6
    assert "the fit is recorded, but its files are not" in caplog.text
    assert capsys.readouterr().err.count("Traceback") == 0


def test_on_a_read_only_disk_every_command_fails_with_one_line(
    disk: Disk, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = ["--reports", str(disk.folder)]
    disk.writable(False)
    for again in (False, True):
        assert main(["run", str(tiny), *reports, *SMALL]) == 1
        assert_one_line(capsys, "Read-only file system", disk.folder)
        if not again:
            disk.writable(True)
            assert main(["run", str(tiny), *reports, *SMALL]) == 0
            capsys.readouterr()
            disk.writable(False)
    assert main(["report", "tiny", *reports]) == 1
    assert_one_line(capsys, "Read-only file system", disk.folder)
    assert main(["publish", "tiny", *reports]) == 1
    assert_one_line(capsys, "Read-only file system", disk.folder)
    shutil.copytree(disk.folder / "tiny", tmp_path / "copy")
    assert main(["compare", str(tmp_path / "copy"), "tiny", *reports, "--out", str(disk.folder / "new")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(str(disk.folder / "new"))
    assert main(["describe", "noise", "--dataset", "digits", "--out", str(disk.folder / "a.png")]) == 1
    assert_one_line(capsys, "Read-only file system", disk.folder / "a.png")


def assert_one_line(capsys: pytest.CaptureFixture[str], message: str, path: Path) -> None:
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and message in errors and errors.startswith(str(path)), errors


def test_without_space_for_the_cache_the_data_go_to_a_temporary_folder(
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


def test_what_a_full_store_refused_is_published_once_later(disk: Disk, tiny: Path, here: Command) -> None:
    store = f"sqlite:///{disk.folder / 'mlflow.db'}"
    command = ["run", tiny, "--tracking-uri", store, "--set", "grid={architecture.convs: [1]}"]
    disk.fill(100)
    first = here(*command, publish=True)
    assert first.returncode == 0 and "not everything is in MLflow (" in first.stderr
    assert "Traceback" not in first.stderr
    assert not (disk.folder / "mlflow.db").exists()
    disk.free()
    later = here("publish", "tiny", "--tracking-uri", store, publish=True)
    assert (later.returncode, later.stderr) == (0, "")
    disk.fill(0)
    full = here(*command, "--set", "seed=1", publish=True)
    assert full.returncode == 0 and "not everything is in MLflow (" in full.stderr
    disk.free()
    assert here("publish", "tiny", "--tracking-uri", store, publish=True).returncode == 0
    assert kinds(runs_of(store)) == {"cell": 2, "fit": 6, "report": 2}, "each plan has its report"


def test_a_run_stopped_by_a_file_size_limit_resumes_without_it(tiny: Path) -> None:
    """Another way to run out of space, for which no rights are needed."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    command = [RUNNER, "run", "tiny.yaml", *SMALL]
    options = {"cwd": tiny.parent, "env": environment(), "capture_output": True, "text": True, "check": False}
    done = subprocess.run(command, preexec_fn=limited, **options)  # type: ignore[call-overload]
    assert done.returncode == 1 and "File too large" in done.stderr and "Traceback" not in done.stderr
    journal = tiny.parent / "reports" / "tiny" / "journal.jsonl"
    recorded = len(read(journal)[0])
    again = subprocess.run(command, **options)  # type: ignore[call-overload]
    assert again.returncode == 0 and f"{plural(6 - recorded, 'fit')} to train" in again.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_standard_output_is_one_line(tiny: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([RUNNER, "plugins"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "output: No space left on device\n")
