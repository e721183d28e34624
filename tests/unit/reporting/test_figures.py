"""The report's figures: their content, for any names, sizes and gaps of an experiment."""

import io
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.image import imread
from reporting_samples import HOSTILE, Sample, make_frames, make_plan, sample, write_arrays

from runner.errors import RunnerError
from runner.reporting.figures.cost import _dots, pareto
from runner.reporting.figures.draw import DARK_CSS, DRAWINGS, make_figures
from runner.reporting.figures.scales import log_ticks
from runner.reporting.figures.text import layer_name, text_width, wrap
from runner.reporting.tables.study_tables import make_tables

ALL = [
    "effects", "differences", "interactions", "cost", "curves", "confusion", "mistakes", "filters", "activations",
    "layers",
]  # fmt: skip
ODD = "an\x1b[31mescape"
NAMES = {"<b>factor</b>": HOSTILE[:2], "$y_2$": HOSTILE[2:], "odd": ("#ffffff", ': #0072b2" id="x"', ODD)}


def figures(example: Sample, *names: str, png: bool = False):
    """The figures with these names, without names all of them."""
    tables = make_tables(example.plan, example.frames, example.arrays)
    with patch.dict(DRAWINGS, {name: DRAWINGS[name] for name in names or [*DRAWINGS]}, clear=True):
        return make_figures(example.plan, tables, example.arrays, png)


def texts(svg: str) -> list[str]:
    """The pieces of text in an SVG file."""
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter() if element.tag[-4:] == "text"]


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return sample(tmp_path_factory.mktemp("usual"))


@pytest.fixture(scope="module")
def drawn(usual):
    return figures(usual)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    class_names = ("<i>zero</i>", "a&b", "$3", "_four")
    return figures(sample(tmp_path_factory.mktemp("hostile"), NAMES, class_names=class_names, folds=3))


def test_all_figures_are_drawn_in_the_order_of_the_report(drawn):
    assert list(drawn) == ALL


@pytest.mark.slow
def test_equal_input_gives_equal_files(usual, drawn):
    again = figures(usual)
    assert {name: picture.svg for name, picture in again.items()} == {n: picture.svg for n, picture in drawn.items()}


@pytest.mark.parametrize("name", ALL)
def test_each_figure_is_valid_as_a_file_and_within_a_page(drawn, name):
    for text in (drawn[name].svg, drawn[name].inline):
        root = ElementTree.fromstring(text)
        assert root.tag.endswith("svg") and root.get("viewBox")
        assert not re.search(r"<(script|style|metadata|foreignObject)|xlink:href=\"http|\son\w+=", text)


def test_the_ids_of_all_figures_differ_and_every_reference_has_its_target(drawn):
    ids = re.findall(r' id="([^"]+)"', "".join(picture.inline for picture in drawn.values()))
    assert ids and len(set(ids)) == len(ids)
    for picture in drawn.values():
        used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', picture.inline))
        assert used == set(re.findall(r' id="([^"]+)"', picture.inline))


def test_an_embedded_figure_takes_the_colours_and_the_font_of_the_page(drawn):
    for picture in drawn.values():
        assert "font-family" in picture.svg and "var(" not in picture.svg and 'fill="#ffffff"' in picture.svg
        assert "font-family" not in picture.inline and 'fill="#ffffff"' not in picture.inline
        used = set(re.findall(r"var\(--(figure-\w+)", picture.inline))
        assert all(f"--{name}:" in DARK_CSS for name in used)
        assert not re.search(r": #(?!fefefe)[0-9a-f]{6}", picture.inline), "a colour that no dark page can change"


def test_captions_are_one_line_and_name_an_existing_table(usual, drawn, tmp_path):
    make_tables(usual.plan, usual.frames, usual.arrays).write(tmp_path)
    for name, picture in drawn.items():
        assert "\n" not in picture.caption and picture.caption.endswith(".")
        named = re.findall(r"tables/(\w+\.csv)", picture.caption)
        assert named or name in ("mistakes", "filters", "activations")
        assert all((tmp_path / table).exists() for table in named)


