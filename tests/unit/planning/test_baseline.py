"""`report.baseline` names a level of the grid; what it names wrongly is one line with the nearest name."""

from pathlib import Path

import pytest
from command import Command

from runner.errors import RunnerError
from runner.experiment.load import load
from runner.planning import plan_file
from runner.planning.make_plan import make_plan


def with_baseline(tiny: Path, text: str) -> list[str]:
    return [f"report={{baseline: {text}}}"]


def test_the_plan_has_it_by_label(tiny: Path) -> None:
    plan = make_plan(load(tiny, with_baseline(tiny, "{architecture.convs: 2, architecture.downsample: max_pool}")))
    assert plan.baseline == {"architecture.convs": "2", "architecture.downsample": "max_pool"}
    assert "baseline:" in plan_file.text(plan)
    other = make_plan(load(tiny))
    assert "baseline" not in plan_file.text(other)
    assert [cell.id for cell in other.cells] == [cell.id for cell in plan.cells]


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "{architecture.downsample: maxpool}",
            "report.baseline.architecture.downsample: unknown level 'maxpool' of factor 'architecture.downsample'; "
            "did you mean 'max_pool'?",
        ),
        ("{architecture.conv: 1}", "unknown factor 'architecture.conv'; did you mean 'architecture.convs'?"),
        ("{architecture.convs: '1.0'}", "unknown level '1.0' of factor 'architecture.convs'"),
        ("max_pool", "report.baseline"),
    ],
)
def test_what_it_names_wrongly_is_one_line(tiny: Path, text: str, message: str) -> None:
    with pytest.raises(RunnerError) as caught:
        make_plan(load(tiny, with_baseline(tiny, text)))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_without_a_grid_there_is_no_factor(tiny: Path, here: Command) -> None:
    text = tiny.read_text()
    tiny.write_text(f"{text[: text.index('grid:')]}report: {{baseline: {{filters: 7x7}}}}\n")
    done = here("plan", tiny)
    assert done.returncode == 2
    assert done.stderr.endswith("report.baseline.filters: unknown factor 'filters'; there is no grid\n")
    assert done.stderr.startswith(f"{tiny.name}:") or str(tiny) in done.stderr
