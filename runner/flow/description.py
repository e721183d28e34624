"""An architecture described for Python users: layer by layer and as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runner.components.catalog import load_catalog, reload_edited
from runner.components.plugin_paths import find_plugin
from runner.components.records import ComponentRef
from runner.components.validation import InvalidValues
from runner.errors import Complaint, InputError, Location, PluginError, RunnerError
from runner.experiment.python_values import document
from runner.experiment.schema import parse_component
from runner.network.analysis import Analysis
from runner.planning.architecture_facts import examine
from runner.shown import Shown, Table
from runner.text import dotted

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Description(Shown):
    """An architecture with all its parameters, and its facts for one shape of images."""

    architecture: ComponentRef
    analysis: Analysis

    @property
    def parameters(self) -> int:
        """The number of trained parameters."""
        return self.analysis.parameters

    @property
    def macs(self) -> int | None:
        """Multiply-adds per image; None if unknown."""
        return self.analysis.macs

    @property
    def receptive_field(self) -> tuple[int, int] | None:
        """(height, width) in pixels, before all positions are mixed; None if unknown."""
        return self.analysis.receptive_field

    @cached_property
    def layers(self) -> pd.DataFrame:
        """A row a layer, by its path, with the facts of `runner describe --json`."""
        import pandas as pd

        return pd.DataFrame([asdict(layer) for layer in self.analysis.layers]).set_index("path")

    def shown(self) -> Iterator[str | Table]:
        found = self.analysis
        yield f"{self.architecture} for images of {'×'.join(map(str, found.input))}"
        rows = [
            (
                layer.path, f"{layer.type} {layer.detail}".strip(), "×".join(map(str, layer.output)),
                f"{layer.parameters:,}",
                f"{layer.macs:,}" if found.costed and layer.macs is not None else "–", _pair(layer.receptive_field),
                _pair(layer.jump),
            )
            for layer in found.layers
        ]  # fmt: skip
        yield Table(("layer", "type", "output", "parameters", "MACs", "receptive field", "jump"), rows, texts=2)
        macs = f"{found.macs:,} multiply-adds per image" if found.macs is not None else "multiply-adds unknown"
        yield f"{found.parameters:,} parameters, {macs}, receptive field {_pair(found.receptive_field)}"
        yield from (f"warning: {warning}" for warning in found.warnings)


def _pair(value: tuple[float, float] | None) -> str:
    return "×".join(f"{side:g}" if isinstance(side, float) else str(side) for side in value) if value else "–"


def describe(
    architecture: Any, shape: Sequence[int] = (3, 32, 32), classes: int = 10, plugins: Sequence[Any] = ()
) -> Description:
    """The description of an architecture, a name or a mapping with its name and parameters, for images of `shape`."""
    node = document({"describe": architecture, "input": shape, "classes": classes, "plugins": plugins}, "describe")
    data = node.to_data()
    size = (*data["input"], data["classes"]) if isinstance(data["input"], list) else ()
    if len(size) != 4 or not all(type(count) is int and count > 0 for count in size):
        raise RunnerError("describe: expected input=(channels, height, width) and classes=K, whole numbers above 0")
    try:
        ref = parse_component(data["describe"])
    except ValueError as error:
        raise RunnerError(f"describe: {error}") from None
    try:
        files = [find_plugin(file) for file in ([plugins] if isinstance(plugins, str) else data["plugins"])]
    except PluginError as error:
        raise RunnerError(f"describe: plugins: {error}") from None
    reload_edited()
    catalog = load_catalog(tuple(map(str, files)))
    try:
        bound = catalog.bind("architecture", ref)
    except InvalidValues as finding:
        where = Location(f"describe {ref.name}")
        raise InputError(Complaint(where, dotted(path), message) for path, message in finding.problems) from None
    return Description(bound, examine(catalog, bound, size[:3], size[3])[0])
