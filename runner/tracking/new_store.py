"""A new sqlite store of MLflow's, made once by MLflow and then copied: its 60 migrations take a second of processor."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from runner.errors import StorageError
from runner.files import atomic_write
from runner.files.cache import cache_folder
from runner.tracking.store_address import SQLITE, artifact_root

MAKERS = ("mlflow", "sqlalchemy", "alembic")
"""What decides how an empty store looks."""


def make_store(file: Path) -> None:
    """A new sqlite store, there as a whole or not at all: one that was left half made can never be opened again."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=file.parent) as folder:
        partial = Path(folder) / file.name
        copied = _copied(partial)
        store: Any = SqlAlchemyStore
        # It makes the tables that are missing, and the default experiment, which says where its artifacts go.
        store(f"{SQLITE}{partial}", artifact_root(f"{SQLITE}{file}")).engine.dispose()
        if not copied:
            _keep(partial)
        try:
            os.link(partial, file)
        except FileExistsError:
            pass  # another run was faster
        except OSError:  # a file system without links
            partial.rename(file)


def _kept() -> Path:
    return cache_folder() / "mlflow" / f"{'-'.join(version(name) for name in MAKERS)}.db"


def _copied(place: Path) -> bool:
    """Lay the empty store of this version at `place`, if one was kept and is whole."""
    try:
        shutil.copyfile(_kept(), place)
        with closing(sqlite3.connect(place)) as store:
            whole = store.execute("PRAGMA quick_check").fetchall() == [("ok",)]
            whole = whole and store.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    except (OSError, sqlite3.Error):
        whole = False
    if not whole:
        place.unlink(missing_ok=True)
    return whole


def _keep(store: Path) -> None:
    """Keep a new store's tables for the next one; where that can't be, the next one takes its second again."""
    with suppress(OSError, sqlite3.Error, StorageError):
        tables = shutil.copyfile(store, store.with_suffix(".tables"))
        with closing(sqlite3.connect(tables)) as content:
            content.execute("DELETE FROM experiments")  # the default one: its artifacts have another place each time
            content.commit()
        atomic_write.write(_kept(), tables.read_bytes())
