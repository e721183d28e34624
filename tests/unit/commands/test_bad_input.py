r"""Invalid input: exit status 2 and one line per complaint, with nothing trained, printed to stdout or written.

A table row is ``input => complaint => complaint``, and a complaint is ``LINE path | fragment | fragment``. An input is
an edit of BASE: its top-level keys replace those of BASE, new keys follow from line 11 on, ``-key:`` deletes a key, and
``\n`` is a line end.
"""

import json
import re
import shlex
from pathlib import Path

import pytest
from bad_input import BASE

from runner.cli import main
from runner.experiment.load import load
from runner.files.yaml_nodes import parse
from runner.flow import study

FILES = r"""
trainig: {}                            => 11 trainig | unknown key 'trainig'; did you mean 'training'? | allowed: archi
-name:\n-optimizer:                    => 1 name | required => 1 optimizer | required
training: {batch_size: 5}              => 6 training.epochs | required
grid:\n  f: {}\n  f: {}                => 11 | duplicate key 'f' | line 10
grid:\n  f:\n    a: {}\n    a: {}      => 12 | duplicate key 'a' | line 11
training:\n\tepochs: 1                 => 7 | not valid YAML: | found character | cannot start any token
report: {metric: val_loss              => 12 | not valid YAML: | expected ',' or '}'
seed: !!python/object/apply:os.mkdir [owned] => 8 | python/object/apply:os.mkdir is not allowed
seed: !mine 3                          => 8 | the tag !mine is not allowed
training: {<<: [3], epochs: 1}          => 6 | << takes a mapping, as a rule an alias such as *x, or a list
training: {epochs: "5"}                => 6 training.epochs | found '5'; expected a whole number
training: {epochs: 2.5}                => 6 training.epochs | found 2.5; expected a whole number
training: {epochs: 0}                  => 6 training.epochs | found 0; allowed: 1 or more
training: {epochs: true}               => 6 training.epochs | found true; expected a whole number
training: {epochs: .nan}               => 6 training.epochs | expected a whole number
training: {epochs: 1e3}                => 6 training.epochs | found 1000.0; expected a whole number
optimizer: {name: sgd, lr: 0}          => 5 optimizer.lr | found 0; allowed: more than 0
optimizer: {name: sgd, lr: 1e999}      => 5 optimizer.lr | a finite number
optimizer: {name: sgd, lr: "1e-3"}     => 5 optimizer.lr | found '1e-3'; expected a number
description: 5                         => 11 description | found 5; expected text
seed: -1                               => 8 seed | found -1; allowed: 0 or more
seed: 2001-01-01                       => 8 seed | found '2001-01-01'; expected a whole number
name: a/b                              => 1 name | found 'a/b'; expected letters, digits
training: 3                            => 6 training | found 3; expected a mapping
cross_validation:                      => 7 cross_validation | found nothing; expected a mapping
training: {epochs: 1, bach_size: 2}    => 6 training.bach_size | did you mean 'batch_size'? | device, engine
cross_validation: {folds: 1}           => 7 cross_validation.folds | found 1; allowed: 2 or more
cross_validation: {repeats: 0}         => 7 cross_validation.repeats | found 0; allowed: 1 or more
cross_validation: {repeats: decided}   => 7 cross_validation.repeats | found 'decided'; expected a whole number, or
cross_validation: {repeats: 2.5}       => 7 cross_validation.repeats | such as {until: decided, most: 8}
cross_validation: {repeats: true}      => 7 cross_validation.repeats | found true; expected a whole number
cross_validation: {repeats: [2, 3]}    => 7 cross_validation.repeats | found [2, 3]; expected a whole number, or a map
cross_validation: {repeats: {most: 4}} => 7 cross_validation.repeats.until | is required, but missing
cross_validation: {repeats: {until: decidd}} => 7 cross_validation.repeats.until | did you mean 'decided'?
cross_validation: {repeats: {until: decided, mots: 3}} => 7 cross_validation.repeats.mots | did you mean 'most'?
cross_validation: {repeats: {until: decided, most: 1}} => 7 cross_validation.repeats.most | found 1; allowed: 2 or more
cross_validation: {repeats: {until: decided, most: x}} => 7 cross_validation.repeats.most | found 'x'; expected a whole
-grid:\ncross_validation: {repeats: {until: decided}} => 7 cross_validation.repeats | there is only one cell, so nothing
search: {race: bset}                   => 11 search.race | did you mean 'best'?
search: {rase: best}                   => 11 search.rase | did you mean 'race'?
search: best                           => 11 search | found 'best'; expected a mapping
search: {race: best}                   => 11 search.race | a race needs repeats that stop when decided: cross_validation
serch: {race: best}                    => 11 serch | did you mean 'search'?
race: best                             => 11 race | did you mean 'search.race'?
most: 4                                => 11 most | allowed: cross_validation.repeats.most
report: {metric: val_acuracy}          => 11 report.metric | 'val_acuracy'; did you mean 'val_accuracy'? | val_loss
training: {epochs: 1, checkpoint: 0}   => 6 training.checkpoint | found 0; allowed: more than 0
training: {epochs: 1, checkpoint: 10m} => 6 training.checkpoint | found '10m'; expected seconds | such as 10min
training: {epochs: 2, stuck_after: 3}  => 6 training.stuck_after | found 3; allowed: 1 to 2, the number of epochs
training: {epochs: 1, retries: -1}     => 6 training.retries | found -1; allowed: 0 or more
training: {epochs: 1, timeout: 5 days} => 6 training.timeout | found '5 days'; expected seconds | such as 10min
architecture: {name: stage}            => 3 architecture | 'stage'; did you mean 'stages'? | allowed: alexnet, all_cnn
-grid:\naugmentation: [flip, shfit]    => 4 augmentation[1] | 'shfit'; did you mean 'shift'? | flip, mixup
dataset: {name: digits, subset: 2000}  => 2 dataset.subset | found 2000; allowed: 1 to 1797, the number of images
dataset: {name: digits, subset: 0}     => 2 dataset.subset | found 0; allowed: 1 or more
dataset: mnist_5k                      => 2 dataset | did you mean 'mnist-5k'? allowed: cifar10, cifar100, d
dataset:                               => 2 dataset | found nothing; expected a name, or a mapping
architecture: {name: stages, kernal: 3}     => 3 architecture.kernal | did you mean 'kernel'? | batch_norm, convs
architecture: {name: stages, dense: [0, x]} => 3 architecture.dense[0] | found 0 => 3 architecture.dense[1] | found 'x'
architecture: {name: stages, downsample: max_pol} => 3 architecture.downsample | did you mean 'max_pool'? | avg_pool
optimizer: {name: adam, beta1: 1.5}         => 5 optimizer.beta1 | found 1.5; allowed: less than 1
optimizer: {name: sgd, lr: 1, nesterov: true} => 5 optimizer | needs a momentum above 0
optimizer: sgd                              => 5 optimizer | sgd needs the parameter 'lr' (float > 0)
grid:\n  filters: [1, 2]                    => 10 grid.filters | not a path to a setting | allowed: architecture, aug
grid:\n  dataset: [digits]                  => 10 grid.dataset | data set cannot vary | same splits
grid:\n  architecure.width: [1]             => 10 grid.architecure.width | did you mean 'architecture'?
grid:\n  training: [1]                      => 10 grid.training | set one of its keys, such as training.epochs
grid:\n  optimizer.lr: []                   => 10 grid.optimizer.lr | found []; expected a list of values
grid:\n  optimizer.lr: [1,\n    2,\n    1]  => 12 grid.optimizer.lr | level 1 is listed twice
grid:\n  f:\n    a: 3                       => 11 grid.f.a | found 3; expected a mapping from paths to values
grid:\n  f: {a: {optimizer.lr: 1}}\n  optimizer.lr: [2] => 11 grid.optimizer.lr | which factor 'f' also sets
grid:\n  f:\n    a: {training.epoch: 3}     => 11 training.epoch | did you mean 'epochs'? | batch_size
grid:\n  architecture.widht: [1]            => 10 architecture.widht | did you mean 'width'? | convs
grid:\n  optimizer.lr: [1,\n    0]          => 11 optimizer.lr | found 0; allowed: more than 0
grid:\n  optimizer:\n    - adam\n    - sgd  => 12 optimizer | sgd needs the parameter 'lr'
augmentation: [none]\ngrid:\n  augmentation.pixels: [1] => 10 augmentation.pixels | is a list | set the whole list
exclude:\n  - {augmentatio: none}           => 12 exclude[0] | unknown factor | did you mean 'augmentation'?
exclude:\n  - {augmentation: non}           => 12 exclude[0] | unknown level 'non' | mean 'none'? allowed: none, shift
exclude: [{augmentation: none}, {augmentation: shift}] => 11 exclude | excludes every cell
exclude: {augmentation: none}               => 11 exclude | expected a list of mappings
grid:\n  "": {a: {optimizer.lr: 1}}         => 10 grid. | found the factor ''; allowed: some text, without spaces around
grid:\n  f: {"": {optimizer.lr: 1}}         => 10 grid.f | found the level ''; allowed: some text, without spaces
grid:\n  f: {" a": {optimizer.lr: 1}}       => 10 grid.f | found the level ' a'; allowed: some text
architecture: Stages                         => 3 architecture | unknown architecture 'Stages'; did you mean 'stages'?
optimizer: ADAM                              => 5 optimizer | unknown optimizer 'ADAM'; did you mean 'adam'? allowed:
grid:\n  optimizer.lr: [1, 1.0]             => 9 cell 'lr=1.0' | the same as cell 'lr=1'
plugins: p.py                               => 11 plugins | found 'p.py'; expected a list
plugins: [./pp.py]                          => 11 plugins[0] | './pp.py' in the folder of that file; did you mean
plugins: [p.txt]                            => 11 plugins[0] | p.txt is not a Python file | .py
plugins: [p.py, q.py]                       => 11 plugins[1] | 'mine' is provided twice: by | p.py and by | q.py
plugins: [3]                                => 11 plugins[0] | found 3; expected text
plugins: [p.py, ./p.py]                     => 11 plugins[1] | './p.py' is listed twice
grid:\n  - f: {a: {optimizer.lr: 1}}\n  - f: {a: {optimizer.lr: 2}} => 9 grid | two blocks | 'a' different settings
grid:\n  - f: {a: {optimizer.lr: 1}}\n  - f: {b: {optimizer.lr: 1}} => 9 cell 'b' | the same as cell 'a'
architecture: stage\ngrid:\n  architecture.width: [1] => 3 architecture | did you mean 'stages'?
optimizer: sgd\ngrid:\n  optimizer.momentum: [0.5] => 5 optimizer | needs the parameter 'lr'
training: {batch_size: 5}\ngrid:\n  training.precision: [float32] => 6 training.epochs | required
architecture: 3\ngrid:\n  architecture.width: [1] => 3 architecture | found 3; expected a name
-architecture:\ngrid:\n  architecture.width: [1] => 1 architecture | is missing
grid:\n  seed: [1, 2]                        => 10 grid.seed | 'seed' cannot vary
grid:\n  optimizer.lr.x: [1]                 => 10 optimizer.lr | found {"x": 1}; expected a number
grid:\n  optimizer.lr: [1, 2]\nexclude: [{optimizer.lr: [1, 2]}] => 11 exclude[0] | found [1, 2]; expected one level
description: !mine 'x'                      => 11 | the tag !mine is not allowed
description: !!python/name:os.system ''     => 11 | python/name:os.system is not allowed
seed: !!str 3                               => 8 seed | found '3'; expected a whole number
training: {epochs: 1, timeout: 1.2.3s}      => 6 training.timeout | found '1.2.3s'; expected seconds
training: {epochs: 1, epochs: 2}            => 6 | duplicate key 'epochs' | line 6
"a\x0ab": 1                                 => 11 a b | unknown key | allowed: architecture
"""

