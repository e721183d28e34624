"""The parameters that every optimizer has, read by the runner itself: multipliers by kind of parameter, Lookahead, SAM.

They wrap any update rule, so a rule need not know them. Each is left out of what is bound, and so of a fit's identity,
where it changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Annotated, Any, NamedTuple

from pydantic import Field, PlainValidator

from runner.components.validation import as_mapping, parse_record, refuse_unknown
from runner.errors import RunnerError

KINDS = ("bias", "conv", "dense", "norm")
"""The kinds of parameters: the role in a layer, or what the layer is (`Layer.family`)."""
# Not that of `records`, which imports this module.
_Factor = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Multiplier:
    """What the learning rate and the weight decay of a kind of parameter are multiplied by."""

    lr: _Factor = 1.0
    weight_decay: _Factor = 1.0


@dataclass(frozen=True)
class Multipliers:
    """By kind of parameter: biases, and all parameters of convolutions, of dense layers and of normalisation.

    A parameter that is of two kinds, as the bias of a convolution, has the product of both. Source: the settings
    `lr_mult` and `decay_mult` of a layer in Caffe (Jia et al. 2014).
    """

    bias: Multiplier = Multiplier()
    conv: Multiplier = Multiplier()
    dense: Multiplier = Multiplier()
    norm: Multiplier = Multiplier()


@dataclass(frozen=True)
class Lookahead:
    """After every `k` steps the parameters go back to slow ones, which first move towards them by the share `alpha`.

    Source: Zhang et al. 2019, "Lookahead Optimizer: k steps forward, 1 step back", algorithm 1; defaults as there.
    """

    k: Annotated[int, Field(ge=1)] = 5
    alpha: Annotated[float, Field(gt=0, le=1)] = 0.5


@dataclass(frozen=True)
class SAM:
    """Sharpness-aware minimisation: the gradient is that at the point `rho` away, where the loss rises most steeply.

    Source: Foret et al. 2021, "Sharpness-Aware Minimization for Efficiently Improving Generalization", algorithm 1.
    """

    rho: _Factor = 0.05


class Factors(NamedTuple):
    """What the learning rate and the weight decay of one parameter are multiplied by."""

    lr: float = 1.0
    weight_decay: float = 1.0


@dataclass(frozen=True)
class RuleOptions:
    """The common parameters of one optimizer; those of `RuleOptions()` change nothing."""

    multipliers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    lookahead: Lookahead | None = None
    sam: SAM | None = None

    @classmethod
    def of(cls, bound: Mapping[str, Any]) -> RuleOptions:
        """From the bound common parameters."""
        lookahead, sam = bound.get("lookahead"), bound.get("sam")
        return cls(
            bound.get("multipliers", {}),
            None if lookahead is None else Lookahead(**lookahead),
            None if sam is None else SAM(**sam),
        )

    def factors(self, kinds: Iterable[str]) -> Factors:
        """Those of a parameter of these kinds."""
        factors = Factors()
        for multiplier in (self.multipliers[kind] for kind in kinds if kind in self.multipliers):
            factors = Factors(
                factors.lr * multiplier.get("lr", 1.0), factors.weight_decay * multiplier.get("weight_decay", 1.0)
            )
        return factors


def scaled(rule: Any, factors: Factors) -> Any:
    """The rule with its fields `lr` and `weight_decay` multiplied; raises RunnerError if it lacks one of them."""
    changed = {name: factor for name, factor in factors._asdict().items() if factor != 1}
    if not changed:
        return rule
    # A class with such attributes but no fields could compute from others that it derived from them.
    known = [field.name for field in fields(rule)] if is_dataclass(rule) else []
    missing = [name for name in changed if name not in known]
    if missing:
        names = " and ".join(missing)
        raise RunnerError(f"multipliers need a rule that is a dataclass with the field {names}, which it computes from")
    return replace(rule, **{name: getattr(rule, name) * factor for name, factor in changed.items()})


def passes(parameters: Mapping[str, Any]) -> int:
    """How many gradients a step of an optimizer with these bound parameters takes."""
    return 2 if parameters.get("sam") else 1


def normalise_multipliers(value: Any) -> dict[str, dict[str, float]] | None:
    """The multipliers that are not 1, by kind and parameter; None if there are none."""
    if value is None:
        return None
    for kind, given in as_mapping(value).items():
        if kind in KINDS:
            refuse_unknown(kind, as_mapping(given, kind), ("lr", "weight_decay"), kind)
    parsed = asdict(parse_record(Multipliers, "multipliers", value))
    changed = {kind: {name: factor for name, factor in own.items() if factor != 1} for kind, own in parsed.items()}
    return {kind: own for kind, own in changed.items() if own} or None


def normalise_lookahead(value: Any) -> dict[str, Any] | None:
    """Every parameter of it; None if it is off."""
    return None if value is None else asdict(parse_record(Lookahead, "lookahead", as_mapping(value)))


def normalise_sam(value: Any) -> dict[str, Any] | None:
    """Every parameter of it; None if it is off, as with a `rho` of 0."""
    parsed = SAM(rho=0) if value is None else parse_record(SAM, "sam", as_mapping(value))
    return asdict(parsed) if parsed.rho else None


COMMON: dict[str, Any] = {
    "lookahead": Annotated[dict | None, PlainValidator(normalise_lookahead)],
    "multipliers": Annotated[dict | None, PlainValidator(normalise_multipliers)],
    "sam": Annotated[dict | None, PlainValidator(normalise_sam)],
}
"""The type of each in YAML, by name."""
