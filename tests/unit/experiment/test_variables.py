"""``${NAME}`` in the values of a file: what it becomes, where it is allowed, and what is said if it is not set."""

from __future__ import annotations

from pathlib import Path

import pytest
from bad_input import BASE

from runner.errors import InputError
from runner.experiment.load import load


@pytest.fixture(autouse=True)
def variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"RATE": "1e-2", "TEXT": "a: [b]", "ON": "true", "EMPTY": "", "DATA_ROOT": "/data"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NOT_SET", raising=False)


def values(text, *overrides):
    Path("e.yaml").write_text(BASE.replace("{name: adam, lr: 1e-3}", text))
    return load("e.yaml", overrides).document.to_data()["optimizer"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${RATE}", 0.01),
        ('"${RATE}"', "1e-2"),
        ("'${RATE}'", "1e-2"),
        ("1${RATE}", 0.11),
        ("-${RATE}", -0.01),
        ("${ON}", True),
        ("${TEXT}", "a: [b]"),
        ("x${RATE}/${ON}", "x1e-2/true"),
        ("${NOT_SET:-3}", 3),
        ("${NOT_SET:-}", None),
        ("'${NOT_SET:-}'", ""),
        ("x${NOT_SET:-}", "x"),
        ("${EMPTY:-null}", None),
        ("${RATE:-5}", 0.01),
        ("${NOT_SET:-a b/c.d}", "a b/c.d"),
        ("$${RATE}", "${RATE}"),
        ("'$${A} costs $5 and $RATE'", "${A} costs $5 and $RATE"),
        ("$$$${RATE}", "$$${RATE}"),
        ("|-\n      a ${ON}", "a true"),
    ],
)
def test_what_a_value_becomes(text, value):
    found = values(f"\n  name: adam\n  lr: {text}")["lr"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{name: adam, lr: '${NOT_SET}'}", "e.yaml:5: optimizer.lr: the environment variable 'NOT_SET' is not set"),
        ("{name: adam, lr: '${DATA_ROT}'}", "'DATA_ROT' is not set; did you mean 'DATA_ROOT'? ${DATA_ROT:-...} gives"),
        ("{name: adam, lr: '${EMPTY}'}", "the environment variable 'EMPTY' is empty; ${EMPTY:-...} gives a default"),
        ("{name: adam, lr: '${}'}", "found '${}'; allowed: ${NAME}, ${NAME:-default}, or $${"),
        ("{name: adam, lr: '${a b}'}", "found '${a b}'; allowed"),
        ("{name: adam, lr: '${RATE-3}'}", "found '${RATE-3}'; allowed"),
        ("{name: adam, lr: '${oc.env:RATE}'}", "found '${oc.env:RATE}'; allowed"),
        ("{name: adam, lr: '${RATE'}", "found '${RATE'; allowed"),
        ("{name: adam, lr: '${NOT_SET:-${RATE}}'}", "found '${NOT_SET:-${RATE}'; allowed"),
        ("{name: adam, '${RATE}': 3}", "optimizer.${RATE}: found '${RATE}'; variables are allowed in values, not in"),
        ("[adam, '${NOT_SET}']", "e.yaml:5: optimizer[1]: the environment variable"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(InputError) as error:
        values(text)
    assert message in str(error.value)


def test_every_variable_that_is_missing_is_a_line():
    with pytest.raises(InputError) as error:
        values("{name: '${NOT_A}', lr: '${NOT_B}'}")
    assert len(error.value.complaints) == 2


def test_an_override_has_variables_too_and_hides_those_of_the_file():
    assert values("{name: adam, lr: 1}", "optimizer.lr=${RATE}") == {"name": "adam", "lr": 0.01}
    assert values("{name: adam, lr: '${NOT_SET}'}", "optimizer.lr=2")["lr"] == 2
    assert values("'${NOT_SET:-adam}'", "optimizer.lr=2") == {"name": "adam", "lr": 2}
    with pytest.raises(InputError, match=r"--set optimizer.lr=\$\{NOT_SET\}: optimizer.lr: the environment variable"):
        values("adam", "optimizer.lr=${NOT_SET}")


def test_a_base_whose_value_is_replaced_may_name_a_variable_that_is_not_set():
    Path("base.yaml").write_text(BASE.replace("seed: 0", "seed: ${NOT_SET}"))
    Path("e.yaml").write_text("extends: base.yaml\nname: x\nseed: 3\n")
    assert load("e.yaml").header.seed == 3
    with pytest.raises(InputError, match=r"base.yaml:8: seed: the environment variable 'NOT_SET' is not set"):
        load("base.yaml")


@pytest.mark.parametrize(
    "text", ["{name: adam, lr: ${RATE}}", "{name: adam, lr: ${NOT_SET:-1e-2}}", "{lr: ${RATE}, name: adam}"]
)
def test_braces_and_brackets_need_no_quotes(text):
    assert values(text) == {"name": "adam", "lr": 0.01}
    assert values(f"{{name: adam, x: [{text}, ${{ON}}]}}")["x"] == [{"name": "adam", "lr": 0.01}, True]


def test_levels_are_named_by_what_they_become():
    Path("e.yaml").write_text(BASE.replace("[none, shift]", "[none, '${NOT_SET:-shift}']"))
    assert [level.label for level in load("e.yaml").blocks[0]["augmentation"]] == ["none", "shift"]


def test_what_a_variable_holds_is_never_filled_in_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RATE", "${ON}")
    assert values("{name: adam, lr: '${RATE}'}")["lr"] == "${ON}"