def test_levels_and_factors_are_named_where_they_matter(usual, drawn):
    for name in ("effects", "interactions", "curves"):
        labels = texts(drawn[name].svg)
        assert set(usual.plan.factors) <= set(labels)
        assert {level for cell in usual.plan.cells for level in cell.levels.values()} <= set(labels)
    assert {"7x7 − 3x3 x 3", "max_pool − strided_conv", "stages=1 − stages=2"} <= set(texts(drawn["differences"].svg))


def test_hostile_names_are_displayed_unchanged(hostile):
    for name in ("effects", "curves", "interactions"):
        labels = texts(hostile[name].svg)
        for level in (*HOSTILE, *NAMES, "#ffffff", ': #0072b2" id="x"', "an�[31mescape"):
            assert level in labels, name
        assert texts(hostile[name].inline) == labels
    for class_name in ("<i>zero</i>", "a&b", "$3", "_four"):
        assert class_name in texts(hostile["confusion"].svg)
    for picture in hostile.values():
        assert "<script>" not in picture.svg and "<i>" not in picture.inline and "\x1b" not in picture.caption


def test_a_long_name_is_wrapped_without_losing_text(tmp_path):
    long = "a level whose name goes on and on, with every word of it needed, " * 3 + "W" * 90
    labels = texts(figures(sample(tmp_path, {"f": (long, "short")}), "effects")["effects"].svg)
    assert "".join(labels).replace(" ", "").count(long.replace(" ", "")) == 1


def test_values_are_next_to_their_points(usual, drawn):
    levels = make_tables(usual.plan, usual.frames, usual.arrays).levels
    assert {f"{100 * mean:.2f}" for mean in levels["mean"]} <= set(texts(drawn["effects"].svg))


def test_losses_are_drawn_in_their_own_unit(tmp_path):
    drawings = figures(sample(tmp_path, {"depth": ("1", "2", "3")}, metric="val_loss"), "effects", "curves")
    assert "validation loss, nats" in texts(drawings["effects"].svg)
    assert "logarithmic in the loss" in drawings["curves"].caption and "loss, nats" in texts(drawings["curves"].svg)


def test_without_factors_there_is_nothing_to_compare(tmp_path):
    drawings = figures(sample(tmp_path, {}))
    assert list(drawings) == ["curves", "confusion", "mistakes", "filters", "activations", "layers"]


def test_figures_without_saved_arrays_are_left_out(usual, tmp_path):
    drawings = figures(replace(usual, arrays=tmp_path / "nowhere"))
    assert list(drawings) == ["effects", "differences", "interactions", "cost", "curves", "confusion"]


def test_old_journals_without_confusions_have_no_matrix(usual, tmp_path):
    frames = replace(usual.frames, confusions=usual.frames.confusions[:0])
    assert not figures(Sample(usual.plan, frames, tmp_path), "confusion")


def test_nothing_is_drawn_if_all_fits_failed(tmp_path):
    plan = make_plan({"depth": ("1", "2")})
    assert figures(Sample(plan, make_frames(plan, failed=tuple(key[0] for key in plan.fit_keys())), tmp_path)) == {}


def test_a_cell_whose_fits_all_failed_is_left_out_of_the_figures(tmp_path):
    plan = make_plan({"depth": ("1", "2", "3")})
    frames = make_frames(plan, failed=tuple(plan.fits[plan.cells[1].id]))
    drawings = figures(Sample(plan, frames, tmp_path), "curves", "effects")
    assert {"1", "3"} <= set(texts(drawings["curves"].svg)) and "2" not in texts(drawings["effects"].svg)


def test_one_epoch_gives_no_curve(tmp_path):
    plan = make_plan({"depth": ("1", "2")})
    assert not figures(Sample(plan, make_frames(plan, epochs=1), tmp_path), "curves")


def test_the_error_for_a_damaged_file_names_it(tmp_path):
    plan = make_plan({"depth": ("1", "2")})
    write_arrays(plan, tmp_path)
    path = tmp_path / f"{plan.fits[plan.cells[1].id][0]}.npz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RunnerError, match=f"{path.name}: damaged"):
        figures(Sample(plan, make_frames(plan), tmp_path))


