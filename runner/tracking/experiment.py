"""The MLflow experiment of a study: found or created, and refused if it is not the study's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import RunnerError
from runner.files.content_hash import content_id
from runner.planning.plan import Plan
from runner.text import markdown
from runner.tracking.connection import Connection
from runner.tracking.refusals import Refused, concerns_one_item, refused
from runner.tracking.store_address import artifact_root

STUDY = "runner.study"
"""The tag of the study's name, by which an experiment is known as ours."""

NOTE, NOTE_HASH = "mlflow.note.content", "runner.description"
"""The description as MLflow's UI shows it, and the hash of what was written there last."""


@dataclass(frozen=True)
class Experiment:
    """An MLflow experiment; `is_new` says that it was created just now, and so has no runs."""

    id: str
    name: str
    tags: Mapping[str, str]
    is_new: bool = False


def open_experiment(connection: Connection, plan: Plan, name: str, reports: Path, restore: bool) -> Experiment:
    """The experiment `name` of the study of `plan`, created if there is none; `reports` is the folder of its reports.

    Raises RunnerError if it was deleted, unless `restore`, or if it belongs to somebody else.
    """
    client = connection.client
    found = client.get_experiment_by_name(name)
    if found is None:
        tags = {STUDY: plan.name, **_note(plan)}
        try:
            id = client.create_experiment(name, artifact_root(connection.uri, reports), tags=tags)
        except Exception as error:
            if not concerns_one_item(error):
                raise
            found = client.get_experiment_by_name(name)  # another machine may have created it since
            if found is None:
                raise Refused(refused(error) or str(error)) from error
        else:
            return Experiment(id, name, tags, True)
    if found.lifecycle_stage == "deleted":
        if not restore:
            raise RunnerError(
                f"the experiment '{name}' was deleted in MLflow; `runner publish {plan.name} --restore` brings it "
                f"back, and `runner publish {plan.name} --as NAME` publishes under another name"
            )
        client.restore_experiment(found.experiment_id)
    _refuse_foreign(client, plan, found)
    tags = {STUDY: plan.name}
    # Only if the description in the file has changed: a person may have edited the one in MLflow.
    if found.tags.get(NOTE_HASH, _hash(found.tags.get(NOTE, ""))) != _hash(markdown(plan.description)):
        tags |= _note(plan)
    set_tags(client, found.experiment_id, found.tags, tags)
    return Experiment(found.experiment_id, name, {**found.tags, **tags})


def set_tags(client: Any, id: str, present: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Set those of the experiment's tags that differ from the `present` ones: MLflow takes one at a time."""
    for key, value in wanted.items():
        if present.get(key) != value:
            client.set_experiment_tag(id, key, value)


def _refuse_foreign(client: Any, plan: Plan, found: Any) -> None:
    cure = f"`runner publish {plan.name} --as NAME` publishes under another name"
    study = found.tags.get(STUDY)
    if study is not None:
        if study != plan.name:
            raise RunnerError(f"the experiment '{found.name}' in MLflow has the study '{study}'; {cure}")
        return
    from mlflow.entities import ViewType

    def has_runs(filter_text: str) -> bool:
        return bool(client.search_runs([found.experiment_id], filter_text, ViewType.ALL, max_results=1))

    # An earlier version did not mark its experiments. One without runs may have been prepared for the study.
    if has_runs("") and not has_runs("tags.`runner.key` != ''"):
        raise RunnerError(f"the experiment '{found.name}' in MLflow has runs that archrunner did not publish; {cure}")


def _note(plan: Plan) -> dict[str, str]:
    # MLflow's UI renders the note as Markdown: an image in it would be loaded from its address.
    note = markdown(plan.description)
    return {NOTE: note, NOTE_HASH: _hash(note)}


def _hash(text: str) -> str:
    return content_id([text])
