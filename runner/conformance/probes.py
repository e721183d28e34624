"""The table of probes, one per kind of component, and how one is run without leaving a trace."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout

import numpy as np

from runner.components import process_settings
from runner.components.patience import watched
from runner.components.plugin_code import Silence
from runner.conformance.architectures import probe_architecture
from runner.conformance.datasets import probe_dataset
from runner.conformance.measures import probe_loss, probe_metric
from runner.conformance.repeatability import seeded_globals
from runner.conformance.rules import probe_rule
from runner.conformance.subject import Fault, Subject
from runner.conformance.transforms import probe_transform

Probe = Callable[[Subject], list[str]]
PROBES: dict[str, Probe] = {
    "architecture": probe_architecture,
    "augmentation": probe_transform,
    "optimizer": probe_rule,
    "dataset": probe_dataset,
    "loss": probe_loss,
    "metric": probe_metric,
}
"""By kind: what finds the faults of a component, each as one line with file, line, component and cure.

A probe raises Fault for one that leaves nothing else to be tried.
"""


def probe(subject: Subject, function: Probe | None = None) -> list[str]:
    """The faults of a component, from the probe of its kind or from `function`; none if it keeps its promises."""
    try:
        with undisturbed(subject), subject.only_faults():
            found = (function or PROBES[subject.kind])(subject)
    except Fault as fault:
        found = [str(fault)]
    return [" ".join(line.split()) for line in found]


@contextmanager
def undisturbed(subject: Subject) -> Iterator[None]:
    """No random number of this process is used up, and what the component prints and warns of is not shown.

    Nor does it stop at a breakpoint(), whose prompt would not be shown either. One that takes long is named.
    """
    with ExitStack() as stack:
        stack.enter_context(watched(subject.entry, subject.ref))
        stack.enter_context(seeded_globals())
        stack.enter_context(np.errstate(all="ignore"))
        stack.enter_context(redirect_stdout(Silence()))
        stack.callback(setattr, sys, "breakpointhook", sys.breakpointhook)
        sys.breakpointhook = lambda *arguments, **options: None
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        if "torch" in subject.engines:
            stack.enter_context(_torch_undisturbed())
        stack.enter_context(process_settings.unchanged(subject.fault))
        yield


@contextmanager
def _torch_undisturbed() -> Iterator[None]:
    try:
        import torch
    except ImportError:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        yield