def test_a_network_without_convolutions_has_no_filters(tmp_path):
    plan = make_plan({"depth": ("1", "2")})
    write_arrays(plan, tmp_path)
    for path in tmp_path.glob("*.npz"):
        with np.load(path) as arrays:
            few = {name: arrays[name] for name in arrays if not name.startswith(("filters", "activation"))}
        np.savez(path, **few)
    drawings = figures(Sample(plan, make_frames(plan), tmp_path))
    assert "filters" not in drawings and "activations" not in drawings and {"mistakes", "layers"} <= set(drawings)


@pytest.mark.slow
def test_of_many_levels_and_cells_some_are_omitted_and_the_captions_say_so(tmp_path):
    levels = tuple(f"level {place:02}" for place in range(20))
    plan = make_plan({"a": levels, "b": ("x", "y", "z"), "c": ("1", "2")}, folds=2)
    drawings = figures(Sample(plan, make_frames(plan, epochs=3), tmp_path))
    assert "the 15 best levels of each factor; the table has 5 more" in drawings["effects"].caption
    assert "the 15 largest differences of each factor" in drawings["differences"].caption
    assert "Of factors with many levels, the best are plotted" in drawings["interactions"].caption
    assert "Of factors with many levels, the 7 with the best final accuracy are plotted" in drawings["curves"].caption
    assert re.search(r"8 of \d+ are labelled", drawings["cost"].caption)
    assert "level 19" in texts(drawings["effects"].svg) and "level 00" not in texts(drawings["effects"].svg)


def test_of_many_pairs_of_factors_the_strongest_interactions_are_plotted(tmp_path):
    plan = make_plan({f"factor {place}": ("a", "b") for place in range(5)}, folds=2)
    caption = figures(Sample(plan, make_frames(plan, epochs=2), tmp_path), "interactions")["interactions"].caption
    assert "the 6 strongest of 10 pairs" in caption


def test_of_many_classes_those_with_the_most_mistakes_are_plotted(tmp_path):
    example = sample(tmp_path, {"depth": ("1", "2")}, class_names=tuple(f"class {place}" for place in range(50)))
    picture = figures(example, "confusion")["confusion"]
    assert "the 20 of 50 classes with the most mistakes" in picture.caption
    assert len({text for text in texts(picture.svg) if text.startswith("class ")}) == 20


def test_the_matrix_holds_the_counts_of_the_best_cell(tmp_path):
    example = sample(tmp_path, {}, class_names=("cat", "dog", "emu", "fox", "gnu"))
    counts = example.frames.confusions.groupby(["truth", "predicted"])["count"].sum()
    labels = texts(figures(example, "confusion")["confusion"].svg)
    assert {str(count) for count in counts} <= set(labels) and "difference" not in labels


def test_mistakes_have_truth_prediction_confidence_and_how_many_cells_agree(usual, drawn):
    labels = texts(drawn["mistakes"].svg)
    cells = [text for text in labels if "%, " in text]
    assert len(cells) == 24 and all(1 <= int(text.split(", ")[1].split("/")[0]) <= 12 for text in cells)
    assert all(text.endswith("/12") for text in cells)
    shares = [int(text.split("%")[0]) for text in cells]
    assert shares == sorted(shares, reverse=True)
    assert sum("→ " in text for text in labels) == 24


def test_shares_of_the_layers_sum_to_1(drawn):
    shares = [text for text in texts(drawn["layers"].svg) if re.fullmatch(r"\d+\.\d", text)]
    assert len(shares) == 11 and sum(map(float, shares)) == pytest.approx(100, abs=0.6)


@pytest.mark.slow
def test_png_is_written_only_on_request(usual, drawn):
    assert all(picture.png == b"" for picture in drawn.values())
    drawings = figures(usual, png=True)
    for name, picture in drawings.items():
        width, height = (int.from_bytes(picture.png[start : start + 4]) for start in (16, 20))
        assert picture.png[:8] == b"\x89PNG\r\n\x1a\n" and width == 1480 and 100 < height < 4000
        assert picture.svg == drawn[name].svg


def test_a_report_of_sixty_fits_stays_small(drawn):
    assert sum(len(picture.inline) for picture in drawn.values()) < 800_000


numbers = st.one_of(st.integers(0, 4).map(float), st.floats(0, 1e9), st.just(float("nan")))


