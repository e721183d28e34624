"""`design: fraction` and `{random: N}`: which cells of a grid they take, and what the plan says of the others."""

import itertools
import json

import numpy as np
import pytest
from command import Command
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import RunnerError
from runner.experiment.load import load
from runner.experiment.schema import GridDesign
from runner.planning import main_effects, plan_file
from runner.planning.make_plan import make_plan
from runner.planning.subset import choose, describe
from runner.planning.subset_text import limits

FRACTION = GridDesign("fraction")
few = settings(max_examples=40)


def grid(*sizes):
    return [tuple(map(str, cell)) for cell in itertools.product(*map(range, sizes))]


def told(levels, chosen):
    """The main effects, with the constant, that the chosen cells tell."""
    return main_effects.rank(main_effects.coded(levels)[chosen])


@pytest.mark.parametrize(
    "sizes, cells",
    [
        ((3, 3, 3), 9), ((3, 3, 3, 3), 18), ((2,) * 5, 8), ((4, 4, 4), 16), ((5, 5, 5), 25),
        ((2, 4, 4, 4), 16), ((4, 3, 2, 2), 24), ((6, 6, 6), 36),
    ],
)  # fmt: skip
def test_a_fraction_has_every_two_levels_equally_often(sizes, cells):
    levels = grid(*sizes)
    chosen = choose(levels, FRACTION, 0)
    assert len(chosen) == cells and told(levels, chosen) == 1 + sum(sizes) - len(sizes)
    for a, b in itertools.combinations(range(len(sizes)), 2):
        counts = np.zeros((sizes[a], sizes[b]))
        for i in chosen:
            counts[int(levels[i][a]), int(levels[i][b])] += 1
        assert (counts == cells / counts.size).all()
    found = describe([f"f{f}" for f in range(len(sizes))], levels, chosen, "fraction")
    assert found.even and found.of == len(levels)
    assert found.cells_a_level == pytest.approx({f"f{f}": cells / size for f, size in enumerate(sizes)})


@given(sizes=st.lists(st.integers(1, 4), min_size=2, max_size=5), seed=st.integers(0, 99), data=st.data())
@few
def test_a_part_tells_all_main_effects(sizes, seed, data):
    levels = grid(*sizes)
    least = 1 + sum(sizes) - len(sizes)
    if least < len(levels):
        number = data.draw(st.integers(least, len(levels) - 1))
        chosen = choose(levels, GridDesign("random", number), seed)
        assert len(set(chosen)) == number and told(levels, chosen) == least and chosen == sorted(chosen)
        assert choose(levels, GridDesign("random", number), seed) == chosen
        with pytest.raises(ValueError, match=f"it takes {least} cells or more"):
            choose(levels, GridDesign("random", least - 1), seed)
    try:
        chosen = choose(levels, FRACTION, seed)
    except ValueError as error:
        assert "no fraction" in str(error)
    else:
        assert told(levels, chosen) == least and len(set(chosen)) == len(chosen) < len(levels)
        varied = [size for size in sizes if size > 1]
        assert len(chosen) >= least + 2
        assert len(chosen) >= max(a * b for a, b in itertools.combinations(varied, 2))


def test_grids_with_gaps_are_told_as_far_as_their_cells_do():
    levels = [cell for cell in grid(3, 3, 3) if cell[:2] != ("0", "0")]
    for design in (FRACTION, GridDesign("random", 8)):
        chosen = choose(levels, design, 1)
        assert told(levels, chosen) == told(levels, list(range(len(levels)))) == 7


def test_seeds_draw_different_parts():
    levels = grid(3, 3, 3, 3)
    assert len({tuple(choose(levels, FRACTION, seed)) for seed in range(5)}) > 1
    assert len({tuple(choose(levels, GridDesign("random", 20), seed)) for seed in range(5)}) == 5


