"""The address of a tracking server as the ledger knows it."""

from __future__ import annotations

import os

from runner.tracking.store_address import SQLITE


def ledger_name(uri: str) -> str:
    """What the ledger calls the store at `uri`: what is published to one workspace is missing in the others."""
    return uri if uri.startswith(SQLITE) or not _workspace() else f"{uri} (workspace {_workspace()})"


def _workspace() -> str:
    """The workspace that MLflow's client uses, if the server has workspaces; "" for the server's default one."""
    return os.environ.get("MLFLOW_WORKSPACE", "").strip()
