"""Publishes what stands beside the runs of a study: its saved networks, and the archive that its report is made from.

Both come after the report, so that what people look at first is there first.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from runner.files.build_stamp import file_states
from runner.files.content_hash import content_id
from runner.planning.plan import Plan
from runner.tracking import study_archive
from runner.tracking.ledger import Ledger
from runner.tracking.logged_networks import NetworkLog, SavedNetwork
from runner.tracking.mlflow_tracker import MlflowTracker, Wishes
from runner.tracking.mlflow_values import expected_runs
from runner.tracking.server_address import ledger_name

log = logging.getLogger("runner.tracking")

Networks = Callable[[Plan, Path], Sequence[SavedNetwork]]
"""The saved networks of a plan that belong into MLflow, from its folder."""


class StudyTracker(MlflowTracker):
    """An `MlflowTracker` that also publishes the saved networks of a study and the archive of its report."""

    def __init__(self, uri: str, folder: Path, networks: Networks, wishes: Wishes) -> None:
        super().__init__(uri, folder, wishes)
        self._networks = networks
        # Entries of their own: those of the runs are compared with the runs in the store.
        self._beside = Ledger(folder / "mlflow.jsonl", f"{ledger_name(uri)} beside the runs")

    def publish_report(self, plan: Plan, folder: Path, state: str = "") -> None:
        super().publish_report(plan, folder, state)
        self._publish_archive(plan, folder)
        _, refused = self.publish_networks(plan, self._networks(plan, folder))
        for line in refused:
            log.warning("%s", line)

    def publish_networks(
        self, plan: Plan, networks: Sequence[SavedNetwork], verify: bool = False
    ) -> tuple[dict[str, str], list[str]]:
        """As `NetworkLog.log`."""
        logged = NetworkLog(plan, lambda: self.client, lambda: self.experiment_id(plan), self._run_of, self._beside)
        return logged.log(networks, verify)

    def _publish_archive(self, plan: Plan, folder: Path) -> None:
        run = self._run_of(expected_runs(plan).report)
        files = study_archive.sources(plan, folder)
        content = content_id([run, study_archive.NAME, file_states(files, folder)])
        if run is None or self._beside.is_published(study_archive.NAME, content):
            return
        with tempfile.TemporaryDirectory() as place:
            archive = Path(place) / study_archive.NAME
            study_archive.pack(plan, folder, archive)
            self.client.log_artifact(run, str(archive))
        self._beside.record(study_archive.NAME, run, content)

    def _run_of(self, key: str) -> str | None:
        """The id of the run with this key, None if there is none."""
        entry = self.ledger.entries.get(key)
        return entry.run if entry and entry.run else None
