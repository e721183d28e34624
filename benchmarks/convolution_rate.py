"""The rate at which oneDNN convolves on this processor, through torch, for the shapes of medium.yaml.

    python benchmarks/convolution_rate.py [--json]

For every convolution at a batch of 128: the output, the gradient of its input (not of the first layer, where nobody
needs it) and of its weights; one thread; contiguous and channels_last, of which the faster counts; the best of several
calls. Once in one process, and once in two at the same time, as when fits run: they share memory and its caches. From
these rates follow the seconds that the convolutions of a fit take at least, its floor.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from side_by_side import bfloat16_instructions

from runner.api import Conv
from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.network.analysis import iterate_layers
from runner.workers.executors.process_pool import ENVIRONMENT

FILE = Path(__file__).with_name("medium.yaml")
SHAPE, CLASSES = (3, 32, 32), 10
PRECISIONS = ("float32", "bfloat16")
LAYOUTS = (torch.channels_last, torch.contiguous_format)
SECONDS, CALLS = 0.15, 5
"""The least that each rate is measured for."""


@dataclass(frozen=True)
class Convolution:
    """A layer at its place. `learned_from` is false where no gradient of its input is needed."""

    channels: int
    filters: int
    kernel: int
    stride: int
    padding: int
    side: int
    learned_from: bool

    @property
    def output_side(self) -> int:
        return (self.side + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def macs(self) -> int:
        """Multiply-adds an image, the same in each direction."""
        return self.output_side**2 * self.filters * self.channels * self.kernel**2

    @property
    def directions(self) -> tuple[str, ...]:
        return ("forward", *(["input gradient"] if self.learned_from else []), "weight gradient")


def study() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def networks() -> dict[str, list[Convolution]]:
    """The convolutions of each network of medium.yaml."""
    catalog, fixed = load_catalog(), dict(study()["architecture"])
    name, found = fixed.pop("name"), {}
    for level in study()["grid"]["architecture.downsample"]:
        ref = catalog.bind("architecture", ComponentRef(name, fixed | {"downsample": level}))
        placed = iterate_layers(catalog.build("architecture", ref, SHAPE, CLASSES), SHAPE)
        layers = [p for p in placed if isinstance(p.layer, Conv)]
        found[level] = [_convolution(p.layer, p.input, number > 0) for number, p in enumerate(layers)]
        exact = [p.layer.macs(p.input) for p in layers]
        assert [convolution.macs for convolution in found[level]] == exact
    return found


def _convolution(layer: Any, shape: tuple[int, ...], learned_from: bool) -> Convolution:
    geometry = layer.geometry()
    values = shape[0], layer.filters, geometry.size[0], geometry.stride[0], geometry.pads[0][0], shape[1]
    return Convolution(*values, learned_from)


def seconds(of: Convolution, direction: str, precision: str, batch: int) -> float:
    """For a batch, in the faster layout."""
    return min(_best(_call(of, direction, getattr(torch, precision), batch, layout)) for layout in LAYOUTS)


def _call(of: Convolution, direction: str, dtype: torch.dtype, batch: int, layout: torch.memory_format) -> Any:
    def array(*shape: int) -> torch.Tensor:
        return torch.randn(shape).to(dtype).contiguous(memory_format=layout)

    images = array(batch, of.channels, of.side, of.side)
    weights = array(of.filters, of.channels, of.kernel, of.kernel)
    stride, padding = (of.stride,) * 2, (of.padding,) * 2
    if direction == "forward":
        return lambda: torch.conv2d(images, weights, None, stride, padding)
    gradient = array(batch, of.filters, of.output_side, of.output_side)
    wanted = [direction == "input gradient", direction == "weight gradient", False]
    backward = torch.ops.aten.convolution_backward
    return lambda: backward(gradient, images, weights, None, stride, padding, (1, 1), False, (0, 0), 1, wanted)


@torch.inference_mode()
def _best(call: Any) -> float:
    """Processor seconds of the quickest call: on one thread those of the clock, but for what other programs take."""
    times, end = [], time.perf_counter() + SECONDS
    call()
    while len(times) < CALLS or time.perf_counter() < end:
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


Key = tuple[str, Convolution, str]


def keys() -> list[Key]:
    """Precision, convolution and direction of all that is measured, each once."""
    shapes = dict.fromkeys(of for convolutions in networks().values() for of in convolutions)
    return [(precision, of, direction) for precision in PRECISIONS for of in shapes for direction in of.directions]


def _measured(batch: int) -> list[float]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return [seconds(of, direction, precision, batch) for precision, of, direction in keys()]


def measured() -> dict[str, dict[Key, float]]:
    """Seconds a batch, by number of processes at work."""
    # As our workers, without which the time to get memory from the system would count as the convolution's.
    os.environ.update(ENVIRONMENT)
    batch, context, found = study()["training"]["batch_size"], multiprocessing.get_context("spawn"), {}
    for name, processes in (("alone", 1), ("two at once", 2)):
        with context.Pool(processes) as pool:
            times = pool.map(_measured, [batch] * processes, chunksize=1)
        means = [sum(column) / processes for column in zip(*times, strict=True)]
        found[name] = dict(zip(keys(), means, strict=True))
    return found


def per_image(times: dict[Key, float], precision: str) -> dict[str, dict[str, float]]:
    """Of each network, per image: seconds and multiply-adds to learn from it, and seconds to judge it."""
    batch, found = study()["training"]["batch_size"], {}
    for name, convolutions in networks().items():
        all_of_it = [(of, direction) for of in convolutions for direction in of.directions]
        found[name] = {
            "learn": sum(times[precision, of, direction] for of, direction in all_of_it) / batch,
            "judge": sum(times[precision, of, "forward"] for of in convolutions) / batch,
            "macs": sum(of.macs for of, _ in all_of_it),
        }
    return found


def report(times: dict[str, dict[Key, float]]) -> dict[str, Any]:
    """As plain data: what `per_image` says, by processes at work and precision, and the rate of every shape."""
    batch = study()["training"]["batch_size"]
    rates = [
        {"at work": work, "precision": p, **asdict(of), "direction": d, "gmacs a second": batch * of.macs / t / 1e9}
        for work, some in times.items()
        for (p, of, d), t in some.items()
    ]
    floors = {work: {p: per_image(some, p) for p in PRECISIONS} for work, some in times.items()}
    return {"per image": floors, "rates": rates}


def main() -> None:
    found = report(measured())
    if "--json" in sys.argv:
        print(json.dumps(found))
        return
    print(f"instructions for bfloat16: {bfloat16_instructions()}; GMAC/s, one thread a process\n")
    for rate in found["rates"]:
        shape = "{channels:4} -> {filters:3}, {kernel}x{kernel} / {stride}, {side:2}x{side:2}".format(**rate)
        words = f"{rate['at work']:12} {rate['precision']:9} {shape}  {rate['direction']:16}"
        print(f"{words}{rate['gmacs a second']:8.1f}")
    for work, by_precision in found["per image"].items():
        for precision, by_network in by_precision.items():
            for name, of in by_network.items():
                rate = of["macs"] / of["learn"] / 1e9
                print(f"{work:12} {precision:9} {name:13} {rate:6.1f} GMAC/s, {1e6 * of['learn']:.0f} us an image")


if __name__ == "__main__":
    main()