BOMB = "".join(f"  {b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True))
BLOCKS = "grid:\n  - {augmentation: [flip]}\n  - {optimizer.lr: [1]}\nexclude:\n"
NUMBERS = list(range(1, 400))
WHOLE_FILES = [
    ("empty", b"", "e.yaml: the file is empty"),
    ("list at top", b"\n- name: x\n", "2 | found a list; expected a mapping with keys such as name, "),
    ("nothing but a seed", b"seed: 0\n", "1 name", "1 dataset", "1 architecture", "1 optimizer", "1 training"),
    ("two documents", BASE.encode() + b"---\nname: b\n", "11 | expected a single document"),
    ("deep", f"description: {'[' * 60}{']' * 60}", "11 | nested deeper than 40 levels"),
    ("very deep", f"description: {'[' * 3000}{']' * 3000}", "11 | nested deeper than 40 levels"),
    ("alias bomb", f"description:\n  a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n{BOMB}", "12 | more than 100000 values"),
    ("long text", f"seed: {'x' * 5000}", "8 seed | found 'xxx | xxx... | expected a whole number"),
    ("long list", f"seed: {NUMBERS}", "8 seed | found [1, 2, | ... | expected a whole number"),
    ("exclude nothing", BLOCKS + "  - {augmentation: flip, optimizer.lr: 1}", "13 exclude[0] | matches no combination"),
    ("too many cells", f"grid:\n  optimizer.lr: {NUMBERS}\n  architecture.width: {NUMBERS}", "9 grid | 159201 cells"),
    ("Latin-1", BASE.encode() + b"description: caf\xe9\n", "11 | not UTF-8 text"),
    ("NUL", BASE.encode() + b"description: a\x00b\n", "11 | not valid YAML | x00"),
    ("NUL after accents", f"name: {'é' * 9}\n\x00\n\n\n\n\n\n".encode(), "2 | not valid YAML"),
    ("400 digits", f"seed: {'9' * 400}", "8 seed | found 9999 | less than 9223372036854775808"),
    ("long name", f"name: {'x' * 101}", "1 name | at most 100 characters"),
    ("long key", BASE.encode() + b"? " + b"x" * 5000 + b"\n: 1\n", "11 | xxx ... xxx | allowed: architecture, aug"),
    ("400 kB", f"description: [{'1, ' * 130_000}]", "11 | more than 100000 values"),
    ("larger than 1 MB", b"#" * 1_000_001, "e.yaml: larger than 1 MB"),
]

COMMANDS = r"""
plan es.yaml                                => es.yaml: no such file; did you mean 'e.yaml'?
run sub                                     => sub: a folder; expected an experiment's file
rn e.yaml                                   => runner: COMMAND: unknown 'rn'; did you mean 'run'? | allowed: compare
run e.yaml --wokers 2                       => runner run: unknown option '--wokers'; did you mean '--workers'?
run e.yaml --workers 0                      => runner run: argument --workers: found '0'; allowed: 1 or more
run e.yaml --executor proces                => runner run: --executor: unknown 'proces'; did you mean 'process'?
run e.yaml --tracking-uri mlflow.db         => --tracking-uri: found 'mlflow.db'; expected an address, such as
ui --tracking-uri none                      => --tracking-uri none: there is no store to look at
plan e.yaml --set cross_validation.test=true => --set cross_validation.test=true: | digits has no held-out test images
run e.yaml --reports e.yaml                 => e.yaml/base: Not a directory
run e.yaml --set training.epochs            => --set training.epochs: expected PATH=VALUE
plan e.yaml --set cross_validation.repeats.most=4 => --set cross_validation.repeats.most=4: | until: is required
plan e.yaml --set 'cross_validation.repeats={until: x}' => --set cross_validation.repeats={until: x}: | allowed: decided
plan e.yaml --set search.race=best          => --set search.race=best: search.race: a race needs repeats that stop
plan e.yaml --set training.epoch=3          => --set training.epoch=3: training.epoch: | did you mean 'epochs'?
plan e.yaml --set training.epochs=x         => --set training.epochs=x: training.epochs: found 'x'; expected a whole
plan e.yaml --json --set seed=-1            => --set seed=-1: seed: found -1; allowed: 0 or more
plan e.yaml --set architecture.widht=3      => --set architecture.widht=3: architecture.widht: | mean 'width'?
plan e.yaml --set architecture=stage        => --set architecture=stage: architecture: | did you mean 'stages'?
plan e.yaml --set grid.augmentation=[shfit] => --set grid.augmentation=[shfit]: augmentation: | mean 'shift'?
describe stage                     => unknown architecture 'stage'; did you mean 'stages'? | allowed: alexnet, all_cnn
describe stages --input 3x32       => runner describe: argument --input: found '3x32'; expected | such as 3x32x32
describe stages --set width=0      => --set width: found 0; allowed: 1 or more
describe stages --set widht=3      => --set widht: | did you mean 'width'? allowed: batch_norm, convs
describe stages --set stages=9     => layer stage6/max_pool1: a 2x2 window does not fit the 1x1 input
report nope                        => reports/nope: no such report
report base --format htm           => --format: unknown 'htm'; did you mean 'html'? allowed: csv
run e.yaml --worker 2                      => runner run: unknown option '--worker'; did you mean '--workers'?
run e.yaml extra                           => runner run: one argument too many: 'extra'
plan e.yaml --set augmentation=flip        => --set augmentation=flip: the grid varies augmentation | 'grid.FACTOR=[
plan e.yaml --set augmentation.pixels=2    => --set augmentation.pixels=2: the grid varies augmentation | no effect
plan list.yaml --set augmentation.name=none => --set augmentation.name=none: augmentation is a list | set the whole list
plan blocks.yaml --set grid.optimizer.lr=[1] => --set grid.optimizer.lr=[1]: grid is a list | set the whole list
plan e.yaml --set optimizer.lr.x=3         => --set optimizer.lr.x=3: optimizer.lr: | expected a number
plan e.yaml --set seed=[1                  => --set seed=[1: not valid YAML: | expected ',' or ']'
plan e.yaml --set epochs=3                 => --set epochs=3: epochs: unknown key | did you mean 'training.epochs'?
describe stages --set width                => --set width: expected KEY=VALUE
describe stages --set =3                   => --set =3: expected KEY=VALUE
describe stages --set stages=70000         => --set stages: found 70000; allowed: 16 or less
describe flip --dataset npz        => --dataset npz: npz needs the parameter 'file' (text)
describe flip --dataset nope       => unknown dataset 'nope'
describe mine --plugin nope.py             => --plugin nope.py: no file 'nope.py'
"""


MINE = """\
from runner.api import *
def f(input_shape, classes, *, width: int = 3):
    return Sequential(Flatten(), Dense(classes))
@hookimpl
def register_architectures():
    yield Architecture(name="mine", build=f)
"""

PLUGINS = [
    ("raises", "x = 1\n1 / 0\n", "9 plugins[0] | p.py:2 raised ZeroDivisionError: division by zero"),
    ("syntax", "x = 1\ny = (\n", "9 plugins[0] | p.py:2 raised SyntaxError: '(' was never closed"),
    ("nothing", "x = 1\n", "9 plugins[0] | p.py registers nothing | @hookimpl"),
    ("hook misspelt", MINE.replace("tures()", "ture()"), "9 plugins[0] | p.py | did you mean 'register_archi"),
    ("name taken", MINE.replace("mine", "stages"), "9 plugins[0] | 'stages' is provided twice: by archrunner | p.py"),
    ("no record", MINE.replace("Architecture(", "dict("), "9 plugins[0] | register_architectures yields dict"),
    ("other kind", MINE.replace("Architecture(", "Optimizer("), "9 plugins[0] | yields Optimizer, not Architecture"),
    ("other hook", MINE.replace("register_", ""), "9 plugins[0] | p.py: unknown hook 'architectures'"),
    ("hook raises", MINE.replace("yield", "1 / 0\n    yield"), "9 plugins[0] | p.py:6 raised ZeroDivision"),
    (
        "hook returns a number",
        MINE.replace("yield", "return 3 #"),
        "9 plugins[0] | tures returns 3; yield Architecture(",
    ),
    ("hook with arguments", MINE.replace("tures()", "tures(x)"), "9 plugins[0] | (line 4) takes no arguments; found x"),
    ("record incomplete", MINE.replace(", build=f", ""), "9 plugins[0] | p.py:6 raised TypeError | 'build'"),
    ("name a number", MINE.replace('"mine"', "3"), "9 plugins[0] | p.py: architecture 3 needs a name"),
    ("name twice", MINE.replace("yield", "yield from 2 * [") + "]", "9 plugins[0] | 'mine' is provided twice"),
    ("build is no function", MINE.replace("=f)", "=None)"), "9 plugins[0] | p.py: architecture 'mine' | build (a func"),
    ("type unknown", MINE.replace("width: int", "width: 'Nope'"), "9 plugins[0] | p.py: mine: | 'Nope' is not defined"),
    ("positional", MINE.replace("*, ", ""), "9 plugins[0] | p.py: the parameters of mine must be keyword-only"),
    ("default", MINE.replace("= 3", "= 'x'"), "9 plugins[0] | mine's parameter 'width' is invalid: found 'x'; exp"),
    ("exits", "import sys\nsys.exit(3)\n", "9 plugins[0] | p.py:2 raised SystemExit: 3"),
    ("two lines", "raise ValueError('a\\nb')\n", "9 plugins[0] | p.py:1 raised ValueError: a b"),
    ("escapes", "raise ValueError('\\x1b[31m')\n", r"9 plugins[0] | p.py:1 raised ValueError: \x1b[31m"),
    ("NUL in a plugin", "x = 1\x00\n", "9 plugins[0] | p.py raised SyntaxError"),
    (
        "build raises",
        MINE.replace("return", "1 / 0 #"),
        "3 cell 'base' | mine(width=3) of | p.py:3 raised ZeroDivision",
    ),
    ("build exits", MINE.replace("return", "exit(3) #"), "3 cell 'base' | mine(width=3) of | raised SystemExit: 3"),
    ("builds nothing", MINE.replace("return", ""), "3 cell 'base' | architecture mine(width=3) of | builds | None"),
    ("layer of text", MINE.replace("Dense(classes)", "Dense('x')"), "3 cell 'base' | dense: units is 'x'; allowed:"),
    ("layer a number", MINE.replace("Dense(classes)", "3"), "3 cell 'base'"),
    ("outputs", MINE.replace("(classes)", "(3)"), "3 cell 'base' | not one number for each of 10 classes"),
]

SHAPES = r"""
grid:\n  architecture.stages: [1, 9]           => 10 cell 'stages=9' | stage4/max_pool1: a 2x2 window does not fit
-grid:\narchitecture: {name: stages, stages: 9} => 3 cell 'base' | stage4/max_pool1: a 2x2 window does not fit
"""


def params(rows):
    """pytest parameters from rows (id, input, complaints)."""
    return [pytest.param(given, expected, id=id[:50]) for id, given, *expected in rows]


def table(text):
    rows = [re.split(r"\s+=> ", line) for line in text.strip("\n").splitlines()]
    return params([(row[0], *row) for row in rows])


def sections(text):
    return {part.partition(":")[0]: part.rstrip("\n") + "\n" for part in re.split(r"(?m)^(?=\S)", text) if part}


def edited(edit):
    if isinstance(edit, bytes):
        return edit
    new = sections(edit.replace(r"\n", "\n").replace(r"\t", "\t"))
    changed = {key.lstrip("-"): "" if key.startswith("-") else part for key, part in new.items()}
    return "".join({**sections(BASE), **changed}.values()).encode()


def tree(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*") if "__pycache__" not in path.parts}


def assert_complaints(printed, expected):
    assert "Traceback" not in printed
    lines = printed.split("\n")
    assert lines.pop() == ""
    assert len(lines) == len(expected), lines
    for line, complaint in zip(lines, expected, strict=True):
        head, *fragments = complaint.split(" | ")
        number, _, path = head.partition(" ")
        assert line.startswith(f"e.yaml:{number}: {path}{path and ': '}" if number.isdecimal() else head), line
        assert [fragment for fragment in fragments if fragment not in line] == [], line
        assert len(line) < 500


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with the base experiment and a plugin. A test fails if anything is trained."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study.training, "train", lambda *given: pytest.fail("training started"))
    (tmp_path / "sub").mkdir()
    for name in ("p.py", "q.py", "p.txt"):
        Path(name).write_text(MINE)
    Path("e.yaml").write_text(BASE)
    Path("list.yaml").write_bytes(edited("-grid:\naugmentation: [flip, shift]"))
    Path("blocks.yaml").write_bytes(edited("grid: [{optimizer.lr: [1]}, {architecture.width: [3]}]"))
    return tmp_path


@pytest.fixture
def refused(folder, capsys):
    """Returns a check that a command is refused with certain complaints and leaves the folder unchanged."""

    def check(arguments, expected):
        before = tree(folder)
        try:
            status = main(arguments)
        except SystemExit as ending:
            status = ending.code
        printed = capsys.readouterr()
        assert_complaints(printed.err, expected)
        assert (status, printed.out) == (2, "")
        assert tree(folder) == before

    return check


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize("given, expected", table(FILES) + params(WHOLE_FILES))
def test_file_is_refused(command, given, expected, refused):
    Path("e.yaml").write_bytes(edited(given))
    refused([command, "e.yaml"], expected)
    assert not Path("owned").exists()


@pytest.mark.parametrize("given, expected", table(COMMANDS))
def test_command_is_refused(given, expected, refused):
    refused(shlex.split(given), expected)


@pytest.mark.parametrize("given, expected", table(COMMANDS)[::5])
def test_command_is_refused_in_its_own_process(given, expected, folder, runner):
    before = tree(folder)
    done = runner(*shlex.split(given))
    assert_complaints(done.stderr, expected)
    assert (done.returncode, done.stdout, tree(folder)) == (2, "", before)


@pytest.mark.parametrize("given, expected", params(PLUGINS))
def test_plugin_is_refused(given, expected, refused):
    Path("p.py").write_text(given)
    Path("e.yaml").write_bytes(edited("-grid:\narchitecture: mine\nplugins: [./p.py]"))
    refused(["run", "e.yaml"], expected)


@pytest.mark.parametrize("given, expected", table(SHAPES))
def test_layers_that_do_not_fit_are_a_problem_of_the_cell(given, expected, refused, capsys):
    Path("e.yaml").write_bytes(edited(given))
    refused(["run", "e.yaml"], expected)
    assert main(["plan", "e.yaml", "--json"]) == 2
    *others, problem = [cell["problem"] for cell in json.loads(capsys.readouterr().out)["cells"]]
    assert not any(others) and "stage4/max_pool1: a 2x2 window does not fit" in problem


def test_a_network_that_is_too_large_is_a_problem_of_the_cell(capsys):
    Path("e.yaml").write_bytes(edited("-grid:\narchitecture: {name: mobilenet_v1, alpha: 1.0e+300}"))
    assert main(["plan", "e.yaml"]) == 2
    assert "has over 10^18 parameters, multiply-adds or activations" in capsys.readouterr().err


def test_plan_reports_the_line_of_a_cell_with_a_problem(capsys):
    Path("e.yaml").write_bytes(edited("grid:\n  architecture.stages: [1, 9]"))
    assert main(["plan", "e.yaml"]) == 2
    assert_complaints(capsys.readouterr().err, ["10 cell 'stages=9' | does not fit the 1x1 input"])


def test_more_folds_than_images_of_a_class(refused):
    Path("e.yaml").write_bytes(edited("cross_validation: {folds: 176}"))
    refused(["run", "e.yaml"], ["7 cross_validation.folds | class 8 has 174 images | allowed: 2 to 174 folds"])


def test_cuda_without_a_gpu(refused, monkeypatch):
    monkeypatch.setattr("runner.engines.torch_engine.engine.cuda_available", lambda: False)
    Path("e.yaml").write_bytes(edited("training: {epochs: 1, device: cuda}"))
    refused(["plan", "e.yaml"], ["6 training.device | found 'cuda', but torch sees | allowed: auto, cpu"])


@pytest.mark.parametrize("grid, levels", [
    ("[{optimizer.lr: [1e-3, 1]}, {architecture.width: [3, 2]}]", [("0.001", "2"), ("1", "2"), ("0.001", "3")]),
    ("[{f: {a: {optimizer.lr: 2}}}, {optimizer.lr: [2, 1]}]", [("a", "2"), ("base", "1")]),
    ("[{f: {a: {optimizer.lr: 2}}}, {architecture.width: [3]}]", [("a", "base"), ("base", "3")]),
])  # fmt: skip
def test_factors_of_other_blocks_get_the_level_that_the_cell_matches(grid, levels, capsys):
    Path("e.yaml").write_bytes(edited(f"grid: {grid}"))
    assert main(["plan", "e.yaml", "--json"]) == 0
    assert [tuple(cell["levels"].values()) for cell in json.loads(capsys.readouterr().out)["cells"]] == levels


@pytest.mark.parametrize("edit", [
    "-grid:", "grid: [{optimizer.lr: [1e-3, 1e-2]}, {architecture.width: [3]}]", "exclude: [{augmentation: shift}]",
    "optimizer: {name: sgd, lr: 1}", "architecture: simple_convnet", "-cross_validation:\n-seed:", "description: on",
    "plugins: [./p.py]\narchitecture: {name: mine, width: 3}", "training: {epochs: 1, timeout: 10min, checkpoint: 1h}",
    "grid:\n  f: {on: {optimizer.lr: 1}, no: {optimizer.lr: 2}}", b"\xef\xbb\xbf" + BASE.encode(),
])  # fmt: skip
def test_valid_variants_are_planned(edit, folder, capsys):
    Path("e.yaml").write_bytes(edited(edit))
    before = tree(folder)
    assert main(["plan", "e.yaml"]) == 0
    printed = capsys.readouterr()
    assert "base: " in printed.out and not printed.err and tree(folder) == before


def test_only_the_first_hundred_complaints_are_printed(capsys):
    Path("e.yaml").write_bytes(BASE.encode() + "".join(f"k{number}: 1\n" for number in range(300)).encode())
    assert main(["plan", "e.yaml"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 101 and lines[-1] == "and 200 more problems"


def test_numbers_and_text_are_those_of_yaml_1_2():
    Path("e.yaml").write_bytes(edited("description: on"))
    assert load("e.yaml").header.description == "on"
    values = parse("[1e-3, 1E3, .5, on, no, 12:30, 0o7, 2001-01-01, true, ~]", "e.yaml").to_data()
    assert values == [0.001, 1000.0, 0.5, "on", "no", "12:30", "0o7", "2001-01-01", True, None]


@pytest.mark.parametrize("grid", ["[{optimizer.lr: [1]}, {architecture.width: [3]}]",
                                  "{f: {a: {optimizer.lr: 1}, b: {training.epochs: 2}}}"])  # fmt: skip
def test_set_is_allowed_if_only_some_cells_vary_the_path(grid):
    Path("e.yaml").write_bytes(edited(f"grid: {grid}"))
    assert main(["plan", "e.yaml", "--set", "optimizer.lr=0.5"]) == 0
