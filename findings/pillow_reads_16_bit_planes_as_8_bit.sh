#!/usr/bin/env bash
# Pillow 13.0.0: an RGB TIFF of 16 bits a channel, with a plane a channel, is read as if it had 8 bits.
#
# With interleaved pixels, or with compression, Pillow gives the high byte of each value. In separate planes without
# compression the first half of a plane's bytes become its pixels: the low and the high bytes in turn, for a whole
# picture the upper half of it, stretched. There is no error and no warning.
#
# Seen: values of red, and what Pillow reads of it
#     written                0  3000  6000  9000
#     its high bytes         0  11  23  35
#     interleaved            0  11  23  35
#     planes, deflate        0  11  23  35
#     planes                 0  0  184  11
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6 tifffile==2026.3.3
"$folder/env/bin/python" - "$folder" <<'PYTHON'
import sys

import numpy as np
import PIL
import tifffile
from PIL import Image

print("Pillow", PIL.__version__)
values = (np.arange(12).reshape(1, 4, 3) * 1000).astype("<u2")
high = values >> 8
print("written            ", *values[0, :, 0], "\nits high bytes     ", *high[0, :, 0])
planes = np.ascontiguousarray(values.transpose(2, 0, 1))
for name, array, options in (
    ("interleaved", values, {"planarconfig": "contig"}),
    ("planes, deflate", planes, {"planarconfig": "separate", "compression": "zlib"}),
    ("planes", planes, {"planarconfig": "separate"}),
):
    file = f"{sys.argv[1]}/a.tif"
    tifffile.imwrite(file, array, byteorder="<", photometric="rgb", **options)
    assert np.array_equal(tifffile.imread(file), array)
    found = np.asarray(Image.open(file))
    print(f"{name:20}", *found[0, :, 0])
    assert np.array_equal(found, high) == (name != "planes"), "the behaviour changed"
PYTHON
