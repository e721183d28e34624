"""The archive of a study: the same report comes from it, and a hostile one is refused before it costs anything."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from command import ROOT

from runner.errors import RunnerError
from runner.fits.records import FitResult, Look
from runner.journal.index import index
from runner.journal.line import encode
from runner.planning import plan_file
from runner.reporting.journal_frames import read_frames
from runner.reporting.pages.write import write_report
from runner.tracking.study_archive import pack, unpack

GALLERY = ROOT / "reports" / "gallery" / "depth"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    pack(plan_file.read(GALLERY / "plan.yaml"), GALLERY, tmp_path / "study.zip")
    return tmp_path / "study.zip"


def test_the_report_from_an_archive_has_the_same_bytes(tmp_path: Path) -> None:
    """With fits of other plans and several lines for a fit in the journal, and looks, which say what was seen when."""
    origin = Path(shutil.copytree(GALLERY, tmp_path / "origin"))
    lines = (GALLERY / "journal.jsonl").read_text().splitlines(keepends=True)
    fits = [line for line in lines if '"look":' not in line]
    first = json.loads(fits[0])["fit"]["id"]
    foreign = encode(of_another_plan(origin)).decode()
    look = encode(Look(1, adaptive=False)).decode()
    (origin / "journal.jsonl").write_text("".join([foreign, *fits[:10], look, *fits[10:], fits[0], look]))
    plan = plan_file.read(origin / "plan.yaml")
    pack(plan, origin, tmp_path / "study.zip")
    (copy := tmp_path / "copy").mkdir()
    assert unpack(tmp_path / "study.zip", copy) == plan
    assert sorted(index(copy / "journal.jsonl")[0]) == sorted(fit for fits in plan.fits.values() for fit in fits)
    assert (copy / "journal.jsonl").read_text().count(first) == 2
    for folder in (origin, copy):
        for old in (*folder.glob("report.*"), *folder.glob("tables/*")):
            old.unlink()
        write_report(plan, read_frames(plan, folder), folder, ("csv", "tex"))
    tables = {path.name: path.read_bytes() for path in (origin / "tables").iterdir()}
    assert len(tables) > 8 and tables == {path.name: path.read_bytes() for path in (copy / "tables").iterdir()}
    arrays = sorted(path.name for path in (copy / "fits").iterdir())
    assert arrays == sorted(f"{fits[0]}.npz" for fits in plan.fits.values()), "only what a report shows"


def of_another_plan(folder: Path) -> FitResult:
    results, _ = index(folder / "journal.jsonl")
    return replace(next(iter(results.values())), id="0" * 16)


def rewritten(archive: Path, change: Callable[[dict[str, bytes]], None], **options: int) -> Path:
    """The archive with other entries, in place of the first one."""
    with zipfile.ZipFile(archive) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    change(entries)
    archive.unlink()
    with zipfile.ZipFile(archive, "w", **options) as file:  # type: ignore[arg-type]
        for name, content in entries.items():
            file.writestr(name, content)
    return archive


def test_names_in_the_archive_are_not_used(archive: Path, tmp_path: Path) -> None:
    def add(entries: dict[str, bytes]) -> None:
        entries |= {"../out": b"1", "/tmp/out": b"1", "fits/../../out": b"1", "report.html": b"1", "fits/x.npz": b"1"}

    (folder := tmp_path / "a" / "b").mkdir(parents=True)
    unpack(rewritten(archive, add), folder)
    assert not [*tmp_path.rglob("out")] and not (folder / "report.html").exists()
    assert not (folder / "fits" / "x.npz").exists() and (folder / "journal.jsonl").is_file()


def test_a_plan_that_names_a_path_is_refused(archive: Path, tmp_path: Path) -> None:
    plan = plan_file.read(GALLERY / "plan.yaml")
    fit = next(iter(plan.fits.values()))[0]

    def change(entries: dict[str, bytes]) -> None:
        entries["plan.yaml"] = entries["plan.yaml"].replace(fit.encode(), b"../../out")
        entries["fits/../../out.npz"] = b"1"

    (folder := tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(RunnerError, match="is not a valid fit id"):
        unpack(rewritten(archive, change), folder)
    assert not [*tmp_path.rglob("out.npz")]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(b"no archive"), "File is not a zip file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-5000]), "File is not a zip file"),
        (lambda path: rewritten(path, lambda entries: entries.pop("plan.yaml")), "no item named 'plan.yaml'"),
        (lambda path: rewritten(path, lambda entries: entries.pop("journal.jsonl")), "no item named 'journal.jsonl'"),
        (lambda path: rewritten(path, lambda entries: None, compression=zipfile.ZIP_LZMA), "packed in another way"),
        (lambda path: flip(path), "Bad CRC-32 for file 'plan.yaml'"),
        (lambda path: change_directory(path, 24, 4_000_000_000), "announces 4,001 MB"),
        (lambda path: change_directory(path, 42, 4_000_000_000), "("),  # the place of its content
    ],
)
def test_a_damaged_or_hostile_archive_is_refused_in_one_line(
    damage: Callable[[Path], object], reason: str, archive: Path, tmp_path: Path
) -> None:
    damage(archive)
    (folder := tmp_path / "new").mkdir()
    with pytest.raises(RunnerError, match="study.zip: not an archive of a study") as caught:
        unpack(archive, folder)
    assert reason in str(caught.value) and "\n" not in str(caught.value)
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1_000_000


def flip(path: Path) -> None:
    """Change a byte of the stored plan."""
    rewritten(path, lambda entries: None, compression=zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[content.index(b"description:") + 15] ^= 1
    path.write_bytes(content)


def change_directory(path: Path, offset: int, value: int) -> None:
    """Change a number in the journal's entry of the central directory: its size at 24, or its place at 42."""
    content = bytearray(path.read_bytes())
    place = content.rindex(b"journal.jsonl") - 46
    assert content[place : place + 4] == b"PK\x01\x02"
    content[place + offset : place + offset + 4] = value.to_bytes(4, "little")
    path.write_bytes(content)
    entry = zipfile.ZipFile(io.BytesIO(content)).getinfo("journal.jsonl")
    assert value in (entry.file_size, entry.header_offset)
