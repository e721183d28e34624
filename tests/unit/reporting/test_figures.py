"""The report's figures: what a reader sees in them, whatever the names, the size and the gaps of an experiment."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reporting_samples import HOSTILE, Sample, make_frames, make_plan, sample, write_kept

from runner.errors import RunnerError
from runner.reporting.figures.cost import pareto
from runner.reporting.figures.draw import DARK_CSS, make_figures
from runner.reporting.figures.scales import round_steps
from runner.reporting.figures.text import breadth, folded, layer_name
from runner.reporting.tables.study_tables import make_tables

ALL = [
    "effects", "differences", "interactions", "cost", "curves", "confusion", "mistakes", "filters", "activations",
    "layers",
]  # fmt: skip
ODD = "an\x1b[31mescape"
NAMES = {"<b>factor</b>": HOSTILE[:2], "$y_2$": HOSTILE[2:], "odd": ("#ffffff", ': #0072b2" id="x"', ODD)}


def figures(made: Sample, png: bool = False):
    return make_figures(made.plan, make_tables(made.plan, made.frames, made.kept), made.kept, png)


def texts(svg: str) -> list[str]:
    """The pieces of text in an SVG file, as they are shown."""
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


def test_equal_input_gives_equal_files(usual, drawn):
    again = figures(usual)
    assert {name: picture.svg for name, picture in again.items()} == {n: picture.svg for n, picture in drawn.items()}


@pytest.mark.parametrize("name", ALL)
def test_each_is_valid_on_its_own_and_within_a_page(drawn, name):
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


def test_a_page_brings_its_own_colours_and_font(drawn):
    for picture in drawn.values():
        assert "font-family" in picture.svg and "var(" not in picture.svg and 'fill="#ffffff"' in picture.svg
        assert "font-family" not in picture.inline and 'fill="#ffffff"' not in picture.inline
        used = set(re.findall(r"var\(--(figure-\w+)", picture.inline))
        assert all(f"--{name}:" in DARK_CSS for name in used)
        assert not re.search(r": #(?!fefefe)[0-9a-f]{6}", picture.inline), "a colour that no dark page can change"


def test_captions_are_one_line_and_name_an_existing_table(usual, drawn, tmp_path):
    make_tables(usual.plan, usual.frames, usual.kept).write(tmp_path)
    for name, picture in drawn.items():
        assert "\n" not in picture.caption and picture.caption.endswith(".")
        named = re.findall(r"tables/(\w+\.csv)", picture.caption)
        assert named or name in ("mistakes", "filters", "activations")
        assert all((tmp_path / table).exists() for table in named)


def test_levels_and_factors_are_named_where_they_matter(usual, drawn):
    for name in ("effects", "interactions", "curves"):
        found = texts(drawn[name].svg)
        assert set(usual.plan.factors) <= set(found)
        assert {level for cell in usual.plan.cells for level in cell.levels.values()} <= set(found)
    assert {"7x7 − 3x3 x 3", "max_pool − strided_conv", "stages=1 − stages=2"} <= set(texts(drawn["differences"].svg))


def test_hostile_names_are_shown_as_they_are(hostile):
    for name in ("effects", "curves", "interactions"):
        found = texts(hostile[name].svg)
        for level in (*HOSTILE, *NAMES, "#ffffff", ': #0072b2" id="x"', "an�[31mescape"):
            assert level in found, name
        assert texts(hostile[name].inline) == found
    for class_name in ("<i>zero</i>", "a&b", "$3", "_four"):
        assert class_name in texts(hostile["confusion"].svg)
    for picture in hostile.values():
        assert "<script>" not in picture.svg and "<i>" not in picture.inline and "\x1b" not in picture.caption


def test_a_long_name_is_folded_and_nothing_of_it_is_lost(tmp_path):
    long = "a level whose name goes on and on, with every word of it needed, " * 3 + "W" * 90
    found = texts(figures(sample(tmp_path, {"f": (long, "short")}))["effects"].svg)
    assert "".join(found).replace(" ", "").count(long.replace(" ", "")) == 1


def test_values_stand_beside_their_points(usual, drawn):
    levels = make_tables(usual.plan, usual.frames, usual.kept).levels
    assert {f"{100 * mean:.2f}" for mean in levels["mean"]} <= set(texts(drawn["effects"].svg))


def test_losses_are_drawn_in_their_own_unit(tmp_path):
    found = figures(sample(tmp_path, {"depth": ("1", "2", "3")}, metric="val_loss"))
    assert "validation loss, nats" in texts(found["effects"].svg)
    assert "logarithmic in the loss" in found["curves"].caption and "loss, nats" in texts(found["curves"].svg)


def test_without_factors_there_is_nothing_to_compare(tmp_path):
    found = figures(sample(tmp_path, {}))
    assert list(found) == ["curves", "confusion", "mistakes", "filters", "activations", "layers"]


def test_what_was_not_kept_is_left_out(usual, tmp_path):
    found = figures(replace(usual, kept=tmp_path / "nowhere"))
    assert list(found) == ["effects", "differences", "interactions", "cost", "curves", "confusion"]


def test_old_journals_without_confusions_have_no_matrix(usual, tmp_path):
    frames = replace(usual.frames, confusions=usual.frames.confusions[:0])
    assert "confusion" not in figures(Sample(usual.plan, frames, tmp_path))


def test_where_all_fits_failed_nothing_is_drawn(tmp_path):
    plan = make_plan({"depth": ("1", "2")})
    assert figures(Sample(plan, make_frames(plan, failed=tuple(key[0] for key in plan.fit_keys())), tmp_path)) == {}


def test_a_cell_whose_fits_all_failed_is_left_out_of_the_figures(tmp_path):
    plan = make_plan({"depth": ("1", "2", "3")})
    found = figures(Sample(plan, make_frames(plan, failed=tuple(plan.fits[plan.cells[1].id])), tmp_path))
    assert {"1", "3"} <= set(texts(found["curves"].svg)) and "2" not in texts(found["effects"].svg)


def test_one_epoch_makes_no_curve(tmp_path):
    plan = make_plan({"depth": ("1", "2")})
    assert "curves" not in figures(Sample(plan, make_frames(plan, epochs=1), tmp_path))


def test_a_damaged_file_is_named(tmp_path):
    plan = make_plan({"depth": ("1", "2")})
    write_kept(plan, tmp_path)
    path = tmp_path / f"{plan.fits[plan.cells[1].id][0]}.npz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RunnerError, match=f"{path.name}: damaged"):
        figures(Sample(plan, make_frames(plan), tmp_path))


def test_a_network_without_a_convolution_has_no_filters(tmp_path):
    plan = make_plan({"depth": ("1", "2")})
    write_kept(plan, tmp_path)
    for path in tmp_path.glob("*.npz"):
        with np.load(path) as arrays:
            few = {name: arrays[name] for name in arrays if not name.startswith(("filters", "activation"))}
        np.savez(path, **few)
    found = figures(Sample(plan, make_frames(plan), tmp_path))
    assert "filters" not in found and "activations" not in found and {"mistakes", "layers"} <= set(found)


def test_many_levels_and_cells_are_cut_down_and_the_captions_say_so(tmp_path):
    levels = tuple(f"level {place:02}" for place in range(20))
    plan = make_plan({"a": levels, "b": ("x", "y", "z"), "c": ("1", "2")}, folds=2)
    found = figures(Sample(plan, make_frames(plan, epochs=3), tmp_path))
    assert "the 15 best levels of each factor, 5 more are in the table" in found["effects"].caption
    assert "the 15 largest of each factor" in found["differences"].caption
    assert "the best levels of factors with many" in found["interactions"].caption
    assert "the 7 levels of a factor that end best" in found["curves"].caption
    assert "8 of its" in found["cost"].caption
    assert "level 19" in texts(found["effects"].svg) and "level 00" not in texts(found["effects"].svg)


def test_pairs_of_factors_beyond_those_that_fit_are_left_out_by_strength(tmp_path):
    plan = make_plan({f"factor {place}": ("a", "b") for place in range(5)}, folds=2)
    caption = figures(Sample(plan, make_frames(plan, epochs=2), tmp_path))["interactions"].caption
    assert "the 6 strongest of 10 pairs" in caption


def test_of_many_classes_the_most_mistaken_are_shown(tmp_path):
    made = sample(tmp_path, {"depth": ("1", "2")}, class_names=tuple(f"class {place}" for place in range(50)))
    picture = figures(made)["confusion"]
    assert "the 20 of 50 classes with the most mistakes" in picture.caption
    assert len({text for text in texts(picture.svg) if text.startswith("class ")}) == 20


def test_the_matrix_holds_the_counts_of_the_best_cell(tmp_path):
    made = sample(tmp_path, {}, class_names=("cat", "dog", "emu", "fox", "gnu"))
    counts = made.frames.confusions.groupby(["truth", "predicted"])["count"].sum()
    found = texts(figures(made)["confusion"].svg)
    assert {str(count) for count in counts} <= set(found) and "difference" not in found


def test_mistakes_tell_truth_prediction_confidence_and_how_many_cells_agree(usual, drawn):
    found = texts(drawn["mistakes"].svg)
    cells = [text for text in found if "%, " in text]
    assert len(cells) == 24 and all(1 <= int(text.split(", ")[1].split("/")[0]) <= 12 for text in cells)
    assert all(text.endswith("/12") for text in cells)
    shares = [int(text.split("%")[0]) for text in cells]
    assert shares == sorted(shares, reverse=True)
    assert sum("→ " in text for text in found) == 24


def test_shares_of_the_layers_sum_to_everything(drawn):
    found = [text for text in texts(drawn["layers"].svg) if re.fullmatch(r"\d+\.\d", text)]
    assert len(found) == 11 and sum(map(float, found)) == pytest.approx(100, abs=0.6)


def test_pictures_are_made_in_pixels_only_where_asked_for(usual, drawn):
    assert all(picture.png == b"" for picture in drawn.values())
    found = figures(usual, png=True)
    for name, picture in found.items():
        width, height = (int.from_bytes(picture.png[start : start + 4]) for start in (16, 20))
        assert picture.png[:8] == b"\x89PNG\r\n\x1a\n" and width == 1480 and 100 < height < 4000
        assert picture.svg == drawn[name].svg


def test_a_report_of_sixty_fits_stays_small(drawn):
    assert sum(len(picture.inline) for picture in drawn.values()) < 800_000


numbers = st.one_of(st.integers(0, 4).map(float), st.floats(0, 1e9), st.just(float("nan")))


@given(st.lists(st.tuples(numbers, numbers), max_size=30))
def test_the_front_is_what_brute_force_finds(points):
    def beaten(point):
        return any(
            other[0] <= point[0] and other[1] >= point[1] and other != point
            for other in points
            if not np.isnan(other).any()
        )

    expected = [not np.isnan(point).any() and not beaten(point) for point in points]
    assert list(pareto([cost for cost, _ in points], [value for _, value in points])) == expected


@pytest.mark.filterwarnings("ignore:Glyph")
@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=200), st.floats(0.5, 5))
def test_folded_text_fits_and_keeps_its_letters(text, inches):
    lines = folded(text, inches).split("\n")
    assert all(breadth(line) <= inches or len(line) == 1 for line in lines)
    assert len("".join("".join(lines).split())) == len("".join(text.split()))


@given(st.floats(1e-3, 1e9), st.floats(1, 6))
def test_ticks_lie_within_the_axis_and_are_few(low, decades):
    steps = round_steps(low, low * 10**decades)
    assert 0 < len(steps) <= 6 and all(low <= step <= low * 10**decades for step in steps)


def test_a_layers_type_is_said_where_its_path_does_not_say_it():
    assert layer_name("stage1/max_pool1", "max_pool") == "stage1/max_pool1"
    assert layer_name("stage1/0", "Conv2d") == "stage1/0 · Conv2d"
