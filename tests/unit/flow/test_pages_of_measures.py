"""What the pages on losses, metrics and imbalance show runs as it stands there, and says of components what is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from command import ROOT, Command

from runner.components.catalog import load_catalog

PAGES = {name: ROOT / "docs" / name for name in ("reference/losses.md", "reference/metrics.md", "how-to/imbalance.md")}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGES[page].read_text(), re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_its_experiments_plan_and_its_plugins_are_used_in_one(page: str, tmp_path: Path, here: Command) -> None:
    experiments = [yaml.safe_load(block) for block in blocks(page, "yaml")]
    assert experiments
    for number, code in enumerate(blocks(page, "python")):
        (tmp_path / f"plugin{number}.py").write_text(code)
        kind, name = re.search(r"yield (\w+)\(name=\"(\w+)\"", code).groups()  # type: ignore[union-attr]
        asks = {"loss": name, "grid": {}} if kind == "Loss" else {"report": {"metric": name}}
        training = {"epochs": 1, "engine": "torch" if kind == "Loss" else "numpy"}
        experiments.append(experiments[0] | {"plugins": [f"./plugin{number}.py"], "training": training} | asks)
    for experiment in experiments:
        content = {key: value for key, value in experiment.items() if value != {}}
        (tmp_path / "e.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        done = here("plan", "e.yaml")
        assert done.returncode == 0 and "warning" not in done.stderr, (content, done.stderr)


@pytest.mark.parametrize(("kind", "page"), [("loss", "reference/losses.md"), ("metric", "reference/metrics.md")])
def test_its_table_has_every_component_with_its_parameters(kind: str, page: str) -> None:
    catalog, rows = load_catalog(), [row for row in PAGES[page].read_text().splitlines() if row.startswith("| `")]
    for name in catalog.names(kind):
        entry = catalog.find(kind, name)
        if not entry.is_ours:
            continue
        (row,) = (row for row in rows if re.search(rf"`{name}`", row))
        assert all(f"`{parameter}`" in row for parameter in entry.parameters)
        if kind == "metric":
            assert ("| higher |" in row) == entry.component.higher_is_better  # type: ignore[attr-defined]
            needs = "probabilities" if entry.component.needs == "probabilities" else "answers"  # type: ignore[attr-defined]
            assert row.endswith(f"| {needs} |") or "every fit has it" in row
