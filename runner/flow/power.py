"""What a design can find, before it is run: the smallest difference for each factor, and what more fits would buy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import RunnerError
from runner.planning.estimate import estimate
from runner.planning.plan import Plan
from runner.planning.power import Design, Variances, designs, span, typical
from runner.shown import Shown, Table
from runner.text import duration, plural

if TYPE_CHECKING:
    from runner.fits.records import FitResult


@dataclass(frozen=True)
class Option:
    """A design, as planned or larger: its plan, what all of its fits take, and the design of each factor.

    `seconds` are wall time, however many of the fits are in the journal already.
    """

    name: str
    plan: Plan
    seconds: float
    designs: Mapping[str, Design]

    @property
    def fits(self) -> int:
        """All fits, at the most repeats."""
        return self.plan.fits_at_most


@dataclass(frozen=True, repr=False)
class Power(Shown):
    """The smallest differences that a study finds with 80% power; `options` begin with the study as planned.

    `variances` has for each factor one, as measured, or two, a low and a high one, if there is no journal to measure
    them by; none if nothing is known of the metric. `source` is the study that they were measured in, "" if none was.
    """

    plan: Plan
    variances: Mapping[str, tuple[Variances, ...]]
    options: tuple[Option, ...]
    source: str
    workers: int

    def difference(self, factor: str, option: int = 0) -> tuple[float | None, ...]:
        """What an option finds for a factor, in the metric's own unit, for each of its variances."""
        return tuple(self.options[option].designs[factor].detectable(v) for v in self.variances[factor])

    def shown(self) -> Iterator[str | Table]:
        plan, first = self.plan, self.options[0]
        unit = f"{plan.measure.unit} of {plan.measure.quantity}" if plan.measure.unit else plan.measure.quantity
        if not first.designs:
            yield f"{plan.name}: no two cells differ in one factor alone, so there is nothing to find"
            return
        yield f"{plan.name}: the smallest difference that is found with 80% power, in {unit}"
        rows = [
            [factor, str(design.comparisons), f"{design.pairs:.3g}", *(self._span(o, factor) for o in self.options)]
            for factor, design in first.designs.items()
        ]
        rows.append(["fits", "", "", *(f"{option.fits:,}" for option in self.options)])
        rows.append(["time", "", "", *(duration(option.seconds) for option in self.options)])
        yield Table(("factor", "comparisons", "cells a level", *(option.name for option in self.options)), rows)
        yield ""
        yield self.basis

    def _span(self, option: Option, factor: str) -> str:
        return span(option.plan, option.designs[factor], self.variances[factor])

    @property
    def basis(self) -> str:
        """Where the variances and the method are from, in a sentence or two."""
        design = next(iter(self.options[0].designs.values()))
        method = "image by image" if design.by_image else "fold by fold"
        adjusted = "two-sided 5%, adjusted for the comparisons of the factor"
        judged = f"judged {method}, {adjusted}; time on {plural(self.workers, 'worker')}"
        if self.source:
            return f"{judged}. Variances: measured in {self.source}"
        if not any(self.variances.values()):
            return f"{judged}. No variances of {self.plan.metric} are known: run two repeats, or give --like STUDY"
        return (
            f"{judged}. Variances: low and high ones of networks that train well; two repeats of this study, "
            "or --like STUDY, give its own"
        )

    def document(self) -> dict[str, Any]:
        """The same as plain data; differences in the metric's own unit, in the order of the variances."""
        return {
            "experiment": self.plan.name,
            "metric": self.plan.metric,
            "power": 0.8,
            "variances": "measured" if self.source else "typical" if any(self.variances.values()) else None,
            "source": self.source or None,
            "workers": self.workers,
            "factors": {
                factor: {
                    "comparisons": design.comparisons,
                    "cells": design.pairs,
                    "method": "crossed" if design.by_image else "corrected_t",
                    "variances": [vars(v) for v in self.variances[factor]],
                }
                for factor, design in self.options[0].designs.items()
            },
            "options": [
                {
                    "name": option.name,
                    "images": option.plan.data.get("size"),
                    "folds": option.plan.folds,
                    "repeats": option.plan.most or option.plan.repeats,
                    "fits": option.fits,
                    "seconds": option.seconds,
                    "differences": {factor: [*self.difference(factor, index)] for factor in option.designs},
                }
                for index, option in enumerate(self.options)
            ],
        }


def power(plan: Plan, folder: Path, like: Path | None, workers: int) -> Power:
    """What `plan` can find, by the variances in the journal of `like` or else in its own `folder`, if it has one.

    Raises RunnerError if `like` has no finished comparison in the plan's metric.
    """
    results, found = _measured(folder, plan)
    source = str(folder) if found else ""
    if like is not None:
        others, found = _measured(like, plan)
        results, source = results or others, str(like)
        if not found:
            raise RunnerError(f"--like {like}: no comparison of {plan.metric} in it is finished")
    options = tuple(_option(name, larger, results, workers) for name, larger in _larger(plan))
    variances = {factor: _variances(plan, found, factor) for factor in options[0].designs}
    return Power(plan, variances, options, source, workers)


def _variances(plan: Plan, found: Mapping[str, Variances], factor: str) -> tuple[Variances, ...]:
    """Of the factor, else of the average one of the study that was measured, else the typical ones."""
    if not found:
        return typical(plan)
    from runner.reporting.tables.measured_variances import average

    return (found.get(factor) or average(dict(found)),)


def _measured(folder: Path, plan: Plan) -> tuple[Sequence[FitResult], Mapping[str, Variances]]:
    """The results in the journal of a study, and its variances in the metric of `plan`; both empty without them."""
    journal, planned = folder / "journal.jsonl", folder / "plan.yaml"
    if not journal.is_file() or not planned.is_file():
        return (), {}
    from runner.files.own_files import refuse_links
    from runner.journal.index import read
    from runner.planning import plan_file
    from runner.reporting.journal_frames import read_frames
    from runner.reporting.tables.measured_variances import measured_variances

    refuse_links(folder)
    ran, results = plan_file.read(planned), read(journal)[0]
    return results, measured_variances(ran, read_frames(ran, folder)) if ran.metric == plan.metric else {}


def _larger(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """The plan, and what could be done to find less: more images, folds or repeats."""
    repeats, images = plan.most or plan.repeats, plan.data.get("size", 0)
    yield "as planned", plan
    yield "2x images", replace(plan, data=plan.data | {"size": 2 * images})
    # Given folds have as many as they have, and no repeats; in a drawn split the repeats are the folds.
    if plan.split_design is None:
        yield f"{2 * plan.folds} folds", replace(plan, folds=2 * plan.folds)
    if plan.split_design is None or not plan.split_design.is_given:
        for factor in (2, 4):
            more = factor * repeats
            yield f"{more} repeats", replace(plan, repeats=more, most=more if plan.most else None)


def _option(name: str, plan: Plan, results: Sequence[FitResult], workers: int) -> Option:
    whole = replace(plan, repeats=plan.most or plan.repeats)
    return Option(name, plan, estimate(whole, results, workers, retrain_all=True).seconds, designs(plan))
