"""Tries the layers that a plugin brings itself, before anything trains with them."""

from __future__ import annotations

from runner.engines.selection import get
from runner.errors import ShapeError
from runner.network.analysis import LayerWithInput
from runner.network.own_layers import guarded


def refuse_failing(entry: LayerWithInput, engine: str) -> None:
    """Raise ShapeError, in one line with the cure, if the layer does not work on the engine, tried on two images."""
    kind = type(entry.layer).__name__
    tried = get(engine)
    with guarded(entry.path, entry.layer, f"on the {engine} engine"), tried.computing():
        problem = tried.layer_problem(entry)
    if problem:
        cure = "; or set training.engine: torch" if problem.startswith("has no backward") else ""
        raise ShapeError(f"layer {entry.path}: {kind} {problem}{cure}")
