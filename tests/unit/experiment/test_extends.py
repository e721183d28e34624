"""`extends`: what is merged, what is replaced and what is taken out; and where errors say that a value stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bad_input import BASE
from command import ROOT, Command

from runner.errors import InputError
from runner.experiment.expand import expand
from runner.experiment.load import load
from runner.planning.make_plan import make_plan

PLUGIN = """\
from runner.api import *
def f(input_shape, classes, *, width: int = 3):
    return Sequential(Flatten(), Dense(classes))
@hookimpl
def register_architectures():
    yield Architecture(name="mine", build=f)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BASE)
    return tmp_path


def document(text, **files):
    for name, content in files.items():
        Path(f"{name}.yaml").write_text(content)
    Path("e.yaml").write_text(text)
    return load("e.yaml").document.to_data()


def refused(text, **files):
    with pytest.raises(InputError) as error:
        document(text, **files)
    return str(error.value)


def test_a_file_has_what_it_writes_and_the_rest_of_its_base():
    found = document("extends: base.yaml\nname: mine\ntraining: {epochs: 3}\nseed: 7\n")
    base = load("base.yaml").document.to_data()
    assert found == base | {"name": "mine", "training": {"epochs": 3}, "seed": 7}


def test_mappings_are_merged_and_lists_replaced():
    found = document(
        "extends: b.yaml\nname: mine\noptimizer: {lr: 1}\naugmentation: [shift]\ntraining: {batch_size: 5}\n",
        b=BASE.replace("augmentation: none", "augmentation: [flip, shift]").replace("grid:\n  augmentation", "#"),
    )
    assert found["optimizer"] == {"name": "adam", "lr": 1}
    assert found["augmentation"] == ["shift"]
    assert found["training"] == {"epochs": 1, "batch_size": 5}


@pytest.mark.parametrize(
    ("base", "upper", "merged"),
    [
        ("{name: adam, lr: 1e-2}", "{lr: 1}", {"name": "adam", "lr": 1}),
        ("{name: adam, lr: 1e-2}", "{name: adam, beta1: 0.8}", {"name": "adam", "lr": 0.01, "beta1": 0.8}),
        ("{name: adam, lr: 1e-2, beta1: 0.8}", "{name: sgd, lr: 1}", {"name": "sgd", "lr": 1}),
        ("{name: adam, lr: 1e-2}", "adam", "adam"),
        ("{name: adam, lr: 1e-2}", "lion", "lion"),
        ("adam", "{lr: 1}", {"name": "adam", "lr": 1}),
        ("adam", "{name: sgd, lr: 1}", {"name": "sgd", "lr": 1}),
        ("{lr: 1}", "{name: sgd}", {"name": "sgd", "lr": 1}),
        (
            "{name: adam, schedule: {name: step, every: 2}}",
            "{schedule: {name: cosine, warmup: 1}}",
            {"name": "adam", "schedule": {"name": "cosine", "warmup": 1}},
        ),
        (
            "{name: adam, schedule: cosine}",
            "{schedule: {warmup: 1}}",
            {"name": "adam", "schedule": {"name": "cosine", "warmup": 1}},
        ),
        ("{name: adam, clip: 1}", "{clip: null}", {"name": "adam", "clip": None}),
    ],
)
def test_the_parameters_of_another_component_are_left_behind(base, upper, merged):
    b = BASE.replace("{name: adam, lr: 1e-3}", base)
    assert document(f"extends: b.yaml\nname: mine\noptimizer: {upper}\n", b=b)["optimizer"] == merged


@pytest.mark.parametrize(
    ("grid", "merged"),
    [
        ("{architecture.width: [2, 3]}", {"augmentation": ["none", "shift"], "architecture.width": [2, 3]}),
        ("{augmentation: [flip, none]}", {"augmentation": ["flip", "none"]}),
        ("{augmentation: null, seed: null}", None),
        ("{augmentation: null, architecture.width: [2]}", {"architecture.width": [2]}),
        ("{augmentation: {a: {optimizer.lr: 1}}}", {"augmentation": {"a": {"optimizer.lr": 1}}}),
        ("[{optimizer.lr: [1]}]", [{"optimizer.lr": [1]}]),
        ("null", "absent"),
    ],
)
def test_a_factor_is_replaced_as_a_whole_and_null_takes_it_out(grid, merged):
    text = f"extends: base.yaml\nname: mine\ngrid: {grid}\n"
    if merged is None:  # nothing to take out
        assert "grid.seed: found nothing" in refused(text)
    else:
        assert document(text).get("grid", "absent") == merged


