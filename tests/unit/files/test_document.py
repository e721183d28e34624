"""YAML text to nodes: scalars, keys, lines, and what is refused."""

import json
import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import InputError
from runner.files import yaml_nodes
from runner.files.yaml_nodes import MOST_NODES, parse

# JSON escapes characters beyond the first plane as surrogate pairs, which YAML does not have.
texts = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
nested = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def plain(text):
    return parse(text, "file.yaml").to_data()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-2.5e+1", -25.0),
        ("010", 10),
        ("-7", -7),
        ("+7", 7),
        ("on", "on"),
        ("no", "no"),
        ("yes", "yes"),
        ("Off", "Off"),
        ("12:30", "12:30"),
        ("2001-02-03", "2001-02-03"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("=", "="),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("'3'", "3"),
        ('"true"', "true"),
        ("''", ""),
        ("!!str 12", "12"),
        ("|-\n  1", "1"),
        ("7x7", "7x7"),
    ],
)
def test_scalars(text, value):
    parsed = plain(f"key: {text}\n")["key"]
    assert parsed == value and type(parsed) is type(value)


def test_an_empty_value_is_null_and_nan_is_nan():
    parsed = plain("a:\nb: .nan\n")
    assert parsed["a"] is None and math.isnan(parsed["b"])


def test_keys_are_text():
    assert plain("{1: a, true: b, ~: c, 1.50: d, on: e}") == {"1": "a", "true": "b", "~": "c", "1.50": "d", "on": "e"}


@settings(max_examples=200)
@given(nested, st.sampled_from([None, 2]))
def test_json_is_yaml(value, indent):
    text = json.dumps(value, indent=indent)
    assert repr(plain(text)) == repr(value)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "duplicate key 'a'.*line 1"),
        ("1: x\n'1': y\n", 2, "duplicate key '1'"),
        ("a: 1\n[b]: 2\n", 2, "a key must be text"),
        ("a: 1\nb: !!python/name:os.system\n", 2, "the tag .* is not allowed"),
        ("a: !thing {b: 1}\n", 1, "the tag !thing is not allowed"),
        ("a: !thing b\n", 1, "the tag !thing is not allowed"),
        ("a: !thing 'b'\n", 1, "the tag !thing is not allowed"),
        ("a: !!set [b]\n", 1, "the tag .*set is not allowed"),
        ("a: 1\nb: [}\n", 2, "not valid YAML"),
        ("a: 1\n---\nb: 2\n", 2, "not valid YAML"),
        ("a: &a [*a]\n", 1, "contains itself by its own anchor"),
        ("a: 1\nb: &b\n  c: {d: *b}\n", 2, "contains itself by its own anchor"),
        ("a: &a {<<: *a}\n", 1, "contains itself by its own anchor"),
        ("a: {b: 1}\nc:\n  <<: 3\n", 3, "<< takes a mapping"),
        ("a: {<<: []}\n", 1, "<< takes a mapping"),
        ("a: {<<: {b: 1}, <<: {c: 1}}\n", 1, "duplicate key '<<'"),
        ("a: *b\n", 1, "not valid YAML: found undefined alias"),
    ],
)
def test_invalid_yaml_is_refused_with_its_line(text, line, message):
    with pytest.raises(InputError, match=message) as error:
        parse(text, "file.yaml")
    assert error.value.complaints[0].where.line == line


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_file_is_refused(text):
    with pytest.raises(InputError, match="file.yaml: the file is empty"):
        parse(text, "file.yaml")


@pytest.mark.parametrize("loader", [yaml_nodes._LOADER, yaml.SafeLoader])
def test_half_a_surrogate_pair_is_refused(loader, monkeypatch):
    monkeypatch.setattr(yaml_nodes, "_LOADER", loader)
    for text in ('a: 1\nb: "x\\ud800"', 'a: 1\n"\\udfff": 2', "a: 1\nb: \udced"):
        with pytest.raises(InputError, match="file.yaml:2: .*(surrogate|escape|UTF-8)"):
            plain(text)


@pytest.mark.parametrize("text", ["a: \x00\n", "[" * 5000, "a: *b\n", "\t- a\n"])
def test_text_that_is_not_yaml_is_an_input_error(text):
    with pytest.raises(InputError):
        parse(text, "file.yaml")


def test_an_alias_counts_at_each_use():
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 8)]
    with pytest.raises(InputError, match=f"more than {MOST_NODES} values"):
        parse("\n".join(lines), "file.yaml")


def test_a_path_has_the_line_of_its_longest_existing_part():
    node = parse("a: 1\nb:\n  - x\n  - {c: 2,\n     d: 3}\n", "file.yaml")
    lines = {("a",): 1, ("b",): 2, ("b", 1): 4, ("b", 1, "d"): 5, ("b", 1, "e", "f"): 4, ("b", 9): 2, ("z",): 1}
    assert {path: node.find(path).line for path in lines} == lines


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a: &x {p: 1, q: 2}, b: *x}", {"p": 1, "q": 2}),
        ("{a: &x {p: 1, q: 2}, b: {<<: *x}}", {"p": 1, "q": 2}),
        ("{a: &x {p: 1, q: 2}, b: {<<: *x, q: 3, r: 4}}", {"p": 1, "q": 3, "r": 4}),
        ("{a: &x {p: 1, q: 2}, b: {q: 3, <<: *x}}", {"p": 1, "q": 3}),
        ("{a: &x {p: 1}, c: &y {p: 2, q: 2}, b: {<<: [*x, *y]}}", {"p": 1, "q": 2}),
        ("{a: &x {p: {s: 1}}, b: {<<: *x, p: {t: 2}}}", {"p": {"t": 2}}),
        ("{b: {<<: {p: 1}}}", {"p": 1}),
        ("{b: {'<<': 1}}", {"<<": 1}),
    ],
)
def test_anchors_and_merge_keys(text, value):
    assert plain(text)["b"] == value


def test_a_merged_value_has_the_line_where_it_stands():
    node = parse("a: &x\n  p: 1\n  q: 2\nb:\n  <<: *x\n  q: 3\n", "file.yaml")
    assert [node.find(("b", key)).line for key in ("p", "q")] == [2, 6]
