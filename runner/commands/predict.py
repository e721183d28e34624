"""`runner predict`: the classes of images, from the saved networks of a study."""

from __future__ import annotations

import argparse

from runner.commands.arguments import output_file
from runner.commands.output import print_remark
from runner.commands.saved import add_saved, chosen_fits, named
from runner.text import plural

EXAMPLES = ("runner predict study photo.png", "runner predict study/max_pool photos --out classes.csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_saved(parser, "the mean of all saved fits")
    images = "image files, folders of images, or .npy and .npz files of arrays"
    parser.add_argument("images", nargs="+", metavar="IMAGES", help=images)
    parser.add_argument("--out", type=output_file, metavar="FILE", help="the CSV file (default: stdout)")


def run(given: argparse.Namespace) -> int:
    import numpy as np
    import pandas as pd

    from runner.components.catalog import load_catalog
    from runner.components.plugin_code import aside
    from runner.files import atomic_write
    from runner.reporting.tables.csv_text import csv_text
    from runner.trained.images import read_images

    saved = chosen_fits(given, several=True)
    networks = saved.networks()
    first, catalog = networks[0], load_catalog(saved.plugins)
    names, images, remarks = read_images(given.images, first.shape, saved.plan.dataset, catalog)
    with aside():
        shares = [network.predict(images) for network in networks]
    mean = shares[0] if len(shares) == 1 else np.asarray(np.mean(shares, axis=0, dtype=np.float64))
    predicted = [first.class_names[number] for number in mean.argmax(1)]
    # As p(CLASS), since a class may be called "file".
    columns = {f"p({name})": mean[:, number] for number, name in enumerate(first.class_names)}
    text = csv_text(pd.DataFrame({"file": names, "predicted": predicted, **columns}))
    if given.out:
        atomic_write.write(given.out, text)
    else:
        print(text, end="")
    fits = named(saved.fits[0]) if len(networks) == 1 else f"the mean of {plural(len(networks), 'saved fit')}"
    for line in (*remarks, f"cell '{saved.cell.name}', {fits}"):
        print_remark(line)
    return 0