def test_later_bases_count_more_and_the_file_itself_most():
    one, two = "seed: 1\ntraining: {epochs: 1}\n", "seed: 2\noptimizer: adam\n"
    rest = "dataset: digits\narchitecture: lenet5\n"
    found = document(f"name: x\nextends: [one.yaml, two.yaml]\n{rest}", one=one, two=two)
    assert (found["seed"], found["training"], found["optimizer"]) == (2, {"epochs": 1}, "adam")
    assert document(f"name: x\nextends: [two.yaml, one.yaml]\nseed: 3\n{rest}")["seed"] == 3


def test_name_and_description_are_a_files_own():
    base = BASE + "description: of the base\n"
    assert "description" not in document("extends: b.yaml\nname: mine\n", b=base)
    assert refused("extends: b.yaml\n") == "e.yaml:1: name: is required, but missing"


def test_files_are_relative_to_the_one_that_names_them():
    Path("sub/deep").mkdir(parents=True)
    Path("sub/base.yaml").write_text(BASE.replace("stages, width: 2", "mine") + "plugins: [./p.py]\n")
    Path("sub/p.py").write_text(PLUGIN)
    Path("sub/deep/middle.yaml").write_text("extends: ../base.yaml\nseed: 5\n")
    found = make_plan(load_text("extends: sub/deep/middle.yaml\nname: mine\n"))
    assert found.seed == 5 and found.cells[0].settings.architecture.name == "mine"
    assert load("e.yaml").extends == ("sub/deep/../base.yaml", "sub/deep/middle.yaml")


def load_text(text):
    Path("e.yaml").write_text(text)
    return load("e.yaml")


def test_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(folder / "home"))
    (folder / "home").mkdir()
    (folder / "home" / "base.yaml").write_text(BASE + "plugins: [~/p.py]\n")
    (folder / "home" / "p.py").write_text(PLUGIN)
    found = load_text("extends: ~/base.yaml\nname: mine\n")
    assert found.plugin_files == (str(folder / "home" / "p.py"),)
    assert "no file '~nobody-at-all/p.py'" in refused("extends: base.yaml\nname: x\nplugins: [~nobody-at-all/p.py]\n")


def test_the_cells_and_their_ids_are_those_of_one_file_with_the_same_content():
    Path("one.yaml").write_text(BASE.replace("width: 2", "width: 4").replace("name: base", "name: mine"))
    extending = load_text("extends: base.yaml\nname: mine\narchitecture: {width: 4}\n")
    plans = [make_plan(extending), make_plan(load("one.yaml"))]
    assert plans[0].cells == plans[1].cells and len(expand(extending)) == 2


