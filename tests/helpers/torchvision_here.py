"""torchvision with a torch that it was not built for: its networks are torch's own layers, and work all the same."""

from __future__ import annotations

import sys

import pytest

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
"""What `import torchvision` asks for, and only its detectors use; they are in its compiled part."""
_kept: list[object] = []


def needed(library: str) -> None:
    """Skip the test if the library is not installed; make torchvision importable if it is not, as described above."""
    pytest.importorskip("torch")
    try:
        __import__(library)
    except ImportError as error:
        pytest.skip(f"the extra zoo is missing: {error}")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        from torch.library import Library

        definitions = Library("torchvision", "DEF")
        for operator in OPERATORS:
            definitions.define(operator)
        _kept.append(definitions)  # they last as long as this object
        __import__("torchvision")
