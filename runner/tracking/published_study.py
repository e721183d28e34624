"""Finds a study on a tracking server and downloads the archive of its report. The server is somebody else's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner.errors import RunnerError
from runner.text import did_you_mean, plural
from runner.tracking.publisher import describe_error
from runner.tracking.store_address import NONE, mask_credentials, sqlite_file, store_uri
from runner.tracking.study_archive import MOST_BYTES, NAME

CURRENT = ("true", "True", "1", "yes")
MOST_RUNS, MOST_EXPERIMENTS = 1000, 1000
NO_ANSWER = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError", "SSLError")
"""What the library for HTTP under MLflow's client raises if nothing, or nothing that can be understood, answers."""
NAMED_PLANS = 5
"""So many plans are named in one message."""


@dataclass(frozen=True)
class PublishedStudy:
    """A downloaded `archive`, and the store, experiment and run that it was in, the last two by their ids."""

    archive: Path
    store: str
    experiment: str
    run: str


def download(given: str, name: str, folder: Path, plan: str | None = None) -> PublishedStudy:
    """Download the archive of the study `name` from the store `given` into `folder`.

    `plan` chooses among several plans of the study: the beginning of its id or of the id of its report's run. Raises
    RunnerError, in one line, if the store does not answer or has no such archive.
    """
    uri = store_uri(given, folder, "--from")
    file = sqlite_file(uri)
    if uri == NONE or (file is not None and not file.is_file()):
        raise RunnerError(f"--from {given}: no such store")  # MLflow would make it
    shown = mask_credentials(uri)
    try:
        from mlflow import MlflowClient

        # For its settings: by default a client retries for minutes.
        from runner.tracking import mlflow_tracker as mlflow_tracker

        client = MlflowClient(tracking_uri=uri)
        experiment = _experiment(client, name)
        run = _report_run(client, experiment, name, plan)
        _check_archive(client, run.info.run_id, name)
        archive = Path(client.download_artifacts(run.info.run_id, NAME, str(folder)))
    except RunnerError as error:
        raise RunnerError(f"{shown}: {error}") from None
    except Exception as error:  # whatever a server or its client raises
        # `from None`, as the client's own message may hold a password.
        raise RunnerError(_unreachable(error, shown)) from None
    return PublishedStudy(archive, shown, experiment, run.info.run_id)


def _unreachable(error: Exception, shown: str) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if type(cause).__name__ in NO_ANSWER:
            return f"{shown}: no MLflow server answers there"
        cause = cause.__cause__ or cause.__context__
    return f"{shown}: {describe_error(error)}"


def _experiment(client: Any, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        names = [experiment.name for experiment in client.search_experiments(max_results=MOST_EXPERIMENTS)]
        raise RunnerError(f"no experiment '{name}'{did_you_mean(name, names)}")
    if found.lifecycle_stage != "active":
        raise RunnerError(f"the experiment '{name}' was deleted there")
    return str(found.experiment_id)


def _report_run(client: Any, experiment: str, name: str, plan: str | None) -> Any:
    """The run `report` of the study, that of `plan` if it is given, else the current one."""
    order = ["attributes.start_time DESC"]
    runs = client.search_runs([experiment], "tags.`runner.kind` = 'report'", max_results=MOST_RUNS, order_by=order)
    if not runs:
        ours = client.search_runs([experiment], "tags.`runner.kind` != ''", max_results=1)
        raise RunnerError(
            f"the experiment '{name}' has no report yet; `runner publish {name}` sends it, where the study is"
            if ours
            else f"the experiment '{name}' was not published by archrunner"
        )
    if plan is not None:
        chosen = [run for run in runs if _plan_of(run).startswith(plan) or run.info.run_id.startswith(plan)]
    else:
        current = [run for run in runs if run.data.tags.get("runner.current") in CURRENT]
        chosen = current if len(current) == 1 else list(runs)
    if len(chosen) == 1:
        return chosen[0]
    listed = ", ".join(f"{_plan_of(run)} of {_day(run)}" for run in (chosen or runs)[:NAMED_PLANS])
    if plan is not None and not chosen:
        raise RunnerError(f"the experiment '{name}' has no plan '{plan}'; there are {listed}")
    raise RunnerError(f"the experiment '{name}' has {plural(len(chosen), 'plan')}; choose one with --plan: {listed}")


def _plan_of(run: Any) -> str:
    """The id of a run's plan, or that of the run if it has none."""
    return str(run.data.tags.get("runner.plan") or run.info.run_id)


def _day(run: Any) -> str:
    return datetime.fromtimestamp((run.info.start_time or 0) / 1000, UTC).strftime("%Y-%m-%d")


def _check_archive(client: Any, run: str, name: str) -> None:
    found = [file for file in client.list_artifacts(run) if file.path == NAME and not file.is_dir]
    if not found:
        advice = f"`runner publish {name}` with this version adds it, where the study is"
        raise RunnerError(f"the report of '{name}' was published by an older version, without {NAME}; {advice}")
    if (found[0].file_size or 0) > MOST_BYTES:
        raise RunnerError(f"{NAME} has {found[0].file_size / 1e6:,.0f} MB; allowed: {MOST_BYTES / 1e6:,.0f} MB")
