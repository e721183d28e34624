"""The smallest difference that a design finds with 80% power, from variances that a journal or other studies showed.

The difference of two levels, averaged over M matched pairs of cells on n images with K folds and R repeats, has

    image by image    V = (U + W / (M R)) / n
    fold by fold      V = (U / 1.25 + W / M) (1 / R + K n_test / n_train) / n        (Nadeau and Bengio 2003)

where U is what other images would change, with the quarter more that one data set cannot show (see `crossed`), and W
what other fits would. It is found with 80% power if it is t(1 - alpha / 2) + t(0.8) of its standard errors, with
K R - 1 degrees of freedom: those of the interval over the folds, which few repeats do not get below. alpha is divided
by the number of comparisons of the factor, as Holm's first step does. docs/explanation/statistics.md says how this
differs from what is then found, and where the typical variances are from.

Pure Python, as `runner plan` shows a line of it and loads no NumPy.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from runner.planning.plan import Plan

LEAST_IMAGES, LEAST_FOLDS, LEAST_REPEATS = 200, 5, 3
"""With fewer images or, at fewer repeats, fewer folds, the interval image by image was not shown to hold."""
ALPHA, ALPHA_LOOKS = 0.05, 0.025
"""The level of the tests; and that of each look at a study whose repeats stop when it is decided."""
SHARED = 0.25
"""The part of the variance of the images that one data set cannot show; see `crossed`."""
MOST_DF = 1000
"""Beyond these, Student's t is as good as normal (0.1% at the ends of a 95% interval)."""


@dataclass(frozen=True)
class Variances:
    """U and W of the module's docstring, for one pair of cells and one image, in squares of the metric.

    `whole` says that only their sum is known, as from a study that is judged fold by fold; it is in `images`.
    """

    images: float
    fits: float
    whole: bool = False


LOW, HIGH = Variances(0.003, 0.2), Variances(0.03, 1.6)
"""Without a journal: what pairs of networks that train well showed on four data sets (benchmarks/power_promises.py)."""


@dataclass(frozen=True)
class Design:
    """What decides how well two levels of a factor can be told apart: see the module's docstring.

    `comparisons` are those that p is adjusted for. `ratio` is n_test / n_train.
    """

    images: int
    folds: int
    repeats: int
    pairs: float
    comparisons: int
    alpha: float
    ratio: float
    by_image: bool

    def variance(self, v: Variances) -> float:
        """V: the variance of the difference of two levels."""
        if self.by_image and not v.whole:
            return (v.images + v.fits / (self.pairs * self.repeats)) / self.images
        each = v.images if v.whole else v.images / (1 + SHARED) + v.fits / self.pairs
        return each * (1 / self.repeats + self.folds * self.ratio) / self.images

    def detectable(self, v: Variances) -> float | None:
        """The smallest difference that is found with 80% power; None for one value, which has no interval."""
        df = self.folds * self.repeats - 1
        if df < 1:
            return None
        level = 1 - self.alpha / self.comparisons / 2
        return (student_quantile(level, df) + student_quantile(0.8, df)) * math.sqrt(self.variance(v))


def student_quantile(p: float, df: int) -> float:
    """The value that Student's t with `df` degrees of freedom stays below with probability `p` >= 0.5.

    By bisection of the closed forms for whole numbers of degrees (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4).
    """
    df, low, high = min(df, MOST_DF), 0.0, 1.0
    while _student(high, df) < p:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _student(middle, df) < p else (low, middle)
    return high


def _student(t: float, df: int) -> float:
    angle = math.atan(t / math.sqrt(df))
    square, odd = math.cos(angle) ** 2, df % 2
    term = math.cos(angle) if odd else 1.0
    total = term if df > 1 else 0.0
    for k in range(2 + odd, df - 1, 2):
        term *= (k - 1) / k * square
        total += term
    both = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return (1 + both) / 2


def designs(plan: Plan) -> dict[str, Design]:
    """The design of each factor that has two levels with matched cells, at the most repeats that are planned."""
    repeats = plan.most or plan.repeats
    images = int(plan.data.get("size", 0))
    by_image = (
        plan.metric == "val_accuracy"
        and plan.split_design is None
        and images >= max(LEAST_IMAGES, 2 * plan.folds)
        and (plan.folds >= LEAST_FOLDS or repeats >= LEAST_REPEATS)
    )
    alpha = ALPHA if plan.most is None else ALPHA_LOOKS
    found = {}
    for factor in plan.factors:
        pairs, comparisons = matched_pairs(plan, factor)
        if pairs and images:
            found[factor] = Design(
                images, plan.folds, repeats, pairs, comparisons, alpha, plan.test_train_ratio, by_image
            )
    return found


def matched_pairs(plan: Plan, factor: str) -> tuple[float, int]:
    """The matched pairs of cells of the two levels that have fewest, and how many pairs of levels have any.

    In a part of a grid, which is not judged by them, as many as tell equally much; all pairs of levels are compared.
    """
    if plan.subset:
        levels = len({cell.levels[factor] for cell in plan.cells})
        return plan.subset.cells_a_level.get(factor, 0), levels * (levels - 1) // 2
    beside: dict[tuple[str, ...], list[str]] = {}
    for cell in plan.cells:
        others = tuple(level for name, level in cell.levels.items() if name != factor)
        beside.setdefault(others, []).append(cell.levels[factor])
    counts = Counter(frozenset((a, b)) for levels in beside.values() for i, a in enumerate(levels) for b in levels[:i])
    return min(counts.values(), default=0), len(counts)


def typical(plan: Plan) -> tuple[Variances, ...]:
    """The variances without a journal, the low and the high ones; none for a metric of which nothing is known."""
    return (LOW, HIGH) if plan.measure.share_of_images else ()


def span(plan: Plan, design: Design, variances: Sequence[Variances]) -> str:
    """The difference that is found, without its unit: ``1.2``, or ``1.2 to 4.6`` with low and high variances."""
    found = [design.detectable(v) for v in variances]
    texts = dict.fromkeys("none" if value is None else _short(plan, value) for value in found)
    return " to ".join(texts) if texts else "unknown"


def _short(plan: Plan, value: float) -> str:
    """Two digits, as more of them would promise too much; a difference of 100 points or more is not possible."""
    most = plan.measure.limits()[1]
    return f"{plan.measure.scale * value:#.2g}".rstrip(".") if value < most else f">{plan.measure.scale * most:g}"


def summary(plan: Plan, trained: bool = False) -> str:
    """One line on what the plan can find; "" without a comparison, or if nothing is known of the metric's variances.

    It goes by usual variances, as reading a journal's would take seconds; if fits are `trained`, it says what reads
    them.
    """
    found, variances = designs(plan), typical(plan)
    if not found or not variances:
        return ""
    listed = ", ".join(f"{span(plan, design, variances)} in {factor}" for factor, design in found.items())
    unit = plan.measure.unit or plan.measure.quantity
    more = "goes by this study's own fits, and says" if trained else "says"
    return f"{unit} found with 80% power, by how much fits vary: {listed} (runner power {more} what more would buy)"
