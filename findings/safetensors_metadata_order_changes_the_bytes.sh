#!/usr/bin/env bash
# safetensors 0.8.0: the same tensors with the same metadata give a file of other bytes in each process.
#
# The metadata are a hash map that has another seed in each process and is written in its order, so files cannot be compared
# by their bytes or by a checksum, though tensors are sorted. With one key the bytes are always the same: archrunner
# writes all that it has to say as one text.
#
# Seen: six processes give several files with eight keys, and one file with a single key.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
cat >"$folder/write.py" <<'PYTHON'
import hashlib
import sys

import numpy as np
from safetensors.numpy import load, save

tensors = {name: np.arange(3, dtype=np.float32) for name in "cab"}
content = save(tensors, {f"key {number}": "value" for number in range(int(sys.argv[1]))})
assert load(content).keys() == tensors.keys()
print(hashlib.sha256(content).hexdigest()[:16])
PYTHON
for keys in 8 1; do
    for _ in 1 2 3 4 5 6; do "$folder/env/bin/python" "$folder/write.py" "$keys"; done | sort -u >"$folder/$keys"
    echo "safetensors 0.8.0, metadata of $keys key(s): $(wc -l <"$folder/$keys") different file(s) from six processes"
done
test "$(wc -l <"$folder/8")" -gt 1
test "$(wc -l <"$folder/1")" -eq 1
