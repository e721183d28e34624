"""`runner look`: a picture of a saved network's first filters, and of what each layer makes of an image."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from runner.commands.arguments import picture
from runner.commands.output import print_line, print_remark
from runner.commands.saved import ChosenFits, add_saved, chosen_fits, named
from runner.errors import RunnerError
from runner.text import plural

MOST_LAYERS, MOST_CLASSES, DPI = 32, 5, 150


EXAMPLES = ("runner look study photo.png", "runner look study/max_pool photo.png --fold 2 --out seen.png")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_saved(parser, "the best saved fit")
    parser.add_argument("image", metavar="IMAGE", help="an image file, or a .npy or .npz file with one image")
    out = "the picture, .png (%(default)s)"
    parser.add_argument("--out", type=picture, default=Path("look.png"), metavar="FILE", help=out)


def run(given: argparse.Namespace) -> int:
    from runner.components.catalog import load_catalog
    from runner.components.plugin_code import aside
    from runner.engines.inspection import activation_maps
    from runner.files import atomic_write
    from runner.reporting.figures.pixels import one_image
    from runner.reporting.figures.style import PAGE, STYLE, drawing
    from runner.trained.images import read_images

    saved = chosen_fits(given)
    (network,) = saved.networks()
    catalog = load_catalog(saved.plugins)
    names, images, _ = read_images([given.image], network.shape, saved.plan.dataset, catalog)
    if len(images) != 1:
        raise RunnerError(f"{given.image}: found {len(images)} images; allowed: one")
    with aside():
        shares = network.predict(images)[0]
        arrays = activation_maps(network.layer_outputs(images), MOST_LAYERS)
    with drawing(STYLE):
        picture = io.BytesIO()
        figure = one_image(
            images[0], network.first_filters(), arrays, _words(saved, names[0], network.class_names, shares)
        )
        figure.savefig(picture, format="png", dpi=DPI, facecolor=PAGE)
    atomic_write.write(given.out, picture.getvalue())
    print_line(str(given.out))
    shown = sum(name.startswith("activation.") for name in arrays)
    layers = f"{shown} of {arrays['spatial']}" if shown < arrays["spatial"] else f"all {shown}"
    print_remark(f"{layers} layers that have positions, the first {plural(8, 'channel')} of each, brighter is larger")
    return 0


def _words(saved: ChosenFits, name: str, classes: Sequence[str], shares: np.ndarray) -> list[str]:
    """What stands beside the image: its file, the fit, and the most probable classes."""
    order = np.argsort(-shares, kind="stable")[:MOST_CLASSES]
    return [
        Path(name).name,
        f"cell {saved.cell.name}, {named(saved.fits[0])}",
        *(f"{100 * shares[number]:.1f}%  {classes[number]}" for number in order),
    ]
