#!/usr/bin/env bash
# PyTorch 2.13.0 (CPU): torch.manual_seed takes longer the deeper it is called.
#
# Seeding a generator is a constant amount of work, and torch.default_generator.manual_seed takes 2 microseconds. But
# torch.manual_seed also leaves the seed for devices that are not initialised yet, and for each of three kinds of them
# it formats the call stack (traceback.format_stack), for an error message that never comes. So it takes 0.2 ms at the
# top of a script, and milliseconds inside a test runner, a notebook or a recursive function. Whoever seeds before every
# sample or every fit, for reproducibility, pays that each time. If no device but the CPU draws random numbers,
# torch.default_generator.manual_seed sets the same state.
#
# Seen: 3 stacks per call; 0.25 ms at the top and 3.4 ms below 200 frames, as processor time (on a busy machine 0.39
# and 2.3); 0.002 ms in both places with torch.default_generator.manual_seed; equal draws.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy
"$folder/env/bin/python" - <<'PYTHON'
import time
import traceback
from unittest import mock

import torch

assert not torch.cuda.is_available()


def stacks(seed):
    with mock.patch.object(traceback, "format_stack", wraps=traceback.format_stack) as formatted:
        seed(1)
    return formatted.call_count


def milliseconds(seed, frames):
    if frames:
        return milliseconds(seed, frames - 1)
    seed(1)  # warms up
    times = []
    for _ in range(30):
        start = time.process_time()
        seed(1)
        times.append(1000 * (time.process_time() - start))
    return sorted(times)[len(times) // 2]


usual, direct = torch.manual_seed, torch.default_generator.manual_seed
print("torch", torch.__version__, "stacks per call:", stacks(usual), stacks(direct))
for frames in (0, 200):
    print(frames, "frames:", *(f"{milliseconds(seed, frames):.4f} ms" for seed in (usual, direct)))
draws = [(seed(3), torch.rand(4))[1] for seed in (usual, direct)]
assert stacks(usual) == 3 and stacks(direct) == 0
assert torch.equal(*draws)
assert milliseconds(usual, 200) > 3 * milliseconds(usual, 0)
PYTHON
