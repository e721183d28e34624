#!/usr/bin/env bash
# matplotlib 3.11.2: a path of up to 512 very short horizontal strokes with round ends draws nothing in a PNG.
#
# Drawing many points as one path of tiny strokes keeps an SVG small. In the SVG every point is there. In the PNG (Agg)
# none is, for 1 to 512 strokes; from 513 on, all are. The path is snapped to whole pixels, which makes each stroke
# a point of no length, and such a subpath has no round ends. Snapping ends at 1024 vertices, so the points come back.
# `set_snap(False)` draws them at any number.
#
# Seen: strokes, dark pixels as it is, dark pixels without snapping
#     1     0    13
#   200     0  2463
#   512     0  6124
#   513  6233  6233
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check matplotlib==3.11.2 numpy==2.4.6
"$folder/env/bin/python" - <<'PYTHON'
import io

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import PathPatch
from matplotlib.path import Path


def dark_pixels(strokes, snap=None):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(1, 9, (2, strokes))
    ends = np.stack([np.stack([x, y], 1), np.stack([x * (1 + 1e-6), y], 1)], 1).reshape(-1, 2)
    path = Path(ends, np.tile([Path.MOVETO, Path.LINETO], strokes))
    patch = PathPatch(path, edgecolor="black", facecolor="none", linewidth=3, capstyle="round")
    if snap is not None:
        patch.set_snap(snap)
    figure = Figure(figsize=(4, 3), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 10), ylim=(0, 10))
    axes.axis("off")
    axes.add_patch(patch)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    return int((imread(file)[..., :3].min(2) < 0.5).sum())


print("matplotlib", matplotlib.__version__)
for strokes in (1, 200, 512, 513):
    usual, unsnapped = dark_pixels(strokes), dark_pixels(strokes, snap=False)
    print(f"{strokes:5} {usual:5} {unsnapped:5}")
    assert unsnapped > 0
    assert usual == (0 if strokes <= 512 else unsnapped), "the behaviour changed"
PYTHON
