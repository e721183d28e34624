"""The probes of losses and metrics, on random scores and answers."""

from __future__ import annotations

from runner.conformance.subject import Subject
from runner.engines import loss_check, measuring
from runner.fits.metrics import of_component


def probe_loss(subject: Subject) -> list[str]:
    """Raise Fault for the first thing that is wrong with a loss."""
    loss = subject.build_twice()
    methods = {"numpy": "value_and_gradient", "torch": "values"}
    if not hasattr(loss, methods["numpy"]):
        subject.written_for("torch", f"it has no {methods['numpy']}")
    for engine in subject.engines:
        # An engine that does not train with it does not matter.
        if hasattr(loss, methods[engine]) and subject.engine in ("", engine):
            subject.check_signature(loss, methods[engine], "scores", "targets")
            loss_check.refuse_wrong(f"loss {subject.ref} of {subject.entry.place}", loss, subject.classes, engine)
    return []


def probe_metric(subject: Subject) -> list[str]:
    """Raise Fault unless a metric gives a number of its range, the same one each time."""
    compute, metric = subject.build_twice(), of_component(subject.entry, subject.ref)
    measuring.refuse_wrong(f"metric {subject.ref} of {subject.entry.place}", metric, compute, subject.classes)
    return []
