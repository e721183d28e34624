"""What a study came to, for Python users: its tables as frames, its answers, its trained networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import RunnerError
from runner.planning import plan_file
from runner.planning.plan import Plan
from runner.shown import Shown, Table
from runner.text import did_you_mean, plural

if TYPE_CHECKING:
    import pandas as pd

    from runner.journal.frames import Frames
    from runner.reporting.tables.study_tables import Tables
    from runner.reporting.text.verdict import Verdict
    from runner.trained.networks import TrainedNetwork

MOST_FAILURES = 10
"""So many failed fits are named; the frame `fits` has all."""


class StudyResults(Shown):
    """The results of a study: of one that was just run, or of one that is read from its folder.

    The frames are the report's tables (docs/reference/report.md) with typed columns: levels that are numbers are
    numbers, others are ordered categories as in the grid, and repeats and folds count from 1.
    """

    plan: Plan
    folder: Path
    verdict: Verdict

    @property
    def tables(self) -> Tables:
        """The report's tables as they are in its CSV files."""
        raise NotImplementedError

    @property
    def answers(self) -> tuple[str, ...]:
        """The sentences that answer the experiment's question, a factor after the other."""
        return tuple(self.verdict["answers"])

    @cached_property
    def fits(self) -> pd.DataFrame:
        """A row a fit, by its id: cell, levels, repeat, fold, status, reason, final metrics, epochs, seconds."""
        return self._typed("fits", "id")

    @cached_property
    def cells(self) -> pd.DataFrame:
        """A row a cell, by its name: levels, mean, interval and rank of the metric, costs."""
        return self._typed("cells", "cell")

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """A row a pair of levels of a factor: the difference with its interval and probabilities."""
        return self._typed("comparisons")

    @cached_property
    def cell_comparisons(self) -> pd.DataFrame:
        """A row a pair of cells, as in `comparisons`."""
        return self._typed("cell_comparisons")

    @cached_property
    def levels(self) -> pd.DataFrame:
        """A row a level of a factor: its mean over the matched cells."""
        return self._typed("levels")

    @cached_property
    def interactions(self) -> pd.DataFrame:
        """A row a combination of levels of two factors."""
        return self._typed("interactions")

    @cached_property
    def contrasts(self) -> pd.DataFrame:
        """A row a pair of levels of one factor and of another: how far the effect of one depends on the other."""
        return self._typed("contrasts")

    @cached_property
    def curves(self) -> pd.DataFrame:
        """A row an epoch of a level: mean curves with their bands. Those of single fits are in `epochs`."""
        return self._typed("curves")

    @cached_property
    def learning(self) -> pd.DataFrame:
        """A row a cell, by its name: the generalisation gap, and the time to an accuracy."""
        return self._typed("learning", "cell")

    @cached_property
    def confusions(self) -> pd.DataFrame:
        """A row a pair of classes of a cell: how often the first was taken for the second."""
        return self._typed("confusions")

    @cached_property
    def layers(self) -> pd.DataFrame:
        """A row a layer of a cell whose fits were inspected."""
        return self._typed("layers")

    @cached_property
    def looks(self) -> pd.DataFrame:
        """A row a pair of levels at each look of a study whose repeats stop when it is decided."""
        return self._typed("looks")

    @cached_property
    def matched(self) -> pd.DataFrame:
        """A row a level that the study has both as written and matched: its differences from the same cells."""
        return self._typed("matched")

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """A row an epoch of each good fit: id, cell, levels, repeat, fold, epoch and the curves."""
        columns = ["cell", *self.plan.factors, "repeat", "fold"]
        # Merging onto the plan gives its order, and leaves out fits of other plans.
        return self.fits[columns].reset_index().merge(self._journal_frames.curves, on="id")

    @cached_property
    def journal(self) -> pd.DataFrame:
        """A row a fit of the plan in the journal, by its id: also processor seconds, end and versions of libraries.

        `finished` is in UTC; cell, repeat and fold are as in `fits`.
        """
        import pandas as pd

        raw = self._journal_frames.fits.drop(columns=["repeat", "fold"]).set_index("id")
        finished = pd.to_datetime(raw["finished"], unit="ms", utc=True)
        places = self.fits[["cell", "repeat", "fold"]]
        return places.join(raw.drop(columns="cell").assign(finished=finished), how="inner")

    def network(
        self,
        cell: str | None = None,
        repeat: int | None = None,
        fold: int | None = None,
        plugins: Sequence[str | Path] = (),
    ) -> TrainedNetwork:
        """The trained network of a fit whose parameters were saved (`training.keep`).

        `cell` is a name or an id, the best cell if it is None; `repeat` and `fold` count from 1, and without them it is
        the best saved fit of the cell. `plugins` are the files of plugins, needed for an architecture that is a torch
        module of its own. Raises RunnerError if there is none.
        """
        from runner.trained.networks import load_network

        return load_network(self.folder, cell, repeat, fold, plugins)

    def write_report(self, formats: str | Sequence[str] = ("html", "md", "csv")) -> Path:
        """Write the report again, as of html, md, csv, tex and png; returns the page or, without html, the folder."""
        from runner.reporting.pages.formats import FORMATS
        from runner.reporting.pages.write import write_report

        chosen = formats.split(",") if isinstance(formats, str) else list(formats)
        for name in chosen:
            if name not in FORMATS:
                raise RunnerError(f"formats: unknown '{name}'{did_you_mean(name, FORMATS)}")
        write_report(self.plan, self._journal_frames, self.folder, chosen)
        return self.folder / "report.html" if "html" in chosen else self.folder

    def shown(self) -> Iterator[str | Table]:
        yield f"{self.plan.name}: {self.progress}"
        yield ""
        yield Table(self.verdict["columns"], self.verdict["rows"])
        yield self.verdict["note"]
        yield from self.answers
        failures = self.verdict["failures"]
        yield from (f"failed: {failure}" for failure in failures[:MOST_FAILURES])
        if len(failures) > MOST_FAILURES:
            yield f"failed: {len(failures) - MOST_FAILURES} more fits"
        yield from self.remarks()
        yield f"report: {self.folder / 'report.html'}"

    @property
    def progress(self) -> str:
        """How many fits are finished."""
        counts = self.fits["status"].value_counts()
        failed = f", {counts['failed']} of them failed" if "failed" in counts else ""
        return f"{len(self.fits) - counts.get('missing', 0)} of {plural(len(self.fits), 'fit')} are finished{failed}"

    def remarks(self) -> Iterable[str]:
        """What else is to be known."""
        return ()

    @cached_property
    def _journal_frames(self) -> Frames:
        from runner.reporting.journal_frames import read_frames

        return read_frames(self.plan, self.folder)

    def _typed(self, name: str, index: str | None = None) -> pd.DataFrame:
        from runner.reporting.tables.typed_frames import typed

        return typed(self.plan, getattr(self.tables, name), index)


class Study(StudyResults):
    """A study as its folder has it: the plan of its last run and what the journal holds now."""

    def __init__(self, folder: Path) -> None:
        """Read the plan in `folder`; raises RunnerError if it has no valid one. The rest is read when it is used."""
        self.plan, self.folder = plan_file.read(folder / "plan.yaml"), folder

    @cached_property
    def tables(self) -> Tables:
        """The report's tables as they are in its CSV files."""
        from runner.reporting.tables.study_tables import make_tables

        return make_tables(self.plan, self._journal_frames, self.folder / "fits")

    @cached_property
    def verdict(self) -> Verdict:  # type: ignore[override]
        """The table of the cells as texts, the answers, and the failed fits."""
        from runner.reporting.text.verdict import verdict

        return verdict(self.plan, self.tables)
