"""Makes a sqlite store that was moved or copied find its artifacts.

MLflow writes the absolute folder of an experiment's artifacts into the store. In a copy it would be that of the
original, and whatever is published from the copy would be written there.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from runner.tracking.store_address import ARTIFACTS

COLUMNS = (
    ("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location"),
    ("model_versions", "source"), ("model_versions", "storage_location"),
)  # fmt: skip
"""Where MLflow 3.17 writes the folder of artifacts, or one below it."""


def adopt_place(store: Path) -> int:
    """Correct the folders of the experiments whose artifacts are next to the store, though it says elsewhere.

    Returns how many there were. A folder that the user chose, of another name, stays as it is.
    """
    here = store.parent / ARTIFACTS
    with closing(sqlite3.connect(store)) as content:
        try:
            rows = content.execute("SELECT experiment_id, artifact_location FROM experiments").fetchall()
        except sqlite3.Error:  # no store of MLflow, or one in use: its client says what is wrong
            return 0
        places = {location: _place(Path(location), here, str(id)) for id, location in rows if location}
        moved = [(old, str(new)) for old, new in places.items() if new is not None and str(new) != old]
        # Not if the artifacts stayed where they were, and the file alone was moved.
        moved = [(old, new) for old, new in moved if Path(new).is_dir() or not Path(old).is_dir()]
        if moved:
            _replace(content, moved)
    return len(moved)


def _place(location: Path, here: Path, id: str) -> Path | None:
    """The folder below `here` that `location` was, if it was one of a store's own."""
    if location.name == ARTIFACTS:
        return here
    return here / id if location.parts[-2:] == (ARTIFACTS, id) else None


def _replace(content: sqlite3.Connection, moved: list[tuple[str, str]]) -> None:
    present = {name for (name,) in content.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table, column in COLUMNS:
        for old, new in moved if table in present else ():
            content.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 - the names are those above
                f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
            )
    content.commit()
