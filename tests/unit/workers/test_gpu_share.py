"""How many workers share a GPU: as many as what fits were measured to take has room for, and one before that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.fits.gpu_share import CONTEXT_BYTES, MARGIN, MOST, Measured
from runner.fits.records import FitResult
from runner.journal.line import decode, encode
from runner.workers.cluster.nodes import times
from runner.workers.executors.process_pool import ProcessExecutor

GB = 10**9


def fit(memory: int, total: int = 24 * GB, status: str = "ok") -> FitResult:
    return FitResult("f", "c", 0, 0, status, device_memory=memory, device_total=total)  # type: ignore[arg-type]


@given(peak=st.integers(1, 200 * GB), total=st.integers(1, 200 * GB), gpus=st.integers(1, 8))
def test_the_workers_of_a_gpu_fit_into_its_memory_and_ray_places_just_so_many(peak: int, total: int, gpus: int) -> None:
    measured = Measured().with_results([fit(peak, total)])
    k = measured.workers
    assert k == 1 or k * (MARGIN * peak + CONTEXT_BYTES) <= total + k, "they fit"
    assert k == MOST or (k + 1) * (int(MARGIN * peak) + CONTEXT_BYTES) > total, "one more would not"
    # Ray counts in ten-thousandths, of each GPU.
    assert 10_000 // round(measured.share * 10_000) == k and times(float(gpus), measured.share) == gpus * k


@given(st.lists(st.tuples(st.integers(0, 9 * GB), st.integers(0, 90 * GB))))
def test_the_largest_fit_and_the_smallest_gpu_decide_in_whatever_order_fits_end(fits: list[tuple[int, int]]) -> None:
    measured = Measured().with_results(fit(*numbers) for numbers in fits)
    assert measured == Measured().with_results(fit(*numbers) for numbers in reversed(fits))
    known = [(memory, total) for memory, total in fits if memory and total]
    assert measured.peak == max((memory for memory, _ in known), default=0)
    assert measured.total == min((total for _, total in known), default=0)


def test_a_worker_has_a_gpu_alone_until_a_fit_was_measured() -> None:
    for results in ([], [fit(0, 0)], [fit(GB, status="failed")]):
        measured = Measured().with_results(results)
        assert (measured.workers, measured.share, measured.sentence()) == (1, 1.0, "")


@pytest.mark.parametrize(
    ("memory", "sentence"),
    [
        (2 * GB, "a GPU has room for 6 workers: fits took at most 2,000 MB of its 24,000 MB; "),
        (20 * GB, "a GPU has room for 1 worker: fits took at most 20,000 MB of its 24,000 MB; "),
    ],
)
def test_the_sentence_says_what_was_measured_and_what_is_added(memory: int, sentence: str) -> None:
    found = Measured().with_results([fit(memory)]).sentence()
    assert found == sentence + "a quarter more and 1,000 MB for CUDA are added"


def test_the_local_pool_warns_if_its_workers_may_need_more_than_their_gpu_has() -> None:
    results = [fit(2 * GB)]  # as measured, 6 workers have room
    for workers, found in ((6, results), (7, []), (7, [fit(0, 0)])):
        assert ProcessExecutor(workers).learn(found) == []
    (line,) = ProcessExecutor(7).learn(results)
    assert line.startswith("warning: all 7 workers use the same GPU; a GPU has room for 6 workers: fits took at most")


def test_the_journal_keeps_the_measurement_and_other_lines_are_as_ever() -> None:
    assert decode(encode(fit(GB))) == fit(GB)
    assert b"device" not in encode(fit(0, 0))
