"""What a data set says of its images beside their classes: the columns that `cross_validation` may name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.commands.output import print_line, print_table
from runner.data import columns
from runner.errors import RunnerError
from runner.text import one_line, yaml_value

if TYPE_CHECKING:
    from runner.components.records import Column, ImageData

MOST_VALUES = 5
"""Of more values, the first are listed, and it is said how many others there are."""
LONGEST_VALUE = 24
MOST_FOLDS = 1000
"""As many folds as an experiment may have."""


@dataclass
class Carried:
    """A column, of the training part or of the test part: its name, and the settings that could name it.

    One that `is_named` is asked for by its name, others by ``true``. `texts` are its values, each once; `problem` says
    why it cannot be used.
    """

    name: str
    is_named: bool
    column: Column
    settings: list[str] = field(default_factory=list)
    texts: Sequence[str] = ()
    problem: str = ""

    def read(self, size: int) -> None:
        """Find the values, of `size` images, and leave only the settings that these allow."""
        what = f"column '{self.name}'" if self.is_named else self.name
        try:
            self.texts = columns.numbered(self.column, what, size)[1]
        except (RunnerError, OSError) as error:
            self.problem = str(error).removeprefix(f"{what}: ")
        count, words = len(self.texts), {text.lower() for text in self.texts}
        both = bool(words & {*columns.TRAIN}) and bool(words & {*columns.VALIDATION})
        is_split = both and words <= {*columns.TRAIN, *columns.VALIDATION}
        usable = {"groups": count > 1, "fold_column": 1 < count <= MOST_FOLDS, "split": is_split}
        self.settings = [setting for setting in self.settings if usable[setting]]

    def to_dict(self, part: str) -> dict[str, Any]:
        return {
            "name": self.name,
            "part": part,
            "settings": dict.fromkeys(self.settings, self.name if self.is_named else True),
            "distinct": None if self.problem else len(self.texts),
            "values": list(self.texts[:MOST_VALUES]),
            "problem": self.problem or None,
        }


def listing(data: ImageData) -> list[dict[str, Any]]:
    """A row for each column of the training part, then for each that has the groups of the held-out test part.

    Each has what `Carried.to_dict` returns; those of the test part also the number of values that the training part's
    groups `shared` with them: None if that is unknown.
    """
    training: dict[tuple[str, bool], Carried] = {}
    for setting, attribute in columns.FIELDS.items():
        for found in _offered(data, attribute):
            training.setdefault((found.name, found.is_named), found).settings.append(setting)
    test = list(_offered(data, "test_groups"))
    for rows, size in ((training.values(), data.size), (test, data.test_size)):
        for row in rows:
            row.read(size)
    listed = [row.to_dict("training") for row in training.values()]
    for row in test:
        known = training.get((row.name, True) if row.is_named else ("groups", False))
        comparable = known and not known.problem and not row.problem
        shared = len({*row.texts} & {*known.texts}) if known and comparable else None
        listed.append(row.to_dict("test") | {"shared": shared})
    return listed


def _offered(data: ImageData, attribute: str) -> Iterator[Carried]:
    """The columns of a field of ImageData; one without a name is called as the field."""
    offered = getattr(data, attribute)
    if isinstance(offered, Mapping):
        yield from (Carried(name, True, column) for name, column in offered.items())
    elif offered is not None:
        yield Carried(attribute, False, offered)


def print_listing(rows: Sequence[dict[str, Any]], test_size: int) -> None:
    """The rows of `listing` as a table, and how an experiment names one."""
    if not rows:
        return
    titles = ("column", "part", "distinct values", "such as", "in cross_validation")
    print_table(titles, [_texts(row) for row in rows], text_columns=5)
    if named := next((row["settings"] for row in rows if row["settings"]), None):
        setting, value = next(iter(named.items()))
        print_line(f"for example cross_validation: {{{setting}: {yaml_value(value)}}}")
    if test_size and not any(row["part"] == "test" for row in rows):
        print_line("which groups the test images are of is not said")
    print()


def _texts(row: dict[str, Any]) -> tuple[str, ...]:
    settings = ", ".join(key if value == row["name"] else f"{key}: true" for key, value in row["settings"].items())
    if shared := row.get("shared"):
        settings = f"{shared:,} of the values are those of training images too"
    if row["problem"]:
        return one_line(row["name"]), row["part"], "", "", f"none: {one_line(row['problem'])}"
    values = ", ".join(one_line(_shortened(text)) for text in row["values"])
    more = row["distinct"] - len(row["values"])
    values += f" and {more:,} more" if more else ""
    return one_line(row["name"]), row["part"], f"{row['distinct']:,}", values, settings


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
