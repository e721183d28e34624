"""Plans of a small study, for the tests of `match`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.experiment.load import load
from runner.planning.make_plan import make_plan
from runner.planning.plan import Plan

BASE = {
    "name": "study",
    "dataset": "fashion-mnist",
    "architecture": {"name": "stages", "width": 16, "stages": 2},
    "optimizer": "adam",
    "training": {"epochs": 2, "engine": "numpy"},
}
WIDTH = "architecture.width"


def planned(folder: Path, overrides: Sequence[str] = (), **sections: Any) -> Plan:
    """The plan of BASE with other sections of the file, and with what `--set` would be given."""
    path = folder / "study.yaml"
    path.write_text(json.dumps(BASE | sections, indent=1))
    return make_plan(load(path, overrides))
