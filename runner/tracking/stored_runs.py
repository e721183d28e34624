"""The runs of a study in the store: found by one search, put in order, and created where they are missing.

Every run carries the tag ``runner.key``, by which it is found again after a crash, from another machine, or without a
ledger; ``runner.content``, the hash of what was published to it; and ``runner.current``, yes for the newest plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from runner.text import plural
from runner.tracking.colours import COLOUR
from runner.tracking.connection import Connection
from runner.tracking.ledger import Ledger
from runner.tracking.refusals import concerns_one_item

NAMES = ("key", "content", "plan", "current", "kind", "live")
KEY, CONTENT, PLAN, CURRENT, KIND, LIVE = (f"runner.{name}" for name in NAMES)
PARENT = "mlflow.parentRunId"
FINAL = ("FINISHED", "FAILED")
"""The states of a run to which everything was published."""


@dataclass(frozen=True)
class Expected:
    """The runs that a plan has: the keys of the fits' runs by that of their cell's, and the key of the report's."""

    study: str
    plan: str
    cells: Mapping[str, Sequence[str]]
    report: str

    @property
    def keys(self) -> list[str]:
        return [*self.cells, *(fit for fits in self.cells.values() for fit in fits), self.report]


@dataclass
class StoredRuns:
    """What is known of the runs in an experiment.

    `open` are the runs, by key, to which something is still to be published; `deleted` those that a person deleted.
    `notes` are sentences about what was found and put in order. `created` are the keys of
    the runs that were created in this process.
    """

    connection: Connection
    ledger: Ledger
    experiment: str = ""
    open: dict[str, str] = field(default_factory=dict)
    deleted: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    plan: str = ""
    created: set[str] = field(default_factory=set)
    _places: dict[str, str] = field(default_factory=dict)

    @property
    def client(self) -> Any:
        return self.connection.client

    def expect_none(self, experiment: str, plan: str) -> None:
        """The experiment is new: whatever the ledger has was lost with another store."""
        self.experiment, self.plan = experiment, plan
        self.ledger.clear()
        self.open, self.deleted, self.notes = {}, {}, []

    def look(self, experiment: str, expected: Expected, restore: bool) -> None:
        """Search the experiment, put in order what is found there, and bring the ledger into line with it.

        Of several runs with one key (two machines, or a request that was sent again), one stays. What a person deleted
        stays deleted unless `restore`; with a deleted cell its fits go, as MLflow shows them without it otherwise.
        """
        self.experiment, self.plan = experiment, expected.plan
        self.open, self.deleted, self.notes = {}, {}, []
        found: dict[str, list[Any]] = {}
        for run in self._search():
            found.setdefault(run.data.tags[KEY], []).append(run)
        self._retire_other_plans(expected, found)
        twice = 0
        # Also those of repeats that the plan does not have yet, as it grows until it is decided.
        grown = [key for key, runs in found.items() if any(run.data.tags.get(PLAN) == expected.plan for run in runs)]
        for key in dict.fromkeys([*expected.keys, *grown]):
            # By id and nothing else: two machines that look at the same time must choose the same one.
            present = sorted(
                (run for run in found.get(key, []) if run.info.lifecycle_stage == "active"),
                key=lambda run: run.info.run_id,
            )
            gone = [run for run in found.get(key, []) if run.info.lifecycle_stage != "active"]
            if not present and gone and restore:
                self.client.restore_run(gone[0].info.run_id)
                present = gone[:1]
            if present and self._is_unclear(key, present[0]):
                self.retire(present.pop(0).info.run_id)
            for run in present[1:]:
                self.retire(run.info.run_id)
            twice += len(present[1:])
            if present:
                self._adopt(key, present[0])
            elif gone:
                self.deleted[key] = gone[0].info.run_id
                self.ledger.forget(key)
            else:
                self.ledger.forget(key)
        self._put_under_their_cells(expected, found)
        if twice:
            self.notes.append(f"{plural(twice, 'run')} that MLflow had twice: deleted")
        if lost := [key for key in self.deleted if not key.startswith("fit:") or key in self._deleted_alone(expected)]:
            cure = f"`runner publish {expected.study} --restore` brings back what was deleted"
            self.notes.append(f"deleted in MLflow, and left out: {_count_kinds(lost)}; {cure}")

    def get(self, key: str, name: str, tags: Mapping[str, str], start: int | None) -> str | None:
        """The id of the run with the key `key`, created if it is missing; None if a person deleted it."""
        if key in self.deleted:
            return None
        entry = self.ledger.entries.get(key)
        if entry is not None and entry.run:
            if not entry.content:
                self.open[key] = entry.run
            return entry.run
        return self._create(key, name, tags, start)

    def replace(self, key: str, name: str, tags: Mapping[str, str], start: int | None) -> str:
        """A new run in place of the one with the key `key`, whose values are no longer true.

        Values that are logged again at the same steps would be shown beside the old ones.
        """
        old = self.ledger.entries[key].run
        kept = {}
        if old:
            present = self.client.get_run(old).data.tags
            kept = {tag: value for tag, value in present.items() if not tag.startswith(("runner.", "mlflow."))}
            kept |= {COLOUR: present[COLOUR]} if COLOUR in present else {}  # a person may have picked it
            self.retire(old)
        return self._create(key, name, {**tags, **kept}, start)

    def move(self, key: str, parent: str) -> None:
        """Put the run of a fit under another run of its cell."""
        entry = self.ledger.entries.get(key)
        if entry is not None and entry.run:
            self.client.set_tag(entry.run, PARENT, parent)

    def log_text(self, run: str, text: str, name: str) -> None:
        """Write `text` as the artifact `name` of a run; MLflow's own call asks for the folder of each run."""
        place = self._places.get(run)
        if place is None:
            self.client.log_text(run, text, name)
            return
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with TemporaryDirectory() as folder:
            (file := Path(folder, name)).write_text(text, encoding="utf-8")
            repository = get_artifact_repository(place, tracking_uri=self.connection.uri)
            repository.log_artifact(str(file))  # type: ignore[no-untyped-call]

    def close(self, key: str, run: str, content: str) -> None:
        """Everything is published: only now does the ledger say so, as after a crash it would be sent again."""
        self.ledger.record(key, run, content)
        self.open.pop(key, None)

    def retire(self, run: str) -> None:
        """Delete a run that another one stands for. Without its key it cannot be taken for one a person deleted."""
        try:
            self.client.set_tag(run, KEY, "replaced")
            self.client.delete_run(run)
        except Exception as error:
            if not concerns_one_item(error):
                raise  # else another machine that looks at the same runs was faster

    def _create(self, key: str, name: str, tags: Mapping[str, str], start: int | None) -> str:
        self.ledger.record(key)
        tags = {**tags, KEY: key, PLAN: self.plan, CURRENT: "yes"}
        info = self.client.create_run(self.experiment, start_time=start, tags=tags, run_name=name).info
        run = str(info.run_id)
        self._places[run] = info.artifact_uri
        self.open[key] = run
        self.ledger.record(key, run)
        self.created.add(key)
        return run

    def _search(self) -> Iterator[Any]:
        from mlflow.entities import ViewType

        token = None
        while True:
            # Runs without a key are not ours: other programs may use the experiment too.
            page = self.client.search_runs(
                [self.experiment], f"tags.`{KEY}` != '' and tags.`{KEY}` != 'replaced'", ViewType.ALL, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _is_unclear(self, key: str, run: Any) -> bool:
        """Whether nobody knows which values the run holds, so that others could come to stand beside them.

        It is of an earlier version and not in the ledger, or of a fit whose training was watched and then killed.
        """
        if LIVE in run.data.tags and not _is_complete(run):
            return True
        entry = self.ledger.entries.get(key)
        known = entry is not None and entry.run == run.info.run_id and entry.content != ""
        return PLAN not in run.data.tags and not known

    def _adopt(self, key: str, run: Any) -> None:
        id, tags = run.info.run_id, run.data.tags
        entry = self.ledger.entries.get(key)
        # A run of an earlier version has no hash; the ledger knows it.
        known = entry.content if entry and entry.run == id else ""
        content = tags.get(CONTENT, known) if _is_complete(run) else ""
        if entry is None or (entry.run, entry.content) != (id, content):
            self.ledger.record(key, id, content)
        if run.info.status == "RUNNING":
            self.open[key] = id
        self.tag(id, tags, {PLAN: self.plan, CURRENT: "yes"})

    def tag(self, run: str, present: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        """Set those of the run's tags that differ from the `present` ones."""
        from mlflow.entities import RunTag

        changed = [RunTag(key, value) for key, value in wanted.items() if present.get(key) != value]
        if changed:
            self.client.log_batch(run, tags=changed)

    def _retire_other_plans(self, expected: Expected, found: Mapping[str, Sequence[Any]]) -> None:
        """Mark the runs of other plans as not current, and say which are not from this folder."""
        keys = set(expected.keys)
        own, foreign = 0, dict[str, int]()
        for key, runs in found.items():
            for run in runs if key not in keys else ():
                tags = run.data.tags
                if run.info.lifecycle_stage != "active" or tags.get(CURRENT) == "no" or tags.get(PLAN) == expected.plan:
                    continue
                self.tag(run.info.run_id, tags, {CURRENT: "no"})
                if run.info.status == "RUNNING":
                    self.client.set_terminated(run.info.run_id, "KILLED")
                if tags.get(KIND) == "cell":
                    if key in self.ledger.entries:
                        own += 1
                    else:
                        host = tags.get("runner.host", "an earlier version")
                        foreign[host] = foreign.get(host, 0) + 1
        if own:
            self.notes.append(f"{plural(own, 'cell')} of an earlier plan: no longer shown by the views")
        for host, count in foreign.items():
            self.notes.append(
                f"{plural(count, 'cell')} of another plan of this name, published from {host}: no longer shown by the "
                "views; give one of the two studies another name"
            )

    def _put_under_their_cells(self, expected: Expected, found: Mapping[str, Sequence[Any]]) -> None:
        for cell, fits in expected.cells.items():
            entry = self.ledger.entries.get(cell)
            for fit in fits:
                stored = self.ledger.entries.get(fit)
                if stored is None or not stored.run:
                    continue
                if cell in self.deleted:
                    self.client.delete_run(stored.run)
                    self.deleted[fit] = stored.run
                    self.ledger.forget(fit)
                elif entry is not None:
                    (run,) = (run for run in found[fit] if run.info.run_id == stored.run)
                    self.tag(stored.run, run.data.tags, {PARENT: entry.run})

    def _deleted_alone(self, expected: Expected) -> set[str]:
        """The deleted fits whose cell is there."""
        return {fit for cell, fits in expected.cells.items() if cell not in self.deleted for fit in fits}


def _is_complete(run: Any) -> bool:
    return run.info.status in FINAL


def _count_kinds(keys: Sequence[str]) -> str:
    counts = {kind: sum(key.startswith(kind) for key in keys) for kind in ("cell", "fit", "report")}
    return " and ".join(plural(count, kind) for kind, count in counts.items() if count)