def test_set_applies_on_top():
    Path("e.yaml").write_text("extends: base.yaml\nname: mine\noptimizer: {lr: 1}\n")
    found = load("e.yaml", ["optimizer.lr=2", "grid.augmentation=[flip]"]).document.to_data()
    assert found["optimizer"]["lr"] == 2 and found["grid"] == {"augmentation": ["flip"]}
    with pytest.raises(InputError, match=r"--set extends=b\.yaml: extends stands in the file"):
        load("e.yaml", ["extends=b.yaml"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: base.yml\nname: x\n", "e.yaml:1: extends: base.yml does not exist; did you mean 'base.yaml'?"),
        ("name: x\nextends: [base.yaml, .]\n", "e.yaml:2: extends[1]: . is not a file"),
        ("name: x\nextends: 3\n", "e.yaml:2: extends: found 3; expected the name of a file, or a list of them"),
        ("name: x\nextends:\n", "e.yaml:2: extends: found nothing; expected the name of a file, or a list of them"),
        ("name: x\nextends: ''\n", "e.yaml:2: extends: found ''; expected the name of a file"),
        ("name: x\nextends: []\n", "e.yaml:2: extends: found []; expected the name of a file"),
        ("name: x\nextends: [base.yaml, {a: b}]\n", "e.yaml:2: extends[1]: found {"),
        ("name: x\nextends: e.yaml\n", "e.yaml:2: extends: 'e.yaml' extends itself: e.yaml > e.yaml"),
        ("name: x\nextends: a.yaml\n", "b.yaml:1: extends: 'a.yaml' extends itself: a.yaml > b.yaml > a.yaml"),
        ("name: x\nextends: long0.yaml\n", "more than 10 files, each extending the next"),
        ("name: x\nextend: base.yaml\n", "e.yaml:2: extend: unknown key 'extend'; did you mean 'extends'?"),
        ("name: x\nextends: list.yaml\n", "list.yaml:1: found a list; expected a mapping with keys such as name"),
        ("name: x\nextends: typo.yaml\n", "typo.yaml:2: sede: unknown key 'sede'; did you mean 'seed'?"),
        ("name: x\nextends: wrong.yaml\n", "wrong.yaml:6: training.epochs: found 'x'; expected a whole number"),
        ("name: x\nextends: wrong.yaml\ntraining: {batch_size: 0}\n", "e.yaml:3: training.batch_size: found 0"),
        ("name: x\nextends: [$${a}]\n", "e.yaml:2: extends[0]: ${a} does not exist"),
        ("name: x\nextends: ${NOT_SET_A}/b.yaml\n", "e.yaml:2: extends: the environment variable 'NOT_SET_A' is not"),
    ],
)
def test_errors_say_in_which_file_the_value_stands(text, message):
    files = {f"long{n}": f"extends: long{n + 1}.yaml\n" for n in range(12)}
    files |= {"a": "extends: b.yaml\n", "b": "extends: a.yaml\n", "list": "- 1\n", "typo": "# x\nsede: 1\n"}
    files["wrong"] = BASE.replace("epochs: 1", "epochs: x")
    assert message in refused(text, **files)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("augmentation: flip", "augmentation"),
        ("augmentation: flip\ngrid: {optimizer.lr: [1]}", "augmentation"),
        ("augmentation: flip\ngrid: {augmentation: [none, flip]}", ""),
        ("augmentation: flip\ngrid: {augmentation: null}", ""),
        ("augmentation: flip\ngrid: [{optimizer.lr: [1]}]", ""),
        ("optimizer: {lr: 5}", ""),
    ],
)
def test_a_value_that_an_inherited_grid_sets_again_is_refused(text, path):
    text = f"extends: base.yaml\nname: mine\n{text}\n"
    if path:
        expected = f"e.yaml:3: {path}: the grid of base.yaml varies it, so this has no effect; vary it in `grid`"
        assert refused(text).startswith(expected)
    else:
        document(text)


def test_plan_names_the_files(here: Command):
    Path("e.yaml").write_text("extends: base.yaml\nname: mine\n")
    done = here("plan", "e.yaml")
    assert done.returncode == 0 and "extends base.yaml\n" in done.stdout
    assert "extends" not in here("plan", "base.yaml").stdout


def test_the_examples_in_the_manual_do_what_it_says(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SEED", raising=False)
    monkeypatch.delenv("DATA", raising=False)
    manual = (ROOT / "docs" / "reference" / "experiment.md").read_text().partition("## Several files")[2]
    base, wide, variables, anchors = re.findall(r"```yaml\n(.*?)```", manual, re.DOTALL)[:4]
    plan = make_plan(load_file("wide", wide, base=base))
    assert [cell.levels["architecture.stages"] for cell in plan.cells] == ["1", "2", "1", "2"]
    settings = plan.cells[0].settings
    assert settings.architecture.parameters["width"] == 64 and settings.optimizer.parameters["schedule"] == "constant"
    found = load_file("e", f"extends: base.yaml\nname: x\n{variables}").document.to_data()
    assert (found["dataset"]["root"], found["seed"]) == ("/data/leaves", 0)
    found = load_file("e", f"extends: base.yaml\nname: x\n{anchors}").document.to_data()["grid"]
    assert found[0]["filters"] == found[1]["filters"] and list(found[0]["filters"]) == ["small", "large"]


def load_file(name, text, **files):
    for file, content in (files | {name: text}).items():
        Path(f"{file}.yaml").write_text(content)
    return load(f"{name}.yaml")
