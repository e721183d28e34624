"""The corrected t-test of one sample, for tests that work out a single row by hand."""

from types import SimpleNamespace

import numpy as np

from runner.reporting.statistics.corrected_t import corrected_t_test


def corrected(values, test_train_ratio, equivalent=0.0, least_std=np.nan):
    """`corrected_t_test` of one row, with its estimates as attributes."""
    rows = corrected_t_test(np.asarray(values, dtype=np.float64)[None, :], test_train_ratio, equivalent, least_std)
    return SimpleNamespace(**{name: column.item() for name, column in rows.items()})
