"""A user's own images, from files to a report: what differs only in the low bytes of 16-bit colours is learned."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from command import TINY, Command
from written_images import RGB, png, tiff


def test_a_table_of_16_bit_images_is_learned_and_drawn(tmp_path: Path, here: Command) -> None:
    """Half PNG, half compressed TIFF; each class has its own brightness, below 256, so all high bytes are 0."""
    rng, rows = np.random.default_rng(0), ["picture,kind"]
    for number in range(48):
        dark = number % 2 == 0
        pixels = (rng.integers(0, 60, (8, 8, 3)) + (20 if dark else 170)).astype(np.uint16)
        name = f"{number}.{'png' if number % 3 else 'tif'}"
        (tmp_path / name).write_bytes(png(pixels, RGB, 16) if number % 3 else tiff(pixels, 2, order=">", deflate=True))
        rows.append(f"{name},{'null' if dark else 'NA'}")
    (tmp_path / "pictures.csv").write_text("\n".join(rows) + "\n")
    dataset = "{name: image-table, file: pictures.csv, path: picture, label: kind, size: 8, scale: [0, 255]}"
    text = TINY.replace("dataset: digits", f"dataset: {dataset}").replace("convs: [1, 2]", "convs: [1]")
    (tmp_path / "tiny.yaml").write_text(text)
    settings = "training={epochs: 8, engine: numpy, batch_size: 8}"
    done = here("run", "tiny.yaml", "--set", settings, "--set", "optimizer={name: adam, lr: 0.02}")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "reports" / "tiny" / "tables" / "fits.csv").open() as file:
        accuracies = [float(row["val_accuracy"]) for row in csv.DictReader(file)]
    assert accuracies and min(accuracies) > 0.9, accuracies
    done = here("describe", "image-table", *(f"--set={part}" for part in (
        "file=pictures.csv", "path=picture", "label=kind", "size=8", "scale=[0, 255]")))  # fmt: skip
    assert done.returncode == 0 and (tmp_path / "image-table.png").stat().st_size > 1000
    assert [line.split() for line in done.stdout.splitlines()][-4:-2] == [["NA", "24"], ["null", "24"]]
