"""The whole number at which a quantity comes nearest to a target, with few evaluations if the quantity is monotone.

At powers of two it is seen whether the quantity only rises or only falls. Then the numbers next to the target are found
by interpolation and bisection, and their neighbours are looked at. Otherwise, and where a neighbour disagrees, or some
numbers have no value, all numbers up to a limit are tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Values = tuple[int, ...]
"""A quantity: one number, or of a receptive field height and width."""
Quantity = Callable[[int], Values | None]
"""The quantity at a whole number from 1; None where there is none."""

LARGEST = 2**16
"""The largest number that is found for a monotone quantity."""
SCANNED = 2**11
"""The largest number that is tried for any other."""
LEAST = 16
"""At least up to this number a quantity must look monotone."""
AROUND = 2
"""How many neighbours on either side must agree that the quantity is monotone."""
FIRST, GAP, FAR = 1024, 64, 8
"""A scan ends after FIRST numbers without any value, after GAP without another one, and from GAP on after FAR values
in a row that are more than four times the target, or are all the same."""


def distance(found: Values, target: Values) -> float:
    """How far `found` is from `target`, as a fraction of it: of height and width the larger one."""
    return max(abs(off) for off in differences(found, target))


def differences(found: Values, target: Values) -> list[float]:
    """How much more `found` is than `target`, as fractions of it."""
    return [(one - other) / max(other, 1) for one, other in zip(found, target, strict=True)]


def best_integer(quantity: Quantity, target: Values) -> int | None:
    """The number at which `quantity` is nearest to `target`, the smallest of several; None if it has no value at all.

    `quantity` is asked for some numbers several times.
    """
    return _by_bisection(quantity, target) or _nearest(quantity, _scanned(quantity, target), target)


def _nearest(quantity: Quantity, numbers: Iterable[int], target: Values) -> int | None:
    known = [(distance(found, target), number) for number in numbers if (found := quantity(number)) is not None]
    return min(known)[1] if known else None


def _by_bisection(quantity: Quantity, target: Values) -> int | None:
    """The best number of a quantity that is monotone as far as can be seen; else None."""
    steps = _ladder(quantity, target)
    if len(steps) < 2:
        return None
    first, last = quantity(steps[0]), quantity(steps[-1])
    assert first is not None and last is not None
    sign = 1 if first <= last else -1
    monotone = _Monotone(quantity, steps, sign)
    if not monotone.holds(steps):
        return None
    # Of height and width, each may reach its target at another number; between these is the best one.
    ends = [monotone.first_with(place, goal) for place, goal in enumerate(target)]
    if None in ends:  # out of reach on the ladder
        if steps[-1] < LARGEST:
            return None
        ends = [end or LARGEST for end in ends]
    low, high = min(filter(None, ends)), max(filter(None, ends))
    around = range(max(1, low - AROUND), min(high + AROUND, steps[-1]) + 1)
    if len(around) > GAP or not monotone.holds(around):
        return None
    best = _nearest(quantity, around, target)
    # On a plateau, its first number.
    found = best and quantity(best)
    starts = [monotone.first_with(place, goal) or 1 for place, goal in enumerate(found or ())]
    return max(starts) if starts else None


def _ladder(quantity: Quantity, target: Values) -> list[int]:
    """1, 2, 4 and so on, at least to LEAST and one step beyond the target; none if a scan is needed.

    That is so if some have no value, but for numbers far beyond the target, or the quantity falls away from the target.
    """
    steps: list[int] = []
    first = quantity(1)
    beyond, number = 0, 1
    while number <= LARGEST and (beyond < 2 or number <= LEAST):
        found = quantity(number)
        if found is None or first is None:
            return steps if beyond and number > GAP else []
        steps.append(number)
        rises = found >= first
        if number > 1 and not rises and any(value < goal for value, goal in zip(first, target, strict=True)):
            return []
        beyond += number > 1 and all((value >= goal) == rises for value, goal in zip(found, target, strict=True))
        number *= 2
    return steps


@dataclass(frozen=True)
class _Monotone:
    """A quantity that rises (`sign` 1) or falls (-1) along `steps`."""

    quantity: Quantity
    steps: list[int]
    sign: int

    def holds(self, numbers: Iterable[int]) -> bool:
        """Whether it has values at all `numbers`, in ascending order, and is monotone there."""
        found = [self.quantity(number) for number in numbers]
        known = [values for values in found if values is not None]
        pairs = zip(known, known[1:], strict=False)
        return len(known) == len(found) and all(
            self.sign * (after - before) >= 0 for one, other in pairs for before, after in zip(one, other, strict=True)
        )

    def first_with(self, place: int, goal: int) -> int | None:
        """The first number at which the value at `place` has come to `goal`; None if it never does, or has no value."""
        high = next((step for step in self.steps if self._has_come(step, place, goal)), 0)
        if not high:
            return None
        low, tries = high // 2, 0
        while high - low > 1:
            tries += 1
            # Guesses may come closer from one side only, and slowly; the middle always halves what is left.
            number = self._guess(low, high, place, goal) if tries % 3 else (low + high) // 2
            if self.quantity(number) is None:
                return None
            low, high = (low, number) if self._has_come(number, place, goal) else (number, high)
        return high

    def _has_come(self, number: int, place: int, goal: int) -> bool:
        found = self.quantity(number)
        return found is not None and self.sign * (found[place] - goal) >= 0

    def _guess(self, low: int, high: int, place: int, goal: int) -> int:
        """A number between two others: where a power through both would come to the goal, or else the middle."""
        below, above = (found[place] if (found := self.quantity(end)) else 0 for end in (low, high))
        if min(below, above, goal) < 1 or below == above:
            return (low + high) // 2
        part = math.log(goal / below) / math.log(above / below)
        # Rounded down, so that the next guess is on the other side.
        number = math.floor(low * math.exp(part * math.log(high / low)))
        return min(max(number, low + 1), high - 1)


def _scanned(quantity: Quantity, target: Values) -> Iterable[int]:
    """The numbers that have a value, up to a limit."""
    last, values = 0, []
    for number in range(1, SCANNED + 1):
        found = quantity(number)
        if found is not None:
            last = number
            values.append(found)
            yield number
        latest = values[-FAR:]
        far = all(value >= 4 * goal for found in latest for value, goal in zip(found, target, strict=True))
        same = len(values) > GAP and len(set(values[-GAP:])) == 1
        if number >= GAP and len(latest) == FAR and (far or same):
            return
        if number - last >= (max(GAP, 2 * last) if values else FIRST):
            return
