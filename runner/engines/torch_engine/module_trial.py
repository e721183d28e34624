"""A plugin's own module tried before it trains: what would go wrong in every fit, found on a few images.

On torch's meta device nothing is computed, so that a module of any size is tried at once; a small one is also run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runner.engines.torch_engine import module_promises
from runner.engines.torch_engine.engine import TorchEngine
from runner.network.base import Shape
from runner.seeding import seed_globals

IMAGES = 8
MOST_PARAMETERS = 20_000_000
"""Larger modules are not built in full, which would take seconds and gigabytes, and so not run."""
MOST_MACS = 1_500_000_000
"""Of all images of a run together, forward, which takes about 0.1 s; a module whose two images need more is not run."""
MOST_PIXELS = 3 * 64 * 64
"""Of an image, if the multiply-adds of the module are unknown."""

Place = Callable[[str, Any, BaseException | None], Exception]
"""Makes the error to raise, of a text, the function it is about, and the exception that the module raised, if any."""


def try_on_meta(module: nn.Module, shape: Shape, classes: int, fault: Place, images: int = IMAGES) -> None:
    """Raise `fault(...)` unless the module, on the meta device, can take a training step with so many images.

    One whose control flow depends on numbers cannot be tried without any.
    """
    _refuse_hidden(module, fault)
    module.train()
    names = {name for name, _ in module.named_parameters()}
    try:
        with torch.device("meta"):
            _step(module, torch.zeros(images, *shape), classes, fault)
    except _NeedsNumbers:
        return
    finally:
        module.zero_grad(set_to_none=True)
        module.eval()
    if new := [name for name, _ in module.named_parameters() if name not in names]:
        cure = "create all parameters in the constructor, as the optimizer gets those of the beginning"
        raise fault(f"the module creates parameters when it is run ({new[0]}); {cure}", module.forward, None)


def refuse_shared(module: nn.Module, again: nn.Module, fault: Place) -> None:
    """Raise `fault(...)` if two modules that were built one after the other have something in common that is trained.

    That is a parameter, or a layer with parameters or running statistics; buffers may be constants of the plugin.
    """
    known = {id(part) for part in (*module.modules(), *module.parameters())}
    shared = [
        f"layer {name}" if name else "module"
        for name, part in again.named_modules()
        if id(part) in known and (any(True for _ in part.parameters()) or any(True for _ in part.buffers()))
    ]
    shared += [f"parameter {name}" for name, p in again.named_parameters() if id(p) in known and p.requires_grad]
    if shared:
        text = f"its {shared[0]} is the same object each time it is built, so that a fit goes on where another ended"
        raise fault(f"{text}; create it in build, or copy it: copy.deepcopy", None, None)


def try_run(
    build: Callable[[], Any], shape: Shape, classes: int, size: tuple[int, int | None], fault: Place
) -> list[str]:
    """Raise `fault(...)` if two modules built with equal seeds have other values, or answer otherwise in training.

    `size` is (parameters, multiply-adds per image or None). A large module is not built, or not run. Returns what is
    worth knowing and no fault.
    """
    parameters, macs = size
    modules = _built_twice(build) if parameters <= MOST_PARAMETERS else []
    if not modules:
        return []
    _refuse_differing_values(modules, fault)
    count = _affordable_images(shape, macs)
    if not count:
        return []
    images = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))
    notes = (*_try_training(modules, images, classes, fault), _try_evaluation(modules[0], images, classes, fault))
    return [note for note in notes if note]


def _built_twice(build: Callable[[], Any]) -> list[nn.Module]:
    """Two modules built with equal seeds, on the CPU and of float32 as in a fit; none if they cannot be built here."""
    modules: list[nn.Module] = []
    for _ in range(2):
        try:
            with _seeded():
                modules.append(build().to("cpu", torch.float32))
        except Exception:  # it may need more than a description does, such as a file of weights; its fits will say so
            return []
    return modules


def _try_training(modules: list[nn.Module], images: Tensor, classes: int, fault: Place) -> tuple[str, ...]:
    """Notes about two equal modules that take a training step; raises `fault(...)`."""
    first = modules[0]
    buffers = {name: buffer.clone() for name, buffer in first.named_buffers()}

    def train(module: nn.Module) -> Tensor:
        module.train()
        with _seeded():
            return _step(module, images.clone(), classes, fault)

    def refuse(text: str) -> Exception:
        return fault(f"the module {text}", first.forward, None)

    scores = [train(module) for module in modules]
    if not torch.isfinite(scores[0]).all():
        raise fault("the module's scores in training are nan or infinity; allowed: finite numbers", first.forward, None)
    if not _same_bytes(*scores):
        cure = "draw random numbers from torch, random or numpy.random, which are seeded for each fit"
        raise refuse(f"gives other scores in training each time it is built and run; {cure}")
    if name := module_promises.wrong_gradient(first):
        cure = "add a small number before a square root, a logarithm or a division"
        raise refuse(f"has a gradient of nan or infinity for {name}, although its scores are finite; {cure}")
    notes = module_promises.untrained(first), module_promises.bounded(scores[0])
    module_promises.set_back(first, buffers)
    if not _same_bytes(train(first), scores[0]):
        cure = "keep what it carries from batch to batch in register_buffer, which checkpoints and saved networks have"
        raise refuse(f"gives other scores when it is run again, as it keeps something outside of its buffers; {cure}")
    return notes


def _try_evaluation(module: nn.Module, images: Tensor, classes: int, fault: Place) -> str:
    """A note about a module in evaluation, or ""; raises `fault(...)` if it answers otherwise the second time."""
    module.eval()
    batches = images, images, images[: len(images) // 2]
    with _seeded(), torch.no_grad():
        first, again, alone = (_scores(module, batch.clone(), classes, "in evaluation", fault) for batch in batches)
    if not _same_bytes(first, again):
        cure = "leave dropout and other random numbers to training: F.dropout(..., training=self.training)"
        text = "the module gives other scores in evaluation when it sees the same images again"
        raise fault(f"{text}; {cure}", module.forward, None)
    if not module_promises.close(first[: len(alone)], alone):
        return "in evaluation an image's scores depend on the other images of its batch"
    return ""


def _step(module: nn.Module, images: Tensor, classes: int, fault: Place) -> Tensor:
    """The scores of a training step, up to the gradients; raises `fault(...)`, or _NeedsNumbers."""
    scores = _scores(module, images, classes, "in training", fault)
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    if not scores.requires_grad:
        cure = "leave out detach, no_grad and item, and keep layers where the module registers them"
        raise fault(
            f"the module's scores have no gradient, so that nothing can be trained; {cure}", module.forward, None
        )
    try:
        F.cross_entropy(scores.float(), labels).backward()  # type: ignore[no-untyped-call]
    except Exception as error:  # of a third-party forward, which may have changed what its gradient needs
        _refuse_meta(images, error)
        raise fault(f"the module has no gradient: {_words(error)}", module.forward, error) from error
    return scores.detach()


def _scores(module: nn.Module, images: Tensor, classes: int, when: str, fault: Place) -> Tensor:
    try:
        output = module(images)
    except Exception as error:  # a third-party forward may raise anything
        _refuse_meta(images, error)
        count = f"{len(images)} images" if len(images) > 1 else "one image"
        words = _words(error)
        if "device meta" in words:  # this run is on the CPU, and an earlier one was not
            words = "it keeps a tensor of an earlier run, or of another network; keep tensors in register_buffer alone"
        raise fault(f"the module cannot take {count} {when}: {words}", module.forward, error) from error
    expected = (len(images), classes)
    if isinstance(output, Tensor) and not output.is_floating_point():
        kind = str(output.dtype).removeprefix("torch.")
        raise fault(f"the module's output {when} is {kind}; return scores that are real numbers", module.forward, None)
    if not isinstance(output, Tensor):
        cure = "return the scores alone, also while self.training (no auxiliary heads)"
        raise fault(f"the module's output {when} is {type(output).__name__}; {cure}", module.forward, None)
    if tuple(output.shape) != expected:
        found = "x".join(map(str, output.shape))
        text = f"the module's output {when} is {found} for {len(images)} images of {classes} classes"
        raise fault(f"{text}; expected one score for each class, {expected[0]}x{expected[1]}", module.forward, None)
    return output


def _refuse_hidden(module: nn.Module, fault: Place) -> None:
    """Raise `fault(...)` if layers are in a list or dict of Python's, or a parameter is but a tensor."""
    if where := module_promises.unregistered_tensor(module):
        text = f"{where} needs a gradient and is no parameter, so that no optimizer changes it; make it an nn.Parameter"
        raise fault(text, module.forward, None)
    known = {id(parameter) for parameter in module.parameters()}
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            inside = value.values() if isinstance(value, dict) else value
            if isinstance(value, (list, tuple, dict)) and not _registered(known, inside):
                kind = "ModuleDict" if isinstance(value, dict) else "ModuleList"
                where = f"{path}.{name}".lstrip(".")
                text = f"the module keeps layers in a {type(value).__name__}, {where}, where torch does not see them"
                raise fault(f"{text}; use nn.{kind}", part.forward, None)