def test_what_is_mixed_up_is_what_least_squares_mixes_up():
    """In a half of three factors at two levels, each effect is that of the interaction of the other two."""
    levels = grid(2, 2, 2)
    found = describe(["a", "b", "c"], levels, [0, 3, 5, 6], "fraction")
    assert found.spare == 0 and "no cell is left" in limits(found)[-1]
    assert found.mixed == {"a": ("b × c",), "b": ("a × c",), "c": ("a × b",)}
    assert found.unknown == ("a × b", "a × c", "b × c")
    # Nearly all cells tell all interactions.
    nearly = describe(["a", "b", "c"], levels, list(range(7)), "random")
    assert nearly.unknown == () and not nearly.even


def test_an_interaction_shifts_just_the_differences_that_are_said_to_be_mixed():
    levels = grid(3, 3, 2, 2)
    chosen = choose(levels, GridDesign("random", 14), 3)
    names = ["a", "b", "c", "d"]
    found = describe(names, levels, chosen, "random")
    codes, rng = main_effects.coded(levels)[chosen], np.random.default_rng(0)
    for first, second in itertools.combinations(range(4), 2):
        columns = main_effects.interaction(codes, first, second)
        shift = columns @ rng.normal(size=columns.shape[1])
        for factor in set(range(4)) - {first, second}:
            weights, _ = main_effects.level_weights(codes, factor)
            moved = np.abs(weights @ shift).max() > 1e-6
            assert moved == (f"{names[first]} × {names[second]}" in found.mixed[names[factor]])


GRID = """\
  architecture.downsample: [max_pool, avg_pool, strided_conv]
  architecture.convs: [1, 2, 3]
  architecture.width: [2, 3, 4]
"""


@pytest.fixture
def study(tiny):
    text = tiny.read_text()
    tiny.write_text(f"{text[: text.index('grid:')]}grid:\n{GRID}")
    return tiny


def test_the_plan_says_what_is_left_out(study, here: Command):
    done = here("plan", study, "--set", "design=fraction")
    assert done.returncode == 0
    assert "design: fraction, 9 of 27 cells (18 left out); every two levels of different factors" in done.stdout
    assert "cannot be told: any interaction of two factors" in done.stdout
    assert "tiny: 9 cells × 3 folds × 1 repeat = 27 fits" in done.stdout
    document = json.loads(here("plan", study, "--set", "design={random: 20}", "--json").stdout)
    assert document["design"]["of"] == 27 and document["design"]["cells"] == len(document["cells"]) == 20
    assert document["design"]["kind"] == "random" and len(document["design"]["unknown"]) < 3
    assert "design" not in json.loads(here("plan", study, "--json").stdout)


def test_cells_stay_what_they_are_in_the_whole_grid(study, tmp_path):
    whole, part = make_plan(load(study)), make_plan(load(study, ["design=fraction"]))
    ids = {cell.id: cell.levels for cell in whole.cells}
    assert all(ids[cell.id] == cell.levels for cell in part.cells) and len(part.cells) == 9
    assert plan_file.text(make_plan(load(study, ["design=full"]))) == plan_file.text(whole).replace(
        "overrides: []", "overrides:\n- design=full"
    )
    assert "subset" not in plan_file.text(whole) and "subset" in plan_file.text(part)


@pytest.mark.parametrize(
    "design, message",
    [
        ("{random: 6}", "design: found {random: 6}; to tell all main effects it takes 7 cells or more"),
        ("{random: 27}", "design: found {random: 27}; the grid has 27 cells; allowed: full, or fewer of them"),
        ("{random: 0}", "expected full, fraction, or a mapping such as {random: 20}"),
        ("half", "design: found 'half'; expected full, fraction, or a mapping such as {random: 20}"),
    ],
)
def test_a_design_that_does_not_work_is_one_line(study, design, message):
    with pytest.raises(RunnerError) as caught:
        make_plan(load(study, [f"design={design}"]))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_two_factors_have_no_fraction(tiny):
    with pytest.raises(RunnerError, match=r"no fraction of these 4 cells .* or {random: N} with N from 3"):
        make_plan(load(tiny, ["design=fraction"]))
