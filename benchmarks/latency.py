"""Seconds of processor until a command has answered: medians of 9, interleaved, and the modules it loads.

    .venv/bin/python benchmarks/latency.py [ROUNDS]

The last lines are a study of 6 cells x 5 folds on digits, one epoch each: what a run takes beside its training.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "experiments" / "pooling_vs_stride.yaml"
COMMANDS = {
    "--help": ["--help"],
    "plan, of the demo": ["plan", str(DEMO)],
    "describe stages": ["describe", "stages"],
    "plugins": ["plugins"],
}
TINY = """\
name: tiny
dataset: digits
architecture: {name: stages, width: 8}
optimizer: {name: sgd, lr: 0.05}
training: {epochs: 1, batch_size: 32}
grid:
  architecture.downsample: [max_pool, avg_pool, strided_conv]
  filters:
    5x5: {architecture.kernel: 5}
    two 3x3: {architecture.kernel: 3, architecture.convs: 2}
"""
PROGRAM = """\
import resource, sys
if __name__ == "__main__":
    from runner.cli import main
    try:
        main(sys.argv[1:])
    except SystemExit:
        pass
    used = resource.getrusage(resource.RUSAGE_SELF)
    print("TOLD", used.ru_utime + used.ru_stime, len(sys.modules))
"""


def seconds(arguments: Sequence[str]) -> float:
    """Of processor, of the command itself in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    runner = str(Path(sys.executable).parent / "runner")
    subprocess.run([runner, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def told(folder: Path, arguments: Sequence[str]) -> tuple[float, int]:
    """Seconds of the driver's processor, without those of its workers, and the modules loaded at its end."""
    program = folder / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run([sys.executable, str(program), *arguments], check=True, capture_output=True, text=True)
    cpu, modules = done.stdout.rpartition("TOLD ")[2].split()
    return float(cpu), int(modules)


def main(rounds: int = 9) -> None:
    os.environ.setdefault("MPLCONFIGDIR", tempfile.mkdtemp())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for name in [*COMMANDS] * rounds:
            taken[name].append(seconds(COMMANDS[name]))
        for name, times in taken.items():
            low, middle, high = min(times), median(times), max(times)
            modules = told(folder, COMMANDS[name])[1]
            print(f"{name:20}{middle:.3f} s ({low:.3f} to {high:.3f}), {modules} modules")
        (folder / "tiny.yaml").write_text(TINY)
        for number in range(3):
            run = ["run", str(folder / "tiny.yaml"), "--reports", str(folder / f"reports{number}")]
            first, again, bare = told(folder, run), told(folder, run), told(folder, [*run, "--tracking-uri", "none"])
            shown = [f"{cpu:.2f} s, {modules} modules" for cpu, modules in (first, again, bare)]
            print(f"driver of 30 fits: {shown[0]}; run again {shown[1]}, without MLflow {shown[2]}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
