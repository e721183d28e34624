"""What an error of MLflow's client means: the store refused one thing, or it does not work."""

from __future__ import annotations

from runner.errors import RunnerError

REFUSALS = (
    "INVALID_PARAMETER_VALUE",
    "RESOURCE_DOES_NOT_EXIST",
    "RESOURCE_ALREADY_EXISTS",
    "INVALID_STATE",
    "BAD_REQUEST",
)
"""MLflow's codes of an error that concerns the one item that was sent, so that others can be sent all the same."""


class Refused(RunnerError):
    """The store refused something that it was sent. Looking again may show why: it was deleted, or exists by now."""


def is_refusal(error: Exception) -> bool:
    """Whether the store answered and refused what it was sent, as opposed to not answering or failing."""
    return isinstance(error, Refused) or getattr(error, "error_code", None) in REFUSALS
