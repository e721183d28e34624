#!/usr/bin/env bash
# scipy 1.17.1: the noncentral t distribution, scipy.special.nctdtr, is nan at scattered far tails.
#
# Between its body, where it is right, and the tail far below 1e-300, where it is 0, single values are nan: the
# neighbours at a hundredth more or less are 0. The bounds below say that the mass there is less than 1e-15: t is at most
# c only if the chi variable exceeds (nc - 8) / c or the normal one is below -8. So the value is 0 to all digits, and a
# power computed as 1 - nctdtr(...) is 1; left as nan, it compares as false, and a bisection goes astray.
# scipy.stats.nct.cdf has gaps in the same places.
#
# Seen: degrees of freedom, nan values of 6,001 from 0 to 60, first, last, largest bound of the mass there
#     4   61  58.31  59.96  1e-15
#     9  223  37.74  46.80  1e-15
#    14  112  41.48  44.00  1e-15
#    99  143  36.67  39.82  1e-15
#   999  128  38.13  39.40  1e-15
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
"$folder/env/bin/python" - <<'PYTHON'
import numpy as np
import scipy
from scipy.special import chdtrc, nctdtr, stdtrit

print("scipy", scipy.__version__)
noncentrality = np.arange(6001) / 100
for df in (4, 9, 14, 99, 999):
    critical = stdtrit(df, 0.975)
    gaps = noncentrality[np.isnan(nctdtr(df, noncentrality, critical))]
    assert len(gaps), "no nan: the behaviour changed"
    bound = chdtrc(df, df * ((gaps - 8) / critical) ** 2) + 1e-15  # 1e-15 is above the normal mass below -8
    print(f"{df:5} {len(gaps):4} {gaps[0]:6.2f} {gaps[-1]:6.2f} {bound.max():6.0e}")
    assert bound.max() < 2e-15
PYTHON
