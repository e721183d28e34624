"""One cost of a bound architecture, without what else an analysis finds: `match` asks for it hundreds of times."""

from __future__ import annotations

from runner.components.catalog import Catalog
from runner.components.records import ComponentRef, ImageData
from runner.engines.torch_engine.meta_device import build_on_meta
from runner.errors import ShapeError
from runner.network.analysis import analyse, layer_output_shape, merged_shape
from runner.network.base import Layer, Shape
from runner.network.graph import Network, has_own_layers, walk
from runner.planning.architecture_facts import examine, watched
from runner.planning.best_integer import Values


def costs_of(catalog: Catalog, ref: ComponentRef, data: ImageData, kind: str) -> Values | None:
    """The `kind` of cost of a network, as the analysis has it; None if it is unknown.

    It is one of parameters, macs, activations and receptive_field. Raises RunnerError if the architecture cannot be
    built, or its layers do not fit the images.
    """
    with watched(catalog.find("architecture", ref.name), ref):
        built = build_on_meta(lambda: catalog.build("architecture", ref, data.shape, data.classes))
    if not isinstance(built, Network):  # a torch module
        found = getattr(examine(catalog, ref, data.shape, data.classes)[0], kind)
    elif kind in ("parameters", "macs") and not ref.parameters.get("strict") and not has_own_layers(built):
        return _sum(built, data, kind)
    else:
        analysis = analyse(built, data.shape, data.classes, strict=bool(ref.parameters.get("strict")))
        found = getattr(analysis, kind)
    return found if found is None or isinstance(found, tuple) else (found,)


def _sum(network: Network, data: ImageData, kind: str) -> Values | None:
    counts: list[int | None] = []

    def visit(path: str, layer: Layer, shape: Shape) -> Shape:
        output = layer_output_shape(path, layer, shape)
        specs = layer.parameters(shape).values() if kind == "parameters" else ()
        counts.append(sum(spec.size for spec in specs if spec.trainable) if specs else 0)
        counts.append(layer.macs(shape) if kind == "macs" else 0)
        return output

    if walk(network, data.shape, visit, merged_shape) != (data.classes, 1, 1):
        raise ShapeError(f"the network's output is not one number for each of {data.classes} classes")
    known = [count for count in counts if count is not None]
    return (sum(known),) if len(known) == len(counts) else None
