"""Parts of a data set that divide no group: folds with equal shares of each class, and a part with a given share.

The folds are to be as even as those of scikit-learn's StratifiedGroupKFold, which is not used. Its seed only orders
groups that are equally uneven, so that a second repeat may have the first one's splits; and with a seed its folds have
changed between versions, which would train finished fits again (findings/sklearn_group_folds_ignore_the_seed.sh).
"""

from __future__ import annotations

import numpy as np

from runner.errors import RunnerError
from runner.seeding import Key, stream

STARTS, MANY = 5, 500
"""Folds are drawn so often, and the most even ones taken. Of MANY groups and more the first ones are even enough."""
PASSES = 5
"""So often each group may move to a better place. On real data none does after two or three passes."""
TINY = 1e-12
"""A move must improve the balance by more, so that rounding cannot move a group to and fro."""


def assign_groups(labels: np.ndarray, groups: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """The fold number of each image, (N,) int64 from 0 to folds - 1, the same for all images of a group.

    `labels` and `groups` are (N,). With F[k] the shares of each class, and of all images, that fold k has, the sum of
    |F[k]|^2 is to be small: it is smallest if all folds have equal shares. Large groups are placed first, in a random
    order of those of about one size, each where it adds least; then groups move or exchange folds, while that makes
    the sum smaller. At least `folds` groups are needed, and then no fold is empty.
    """
    codes, shares = _shares(labels, groups)
    drawn = [_placed(shares, folds, rng) for _ in range(STARTS if len(shares) < MANY else 1)]
    _, place = min(drawn, key=lambda found: found[0])
    return np.asarray(place[codes])


def _placed(shares: np.ndarray, folds: int, rng: np.random.Generator) -> tuple[float, np.ndarray]:
    """The sum of |F[k]|^2, and the fold (G,) of each group; `shares` (G, C + 1) are those of `_shares`."""
    sums = np.zeros((folds, shares.shape[1]))
    place = np.zeros(len(shares), np.int64)
    order = _large_first(shares, rng)
    for group in order:
        cost = sums @ shares[group]
        # Of equally good folds the one with the fewest images, which is an empty one if there is any.
        best = np.flatnonzero(cost <= cost.min() + TINY)
        place[group] = best[sums[best, -1].argmin()]
        sums[place[group]] += shares[group]
    for _ in range(PASSES):
        moved = sum(_moved(group, place, shares, sums) for group in order)
        # Where groups are few, two may have to change folds at once: each of them alone would make it worse.
        exchanged = len(order) < MANY and sum(_exchanged(group, place, shares, sums) for group in order)
        if not moved and not exchanged:
            break
    return float((sums**2).sum()), place


def _moved(group: int, place: np.ndarray, shares: np.ndarray, sums: np.ndarray) -> bool:
    """Move a group to the fold where it adds least to the sum of squares; False if it is there."""
    own, share = place[group], shares[group]
    cost = sums @ share
    cost[own] -= share @ share  # what the others in its fold share with it
    best = int(cost.argmin())
    if cost[best] >= cost[own] - TINY:
        return False
    sums[own] -= share
    sums[best] += share
    place[group] = best
    return True


def _exchanged(group: int, place: np.ndarray, shares: np.ndarray, sums: np.ndarray) -> bool:
    """Exchange a group with the one of another fold that makes the sum of squares smallest; False if none does."""
    own, others = place[group], np.flatnonzero(place != place[group])
    gains = shares[others] - shares[group]
    cost = (gains * (sums[own] - sums[place[others]] + gains)).sum(axis=1)  # half of what the sum changes by
    if cost.min(initial=0.0) >= -TINY:
        return False
    best, gain = others[cost.argmin()], gains[cost.argmin()]
    sums[own] += gain
    sums[place[best]] -= gain
    place[group], place[best] = place[best], own
    return True


def part_of_groups(labels: np.ndarray, groups: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Which images (N,) are in a random part of whole groups, with about `share` of each class and of all images.

    `labels` and `groups` are (N,). The rest has images of every class. If no group can be taken, the part is empty;
    else it has one at least, however large.
    """
    codes, shares = _shares(labels, groups)
    taken, total = np.zeros(len(shares), np.bool_), np.zeros(shares.shape[1])
    order = rng.permutation(len(shares))
    for _ in range(PASSES):
        before = taken.copy()
        for group in order:
            after = total - shares[group] if taken[group] else total + shares[group]
            if after.max() < 1 - TINY and _distance(after, share) < _distance(total, share) - TINY:
                taken[group], total = not taken[group], after
        if np.array_equal(before, taken):
            break
    if not taken.any():
        possible = [group for group in order if shares[group].max() < 1 - TINY]
        if possible:
            taken[min(possible, key=lambda group: _distance(shares[group], share))] = True
    return np.asarray(taken[codes])


def inner_groups(
    labels: np.ndarray, groups: np.ndarray, train: np.ndarray, share: float, *keys: Key
) -> tuple[np.ndarray, np.ndarray]:
    """As `folds.inner_split`, by whole `groups` (N,): the inner part has about `share` of the images, or one group."""
    is_inner = part_of_groups(labels[train], groups[train], share, stream("inner", *keys))
    if not is_inner.any():
        raise RunnerError(
            "training.stop: in a fold, each group has all training images of some class, so that none can be set aside"
        )
    return train[~is_inner], train[is_inner]


def _distance(total: np.ndarray, share: float) -> float:
    return float(((total - share) ** 2).sum())


def _shares(labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number (N,) of each image's group, and the groups' shares (G, C + 1): of each class, and of all images."""
    names, codes = np.unique(groups, return_inverse=True)
    classes, label = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(names), len(classes) + 1))
    np.add.at(counts, (codes, label), 1)
    counts[:, -1] = counts.sum(axis=1)
    return codes, counts / counts.sum(axis=0)


def _large_first(shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The groups (G,), those of at least half the size of the largest first, and so on by powers of two."""
    size = shares.sum(axis=1)
    order = rng.permutation(len(size))
    rank = np.floor(np.log2(size.max() / size))
    return order[np.argsort(rank[order], kind="stable")]
