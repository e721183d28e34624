"""The line by which a run says how to look at the study in MLflow's UI.

The report has no such line: its bytes are the same on every machine and for every store, and an address is not.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from runner.tracking.store_address import NONE, store_uri


def browse_line(study: str, reports: Path, tracking_uri: str | None) -> str:
    """``browse: runner ui STUDY``, with the page's address if a server has it already; "" if nothing is published."""
    uri = store_uri(tracking_uri, reports)
    if uri == NONE:
        return ""
    options = [*(["--reports", str(reports)] if reports != Path("reports") else [])]
    options += ["--tracking-uri", tracking_uri] if tracking_uri else []
    command = shlex.join(["runner", "ui", study, *options])
    address = _address(uri, study) if uri.startswith(("http://", "https://")) else ""
    return f"browse: {command}{address and f', or {address}'}"


def _address(uri: str, study: str) -> str:
    from runner.errors import RunnerError
    from runner.tracking.ui_address import NoAnswer, Server

    try:
        return Server(uri).find_page(study).address
    except (NoAnswer, RunnerError):  # the command will say why
        return ""
