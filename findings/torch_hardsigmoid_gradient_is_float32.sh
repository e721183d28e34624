#!/usr/bin/env bash
# PyTorch 2.13.0 (CPU): the gradient of hardsigmoid in float64 has the precision of float32.
#
# hardsigmoid(x) is (x + 3) / 6 between -3 and 3, so its slope there is 1 / 6. In float64 the value is exact to the last
# digit, and one expects the slope 0.16666666666666666. It is 0.1666666716337204, which is 1 / 6 rounded to float32: an
# error of 3e-8 instead of 1e-16. torch.autograd.gradcheck, with its tolerance of 1e-3, does not see it. hardswish, the
# same piece times x, has the full precision. Whoever compares an implementation with torch in float64 finds the
# difference in every network that has the layer.
#
# Seen: slope of hardsigmoid off by 4.967e-09, of hardswish by less than 1e-15, of relu6(x + 3) / 6 by 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy
"$folder/env/bin/python" - <<'PYTHON'
import torch
from torch.nn import functional as F


def slope(function, at=1.0):
    x = torch.full((40,), at, dtype=torch.float64, requires_grad=True)
    function(x).sum().backward()
    return x.grad[0].item()


off = abs(slope(F.hardsigmoid) - 1 / 6)
by_relu6 = abs(slope(lambda x: F.relu6(x + 3) / 6) - 1 / 6)
hardswish = abs(slope(F.hardswish) - (1 / 3 + 1 / 2))
print("torch", torch.__version__, "hardsigmoid", off, "relu6(x + 3) / 6", by_relu6, "hardswish", hardswish)
assert 4e-9 < off < 6e-9
assert by_relu6 < 1e-16 and hardswish < 1e-15
PYTHON
