"""Creates a sqlite store for MLflow.

MLflow creates an empty store by running 60 migrations, which takes a second of processor time. So the first one is
cached, and later ones are copies of it.
"""

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

SCHEMA_LIBRARIES = ("mlflow", "sqlalchemy", "alembic")
"""The libraries whose versions determine the schema of an empty store."""


def create_store(file: Path) -> None:
    """Create a sqlite store atomically: MLflow cannot open a store whose creation was interrupted."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    file.parent.mkdir(parents=True, exist_ok=True)
    # Next to the store: neither a hard link nor a rename can cross file systems.
    with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=file.parent) as folder:
        partial = Path(folder) / file.name
        is_copy = _copy_cached(partial)
        store: Any = SqlAlchemyStore
        # This creates missing tables, and the default experiment, which holds the path of its artifacts.
        # Its connections are closed, because the file is copied and linked next.
        store(f"{SQLITE}{partial}", artifact_root(f"{SQLITE}{file}")).engine.dispose()
        if not is_copy:
            _cache(partial)
        try:
            # Not a rename, which would replace the store that another run has created in the meantime.
            os.link(partial, file)
        except FileExistsError:
            pass  # another run created it first
        except OSError:  # a file system without hard links
            partial.rename(file)


def _cached_file() -> Path:
    return cache_folder() / "mlflow" / f"{'-'.join(version(name) for name in SCHEMA_LIBRARIES)}.db"


def _copy_cached(target: Path) -> bool:
    """Copy the cached store to `target`; False if there is none for the installed versions or it is damaged."""
    try:
        shutil.copyfile(_cached_file(), target)
        with closing(sqlite3.connect(target)) as store:
            is_intact = store.execute("PRAGMA quick_check").fetchall() == [("ok",)]
            # An empty file passes the check, as a data base without tables.
            is_intact = is_intact and store.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    except (OSError, sqlite3.Error):
        is_intact = False
    if not is_intact:
        target.unlink(missing_ok=True)
    return is_intact


def _cache(store: Path) -> None:
    """Cache the tables of a new store; if that fails, the next store is created without the cache."""
    with suppress(OSError, sqlite3.Error, StorageError):
        # In a copy, because the store itself needs its default experiment.
        tables = shutil.copyfile(store, store.with_suffix(".tables"))
        with closing(sqlite3.connect(tables)) as content:
            content.execute("DELETE FROM experiments")  # the default one: its artifact path is specific to this store
            # `closing` only closes: without this, the deletion would be undone.
            content.commit()
        atomic_write.write(_cached_file(), tables.read_bytes())
