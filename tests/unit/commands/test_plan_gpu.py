"""`runner plan` says how many workers a GPU has room for, from what the journal's fits took of one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from command import Command

from runner.fits.records import FitResult
from runner.journal.index import read
from runner.journal.line import encode

SETTINGS = ("--set", "training.epochs=1", "--set", "training.engine=numpy")


def test_the_plan_says_how_many_workers_a_gpu_has_room_for(tiny: Path, here: Command) -> None:
    """No GPU is here: the journal gets what fits would have taken of one."""
    assert here("run", "tiny.yaml", *SETTINGS).returncode == 0
    journal = tiny.parent / "reports" / "tiny" / "journal.jsonl"
    results = read(journal)[0]

    def planned(*peaks: int, **changes: str) -> list[str]:
        """The lines of the plan after fits with these peaks, in GB of 24; all others are still to be trained."""

        def with_peak(result: FitResult, peak: int) -> FitResult:
            return replace(result, device_memory=peak * 10**9, device_total=24 * 10**9, **changes)

        found = [with_peak(result, peak) for result, peak in zip(results, peaks, strict=False)]
        journal.write_bytes(b"".join(map(encode, found)))
        lines = here("plan", "tiny.yaml", *SETTINGS).stdout.splitlines()
        return [line for line in lines if "GPU" in line]

    measured, added = "fits took at most {} MB of its 24,000 MB", "a quarter more and 1,000 MB for CUDA are added"
    said = f"a GPU has room for {{}}: {measured}; {added}"
    assert planned(2, 5, 3) == [said.format("3 workers", "5,000")]
    assert planned(20) == [said.format("1 worker", "20,000")]
    assert planned(0, 0) == planned(5, status="failed") == planned(5, cell="of an earlier grid") == []
    assert planned(*[5] * len(results)) == [], "nothing is left to train"
