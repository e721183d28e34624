"""Does the effect of one factor depend on another? Contrasts of matched sets of four cells, for every two factors.

For levels a1, a2 of one factor and b1, b2 of another, the contrast is the difference of differences

    (a1 b1 - a2 b1) - (a1 b2 - a2 b2),

averaged over the combinations of the other factors that have all four cells. It is judged as a difference of two levels
is (see `comparisons`): image by image where that may be trusted, else fold by fold.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from runner.planning.plan import Plan
from runner.reporting.statistics.answers import Bools, Integers
from runner.reporting.statistics.comparisons import CORRECTED_T, CROSSED, best_level, level_cells
from runner.reporting.statistics.corrected_t import Floats, corrected_t_test, holm
from runner.reporting.statistics.crossed import BLOCK
from runner.reporting.statistics.crossed_contrasts import crossed_contrasts
from runner.reporting.statistics.metric_matrix import MetricMatrix, average_complete
from runner.reporting.statistics.metric_test import least_std

MAX_CONTRASTS = 100
"""If two factors have more contrasts, only those with the best level of each are computed."""
LEVELS = ("level_a1", "level_a2", "level_b1", "level_b2")
SIGNS = {
    "contrast": (1, -1, -1, 1),
    "effect_a_at_b1": (1, 0, -1, 0), "effect_a_at_b2": (0, 1, 0, -1),
    "effect_b_at_a1": (1, -1, 0, 0), "effect_b_at_a2": (0, 0, 1, -1),
}  # fmt: skip
"""The contrast and the differences of two of the cells a1 b1, a1 b2, a2 b1 and a2 b2, in this order."""
EFFECTS = tuple(SIGNS)[1:]
REVERSALS = {"p_reversed_a": EFFECTS[:2], "p_reversed_b": EFFECTS[2:]}
"""The two effects of a factor whose signs differ if it is reversed."""
COLUMNS = (
    "factor_a", *LEVELS[:2], "factor_b", *LEVELS[2:], "sets", "n", "contrast", "ci_low", "ci_high", "t", "df", "p",
    "p_holm", "p_same", *EFFECTS, *REVERSALS, "matched", "n_planned", "missing", "method", "alpha",
)  # fmt: skip


def contrasts_table(plan: Plan, matrix: MetricMatrix) -> pd.DataFrame:
    """One row per pair of levels of one factor and pair of levels of another that have matched sets of four cells.

    `contrast` is the effect of a1 - a2 with b1, less that with b2, in the metric's unit: 0.02 if a1 is ahead by 0.03
    with b1 and by 0.01 with b2. A set is averaged if its four cells have all their fits; if none has, those are that
    have any, on the (repeat, fold)s that all of them have. `sets` counts the averaged ones of those `matched`.

    `p_holm` is adjusted for all contrasts of all factors. `p_reversed_a` is for the claim that a1 - a2 has different
    signs with b1 and b2 (a qualitative interaction: Gail and Simon 1985): both have to be clear for it, so p is the
    larger one of theirs, and 1 if their signs are equal; adjusted for all contrasts and both factors.

    A part of a grid has none: what its few matched sets would show of two factors may be the effect of a third.
    """
    two_factors = [] if plan.subset else itertools.combinations(plan.factors, 2)
    found = [_of_two(plan, matrix, *factors) for factors in two_factors]
    parts, family = [columns for columns, _ in found if columns], sum(tests for _, tests in found)
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns["p_holm"] = holm(columns["p"], family)
    reversals = holm(np.concatenate([columns[name] for name in REVERSALS]), len(REVERSALS) * family)
    columns |= dict(zip(REVERSALS, np.split(reversals, len(REVERSALS)), strict=True))
    return pd.DataFrame({name: columns[name] for name in COLUMNS})


def _of_two(plan: Plan, matrix: MetricMatrix, factor_a: str, factor_b: str) -> tuple[dict[str, np.ndarray], int]:
    """The columns of two factors, their p not yet adjusted, and the number of tests they stand for; none if no four
    cells of theirs are matched.
    """
    combinations, cell_at = level_cells(plan, matrix, (factor_a, factor_b))
    names = [list(dict.fromkeys(levels[i] for levels in combinations)) for i in (0, 1)]
    index_a, index_b = ({name: i for i, name in enumerate(levels)} for levels in names)
    # The position of each combination in `cell_at`.
    at = np.full((len(index_a), len(index_b)), -1)
    for position, (a, b) in enumerate(combinations):
        at[index_a[a], index_b[b]] = position
    count = _count(at >= 0)
    if count > MAX_CONTRASTS:
        best = (best_level(plan, matrix, level_cells(plan, matrix, (name,))[1]) for name in (factor_a, factor_b))
        chosen = _with_best(at >= 0, *best)
    else:
        chosen = _all(at >= 0)
    corners = np.stack([at[chosen[:, a], chosen[:, b]] for a, b in itertools.product((0, 1), (2, 3))], axis=1)
    matched = (cell_at[corners] >= 0).all(axis=1).any(axis=1)
    chosen, corners = chosen[matched], corners[matched]
    if not len(corners):
        return {}, 0
    # All contrasts at once would take memory for contrasts x cells x fits.
    step = max(1, BLOCK // (len(SIGNS) * cell_at.shape[1] * matrix.values.shape[1]))
    parts = [_judge(plan, matrix, cell_at, corners[i : i + step]) for i in range(0, len(corners), step)]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns |= {name: np.array(names[i // 2], dtype=object)[chosen[:, i]] for i, name in enumerate(LEVELS)}
    factors = {"factor_a": factor_a, "factor_b": factor_b}
    columns |= {name: np.full(len(corners), factor, dtype=object) for name, factor in factors.items()}
    # As for differences, what has no p counts as no test, but what was not computed does.
    return columns, count if count > MAX_CONTRASTS else int(np.count_nonzero(~np.isnan(columns["p"])))


def _count(present: Bools) -> int:
    """How many contrasts there are if the marked combinations (levels of a, levels of b) occur."""
    shared = present.astype(np.float64) @ present.T
    return int(np.triu(shared * (shared - 1) / 2, 1).sum())


def _all(present: Bools) -> Integers:
    """The positions (contrasts, 4) of a1 < a2 and b1 < b2 of all contrasts."""
    found = [
        (a1, a2, *pair)
        for a1, a2 in itertools.combinations(range(len(present)), 2)
        for pair in itertools.combinations(np.flatnonzero(present[a1] & present[a2]), 2)
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 4)


def _with_best(present: Bools, a: int, b: int) -> Integers:
    """As `_all`, of the contrasts with the levels `a` and `b`."""
    opposite = present & present[:, [b]] & present[[a]]
    opposite[a], opposite[:, b] = False, False
    other_a, other_b = np.nonzero(opposite if present[a, b] else np.zeros_like(opposite))
    pairs = [
        np.sort(np.stack([np.full_like(other, best), other], axis=1)) for other, best in ((other_a, a), (other_b, b))
    ]
    return np.hstack(pairs)


def _judge(plan: Plan, matrix: MetricMatrix, cell_at: Integers, corners: Integers) -> dict[str, np.ndarray]:
    """The columns of contrasts whose four combinations are `corners` (contrasts, 4), rows of `cell_at`."""
    cells = cell_at[corners]
    matched = np.asarray((cells >= 0).all(axis=1))
    values = np.where(matched[:, None, :, None], matrix.values[cells], np.nan)
    with np.errstate(invalid="ignore"):  # infinite losses have no difference: nan
        # A sign of 0 keeps nan: the effects are over the (repeat, fold)s of the contrast.
        sums = {name: np.tensordot(np.array(signs, np.float64), values, (0, 1)) for name, signs in SIGNS.items()}
    _, used = average_complete(sums["contrast"])
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 where nothing is used
        means = [
            np.where(used[:, :, None], part, 0.0).sum(axis=1) / used.sum(axis=1)[:, None] for part in sums.values()
        ]
    tests = _tests(plan, matrix, cell_at, corners, used, np.stack(means), _least(plan, sums, used))
    mean, p = (dict(zip(SIGNS, tests[name], strict=True)) for name in ("mean", "p"))
    lowest, highest = (2 * end for end in plan.measure.limits(difference=True))
    return {
        "sets": used.sum(axis=1), "n": tests["n"][0], "contrast": mean["contrast"],
        "ci_low": np.maximum(tests["low"][0], lowest), "ci_high": np.minimum(tests["high"][0], highest),
        "t": tests["t"][0], "df": tests["df"][0], "p": p["contrast"], "p_same": tests["p_within"][0],
        **{name: mean[name] for name in EFFECTS},
        **{name: _reversal([mean[i] for i in two], [p[i] for i in two]) for name, two in REVERSALS.items()},
        "matched": matched.sum(axis=1), "n_planned": np.full(len(corners), values.shape[3]),
        "missing": (np.isnan(values).sum(axis=(1, 3)) * matched).sum(axis=1),
        "method": tests["method"][0], "alpha": np.full(len(corners), matrix.alpha),
    }  # fmt: skip


def _reversal(effects: Sequence[Floats], p: Sequence[Floats]) -> Floats:
    """The p (contrasts,) of the claim that two effects have different signs, from their own p."""
    larger = np.maximum(*p)
    return np.where(effects[0] * effects[1] < 0, larger, np.where(np.isnan(larger), np.nan, 1.0))


def _least(plan: Plan, sums: dict[str, Floats], used: Bools) -> Floats:
    """The `least_std` (sums, contrasts) of each of the SIGNS."""
    # A contrast is twice the average of the effects at b1 and, with the other sign, at b2.
    effects = np.concatenate([sums["effect_a_at_b1"], sums["effect_a_at_b2"]], axis=1)
    contrast = 2 * least_std(plan, effects, np.hstack([used, used]))
    return np.stack([contrast, *(least_std(plan, sums[name], used) for name in EFFECTS)])


def _tests(
    plan: Plan, matrix: MetricMatrix, cell_at: Integers, corners: Integers, used: Bools, means: Floats, least: Floats
) -> dict[str, np.ndarray]:
    """Arrays (sums, contrasts) as of `corrected_t_test`, and `method`.

    `means` (sums, contrasts, repeats * folds) are those of the SIGNS, and `least` (sums, contrasts) their `least_std`.
    """
    shape, rows = means.shape[:2], means.shape[0] * means.shape[1]
    found = corrected_t_test(
        means.reshape(rows, -1), plan.test_train_ratio, plan.equivalent, least.ravel(), matrix.alpha
    )
    found["method"] = np.full(rows, CORRECTED_T, dtype=object)
    if matrix.answers:
        of_each = (len(SIGNS), 1)
        signs = np.repeat(np.array(list(SIGNS.values()), np.int64), len(corners), axis=0)
        crossed = crossed_contrasts(matrix.answers, cell_at, np.tile(corners, of_each), signs, np.tile(used, of_each))
        new = crossed.tests(plan.equivalent, matrix.alpha) | {
            "mean": crossed.mean, "n": crossed.repeats * plan.folds, "df": crossed.df,
            "method": np.full(rows, CROSSED, dtype=object),
        }  # fmt: skip
        found |= {name: np.where(crossed.method_ok, values, found[name]) for name, values in new.items()}
    return {name: values.reshape(shape) for name, values in found.items()}
