"""Commands that misbehave, for test_fuzz.py. Worker processes call them, and so import this module, which is small."""

from __future__ import annotations

import os
import time
from pathlib import Path

from fuzz_worker import Case


def simple_case(number: int) -> Case:
    return Case("simple", {"a/b.txt": b"x"}, [str(number)])


def raises(arguments: list[str]) -> int:
    raise KeyError("oops")


def loops(arguments: list[str]) -> int:
    while True:
        pass


def sleeps(arguments: list[str]) -> int:
    time.sleep(600)
    return 0


def writes_outside(arguments: list[str]) -> int:
    Path("../owned").write_text("x")
    return 0


def starts_a_command(arguments: list[str]) -> int:
    return os.system("true")


def uses_memory(arguments: list[str]) -> int:
    import numpy as np

    return len(np.ones(10**8)) and 0


def aborts(arguments: list[str]) -> int:
    os.abort()


def fails_silently(arguments: list[str]) -> int:
    return 2


def exits_with_its_number(arguments: list[str]) -> int:
    assert Path("a/b.txt").read_text() == "x"
    return int(arguments[0]) % 3
