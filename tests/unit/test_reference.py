"""The interface for plugins is what was recorded, and the pages that follow from the code are what it says now."""

from __future__ import annotations

import sys
from copy import deepcopy
from typing import Any

import pytest
from command import ROOT

sys.path.insert(0, str(ROOT / "docs" / "tools"))

import api_names
import api_record
import reference

from runner import api

HINT = "see the rule in docs/reference/api.md; `make reference` writes it again"


def test_the_interface_for_plugins_is_frozen() -> None:
    """Every name and every signature. A change that is meant needs another `runner.api.VERSION`."""
    recorded, current = api_record.recorded(), api_record.current()
    assert current["names"] == recorded["names"], HINT
    assert current["version"] == recorded["version"], HINT


@pytest.mark.parametrize("page", reference.PAGES)
def test_the_pages_are_what_the_code_says(page: str) -> None:
    assert (reference.FOLDER / page).read_text() == reference.text_of(page), "make reference writes it again"


def test_every_name_is_documented() -> None:
    for public in api_names.public_names():
        # A dataclass without a docstring gets its signature for one.
        text = public.documentation
        assert len(text) > 8 and not text.startswith(f"{public.name}("), public.name
    assert f"This is version {api.VERSION[0]}.{api.VERSION[1]}.\n" in (reference.FOLDER / "api.md").read_text()


OLD: dict[str, Any] = {
    "version": [1, 2],
    "names": {
        "Conv": ["Conv(filters: int, kernel: int, stride: int = 1)", "Conv.macs(self, shape: Shape) -> int"],
        "Dense": ["Dense(units: int, *, bias: bool = True)"],
        "Rate": ["Rate = float"],
    },
}


@pytest.mark.parametrize(
    ("name", "line", "becomes", "needs"),
    [
        ("Dense", 0, None, "major"),
        ("Conv", 1, None, "major"),
        ("Rate", 0, "Rate = int", "major"),
        ("Conv", 0, "Conv(filters: int, kernel: int)", "major"),
        ("Conv", 0, "Conv(filters: int, size: int, stride: int = 1)", "major"),
        ("Conv", 0, "Conv(filters: int, kernel: int, stride: int = 2)", "major"),
        ("Conv", 0, "Conv(filters: int, groups: int = 1, kernel: int = 3, stride: int = 1)", "major"),
        ("Conv", 0, "Conv(filters: int, kernel: int, stride: int = 1, *, groups: int)", "major"),
        ("Conv", 1, "Conv.macs(self, shape: Shape) -> float", "major"),
        ("Conv", 0, "Conv(filters: int, kernel: int, stride: int = 1, groups: int = 1)", "minor"),
        ("Dense", 0, "Dense(units: int, *, bias: bool = True, name: str = '')", "minor"),
        ("Pool", 0, "Pool()", "minor"),
    ],
)
def test_what_changes_needs_another_version(name: str, line: int, becomes: str | None, needs: str) -> None:
    new = deepcopy(OLD)
    lines = new["names"].setdefault(name, [""])
    lines[line : line + 1] = [] if becomes is None else [becomes]
    assert f"needs a new {needs} version" in api_record.refusal(OLD, new)
    new["version"] = [1, 3] if needs == "minor" else [2, 0]
    assert not api_record.refusal(OLD, new)
    new["version"] = [1, 3]
    assert bool(api_record.refusal(OLD, new)) == (needs == "major")


def test_nothing_changed_needs_no_version() -> None:
    assert not api_record.refusal(OLD, deepcopy(OLD)) and not api_record.refusal({}, OLD)


def test_docstrings_become_markdown() -> None:
    text = "The ``x`` of :class:`Conv`, 2 * y_1 <z> _u.\nAnd `a_b`.\n\nCode::\n\n    a = 1\n\n    b = 2\n\nEnd."
    assert reference.markdown(text) == (
        "The `x` of `Conv`, 2 \\* y_1 \\<z> \\_u. And `a_b`.\n\nCode:\n\n```python\na = 1\n\nb = 2\n```\n\nEnd."
    )
