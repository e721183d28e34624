"""The address of a tracking server, as a browser opens it and as the ledger knows it."""

from __future__ import annotations

import os
import re

from runner.tracking.store_address import SQLITE


def to_open(uri: str) -> str:
    """The address of the UI of the server at `uri`, without a user name and password, in the user's workspace.

    A browser asks for the password itself. Below a path prefix, MLflow answers 403 if the slash at the end is missing
    (`findings/mlflow_forbids_its_prefix_without_a_slash.sh`).
    """
    address = re.sub(r"(://)[^/\s]*@", r"\1", uri).rstrip("/")
    if workspace := _workspace():
        return f"{address}/#/?workspace={workspace}"
    return f"{address}/" if "/" in address.partition("://")[2] else address


def ledger_name(uri: str) -> str:
    """What the ledger calls the store at `uri`: what is published to one workspace is missing in the others."""
    return uri if uri.startswith(SQLITE) or not _workspace() else f"{uri} (workspace {_workspace()})"


def _workspace() -> str:
    """The workspace that MLflow's client uses, if the server has workspaces; "" for the server's default one."""
    return os.environ.get("MLFLOW_WORKSPACE", "").strip()
