"""LeNet-5: LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition", II.B.

The paper counts 60,000 trained parameters; this network has 61,706 (10 classes, 1x32x32). The difference: the paper's
C3 sees chosen subsets of S2's maps (1,516 parameters; all maps: 2,416), its S2 and S4 scale and shift every map with
trained numbers (12 and 32; plain pooling has none), and its output is a layer of fixed radial basis functions (none
trained; a dense layer has 850): 156 + 12 + 1,516 + 32 + 48,120 + 10,164 = 60,000.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from annotated_types import Ge

from runner.api import (
    Architecture,
    AvgPool,
    Conv,
    Dense,
    Flatten,
    Initial,
    MaxPool,
    Network,
    ReLU,
    Sequential,
    Shape,
    Sigmoid,
    Tanh,
    hookimpl,
)

# He's initial values make up for the half that ReLU cuts off; the others take LeCun et al. 1998, "Efficient BackProp".
ACTIVATIONS: dict[str, tuple[Network, Initial]] = {
    "tanh": (Tanh(), "lecun"),
    "relu": (ReLU(), "he"),
    "sigmoid": (Sigmoid(), "lecun"),
}
POOLS = {"avg_pool": AvgPool, "max_pool": MaxPool}


def build(
    input_shape: Shape,
    classes: int,
    *,
    activation: Literal["tanh", "relu", "sigmoid"] = "tanh",
    pool: Literal["avg_pool", "max_pool"] = "avg_pool",
    padding: Annotated[int, Ge(0)] = 0,
) -> Network:
    """LeNet-5 for 32x32 images; for 28x28 images set `padding`, that of the first convolution, to 2."""
    activation_layer, initial = ACTIVATIONS[activation]

    def stage(filters: int, padding: int, name: str) -> Network:
        convolution = Conv(filters, 5, padding=padding, initial=initial)
        return Sequential(convolution, activation_layer, POOLS[pool](2), name=name)

    return Sequential(
        stage(6, padding, "stage1"),
        stage(16, 0, "stage2"),
        Flatten(),
        *(layer for units in (120, 84) for layer in (Dense(units, initial=initial), activation_layer)),
        Dense(classes, initial=initial),
    )


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="lenet5", build=build)
