"""A part of a grid that still tells the main effects: which cells it has, and what it can no longer tell.

`fraction` takes the smallest number of cells in which every two levels of different factors meet equally often (an
orthogonal array of strength 2), and if it finds none, the smallest in which they can all meet. At least two cells more
than main effects, which show whether effects add up. It starts with the
regular fraction (Box and Hunter 1961), where all factors have equally many levels, and then with random cells, and
exchanges cells one by one for better ones, as Xu 2002 does ("An algorithm for constructing orthogonal and
nearly-orthogonal arrays with mixed levels and small runs"): with d the agreements of two chosen cells, each counted as
often as its factor has levels, the sum of d^2 over pairs of cells has a least value that exactly the orthogonal arrays
reach.

`random` draws cells one after another: first those that tell another main effect, until all are told.

Both depend on the grid and the experiment's seed alone. Whole numbers only, so that they are the same on all machines.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from runner.experiment.schema import GridDesign
from runner.planning import main_effects
from runner.planning.main_effects import Codes
from runner.planning.plan import Subset
from runner.seeding import stream

Kind = Literal["fraction", "random"]
SPARE = 2
"""So many cells more than main effects has a fraction at least: they show whether effects add up."""
PRIME = 2**31 - 1
"""Ranks are taken modulo this prime, without rounding."""
MOST_STARTS, EFFORT = 200, 2e7
"""Fractions begin at so many random ones, fewer if the grid is so large that these would take long."""


def choose(levels: Sequence[Sequence[str]], design: GridDesign, seed: int) -> list[int]:
    """The positions, in order, of the cells that `design` takes from those with these levels.

    Raises ValueError, with the smallest number that works, if there is no such part of the grid.
    """
    codes, rng = main_effects.coded(levels), stream("design", seed)
    order = [int(i) for i in rng.permutation(len(codes))]
    basis = _basis(codes, order)
    if design.kind == "random":
        return sorted(_random(basis, order, design.cells or 0))
    sizes = fraction_sizes(codes, len(basis))
    if not sizes:
        least = f"{{random: N}} with N from {len(basis)}"
        raise ValueError(
            f"no fraction of these {len(codes):,} cells has all pairs of levels; allowed: full, or {least}"
        )
    found = [_fraction(codes, size, len(basis), rng) for size in sizes[:1]]
    while found[-1][0] and len(found) < len(sizes):
        found.append(_fraction(codes, sizes[len(found)], len(basis), rng))
    # The last one if it is even; otherwise the smallest is as good as any.
    uneven, chosen = found[-1] if not found[-1][0] else found[0]
    if not chosen:
        raise ValueError(
            f"no fraction of these {len(codes):,} cells was found; allowed: full, or a mapping {{random: N}}"
        )
    return sorted(chosen)


def _random(basis: list[int], order: list[int], size: int) -> list[int]:
    if size < len(basis):
        raise ValueError(f"found {{random: {size}}}; to tell all main effects it takes {len(basis)} cells or more")
    if size >= len(order):
        raise ValueError(
            f"found {{random: {size}}}; the grid has {len(order):,} cells; allowed: full, or fewer of them"
        )
    chosen = set(basis)
    return basis + [i for i in order if i not in chosen][: size - len(basis)]


def _basis(codes: Codes, order: Sequence[int]) -> list[int]:
    """The first cells in `order` that each tell another main effect."""
    sizes = codes.max(axis=0) + 1
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rows: list[tuple[int, list[int]]] = []  # each with its leading column
    found = []
    most = 1 + int((sizes - 1).sum())
    for cell in order:
        row = [0] * int(sizes.sum())
        for start, code in zip(starts, codes[cell], strict=True):
            row[start + code] = 1
        for lead, other in rows:
            if factor := row[lead]:
                row = [(x - factor * y) % PRIME for x, y in zip(row, other, strict=True)]
        if any(row):
            lead = next(i for i, x in enumerate(row) if x)
            inverse = pow(row[lead], -1, PRIME)
            rows.append((lead, [x * inverse % PRIME for x in row]))
            found.append(cell)
        if len(found) == most:
            break
    return found


def fraction_sizes(codes: Codes, least: int) -> list[int]:
    """The numbers of cells to try for a fraction, below that of the grid, if any: up to twice the smallest."""
    sizes = [int(size) for size in codes.max(axis=0) + 1 if size > 1]
    if len(sizes) < 2:
        return []
    products = [a * b for a, b in itertools.combinations(sizes, 2)]
    enough = max(least + SPARE, max(products))
    for step in (math.lcm(*products), math.lcm(*sizes), 1):
        first = math.ceil(enough / step) * step
        if first < len(codes):
            # Only multiples of the first step can be even.
            return list(range(first, min(2 * first + 1, len(codes)), step)) if step == math.lcm(*products) else [first]
    return []


def _fraction(codes: Codes, size: int, least: int, rng: np.random.Generator) -> tuple[float, list[int]]:
    """The unevenness of the best of several fractions that tell all main effects, and its cells; none if none does."""
    sizes = codes.max(axis=0) + 1
    starts = int(max(2, min(MOST_STARTS, EFFORT // (10 * size * codes.size))))
    best: tuple[float, list[int]] = (math.inf, [])
    for number in range(starts):
        regular = _regular(codes, size, rng) if number == 0 else None
        chosen = _exchange(codes, sizes, rng.permutation(len(codes))[:size] if regular is None else regular)
        found = unevenness(codes[chosen], sizes)
        if found < best[0] and len(_basis(codes, chosen)) == least:
            best = found, chosen
        if best[0] == 0:
            break
    return best


def _regular(codes: Codes, size: int, rng: np.random.Generator) -> Codes | None:
    """The cells of a regular fraction of s^r cells, if all factors have s levels; None if the grid does not have it.

    The levels of each factor are those of a linear form z -> g z modulo s. Forms whose first part is 1 are orthogonal
    in pairs if s is prime; otherwise it is a start.
    """
    sizes, factors = codes.max(axis=0) + 1, codes.shape[1]
    s = int(sizes[0])
    r = round(math.log(size, s)) if s > 1 else 0
    if (sizes != s).any() or s**r != size:
        return None
    points = np.array(list(itertools.product(range(s), repeat=r)))
    forms = points[[next((x for x in point if x), 0) == 1 for point in points]]
    # Those of few parts first, so that the first factors are a full grid.
    forms = forms[np.argsort((forms > 0).sum(axis=1), kind="stable")][:factors]
    if len(forms) < factors:
        return None
    labels = np.stack([rng.permutation(s) for _ in range(factors)])
    wanted = labels[np.arange(factors), points @ forms.T % s]
    position = {tuple(code): index for index, code in enumerate(codes.tolist())}
    found = [position.get(tuple(code)) for code in wanted.tolist()]
    return None if None in found else np.array(found, dtype=np.int64)


def _exchange(codes: Codes, sizes: Codes, start: Codes) -> list[int]:
    """Exchange one chosen cell after another for that which lowers the unevenness most, until none does."""
    chosen = [int(i) for i in start]
    free = np.ones(len(codes), dtype=np.bool_)
    free[chosen] = False

    def agreements(cell: int) -> Codes:
        return np.asarray(((codes == codes[cell]) * sizes).sum(axis=1) ** 2)

    total = np.sum([agreements(cell) for cell in chosen], axis=0)
    improved = True
    while improved:
        improved = False
        for place, cell in enumerate(chosen):
            own = agreements(cell)
            gain = np.where(free, total - own - (total[cell] - own[cell]), 0)
            new = int(gain.argmin())
            if gain[new] < 0:
                chosen[place], free[cell], free[new], improved = new, True, False, True
                total = total - own + agreements(new)
    return chosen


def unevenness(codes: Codes, sizes: Codes) -> int:
    """Twice the sum of squared agreements, less twice that of an orthogonal array: a whole number."""
    n, k = codes.shape
    agreements = sum((codes[:, None, f] == codes[None, :, f]) * sizes[f] for f in range(k))
    twice = int((np.asarray(agreements) ** 2).sum()) - n * int(sizes.sum()) ** 2
    return int(twice - ((n * k) ** 2 + n**2 * int((sizes - 1).sum()) - n * int(sizes.sum()) ** 2))


def describe(factors: Sequence[str], levels: Sequence[Sequence[str]], chosen: Sequence[int], kind: Kind) -> Subset:
    """What is left out by running the `chosen` cells of those with these `levels`."""
    whole = main_effects.coded(levels)
    codes = whole[list(chosen)]
    varied = [f for f in range(len(factors)) if whole[:, f].max() > 0]
    pairs = {(a, b): f"{factors[a]} × {factors[b]}" for a, b in itertools.combinations(varied, 2)}
    columns = {pair: main_effects.interaction(codes, *pair) for pair in pairs}
    mixed = {}
    for f in varied:
        weights, _ = main_effects.level_weights(codes, f)
        shifts = {pair: np.abs(weights @ part).max(initial=0.0) for pair, part in columns.items() if f not in pair}
        mixed[factors[f]] = tuple(pairs[pair] for pair, shift in shifts.items() if shift > main_effects.NEGLIGIBLE)
    return Subset(
        kind=kind,
        spare=len(codes) - main_effects.rank(codes),
        of=len(levels),
        even=unevenness(codes[:, varied], (whole.max(axis=0) + 1)[varied]) == 0,
        cells_a_level={factors[f]: main_effects.cells_a_level(codes, f) for f in varied},
        mixed=mixed,
        unknown=tuple(pairs[pair] for pair in pairs if main_effects.rank(codes, columns[pair]) < _rank(whole, pair)),
    )


def _rank(whole: Codes, pair: tuple[int, int]) -> int:
    """What of the main effects and of the interaction of two factors the whole grid tells."""
    sizes = whole.max(axis=0) + 1
    if len(whole) == math.prod(map(int, sizes)):  # known, which saves time
        return 1 + int((sizes - 1).sum() + np.prod(sizes[list(pair)] - 1))
    return main_effects.rank(whole, main_effects.interaction(whole, *pair))
