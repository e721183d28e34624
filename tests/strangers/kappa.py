"""Cohen's kappa (1960): how far answers agree with the truth beyond what equal shares of the classes would give."""

from __future__ import annotations

import numpy as np

from runner.api import Metric, hookimpl


def build(class_names):
    """(observed - expected) / (1 - expected) agreement; 0 for always naming one class, 1 for no mistakes."""
    classes = len(class_names)

    def compute(truth, predicted):
        shares = [np.bincount(labels, minlength=classes) / len(labels) for labels in (truth, predicted)]
        expected = float(shares[0] @ shares[1])
        return 1.0 if expected == 1 else float(((truth == predicted).mean() - expected) / (1 - expected))

    return compute


@hookimpl
def register_metrics():
    yield Metric(name="kappa", build=build, title="Cohen's kappa", needs="answers", lowest=-1.0, highest=1.0)
