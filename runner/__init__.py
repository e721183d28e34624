"""archrunner: experiments on convolutional architectures, from a YAML grid to a verdict.

For Python users::

    import runner

    plan = runner.plan("experiments/pooling_vs_stride.yaml")
    outcome = runner.run("experiments/pooling_vs_stride.yaml", workers=2)
    outcome.tables.cells  # a pandas DataFrame
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.flow.outcome import Outcome
    from runner.planning.plan import Plan

__version__ = "0.1.0"


def run(file: str | Path, *, overrides: Sequence[str] = (), **options: Any) -> Outcome:
    """Run the experiment in `file`; `overrides` are ``PATH=VALUE`` texts.

    `options` are the fields of `runner.flow.outcome.Options`: workers, executor, reports, tracking_uri and so on.

    With the process executor, call it under ``if __name__ == "__main__":``, as everything that starts processes.
    """
    from runner.flow import study
    from runner.flow.outcome import Options

    return study.run(file, overrides, Options(**options))


def plan(file: str | Path, *, overrides: Sequence[str] = ()) -> Plan:
    """The plan of the experiment in `file`: every cell with its cost, nothing trained."""
    from runner.experiment.load import load
    from runner.planning.make_plan import make_plan

    return make_plan(load(file, overrides))
