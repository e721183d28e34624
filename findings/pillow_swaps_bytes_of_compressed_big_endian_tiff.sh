#!/usr/bin/env bash
# Pillow 13.0.0: a deflated big-endian TIFF of floats or signed integers is read with its bytes in the wrong order.
#
# Without compression the same pixels are right, and so are compressed ones of 16 bits without a sign. libtiff gives the
# pixels in the machine's order, and Pillow swaps them once more for "F;32BF", "I;16BS" and "I;32BS". There is no error
# and no warning: heights of a terrain, say, become noise. tifffile, as an independent reader, gives what was written.
#
# Seen: type, compression -> what Pillow reads of 1, 2, 3
#     float32 none     [1.0, 2.0, 3.0]
#     float32 deflate  [4.600602988224807e-41, 8.96831017167883e-44, 2.304855714121459e-41]
#     int16   none     [1, 2, 3]
#     int16   deflate  [256, 512, 768]
#     int32   none     [1, 2, 3]
#     int32   deflate  [16777216, 33554432, 50331648]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6 tifffile==2026.3.3
"$folder/env/bin/python" - "$folder" <<'PYTHON'
import sys
import zlib

import numpy as np
import PIL
import tifffile
from PIL import Image

assert sys.byteorder == "little", "seen on a little-endian machine"
print("Pillow", PIL.__version__)
for kind in ("float32", "int16", "int32"):
    values = np.array([[1, 2, 3]], kind)
    for compression in (None, "zlib"):
        file = f"{sys.argv[1]}/a.tif"
        tifffile.imwrite(file, values, byteorder=">", compression=compression, photometric="minisblack")
        assert np.array_equal(tifffile.imread(file), values)
        found = np.asarray(Image.open(file)).tolist()[0]
        print(f"{kind:8}{'deflate' if compression else 'none':9}{found}")
        assert (found == [1, 2, 3]) == (compression is None), "the behaviour changed"
PYTHON
