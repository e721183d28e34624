"""`runner report` on journals of 60 and of 10,000 fits: wall-clock and CPU seconds, peak memory, size of the page.

The journals are synthetic (as in the report's tests); the command is the real one, in a process of its own.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

from reporting_samples import FACTORS, VALIDATION, make_plan, make_splits, results, write_arrays  # noqa: E402

from runner.data import splits_file  # noqa: E402
from runner.journal.line import encode  # noqa: E402
from runner.planning.plan_file import save  # noqa: E402

LARGE = {
    **FACTORS, "architecture.width": tuple("12345678"), "optimizer.lr": tuple("123456"), "seed": ("1", "2"),
}  # fmt: skip


def study(folder: Path, factors: dict[str, tuple[str, ...]], **options: object) -> int:
    """Write the report folder of a finished experiment; returns its number of fits."""
    plan = make_plan(factors, **options)  # type: ignore[arg-type]
    splits = make_splits(plan, VALIDATION * plan.folds)
    plan = replace(plan, data=plan.data | {"splits": splits.digest})
    write_arrays(plan, folder / "fits")
    splits_file.save(splits, folder)
    save(plan, folder / "plan.yaml")
    (folder / "journal.jsonl").write_bytes(b"".join(map(encode, results(plan, splits=splits))))
    return plan.fit_count


def report(reports: Path, name: str) -> str:
    """Run `runner report` on an experiment; one line with what it took."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [str(Path(sys.executable).parent / "runner"), "report", name, "--reports", str(reports)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    size = (reports / name / "report.html").stat().st_size / 1e6
    memory, clock = after.ru_maxrss / 1e3, time.perf_counter() - start
    return f"{clock:5.1f} s, {cpu:5.1f} s of CPU time, peak {memory:.0f} MB of memory; {size:.2f} MB of HTML"


def main() -> None:
    os.environ.setdefault("MPLCONFIGDIR", tempfile.mkdtemp())
    with tempfile.TemporaryDirectory() as folder:
        reports = Path(folder)
        sizes = {"small": study(reports / "small", FACTORS), "large": study(reports / "large", LARGE, folds=9)}
        for name, fits in sizes.items():
            for _ in range(3):
                print(f"{fits:6} fits: {report(reports, name)}")


if __name__ == "__main__":
    main()
