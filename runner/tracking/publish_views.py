"""Writes a study's views, its state and a link to its report into its MLflow experiment."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from typing import Any

from runner.journal.index import Results
from runner.planning.plan import Plan
from runner.text import markdown, plural
from runner.tracking.experiment import set_tags
from runner.tracking.parameters import factor_parameters
from runner.tracking.saved_views import changed_tags
from runner.tracking.views import make_views

NOTE = "mlflow.note.content"
"""The tag with the experiment's description, whose first line MLflow's UI shows above the runs."""

PROGRESS = "runner.progress"
"""The tag that says how many fits have ended: on the experiment of all, on a cell's run of its own until all have."""

STATE = "runner.state"
"""The tag of the experiment and the report with what the last look found at a study whose repeats stop when decided."""

MOST_CHARACTERS = 5000
"""MLflow's limit for the value of an experiment's tag."""

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


def publish_state(
    client: Any, experiment: str, plan: Plan, results: Results, state: str | None, tags: dict[str, str]
) -> None:
    """Set what differs between the progress and the `state` of a study and the `tags` of its experiment, and note it.

    At most two calls. The state is as for `Tracker.show`; a failure leaves the tags as they are.
    """
    ended = results.select(fit for fits in plan.fits.values() for fit in fits)
    failed = ended.count_status("failed")
    progress = f"{len(ended):,} of {plural(plan.fit_count, 'fit')}{f', {failed:,} failed' if failed else ''}"
    wanted = {PROGRESS: progress} | ({} if state is None else {STATE: state[:MOST_CHARACTERS]})
    # A study whose repeats are fixed has no state, unless it once had looks.
    wanted = {tag: text for tag, text in wanted.items() if text or tag in tags}
    try:
        set_tags(client, experiment, tags, wanted)
        tags |= wanted
    except Exception:  # whatever a server or its client raises
        log.debug("no state", exc_info=True)


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
