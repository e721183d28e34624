"""What a node of a cluster gets: its plugins and data are used there, and are what was planned."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from engine_fits import built_fit

from runner.data import parts
from runner.errors import ChangedCodeError, DataError, RunnerError
from runner.fits.records import FitSpec
from runner.workers.cluster import facts, shipment
from runner.workers.cluster.shipment import pack, unpack

IMAGES = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
LABELS = np.array([0, 1])


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FitSpec:
    """A fit of a driver whose files are in `driver`; the node's cache is empty."""
    folder = tmp_path / "driver"
    (folder / "data").mkdir(parents=True)
    parts.write_part(folder / "data", IMAGES, LABELS)
    (folder / "blocks").mkdir()
    (folder / "blocks" / "__init__.py").write_text("NAME = 'block'\n")
    (folder / "blocks" / "table.txt").write_text("1 2 3")
    (folder / "fits").mkdir()
    monkeypatch.setenv("ARCHRUNNER_CACHE", str(tmp_path / "node"))
    code = {str(folder / "blocks" / "__init__.py"): hashlib.sha256(b"NAME = 'block'\n").hexdigest()[:16]}
    return replace(
        built_fit().spec, data=str(folder / "data"), plugin_files=(str(folder / "blocks"),), code=code,
        folder=str(folder / "fits"),
    )  # fmt: skip


def leave(spec: FitSpec) -> None:
    """Nothing of the driver is seen any more."""
    Path(spec.folder).parent.rename(Path(spec.folder).parent.with_name("gone"))


def test_a_node_on_the_same_machine_uses_everything_where_it_is(spec: FitSpec) -> None:
    place = unpack(pack(spec))
    assert place.lacking == () and place.move(spec).__dict__ == spec.__dict__


def test_a_node_elsewhere_gets_plugins_and_data_once_and_with_the_same_content(spec: FitSpec, tmp_path: Path) -> None:
    packed = pack(spec)
    leave(spec)
    place = unpack(packed)
    assert place.lacking == (spec.data,)
    place.store(spec.data, IMAGES, LABELS, packed.parts[spec.data])
    moved = place.move(spec)
    images, labels = parts.read(moved.data)
    assert (images == IMAGES).all() and (labels == LABELS).all()
    (plugin,) = map(Path, moved.plugin_files)
    assert plugin.is_relative_to(tmp_path / "node") and (plugin / "table.txt").read_text() == "1 2 3"
    assert {Path(path).read_bytes() for path in moved.code} == {b"NAME = 'block'\n"}
    assert list(moved.code.values()) == list(spec.code.values())
    assert Path(moved.folder).is_dir() and Path(moved.folder).is_relative_to(tmp_path / "node")
    again = unpack(packed)
    assert (again.lacking, again.root) == ((), place.root), "the next worker on the node finds them there"


def test_a_plugin_that_is_not_the_planned_one_is_not_sent(spec: FitSpec) -> None:
    (path,) = spec.code
    Path(path).write_text("NAME = 'other'\n")
    with pytest.raises(ChangedCodeError, match=r"__init__\.py changed after the run was planned"):
        pack(spec)


def test_a_folder_of_plugins_with_much_data_is_refused(spec: FitSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipment, "MOST_BYTES", 3)
    with pytest.raises(RunnerError, match="keep data in a folder of their own"):
        pack(spec)


def test_other_data_than_planned_are_refused(spec: FitSpec) -> None:
    packed = pack(spec)
    leave(spec)
    with pytest.raises(DataError):
        unpack(packed).store(spec.data, IMAGES + 1, LABELS, packed.parts[spec.data])


def test_damaged_data_of_the_node_are_not_used(spec: FitSpec) -> None:
    packed = pack(spec)
    leave(spec)
    unpack(packed).store(spec.data, IMAGES, LABELS, packed.parts[spec.data])
    (images,) = (Path(shipment.cache_folder()) / "prepared").rglob("images.npy")
    content = bytearray(images.read_bytes())
    content[-1] ^= 1
    images.write_bytes(content)
    assert unpack(packed).lacking == (spec.data,)


def test_the_settings_of_a_worker_are_those_of_the_local_pool(spec: FitSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    sent = pack(spec).environment
    assert (sent["OMP_NUM_THREADS"], sent["MKL_CBWR"], sent["ONEDNN_MAX_CPU_ISA"]) == ("3", "AVX2", None)
    assert sent["MALLOC_TRIM_THRESHOLD_"] == "1000000000"


def test_paths_of_imports_above_the_plugins_go_along(spec: FitSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    above = str(Path(spec.plugin_files[0]).parent)
    monkeypatch.setattr(sys, "path", [above, *sys.path])
    assert above in pack(spec).paths


def test_the_facts_of_a_node_name_versions_and_our_own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = facts.node_facts(["numpy", "no-such-distribution"])
    assert found["numpy"] == np.__version__ and found["no-such-distribution"] == "none"
    assert len(found[facts.OURS]) == 16 and found == facts.node_facts(["numpy", "no-such-distribution"])
    assert found[facts.PROCESSOR]
