"""Where MLflow keeps its runs, without importing it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from runner.errors import RunnerError

SQLITE = "sqlite:///"
NONE = "none"
"""In the place of a tracking URI: publish nothing."""


def store_uri(given: str | None, reports: Path) -> str:
    """The tracking URI: the one given, that of the environment, or a sqlite file in the folder of the reports.

    Raises RunnerError for what is no URI.
    """
    uri = given or os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{reports.resolve() / 'mlflow.db'}"
    if uri.startswith(SQLITE):
        return SQLITE + str(Path(uri[len(SQLITE) :]).resolve())
    where = "--tracking-uri" if given else "$MLFLOW_TRACKING_URI"
    if given and masked(given) != given:
        words = "others on this machine can see it; put the address, or $MLFLOW_TRACKING_USERNAME and"
        raise RunnerError(f"{where}: holds a password, and {words} $MLFLOW_TRACKING_PASSWORD, into the environment")
    if "://" not in uri and uri not in (NONE, "databricks"):
        words = f"expected an address, such as http://HOST:PORT or {SQLITE}FILE, or none"
        raise RunnerError(f"{where}: found '{masked(uri)}'; {words}")
    return uri


def sqlite_file(uri: str) -> Path | None:
    return Path(uri[len(SQLITE) :]) if uri.startswith(SQLITE) else None


def artifact_root(uri: str) -> str | None:
    """Where a sqlite store's artifacts go: beside it. A server decides for itself."""
    file = sqlite_file(uri)
    return str(file.parent / "mlartifacts") if file else None


def masked(text: str) -> str:
    """The text without what stands for a user and a password in the addresses in it."""
    text = re.sub(r"(\w://)[^/\s'\"]*@", r"\1***@", text)
    return re.sub(r"(?i)([?&]\w*(?:password|passwd|token|secret|key)\w*=)[^&\s'\"]*", r"\1***", text)
