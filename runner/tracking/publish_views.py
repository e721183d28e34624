"""Writes a study's views, and a link to its report, into its MLflow experiment."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from typing import Any

from runner.planning.plan import Plan
from runner.text import markdown
from runner.tracking.parameters import factor_parameters
from runner.tracking.saved_views import changed_tags
from runner.tracking.views import make_views

NOTE = "mlflow.note.content"
"""The tag with the experiment's description, whose first line MLflow's UI shows above the runs."""

log = logging.getLogger("runner.tracking")


def publish_views(client: Any, experiment: str, plan: Plan, tags: Mapping[str, str]) -> None:
    """Set what differs between the views of the plan and the `tags` that the experiment has.

    A failure leaves the experiment without some view and never stops what is published after this.
    """
    try:
        changed, stale = changed_tags(make_views(plan, factor_parameters(plan)), tags, int(time.time() * 1000))
        for key, value in changed.items():
            client.set_experiment_tag(experiment, key, value)
        for key in stale:
            client.delete_experiment_tag(experiment, key)
    except Exception:  # whatever a server or its client raises
        log.debug("no view", exc_info=True)


def link_report(client: Any, experiment: str, plan: Plan, run: str) -> None:
    """Put a link to the report of the MLflow run `run` behind the experiment's description.

    A description that somebody has changed in the UI stays as it is, and a failure leaves the link out.
    """
    description = markdown(plan.description)
    # Relative to the page, so that it holds whatever the server is called and whatever prefix it has.
    link = f"[Report](#/experiments/{experiment}/runs/{run}/artifacts/report.html?workflowType=machine_learning)"
    note = f"{description} {link}".strip()
    try:
        old = client.get_experiment(experiment).tags.get(NOTE, "")
        if old != note and re.fullmatch(rf"{re.escape(description)}( ?{_LINK})?", old):
            client.set_experiment_tag(experiment, NOTE, note)
    except Exception:  # whatever a server or its client raises
        log.debug("no link", exc_info=True)


_LINK = r"\[Report\]\(#[\w/.?=-]*\)"
