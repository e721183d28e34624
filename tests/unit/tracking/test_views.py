"""The views of a study in MLflow's UI: their content, when they are written, and the form that the UI reads."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from reporting_samples import FACTORS, make_plan

from runner.fits.metrics import Metric
from runner.planning.plan import Plan
from runner.tracking.parameters import factor_parameters
from runner.tracking.publish_views import NOTE, link_report, publish_views
from runner.tracking.saved_views import FIRST, KNOWN_VERSIONS, MOST_CHARACTERS, PREFIX, View, changed_tags, find_view
from runner.tracking.views import MOST_FACTORS, make_views

NOW = 1_800_000_000_000


def views_of(plan: Plan) -> list[View]:
    return make_views(plan, factor_parameters(plan))


def written(plan: Plan, now: int = NOW) -> dict[str, str]:
    return changed_tags(views_of(plan), {}, now)[0]


def test_a_study_gets_its_cells_its_curves_each_factor_and_the_failed_fits() -> None:
    names = [view.name for view in views_of(make_plan(FACTORS))]
    assert names == [
        "Cells, best first", "Curves of the best cells", "By filters", "By downsample", "By stages", "Failed fits",
    ]  # fmt: skip


def test_the_first_view_has_the_factors_in_the_grids_order_and_then_the_result_best_first() -> None:
    plan = make_plan(FACTORS)
    first = views_of(plan)[0]
    assert first.key == FIRST
    columns = first.state["selectedColumns"]
    assert columns[:4] == ["params.`filters`", "params.`downsample`", "params.`stages`", "metrics.`val_accuracy`"]
    assert (first.state["orderByKey"], first.state["orderByAsc"]) == ("metrics.`val_accuracy`", False)
    assert "metrics.`test_accuracy`" not in columns
    loss = views_of(replace(plan, metric="val_loss", test=True))[0].state
    assert (loss["orderByKey"], loss["orderByAsc"]) == ("metrics.`val_loss`", True)
    assert "metrics.`test_accuracy`" in loss["selectedColumns"]


def test_names_of_cells_are_readable_and_never_take_the_whole_table() -> None:
    widths = [
        views_of(make_plan({"a": (level, "2")}))[0].state["columnWidths"]["attributes.`Run Name`"]
        for level in ("1", "a level of two dozen letters", "x" * 500)
    ]
    assert widths == sorted(widths) and len(set(widths)) == 3 and widths[-1] <= 500


def test_the_metric_of_a_plugin_is_a_column_and_its_study_has_the_curve_of_the_accuracy() -> None:
    f1 = Metric("macro_f1", "macro F1")
    plan = replace(make_plan(FACTORS), metric="macro_f1", measures=(f1,), columns=("macro_f1", "val_loss"))
    state = views_of(plan)[0].state
    assert state["selectedColumns"][3:6] == [
        "metrics.`macro_f1`", "metrics.`macro_f1_half_width`", "metrics.`val_loss`",
    ]  # fmt: skip
    assert [chart.get("metricKey") for chart in state["compareRunCharts"]][:4] == [
        "val/accuracy", "val/loss", "train/loss", "macro_f1",
    ]  # fmt: skip


def test_all_lines_are_drawn_of_few_cells_and_the_best_of_many() -> None:
    assert views_of(make_plan({"a": tuple("12345")}))[1].state["runsHiddenMode"] == "SHOW_ALL"
    many = {"a": tuple("12345"), "b": tuple("12345")}
    assert views_of(make_plan(many))[1].state["runsHiddenMode"] == "FIRST_20_RUNS"


def test_the_fits_of_one_level_are_a_group_and_factors_of_one_name_are_two() -> None:
    views = views_of(make_plan({"architecture.width": ("1", "2"), "optimizer.width": ("1", "2")}))
    groups = [view.state["groupBy"] for view in views if view.name.startswith("By ")]
    assert groups == [
        {"aggregateFunction": "average", "groupByKeys": [{"mode": "param", "groupByData": name}]}
        for name in ("architecture.width", "optimizer.width")
    ]
    assert len({view.key for view in views}) == len(views)


def test_every_tag_is_small_enough_for_mlflow_whatever_the_factors_are_called() -> None:
    factors = {f"{'ein sehr langer Name für Länge ' * 3}{number}": ("1",) for number in range(60)}
    tags = written(make_plan(factors))
    assert len(tags) <= MOST_FACTORS + 3
    assert all(len(value) <= MOST_CHARACTERS and re.fullmatch(r"[\w.\- /]{1,250}", key) for key, value in tags.items())
    assert PREFIX + FIRST in tags


def test_views_that_are_there_are_not_written_again_and_those_of_lost_factors_go() -> None:
    plan, own = make_plan(FACTORS), {"mlflow.note.content": "text", f"{PREFIX}a2f0": "saved by somebody"}
    tags = own | written(plan)
    assert changed_tags(views_of(plan), tags, NOW + 9) == ({}, [])
    fewer = make_plan({name: FACTORS[name] for name in list(FACTORS)[:2]})
    changed, stale = changed_tags(views_of(fewer), tags, NOW + 9)
    assert [json.loads(tags[key])["name"] for key in stale] == ["By stages"]
    assert PREFIX + FIRST in changed and own.keys().isdisjoint({*changed, *stale})
    for key in stale:
        del tags[key]
    assert changed_tags(views_of(fewer), tags | changed, NOW + 9) == ({}, [])
    # The list in the UI, which shows the latest first, keeps the order that the views have.
    times = [json.loads((tags | changed)[PREFIX + view.key])["createdAt"] for view in views_of(fewer)]
    assert times == sorted(times, reverse=True) and len(set(times)) == len(times)


def test_a_view_that_somebody_changed_in_the_ui_stays_and_one_that_they_deleted_comes_back() -> None:
    plan, tags = make_plan(FACTORS), written(make_plan(FACTORS))
    tags[PREFIX + FIRST] = json.dumps({**json.loads(tags[PREFIX + FIRST]), "updatedAt": NOW + 5000})
    other = replace(plan, metric="val_loss")
    changed, _ = changed_tags(views_of(other), tags, NOW)
    assert PREFIX + FIRST not in changed and len(changed) == len(tags) - 2  # that of failed fits has no metric
    del tags[PREFIX + FIRST]
    assert list(changed_tags(views_of(plan), tags, NOW)[0]) == [PREFIX + FIRST]


BOMB = base64.b64encode(zlib.compress(b" " * 50_000_000)).decode()


@pytest.mark.parametrize(
    "tag",
    [
        "", "text", "[]", "{}", '{"name": 1}', '{"name": "a", "createdAt": 1, "state": 2}',
        '{"name": "a", "createdAt": 1e999, "state": ""}', '{"name": "a", "createdAt": 1, "state": "deflate;AAAA"}',
        '{"name": "a", "createdAt": 1, "state": "deflate;é"}', "[" * 100_000,
        json.dumps({"name": "a", "createdAt": 1, "state": f"deflate;{BOMB}"}),
        json.dumps({"name": "a", "createdAt": 1, "state": f"deflate;{base64.b64encode(zlib.compress(b'3')).decode()}"}),
    ],
)  # fmt: skip
def test_a_tag_that_is_no_view_is_replaced(tag: str) -> None:
    tags = {PREFIX + FIRST: tag}
    assert find_view(tags, FIRST) is None
    assert PREFIX + FIRST in changed_tags(views_of(make_plan(FACTORS)), tags, NOW)[0]


class Refusing:
    """A client whose server refuses tags."""

    asked = 0

    def set_experiment_tag(self, *given: object) -> None:
        self.asked += 1
        raise ConnectionError("refused")

    get_experiment = set_experiment_tag


def test_a_server_that_refuses_a_view_stops_nothing() -> None:
    client, plan = Refusing(), make_plan(FACTORS)
    publish_views(client, "1", plan, {})
    link_report(client, "1", plan, "run")
    assert client.asked == 2


class Noted(SimpleNamespace):
    """A client of a server that has one experiment, with `tags`."""

    def get_experiment(self, experiment: str) -> SimpleNamespace:
        return self

    def set_experiment_tag(self, experiment: str, key: str, value: str) -> None:
        self.tags[key] = value


def test_the_description_ends_with_a_link_to_the_newest_report_unless_somebody_changed_it() -> None:
    plan = replace(make_plan(FACTORS), description="What [is] it?")
    linked = r"What \[is\] it? [Report](#/experiments/4/runs/two/artifacts/report.html?workflowType=machine_learning)"
    client = Noted(tags={NOTE: r"What \[is\] it?"})
    for run in ("one", "two"):
        link_report(client, "4", plan, run)
    assert client.tags == {NOTE: linked}
    for old, new in ((f"{linked} Seen by all.", f"{linked} Seen by all."), ("Mine", "Mine")):
        client = Noted(tags={NOTE: old})
        link_report(client, "4", plan, "three")
        assert client.tags == {NOTE: new}
    client = Noted(tags={})
    link_report(client, "4", replace(plan, description=""), "run")
    assert client.tags == {
        NOTE: "[Report](#/experiments/4/runs/run/artifacts/report.html?workflowType=machine_learning)"
    }


def scripts() -> dict[str, str]:
    """The JavaScript of the installed UI, by file name."""
    package = find_spec("mlflow")
    assert package and package.origin
    folder = Path(package.origin).parent / "server" / "js" / "build" / "static" / "js"
    return {file.name: file.read_text(encoding="utf-8") for file in folder.glob("*.js")}


def test_the_installed_ui_reads_views_of_this_form() -> None:
    """No interface of MLflow promises it: another version than the pinned one may read something else."""
    assert ".".join(version("mlflow").split(".")[:2]) in KNOWN_VERSIONS
    state: dict[str, Any] = {}
    for view in views_of(make_plan(FACTORS)):
        state |= view.state
    code = scripts()
    (main,) = (text for name, text in code.items() if name.startswith("main."))
    assert f'"{PREFIX}"' in main and '"viewStateShareKey"' in main
    # What it takes from a state: what is shown, and what is searched for.
    (shown,) = re.findall(r'\["selectedColumns",[^]]*\]', main)
    searched = next(
        found for text in code.values() if (found := re.search(r'\["searchFilter","orderByKey",[^]]*\]', text))
    )
    assert state.keys() <= {*json.loads(shown), *json.loads(searched[0])}
    for mode in ("SHOW_ALL", "FIRST_20_RUNS"):
        assert f'="{mode}"' in main
    for chart in state["compareRunCharts"]:
        assert f'e.{chart["type"]}="{chart["type"]}"' in main
    keys = {key for chart in state["compareRunCharts"] for key in chart if key not in ("uuid", "type")}
    assert [key for key in sorted(keys) if not re.search(rf"this\.{key}=", main)] == []
    assert 'Average="average"' in main and 'Param="param"' in main and "groupByData:" in main
    # The envelope around the state, and how that is packed.
    envelope = next(text for text in code.values() if "Invalid saved-view envelope" in text)
    assert "JSON.stringify({name:e,createdAt:i,updatedAt:a,state:t})" in envelope
    assert any('"deflate;"' in text for text in code.values())
