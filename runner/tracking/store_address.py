"""The address of the MLflow store, determined without importing MLflow."""

from __future__ import annotations

import os
import re
from pathlib import Path

from runner.errors import RunnerError
from runner.files.own_files import refuse_links

SQLITE = "sqlite:///"
ARTIFACTS = "mlartifacts"
"""The folder of artifacts next to a sqlite store."""

NONE = "none"
"""Given instead of a tracking URI, it means: publish nothing."""


def store_uri(given: str | None, reports: Path) -> str:
    """The tracking URI: `given`, or else from the environment, or else a sqlite file in the `reports` folder.

    Raises RunnerError if it is not a URI, if it was given on the command line and contains a password, or if a link is
    in the place of the file in `reports` or of its artifacts.
    """
    uri = given or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        for name in ("mlflow.db", "mlflow.db-journal", "mlflow.db-wal", "mlflow.db-shm", ARTIFACTS):
            refuse_links(reports / name)
        uri = f"{SQLITE}{reports.resolve() / 'mlflow.db'}"
    if uri.startswith(SQLITE):
        # Absolute: the ledger identifies a store by this text, from whatever folder a command is started.
        return SQLITE + str(Path(uri[len(SQLITE) :]).resolve())
    where = "--tracking-uri" if given else "$MLFLOW_TRACKING_URI"
    if given and mask_credentials(given) != given:
        raise RunnerError(
            f"{where}: contains a password, which other users of this machine can see; set $MLFLOW_TRACKING_URI, or "
            "$MLFLOW_TRACKING_USERNAME and $MLFLOW_TRACKING_PASSWORD, in the environment instead"
        )
    # MLflow would take any other text for a folder of files, a kind of store that it no longer maintains.
    if "://" not in uri and uri not in (NONE, "databricks"):
        expected = f"expected an address, such as http://HOST:PORT or {SQLITE}FILE, or none"
        raise RunnerError(f"{where}: found '{mask_credentials(uri)}'; {expected}")
    return uri


def sqlite_file(uri: str) -> Path | None:
    """The file of a sqlite store; None for a server."""
    return Path(uri[len(SQLITE) :]) if uri.startswith(SQLITE) else None


def artifact_root(uri: str) -> str | None:
    """The artifact folder of a sqlite store, which is next to it; None for a server, which decides for itself."""
    file = sqlite_file(uri)
    return str(file.parent / ARTIFACTS) if file else None


def mask_credentials(text: str) -> str:
    """The text with user names, passwords and tokens in its addresses replaced by ``***``."""
    # Up to the last @, as a password may contain one.
    text = re.sub(r"(\w://)[^/\s'\"]*@", r"\1***@", text)
    return re.sub(r"(?i)([?&]\w*(?:password|passwd|token|secret|key)\w*=)[^&\s'\"]*", r"\1***", text)
