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

DATABASES = r"(sqlite|postgresql|mysql|mssql)(\+\w+)?://"
"""The addresses that MLflow opens as a data base. There may be other kinds of store, from packages that extend it."""

NONE = "none"
"""Given instead of a tracking URI, it means: publish nothing."""


def store_uri(given: str | None, reports: Path, option: str = "--tracking-uri") -> str:
    """The tracking URI: `given` with `option`, or else from the environment, or else a sqlite file in `reports`.

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
    where = option if given else "$MLFLOW_TRACKING_URI"
    if given and mask_credentials(given) != given:
        raise RunnerError(
            f"{where}: contains a password, which other users of this machine can see; set $MLFLOW_TRACKING_URI, or "
            "$MLFLOW_TRACKING_USERNAME and $MLFLOW_TRACKING_PASSWORD, in the environment instead"
        )
    _refuse_folder(uri, where)
    return uri


def _refuse_folder(uri: str, where: str) -> None:
    """Raise RunnerError if MLflow would take `uri` for a folder of files, a kind of store that it no longer writes."""
    is_file = uri.startswith("file:")
    if is_file and "://" in uri and os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("true", "1"):
        return
    if not is_file and ("://" in uri or uri in (NONE, "databricks")):
        return
    path, nearest = Path(re.sub("^file:(//)?", "", uri)), f"http://HOST:PORT or {SQLITE}FILE"
    cure = ""
    if is_file or path.is_dir() or path.name == "mlruns":
        cure, nearest = (
            f"MLflow no longer writes to folders of files, but `mlflow migrate-filestore --source {path} "
            f"--target {SQLITE}FILE` converts one; ",
            f"{SQLITE}FILE",
        )
    elif re.fullmatch(r"[\w.-]+:\d+(/.*)?", uri):
        nearest = f"http://{uri}"
    elif path.suffix in (".db", ".sqlite", ".sqlite3"):
        nearest = f"{SQLITE}{uri}"
    shown = mask_credentials(f"x://{uri}")[4:] if "://" not in uri else mask_credentials(uri)
    raise RunnerError(f"{where}: found '{shown}'; {cure}expected an address, such as {nearest}, or none")


def sqlite_file(uri: str) -> Path | None:
    """The file of a sqlite store; None for a server."""
    return Path(uri[len(SQLITE) :]) if uri.startswith(SQLITE) else None


def artifact_root(uri: str, reports: Path | None = None) -> str | None:
    """The artifact folder of a data base: next to a sqlite file, else in `reports`, where MLflow would use the current
    folder; None for a server, which decides for itself.
    """
    file = sqlite_file(uri)
    if file is None and reports is not None and re.match(DATABASES, uri):
        refuse_links(reports / "mlartifacts")
        return str(reports.resolve() / "mlartifacts")
    return str(file.parent / ARTIFACTS) if file else None


def mask_credentials(text: str) -> str:
    """The text with user names, passwords and tokens in its addresses replaced by ``***``."""
    # Up to the last @, as a password may contain one.
    text = re.sub(r"(\w://)[^/\s'\"]*@", r"\1***@", text)
    return re.sub(r"(?i)([?&]\w*(?:password|passwd|token|secret|key)\w*=)[^&\s'\"]*", r"\1***", text)
