"""The rate at which oneDNN convolves on this processor, through torch, for the shapes of medium.yaml.

    python benchmarks/convolution_rate.py [--json]

Measured for every convolution with a batch of 128: its output, the gradient of its input (except in the first layer,
which needs none) and that of its weights. One thread; the faster of the layouts contiguous and channels_last; the best
of several calls. Once in one process, and once in two at the same time, as when fits run, since those share memory and
caches. The rates give a lower bound on the seconds that the convolutions of a fit take.
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
from runner.workers.executors.worker import ENVIRONMENT

FILE = Path(__file__).with_name("medium.yaml")
SHAPE, CLASSES = (3, 32, 32), 10
PRECISIONS = ("float32", "bfloat16")
LAYOUTS = (torch.channels_last, torch.contiguous_format)
SECONDS, CALLS = 0.15, 5
"""The minimum time and number of calls for each measurement."""


@dataclass(frozen=True)
class Convolution:
    """A layer and the size of its input. `learned_from`: whether the gradient of its input is needed.

    The fields are keys in the JSON results.
    """

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
        """MACs per image, the same in each direction."""
        return self.output_side**2 * self.filters * self.channels * self.kernel**2

    @property
    def directions(self) -> tuple[str, ...]:
        return ("forward", *(["input gradient"] if self.learned_from else []), "weight gradient")


def study() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def networks() -> dict[str, list[Convolution]]:
    """The convolutions of each network of medium.yaml."""
    catalog, fixed = load_catalog(), dict(study()["architecture"])
    name, by_network = fixed.pop("name"), {}
    for level in study()["grid"]["architecture.downsample"]:
        ref = catalog.bind("architecture", ComponentRef(name, fixed | {"downsample": level}))
        layers = iterate_layers(catalog.build("architecture", ref, SHAPE, CLASSES), SHAPE)
        convolutions = [layer for layer in layers if isinstance(layer.layer, Conv)]
        by_network[level] = [_convolution(c.layer, c.input, number > 0) for number, c in enumerate(convolutions)]
        exact = [c.layer.macs(c.input) for c in convolutions]
        assert [convolution.macs for convolution in by_network[level]] == exact
    return by_network


def _convolution(layer: Any, shape: tuple[int, ...], learned_from: bool) -> Convolution:
    geometry = layer.geometry()
    values = shape[0], layer.filters, geometry.size[0], geometry.stride[0], geometry.pads[0][0], shape[1]
    return Convolution(*values, learned_from)


def seconds(conv: Convolution, direction: str, precision: str, batch: int) -> float:
    """CPU seconds per batch, in the faster layout."""
    return min(_best(_call(conv, direction, getattr(torch, precision), batch, layout)) for layout in LAYOUTS)


def _call(conv: Convolution, direction: str, dtype: torch.dtype, batch: int, layout: torch.memory_format) -> Any:
    """A function without arguments that computes one direction of a convolution."""

    def array(*shape: int) -> torch.Tensor:
        return torch.randn(shape).to(dtype).contiguous(memory_format=layout)

    images = array(batch, conv.channels, conv.side, conv.side)
    weights = array(conv.filters, conv.channels, conv.kernel, conv.kernel)
    stride, padding = (conv.stride,) * 2, (conv.padding,) * 2
    if direction == "forward":
        return lambda: torch.conv2d(images, weights, None, stride, padding)
    gradient = array(batch, conv.filters, conv.output_side, conv.output_side)
    output_mask = [direction == "input gradient", direction == "weight gradient", False]
    backward = torch.ops.aten.convolution_backward
    return lambda: backward(gradient, images, weights, None, stride, padding, (1, 1), False, (0, 0), 1, output_mask)


@torch.inference_mode()
def _best(call: Any) -> float:
    """CPU seconds of the fastest call: with one thread the wall-clock seconds, less those of other programs."""
    times, end = [], time.perf_counter() + SECONDS
    call()
    while len(times) < CALLS or time.perf_counter() < end:
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


Key = tuple[str, Convolution, str]


def keys() -> list[Key]:
    """Precision, convolution and direction of each measurement; equal layers are measured once."""
    shapes = dict.fromkeys(conv for convolutions in networks().values() for conv in convolutions)
    return [
        (precision, conv, direction) for precision in PRECISIONS for conv in shapes for direction in conv.directions
    ]


def _measure_all(batch: int) -> list[float]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return [seconds(conv, direction, precision, batch) for precision, conv, direction in keys()]


def measure() -> dict[str, dict[Key, float]]:
    """Seconds per batch: by number of processes at work, then by key."""
    # The workers' allocator settings: without them, getting memory from the system would count as convolution time.
    os.environ.update(ENVIRONMENT)
    batch, context, times_by_work = study()["training"]["batch_size"], multiprocessing.get_context("spawn"), {}
    for name, processes in (("alone", 1), ("two at once", 2)):
        with context.Pool(processes) as pool:
            times = pool.map(_measure_all, [batch] * processes, chunksize=1)
        means = [sum(column) / processes for column in zip(*times, strict=True)]
        times_by_work[name] = dict(zip(keys(), means, strict=True))
    return times_by_work


def per_image(times: dict[Key, float], precision: str) -> dict[str, dict[str, float]]:
    """By network: seconds ("learn") and MACs per image of training, and seconds per image of validation ("judge")."""
    batch, by_network = study()["training"]["batch_size"], {}
    for name, convolutions in networks().items():
        calls = [(conv, direction) for conv in convolutions for direction in conv.directions]
        by_network[name] = {
            "learn": sum(times[precision, conv, direction] for conv, direction in calls) / batch,
            "judge": sum(times[precision, conv, "forward"] for conv in convolutions) / batch,
            "macs": sum(conv.macs for conv, _ in calls),
        }
    return by_network


def report(times: dict[str, dict[Key, float]]) -> dict[str, Any]:
    """As plain data: the values of `per_image` by number of processes and precision, and the rate of every shape."""
    batch = study()["training"]["batch_size"]
    rates = [
        {"at work": work, "precision": p, **asdict(conv), "direction": d, "gmacs a second": batch * conv.macs / t / 1e9}
        for work, times_by_key in times.items()
        for (p, conv, d), t in times_by_key.items()
    ]
    by_work = {work: {p: per_image(times_by_key, p) for p in PRECISIONS} for work, times_by_key in times.items()}
    return {"per image": by_work, "rates": rates}


def main() -> None:
    results = report(measure())
    if "--json" in sys.argv:
        print(json.dumps(results))
        return
    print(f"bfloat16 instructions: {bfloat16_instructions()}; GMAC/s, one thread per process\n")
    for rate in results["rates"]:
        shape = "{channels:4} -> {filters:3}, {kernel}x{kernel} / {stride}, {side:2}x{side:2}".format(**rate)
        row = f"{rate['at work']:12} {rate['precision']:9} {shape}  {rate['direction']:16}"
        print(f"{row}{rate['gmacs a second']:8.1f}")
    for work, by_precision in results["per image"].items():
        for precision, by_network in by_precision.items():
            for name, image in by_network.items():
                rate = image["macs"] / image["learn"] / 1e9
                print(f"{work:12} {precision:9} {name:13} {rate:6.1f} GMAC/s, {1e6 * image['learn']:.0f} us/image")


if __name__ == "__main__":
    main()