def _registered(known: Collection[int], items: Any) -> bool:
    """Whether the ids of all trainable parameters in `items` are `known`, as when a list only orders layers."""
    found = [p for item in items for p in (item.parameters() if isinstance(item, nn.Module) else [item])]
    return all(id(p) in known for p in found if isinstance(p, nn.Parameter) and p.requires_grad)


def _refuse_differing_values(modules: list[nn.Module], fault: Place) -> None:
    first, second = ({**dict(m.named_parameters()), **dict(m.named_buffers())} for m in modules)
    for name in [*first, *second]:
        if name not in first or name not in second or not _same_bytes(first[name], second[name]):
            cure = "draw them from torch, random or numpy.random, which are seeded for each fit"
            raise fault(f"it has other initial values of {name} each time; {cure}", type(modules[0]).__init__, None)


def _same_bytes(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal to the last bit; nan, as in a buffer that is not set yet, equals itself."""
    first, second = (tensor.detach().contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other))
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(first, second)


def _affordable_images(shape: Shape, macs: int | None) -> int:
    if macs is None:
        return 2 if shape[0] * shape[1] * shape[2] <= MOST_PIXELS else 0
    count = min(IMAGES, MOST_MACS // max(macs, 1))
    return count if count >= 2 else 0  # batch normalisation needs two


@contextmanager
def _seeded() -> Iterator[None]:
    """As at the start of a fit, with torch's settings of a fit."""
    engine = TorchEngine()
    seed_globals(0, 0, 0)
    with engine.computing(), engine.seeded(0, 0, 0):
        yield


def _refuse_meta(images: Tensor, error: Exception) -> None:
    """Raise _NeedsNumbers if what the module did is not possible on the meta device."""
    # torch has no exception type for this, only words.
    if images.is_meta and (isinstance(error, NotImplementedError) or "meta" in str(error).lower()):
        raise _NeedsNumbers from error


class _NeedsNumbers(Exception):
    """The module asked for the value of a number, which the meta device does not have."""


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
