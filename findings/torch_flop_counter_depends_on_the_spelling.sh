#!/usr/bin/env bash
# PyTorch 2.13.0: FlopCounterMode counts a product, or takes it for no work, depending on how it is written.
#
# It has formulas for products of matrices, of batches of matrices, and for convolutions. A matrix times a vector is
# another operation, which has none, so `weights @ vector` costs nothing while `vector @ weights` is counted. The same
# holds for a layer with one output: attention pooling's `tokens @ vector` is free, nn.Linear(C, 1) is not. There is no
# warning.
#
# Seen: operations counted, of those by hand (two for each multiply-add)
#     vector @ matrix        2048 of 2048
#     matrix @ vector           0 of 2048
#     tokens, Linear(C, 1)   4096 of 4096
#     tokens @ vector           0 of 4096
#     einsum of x W y       67584 of 65536 (it forms x y first, as a product of matrices)
#     nn.Bilinear               0 of 65536
#     bmm and sum          131072 of 131072
#     addbmm                    0 of 131072
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy
cat > "$folder/count.py" <<'PYTHON'
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

C, TOKENS = 32, 64
matrix, vector, tokens, cube = (torch.ones(*shape) for shape in ((C, C), (C,), (1, TOKENS, C), (C, C, C)))
first = last = torch.ones(1, C)
one, bilinear = nn.Linear(C, 1, bias=False), nn.Bilinear(C, C, C, bias=False)
PRODUCTS = {
    "vector @ matrix": (lambda: vector @ matrix, C * C, 2048),
    "matrix @ vector": (lambda: matrix @ vector, C * C, 0),
    "tokens, Linear(C, 1)": (lambda: one(tokens), TOKENS * C, 4096),
    "tokens @ vector": (lambda: tokens @ vector, TOKENS * C, 0),
    "einsum of x W y": (lambda: torch.einsum("ni,kij,nj->nk", first, cube, last), C**3, 67584),
    "nn.Bilinear": (lambda: bilinear(first, last), C**3, 0),
    "bmm and sum": (lambda: matrix + torch.bmm(tokens.transpose(1, 2), tokens).sum(0), C * C * TOKENS, 131072),
    "addbmm": (lambda: torch.addbmm(matrix, tokens.transpose(1, 2), tokens), C * C * TOKENS, 0),
}
print("torch", torch.__version__)
for name, (product, macs, counted) in PRODUCTS.items():
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        product()
    found = counter.get_total_flops()
    print(f"{name:20} {found:7} of {2 * macs}")
    assert found == counted, "changed"
PYTHON
"$folder/env/bin/python" -W ignore "$folder/count.py"