@given(st.lists(st.tuples(numbers, numbers), max_size=30))
def test_the_pareto_front_equals_that_of_brute_force(points):
    def dominated(point):
        return any(
            other[0] <= point[0] and other[1] >= point[1] and other != point
            for other in points
            if not np.isnan(other).any()
        )

    expected = [not np.isnan(point).any() and not dominated(point) for point in points]
    assert list(pareto([cost for cost, _ in points], [value for _, value in points])) == expected


@pytest.mark.filterwarnings("ignore:Glyph")
@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=200), st.floats(0.5, 5))
def test_wrapped_text_fits_and_keeps_its_letters(text, inches):
    lines = wrap(text, inches).split("\n")
    assert all(text_width(line) <= inches or len(line) == 1 for line in lines)
    assert len("".join("".join(lines).split())) == len("".join(text.split()))


@given(st.floats(1e-3, 1e9), st.floats(1, 6))
def test_log_ticks_are_few_and_within_the_axis(low, decades):
    ticks = log_ticks(low, low * 10**decades)
    assert 0 < len(ticks) <= 6 and all(low <= tick <= low * 10**decades for tick in ticks)


def test_a_layers_type_is_added_if_its_path_does_not_contain_it():
    assert layer_name("stage1/max_pool1", "max_pool") == "stage1/max_pool1"
    assert layer_name("stage1/0", "Conv2d") == "stage1/0 · Conv2d"


@pytest.mark.parametrize("count", [1, 60, 512, 513])
def test_points_that_are_drawn_as_one_path_are_in_the_png_too(count):
    """matplotlib drops up to 512 of them unless told not to snap them to pixels."""
    x, y = np.random.default_rng(0).uniform(1, 9, (2, count))
    figure, file = Figure(figsize=(4, 3)), io.BytesIO()
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 10), ylim=(0, 10))
    axes.axis("off")
    axes.add_patch(_dots(x, y))
    figure.savefig(file, format="png")
    file.seek(0)
    assert (imread(file)[..., 0] < 0.9).sum() > 5 * min(count, 60)


def test_what_rests_on_survivors_is_marked_in_figures_and_captions(usual, drawn):
    """One fit failed at every cell of the level strided_conv, so that no matched pair of it is complete."""
    plan = usual.plan
    failed = tuple(plan.fits[cell.id][0] for cell in plan.cells if "strided_conv" in cell.levels.values())
    names = ("effects", "differences", "cost", "interactions", "curves")
    marked = figures(Sample(plan, make_frames(plan, failed=failed), usual.arrays), *names)
    assert "strided_conv †" in texts(marked["effects"].svg) and "max_pool" in texts(marked["effects"].svg)
    labels = texts(marked["differences"].svg)
    assert {"max_pool − strided_conv †", "max_pool − avg_pool"} <= set(labels)
    for name in ("effects", "differences"):
        assert "† Rests on survivors: some of its fits failed or did not run." in marked[name].caption
        assert "†" not in "".join(texts(drawn[name].svg)) + drawn[name].caption
    assert "Resting on survivors, as fits failed or did not run: 4 cells." in marked["cost"].caption
    assert "survivors" in marked["interactions"].caption and "left out" in marked["curves"].caption


def test_pairs_without_matched_cells_are_counted_in_the_caption(usual):
    plan = replace(usual.plan, cells=(usual.plan.cells[0], usual.plan.cells[1], usual.plan.cells[8]))
    caption = figures(Sample(plan, usual.frames, usual.arrays), "differences")["differences"].caption
    assert "Without an interval or a mean, and so not plotted: 2 pairs." in caption


def test_a_figure_waits_until_another_thread_has_imported_ipython(tmp_path: Path) -> None:
    """MLflow's first request imports it in the publisher's thread; matplotlib reads whatever is there of it."""
    package = tmp_path / "IPython" / "__init__.py"
    package.parent.mkdir()
    package.write_text("import time\ntime.sleep(0.5)\nversion_info = (9, 0)\n")
    script = (
        "import sys, threading, time\n"
        "from runner.reporting.figures.canvas import new_figure\n"
        "threading.Thread(target=__import__, args=('IPython',)).start()\n"
        "while 'IPython' not in sys.modules: time.sleep(0.001)\n"
        "print(new_figure(1).get_size_inches()[1])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1.0\n", "")
