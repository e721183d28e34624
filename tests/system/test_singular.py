"""One fit is "1 fit": everything that commands print and write about studies of one cell, repeat, worker or image."""

from __future__ import annotations

import re
from pathlib import Path

from command import Command

NOUNS = (
    "fits|cells|folds|repeats|images|layers|levels|pairs|workers|epochs|classes|others|comparisons|factors|channels|"
    "parameters|rows|columns|experiments|networks|cores"
)
PLURAL_OF_ONE = re.compile(rf"(?<![\d.,:×=])\b1 (?:[a-z-]+ )?(?:{NOUNS})\b")
ONE = """\
name: one
dataset: {name: digits, subset: 60}
architecture: {name: stages, width: 2, stages: 1}
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 1, engine: numpy}
cross_validation: {folds: 2}
"""


def test_no_command_writes_a_plural_after_one(tmp_path: Path, here: Command) -> None:
    one, two, bad = (tmp_path / f"{name}.yaml" for name in ("one", "two", "bad"))
    one.write_text(ONE)
    two.write_text(ONE.replace("name: one", "name: two") + "grid: {architecture.kernel: [3, 5]}\n")
    bad.write_text(ONE.replace("name: one", "name: bad") + "grid: {optimizer.lr: [0.01, 1e38]}\n")
    outputs = [
        here("plan", one, "--workers", 1),
        here("run", one),
        here("run", one),
        here("run", one, "--set", "cross_validation.repeats=2"),
        here("plan", two, "--workers", 1),
        here("run", two, "--set", "cross_validation={folds: 2, repeats: {until: decided, most: 2}}"),
        here("run", bad, "--fail-fast"),
        here("run", bad, "--only", "failed"),
        here("run", bad),
        here("compare", "one", "two"),
        here("describe", "stages", "--set", "stages=1", "--input", "1x8x8", "--classes", 2),
    ]
    assert [done.returncode for done in outputs][:4] == [0, 0, 0, 0]
    texts = [done.stdout + done.stderr for done in outputs]
    texts += [file.read_text() for file in (tmp_path / "reports").glob("*/report.md")]
    assert len(texts) == len(outputs) + 3
    for text in texts:
        assert not (found := PLURAL_OF_ONE.search(text)), text[max(found.start() - 80, 0) : found.end() + 20]
    assert "1 cell × 2 folds × 1 repeat = 2 fits" in texts[0] and "on 1 worker (" in texts[0]
    assert "licence: ." not in "".join(texts)
