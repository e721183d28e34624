"""The folder of real data sets, which a fresh clone does not have, and the mark that skips tests without it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command import ROOT
from small_files import isolated_cache as isolated_cache

DATA = Path(os.environ.get("ARCHRUNNER_DATA", ROOT / ".." / "shared" / "data")).resolve()


real = pytest.mark.skipif(
    not (DATA / "mnist").is_dir(), reason=f"no real files in {DATA}; set ARCHRUNNER_DATA to their folder"
)
