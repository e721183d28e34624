"""CPU seconds of short commands, medians of interleaved rounds, and the number of modules they load.

    .venv/bin/python benchmarks/latency.py [ROUNDS]

The last lines are a study of 6 cells x 5 folds on digits, one epoch per fit: what a run costs besides its training.
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
    "plan of the demo": ["plan", str(DEMO)],
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
    print("MEASURED", used.ru_utime + used.ru_stime, len(sys.modules))
"""


def seconds(arguments: Sequence[str]) -> float:
    """CPU seconds of the installed command, in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    runner = str(Path(sys.executable).parent / "runner")
    subprocess.run([runner, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure_driver(folder: Path, arguments: Sequence[str]) -> tuple[float, int]:
    """CPU seconds of the main process, without its workers, and the number of modules loaded at its end."""
    program = folder / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run([sys.executable, str(program), *arguments], check=True, capture_output=True, text=True)
    cpu, modules = done.stdout.rpartition("MEASURED ")[2].split()
    return float(cpu), int(modules)


def main(rounds: int = 9) -> None:
    os.environ.setdefault("MPLCONFIGDIR", tempfile.mkdtemp())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        times_by_command: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for name in [*COMMANDS] * rounds:
            times_by_command[name].append(seconds(COMMANDS[name]))
        for name, times in times_by_command.items():
            low, middle, high = min(times), median(times), max(times)
            modules = measure_driver(folder, COMMANDS[name])[1]
            print(f"{name:20}{middle:.3f} s ({low:.3f} to {high:.3f}), {modules} modules")
        (folder / "tiny.yaml").write_text(TINY)
        for number in range(3):
            run = ["run", str(folder / "tiny.yaml"), "--reports", str(folder / f"reports{number}")]
            commands = (run, run, [*run, "--tracking-uri", "none"])
            results = [measure_driver(folder, command) for command in commands]
            first, again, bare = (f"{cpu:.2f} s, {modules} modules" for cpu, modules in results)
            print(f"main process of 30 fits: {first}; run again: {again}; again without MLflow: {bare}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
