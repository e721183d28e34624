#!/usr/bin/env bash
# scikit-learn 1.7.2 and 1.9.1: StratifiedGroupKFold(shuffle=True) and its seed.
#
# One would expect that shuffle=True with another random_state gives other folds that are as even, as for
# StratifiedKFold. In 1.9.1 groups are shuffled and then sorted by the spread of their class counts, so that the seed
# only orders groups with the same spread: if each patient is ill or well and has another number of images, every seed
# gives the same folds, and repeated cross-validation repeats one split. In 1.7.2 the counts were shuffled apart from
# the groups they belong to: every seed gives other folds, and they are not stratified.
#
# Seen: the number of different ways in which ten seeds divide 40 groups, and how uneven the classes are over the folds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
for version in 1.7.2 1.9.1; do
    "$folder/env/bin/pip" install --quiet --disable-pip-version-check "scikit-learn==$version"
    "$folder/env/bin/python" - <<'PYTHON'
import numpy as np
import sklearn
from sklearn.model_selection import StratifiedGroupKFold

groups = np.repeat(np.arange(40), np.random.default_rng(0).permutation(np.arange(5, 45)))
labels = groups % 2


def folds(**options):
    splits = StratifiedGroupKFold(5, **options).split(labels, labels, groups)
    return [frozenset(groups[test]) for _, test in splits]


def unevenness(parts):
    shares = [[np.isin(groups[labels == label], list(part)).mean() for part in parts] for label in (0, 1)]
    return np.std(shares, axis=1).mean()


shuffled = [folds(shuffle=True, random_state=seed) for seed in range(10)]
ways = len({frozenset(parts) for parts in shuffled})
uneven = [unevenness(folds()), *map(unevenness, shuffled)]
print(f"scikit-learn {sklearn.__version__}: 10 seeds, {ways} ways; unevenness without shuffling {uneven[0]:.4f}, "
      f"with it {min(uneven[1:]):.4f} to {max(uneven[1:]):.4f}")
if sklearn.__version__ == "1.9.1":
    assert ways == 1
else:
    assert ways == 10 and max(uneven[1:]) > 5 * uneven[0]
PYTHON
done
