"""The probe of architectures: layer records are built again and trained for a step, modules take a few images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runner.components.protocols import Step
from runner.conformance.arrays import IMAGES
from runner.conformance.repeatability import BUILDS, seeded_globals
from runner.conformance.subject import Fault, Subject
from runner.engines.torch_engine.meta_device import build_on_meta, is_module
from runner.errors import RunnerError
from runner.files.content_hash import canonical
from runner.network.analysis import Analysis, analyse
from runner.network.graph import Network
from runner.text import yaml_value

MOST_MACS = 200_000_000
"""Of all images of a step together; a larger network of layer records is not trained for one."""


def probe_architecture(subject: Subject) -> list[str]:
    """Raise Fault for the first thing that is wrong with an architecture."""
    built = build_on_meta(_builder(subject))
    if is_module(built):
        subject.written_for("torch", "it is a torch module")
        examine_module(subject, built)
        return []
    if not isinstance(built, Network):
        cure = "return layers of runner.api, or a torch module"
        raise subject.fault(f"it builds {yaml_value(repr(built))}, which is not a network; {cure}")
    analysis = examine_network(subject, built)
    subject.fits = True
    wrong = subject.on_each_engine(lambda engine: _try_own_layers(subject, analysis, engine))
    if fault := next(filter(None, wrong.values()), None):
        raise fault
    if 2 * IMAGES * (analysis.macs or 0) <= MOST_MACS:
        subject.on_each_engine(lambda engine: _train(subject, built, engine))
    return []


def examine_network(subject: Subject, network: Network, strict: bool = False) -> Analysis:
    """The analysis of the layer records that it built; raises Fault if they are others each time, or do not fit."""
    build, analysis = _builder(subject), analyse(network, subject.shape, subject.classes, strict=strict)
    first = canonical(build())
    for _ in range(BUILDS - 1):
        if canonical(build()) != first:
            raise subject.fault("it builds another network each time; only its parameters may decide what it builds")
    return analysis


def examine_module(subject: Subject, module: Any) -> Analysis:
    """The analysis of a torch module that was built on the meta device; raises Fault if it cannot be trained."""
    from runner.engines.torch_engine.module_facts import measure
    from runner.engines.torch_engine.module_trial import refuse_shared, try_on_meta, try_run

    refuse_shared(module, build_on_meta(_builder(subject)), _place(subject))
    try:
        analysis = measure(module, subject.shape, subject.classes)
    except RunnerError as error:
        raise subject.fault(str(error), module.forward, error=error.__cause__) from error
    subject.fits = True
    try_on_meta(module, subject.shape, subject.classes, _place(subject))
    size = (analysis.parameters, analysis.macs)
    for note in try_run(_builder(subject), subject.shape, subject.classes, size, _place(subject)):
        subject.note(note, module.forward)
    return analysis


def refuses_one_image(subject: Subject) -> str:
    """Why the torch module cannot train on a batch of one image; "" if it can, or if that is not known."""
    from runner.engines.torch_engine.module_trial import try_on_meta

    try:
        try_on_meta(build_on_meta(_builder(subject)), subject.shape, subject.classes, _place(subject), images=1)
    except Fault as fault:
        return str(fault)
    return ""


def _place(subject: Subject) -> Callable[[str, Any, BaseException | None], Exception]:
    return lambda text, function, error: subject.fault(text, function, error=error)


def _builder(subject: Subject) -> Callable[[], Any]:
    return lambda: subject.catalog.build(subject.kind, subject.ref, subject.shape, subject.classes)


def _try_own_layers(subject: Subject, analysis: Analysis, engine: str) -> Fault | None:
    """What is wrong with a layer that the plugin brings itself; raises Fault if it is for the other engine alone."""
    from runner.engines.own_layers import refuse_failing

    for layer in analysis.own:
        try:
            refuse_failing(layer, engine)
        except RunnerError as error:
            fault = subject.fault(str(error), error=error.__cause__)
            if not hasattr(layer.layer, "backward"):
                raise fault from error
            return fault
    return None


class _Descent:
    slots = ()

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], step: Step) -> None:
        parameter -= 0.01 * gradient


def _train(subject: Subject, network: Network, engine: str) -> None:
    """A step and an evaluation of the network, alone and, where the engine can, in a group of two fits."""
    from runner.conformance.trial_fit import trial_fit
    from runner.engines import selection

    for size in (1, 2) if engine == "torch" else (1,):
        fits = [trial_fit(network, _Descent(), engine, subject.shape, subject.classes, fold) for fold in range(size)]
        with seeded_globals():
            for outcome in selection.get(engine).fit(fits):
                if isinstance(outcome, BaseException):
                    words = f"{type(outcome).__name__}: {outcome}"
                    raise subject.fault(f"its network cannot be trained on the {engine} engine: {words}", error=outcome)
