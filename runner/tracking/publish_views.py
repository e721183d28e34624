"""Writes a study's views into its MLflow experiment."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from runner.planning.plan import Plan
from runner.tracking.parameters import factor_parameters
from runner.tracking.saved_views import changed_tags
from runner.tracking.views import make_views

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
