#!/usr/bin/env bash
# PyTorch 2.13.0: CosineAnnealingWarmRestarts misses a restart when it is advanced by step(epoch).
#
# Its documentation advances it after every batch by step(epoch + i / iterations), and lets step() without an argument
# be used in between. One expects the same learning rate from both wherever they mean the same moment. With
# T_0 = 1 and T_mult = 3 the cycles begin at epochs 0, 1, 4, 13, 40, 121, ... At 121 step() gives the highest rate, and
# step(121) the lowest: the number of the cycle is int(log(243, 3)), and that logarithm is 4.999999999999999. So the
# first batch of that cycle is trained with a rate of eta_min. It is the same at 242 for T_0 = 2.
#
# Seen: step(): 0.1 at 121; step(121): 0.0 at 121; both 0.1 at 1, 4, 13 and 40.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$folder/program.py" <<'PYTHON'
import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts


def rates(by_number):
    """The learning rate at each of the first 122 epochs."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=1, T_mult=3, eta_min=0.0)
    found = [optimizer.param_groups[0]["lr"]]
    for epoch in range(1, 122):
        optimizer.step()
        scheduler.step(epoch) if by_number else scheduler.step()
        found.append(optimizer.param_groups[0]["lr"])
    return found


print("torch", torch.__version__)
without, numbered = rates(False), rates(True)
for epoch in (1, 4, 13, 40, 121):
    print(f"epoch {epoch}: step() {without[epoch]}, step({epoch}) {numbered[epoch]}")
assert [epoch for epoch in range(122) if abs(without[epoch] - numbered[epoch]) > 1e-9] == [121]
assert (without[121], numbered[121]) == (0.1, 0.0)
PYTHON
"$folder/env/bin/python" "$folder/program.py"
