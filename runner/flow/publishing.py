"""The publishing step: which tracker is fed, during a run or afterwards."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from runner.errors import RunnerError
from runner.files.lock import locked
from runner.journal.index import Results, index
from runner.planning import plan_file
from runner.planning.plan import Plan
from runner.tracking.base import NullTracker, Tracker
from runner.tracking.publisher import Publisher, describe_error
from runner.tracking.store_address import NONE, mask_credentials, store_uri


def publisher_for(uri: str, plan: Plan, results: Results, folder: Path, patience: float, expecting: bool) -> Publisher:
    """The writer that feeds the store at `uri`; `expecting` says that results will be added."""
    return Publisher(partial(_tracker, uri, folder), plan, results, patience, expecting)


def publish(folder: Path, tracking_uri: str | None) -> tuple[int, int]:
    """Publish what MLflow lacks of the journal and the report in `folder`; returns the fits published and planned.

    Trains nothing and reads no data. Raises RunnerError if the store refuses.
    """
    plan, uri = plan_file.read(folder / "plan.yaml"), store_uri(tracking_uri, folder.parent)
    if uri == NONE:
        raise RunnerError("--tracking-uri none: there is no store to publish to")
    # As a run does: two that publish from one ledger at the same time could create the same MLflow runs twice.
    with locked(folder):
        results, _ = index(folder / "journal.jsonl")
        try:
            tracker = _tracker(uri, folder)
            tracker.publish(plan, results)
            tracker.publish_report(plan, folder)
            tracker.close()
        except Exception as error:
            # `from None` because --verbose logs the cause as well, and the client's own message may hold a password.
            raise RunnerError(f"{mask_credentials(uri)}: {describe_error(error)}") from None
    return len(results.select(fit for fit, *_ in plan.fit_keys())), plan.fit_count


def _tracker(uri: str, folder: Path) -> Tracker:
    if uri == NONE:
        return NullTracker()
    # Importing MLflow takes about 0.9 s; during a run this happens in the publisher's thread.
    from runner.tracking.mlflow_tracker import MlflowTracker

    return MlflowTracker(uri, folder)
