#!/usr/bin/env bash
# PyTorch 2.13.0: FlopCounterMode under no_grad raises if a submodule gets a view of a parameter as its input.
#
# Vision transformers expand a learned class token, a parameter, to the size of the batch and give it to a submodule.
# Counting the operations of a forward pass needs no gradients, so one does it under torch.no_grad(), and expects the
# number that the same counter gives with gradients. Instead the hook by which the counter knows in which submodule it
# is asks the view for the function of its gradient, and there is none: "Expected gradient function to be set". With the
# parameter itself in place of a view of it, the count is right.
#
# Seen: 24 operations with gradients, AssertionError under no_grad, and 24 under no_grad once the parameter has
# requires_grad False.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy
cat > "$folder/count.py" <<'PYTHON'
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


class Token(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.head = nn.Parameter(torch.zeros(1, 4)), nn.Linear(4, 3)

    def forward(self):
        return self.head(self.token.expand(1, -1))


def count(module):
    with FlopCounterMode(display=False) as counter:
        module()
    return counter.get_total_flops()


module = Token()
print("torch", torch.__version__, "with gradients:", count(module))
assert count(module) == 24
with torch.no_grad():
    try:
        raise SystemExit(f"changed: {count(module)} under no_grad")
    except (RuntimeError, AssertionError) as error:
        print("under no_grad:", type(error).__name__, error)
        assert "Expected gradient function to be set" in str(error)
    module.token.requires_grad_(False)
    print("without requires_grad:", count(module))
    assert count(module) == 24
PYTHON
"$folder/env/bin/python" -W ignore "$folder/count.py"
