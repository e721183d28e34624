"""`runner export`: a saved network as a file that others read, ONNX or a program of torch.export."""

from __future__ import annotations

import argparse

from runner.commands.arguments import output_file
from runner.commands.output import print_line, print_remark
from runner.commands.saved import add_saved, chosen_fits, named
from runner.errors import RunnerError

EXAMPLES = (
    "runner export study --format onnx --out network.onnx",
    "runner export study/max_pool --fold 2 --format torch --out network.pt2",
)

SUFFIXES = {".onnx": "onnx", ".pt2": "torch"}
"""What the end of a file's name says about its format."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_saved(parser, "the best saved fit")
    parser.add_argument(
        "--format", choices=["onnx", "torch"], required=True, help="ONNX, or a .pt2 file for torch.export.load"
    )
    parser.add_argument("--out", type=output_file, required=True, metavar="FILE", help="the file to write")


def run(given: argparse.Namespace) -> int:
    from runner.components.plugin_code import aside
    from runner.files import atomic_write
    from runner.trained.export import FORMATS

    meant = SUFFIXES.get(given.out.suffix.lower(), given.format)
    if meant != given.format:
        found = f"--format {given.format} with --out {given.out}, whose name says {meant}"
        raise RunnerError(f"{found}; give --format {meant} or another name")
    saved = chosen_fits(given)
    with aside():
        content = FORMATS[given.format](saved.paths[0], saved.plugins)
    atomic_write.write(given.out, content)
    print_line(str(given.out))
    print_remark(f"cell '{saved.cell.name}', {named(saved.fits[0])}: images of bytes in, probabilities out")
    return 0
