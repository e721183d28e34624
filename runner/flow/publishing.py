"""The publishing step: which tracker is fed, during a run or afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import RunnerError
from runner.files.lock import locked
from runner.flow.cell_pages import CellPages
from runner.journal.index import Results, index
from runner.planning import plan_file
from runner.planning.plan import Plan
from runner.tracking.base import NullTracker, Tracker
from runner.tracking.publisher import Publisher, describe_error
from runner.tracking.refusals import concerns_one_item
from runner.tracking.store_address import NONE, mask_credentials, store_uri
from runner.trained.file import SUFFIX

if TYPE_CHECKING:
    from runner.flow.outcome import Options
    from runner.tracking.logged_networks import SavedNetwork


def store_of(options: Options) -> str:
    """The address of the store to publish to. Raises RunnerError if it is malformed, or required and none."""
    uri = store_uri(options.tracking_uri, options.reports)
    if options.require_published and uri == NONE:
        where = "--tracking-uri" if options.tracking_uri else "$MLFLOW_TRACKING_URI"
        raise RunnerError(f"--require-published: {where} is none, so that nothing would be published")
    return uri


def publisher_for(
    uri: str, plan: Plan, results: Results, folder: Path, options: Options, expecting: bool, plugins: tuple[str, ...]
) -> Publisher:
    """The writer that feeds the store at `uri`; `expecting` says that results will be added.

    `plugins` are the files of plugins, whose code networks may need.
    """
    watched = folder / "fits" if expecting and uri != NONE else None
    make_tracker = partial(_tracker, uri, folder, plugins, verify=options.require_published)
    return Publisher(make_tracker, plan, results, options.publish_wait, expecting, watched)


PAUSES = (0.25, 0.5, 1.0, 2.0)
"""The seconds after which `runner publish` sends again what was refused."""


@dataclass(frozen=True)
class Published:
    """What the store holds afterwards: `fits` of the `planned` ones, of which `finished` are in the journal.

    `notes` are sentences about what was found there and put in order, `networks` lines about the saved networks.
    """

    fits: int
    finished: int
    planned: int
    notes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()


def publish(
    folder: Path,
    tracking_uri: str | None,
    plugins: tuple[str, ...] = (),
    register: str | None = None,
    each: bool = False,
    restore: bool = False,
    name: str = "",
) -> Published:
    """Look what MLflow has of the journal, the report and the networks in `folder`, and publish what it lacks.

    `plugins` are as for `publisher_for`; `register` and `each` as for `publish_networks`. `restore` brings back what a
    person deleted there; `name` is another one for the experiment, from now on. Trains nothing and reads no data.
    Raises RunnerError if the store refuses.
    """
    plan, uri = plan_file.read(folder / "plan.yaml"), store_uri(tracking_uri, folder.parent)
    if uri == NONE:
        raise RunnerError("--tracking-uri none: there is no store to publish to")
    # As a run does: two that publish from one ledger at the same time could create the same MLflow runs twice.
    with locked(folder):
        results, _ = index(folder / "journal.jsonl")
        with _in_one_line(uri):
            tracker = _tracker(uri, folder, plugins, verify=True, restore=restore, name=name)
            _send(tracker, plan, results, folder)
        # A RunnerError is about an option or a saved network here, not about the store.
        with _in_one_line(uri, as_they_are=RunnerError):
            networks = _networks(tracker, plan, folder, plugins, register, each)
    fits = [fit for fit, *_ in plan.fit_keys()]
    found = tracker.count(fits), len(results.select(fits)), plan.fit_count
    return Published(*found, tuple(tracker.notes), tuple(networks))


@contextmanager
def _in_one_line(uri: str, as_they_are: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """Raise RunnerError, which names the store, for whatever its client raises."""
    try:
        yield
    except as_they_are:
        raise
    except Exception as error:
        # `from None` because --verbose logs the cause as well, and the client's own message may hold a password.
        raise RunnerError(f"{mask_credentials(uri)}: {describe_error(error)}") from None


def _send(tracker: Tracker, plan: Plan, results: Results, folder: Path) -> None:
    """Publish everything. If something is refused, try again: another machine that publishes may have been faster."""
    for pause in (*PAUSES, None):
        try:
            tracker.publish(plan, results)
            tracker.publish_report(plan, folder)
            tracker.show(plan, results, None)
            tracker.close()
            return
        except Exception as error:
            if pause is None or not concerns_one_item(error):
                raise
            time.sleep(pause)


def _networks(
    tracker: Tracker, plan: Plan, folder: Path, plugins: tuple[str, ...], register: str | None, each: bool
) -> list[str]:
    if register is None and not _has_networks(folder):
        return []
    from runner.flow.logged_networks import publish_networks

    return publish_networks(tracker, plan, folder, plugins, register, each)


def _saved_networks(plugins: tuple[str, ...], plan: Plan, folder: Path) -> list[SavedNetwork]:
    if not _has_networks(folder):
        return []
    # Only now: it needs the engines, which a run's own process has not loaded.
    from runner.flow.logged_networks import saved_networks

    return saved_networks(plugins, plan, folder)


def _has_networks(folder: Path) -> bool:
    return any((folder / "fits").glob(f"*{SUFFIX}"))


def _tracker(uri: str, folder: Path, plugins: tuple[str, ...], **wishes: Any) -> Tracker:
    if uri == NONE:
        return NullTracker()
    # Importing MLflow takes about 0.9 s; during a run this happens in the publisher's thread.
    from runner.tracking.mlflow_tracker import Wishes
    from runner.tracking.study_tracker import StudyTracker

    wanted = Wishes(page_of=CellPages(folder, plugins), **wishes)
    return StudyTracker(uri, folder, partial(_saved_networks, plugins), wanted)
