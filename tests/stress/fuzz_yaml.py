"""Broken experiments for tests/stress/fuzz.py: changed text, changed structure, extreme files, and values for --set
and for the parameters of every component. All random choices are drawn from the generator that is passed in.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from functools import lru_cache
from random import Random
from typing import Any

import hypothesis
import yaml
from bad_input import BASE
from command import ROOT, TINY
from hypothesis import strategies as st
from torture import STUDY

from runner.components.catalog import load_catalog
from runner.components.records import KINDS
from runner.files.yaml_nodes import parse

EXPERIMENTS = ROOT / "experiments"
BASES = [file.read_text() for file in sorted(EXPERIMENTS.glob("*.yaml"))] + [TINY, BASE, STUDY.split("plugins")[0]]
BASES += [TINY.split("grid")[0] + "grid:\n  - {augmentation: [flip]}\n  - {optimizer.lr: [1]}\n"]
SMALL = """\
name: small
dataset: {name: digits, subset: 40}
architecture: {name: stages, width: 2, stages: 1}
augmentation: none
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 1, engine: numpy}
cross_validation: {folds: 2}
"""
"""An experiment of two fits, each of which takes under a second."""

RAW = [
    ".nan", "-.inf", "1e400", "-1e400", "1e-400", "-0.0", "0x7f", "0o17", "1_000", "12:30:00", "2001-01-01", "on", "~",
    "9" * 19, "-" + "9" * 25, "9" * 5000, "1" + "0" * 400 + ".5", "!!python/object/apply:os.mkdir [owned]", "*nowhere",
    "!!python/name:os.system ''", "!!binary aGk=", "!!set {a}", "!!omap [a: 1]", "!!timestamp 2001-01-01", "!mine x",
    "&a [*a]", "&b {x: 1, <<: *b}", "{<<: {epochs: 1}}", "{? [a] : b}", "? a", "- b", "|", ">-", "{", "[", "]", "}",
    "'", '"', "@x", "`x", "%YAML 9.9", "---", "...", "# x", ":", "\t", "!", "&", "*", "!!str", "!!int 'x'", "=", "<<",
]  # fmt: skip
"""Text that is written into YAML without quotes."""
TEXTS = [
    "", " ", "x" * 5000, "\0", "\x1b[31m", "\x7f\x85", "\u202egnp.\u202c", "\u2028\u2029", "\ufeff", "\U0001f600",
    "e\u0301" * 99, "\ud800", "\udfff", "\uffff", "a\nb\r\nc", "../../owned", "/owned", "..", ".", "~root", "C:\\x",
    "a/b", "-x", "--json", "$(touch owned)", "; touch owned", "{0}{name}%s%n", "<script>", "=1+1", "name", "none",
    "\u0660\u0661", "\uff11", "None", "null", "1e3", "NaN", "adam", "stages", "digits", "shift", "npz", "mean",
]  # fmt: skip
NUMBERS = [
    0, -0.0, 1, -1, 2, 3, 7, 8, 16, 100, 1797, 65536, 10**6, 2**31, 2**63, -(2**63), 10**18, 10**30, 10**400, 0.5, 1.0,
    1e-9, 5e-324, 1e308, -1e308, 0.1, 89.999, 1 - 1e-16, float("nan"), float("inf"), float("-inf"), True, False, None,
]  # fmt: skip
RAW_MARK = "raw\u2060"
"""Starts a string whose rest `dump` writes without quotes. The invisible U+2060 keeps ordinary text from matching."""
WORD = re.compile(rb"[\w.+-]+|[^\w\s]|\s+")


@lru_cache
def pool(seed: int) -> list[Any]:
    """400 nested values that hypothesis generates for a seed."""
    keys = st.text(max_size=8) | st.sampled_from(["name", "epochs", "lr", "width", "<<"])
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
    nested = st.recursive(scalars, lambda v: st.lists(v, max_size=5) | st.dictionaries(keys, v, max_size=5))
    values: list[Any] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=400, database=None, deadline=None, phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(nested)
    def collect(value: Any) -> None:
        values.append(value)

    collect()
    return values


def any_value(random: Random, seed: int) -> Any:
    """A value of any type: an extreme number, an odd text, raw YAML, or a nested value."""
    kind = random.random()
    if kind < 0.25:
        return random.choice(NUMBERS)
    if kind < 0.45:
        return random.choice(TEXTS)
    if kind < 0.65:
        return RAW_MARK + random.choice(RAW)
    return deepcopy(random.choice(pool(seed)))  # mutate_node may change it later, and the pool is cached


def dump(document: Any, random: Random) -> bytes:
    """The document as YAML in flow or block style; strings marked with RAW_MARK are written without quotes."""
    if random.random() < 0.5:
        text = json.dumps(document, ensure_ascii=random.random() < 0.5, indent=random.choice([None, 2]))
    else:
        try:
            text = yaml.safe_dump(document, allow_unicode=random.random() < 0.5, sort_keys=False)
        except (yaml.YAMLError, UnicodeError, ValueError):
            text = json.dumps(document)
    # Depending on the style, the marked string is quoted or not, and its mark is escaped or not.
    raw = re.compile('"?(?:raw(?:\u2060|\\\\u2060))((?:[^"\n\\\\]|\\\\")*)"?')
    return raw.sub(lambda match: match[1].replace('\\"', '"'), text).encode("utf-8", "surrogatepass")


def mutate_text(random: Random) -> bytes:
    """The text of an experiment with a few bytes, words or lines changed."""
    content = random.choice(BASES).encode()
    for _ in range(random.choice([1, 1, 1, 2, 3, 8])):
        content = random.choice([change_bytes, change_words, change_lines])(content, random)
    return content


def change_bytes(content: bytes, random: Random) -> bytes:
    start, length = random.randrange(len(content) + 1), random.choice([0, 1, 1, 2, 20, 300])
    new = random.choice(
        [b"", random.randbytes(random.choice([1, 4])), odd_text(random), content[start : start + 50] * 3]
    )
    return content[:start] + new + content[start + length :]


def odd_text(random: Random) -> bytes:
    return random.choice(TEXTS + RAW).encode("utf-8", "surrogatepass")


def change_words(content: bytes, random: Random) -> bytes:
    words = WORD.findall(content) or [b"x"]
    a, b = random.randrange(len(words)), random.randrange(len(words))
    change = random.randrange(4)
    if change == 0:
        words[a], words[b] = words[b], words[a]
    elif change == 1:
        words[a] = words[b]
    elif change == 2:
        words[a] = odd_text(random)
    else:
        words[a] = str(random.choice(NUMBERS[:13] + NUMBERS[14:])).encode()
    return b"".join(words)


def change_lines(content: bytes, random: Random) -> bytes:
    lines = content.splitlines(keepends=True) or [b"\n"]
    a, b = random.randrange(len(lines)), random.randrange(len(lines))
    change = random.randrange(6)
    if change == 0:
        lines[a], lines[b] = lines[b], lines[a]
    elif change == 1:
        lines.insert(b, lines[a])
    elif change == 2:
        lines[a] = random.choice([b" ", b"  ", b"\t", b"- ", b"# ", b"? ", b"  - "]) + lines[a]
    elif change == 3:
        lines[a] = lines[a].lstrip(b" ")
    elif change == 4:
        lines[a] = lines[a].replace(b"\n", random.choice([b"\r\n", b"\r", b"", b"\x85", b" &x\n", b" |\n"]))
    else:
        del lines[a]
    return b"".join(lines)


def mutate_structure(random: Random, seed: int) -> bytes:
    """An experiment with a few of its values replaced, removed, nested or moved, or with unknown keys."""
    document = parse(random.choice(BASES), "base").to_data()
    for _ in range(random.choice([1, 1, 1, 2, 4])):
        container, key = random.choice(list(positions(document)))
        mutate_node(container, key, document, random, seed)
    return dump(document, random)


def positions(node: Any) -> Any:
    """Every pair of a mapping and a key, or of a list and an index, below the node."""
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], (dict, list)):
            yield from positions(node[key])


def mutate_node(container: Any, key: Any, document: Any, random: Random, seed: int) -> None:
    """Replace, remove, wrap, copy or rename one entry of a mapping or list in the document, in place."""
    change = random.randrange(8)
    if change <= 2:
        container[key] = any_value(random, seed)
    elif change == 3 and len(document) > 1:
        del container[key]
    elif change == 4:
        container[key] = random.choice(
            [[container[key]], {"name": container[key]}, [container[key]] * 2, {key: container[key]}]
        )
    elif change == 5:
        other, other_key = random.choice(list(positions(document)))
        # A copy, because the value may contain this container: the document must not become circular.
        container[key] = json.loads(json.dumps(other[other_key]))
    elif isinstance(container, dict):
        new = random.choice([*container, *TEXTS, "grid", "exclude", "plugins", "seed", "report", f"{key}s", f"{key}.x"])
        container[new] = container.pop(key) if change == 6 else any_value(random, seed)


def extreme_file(random: Random, seed: int) -> bytes:
    """A file that is broken as a whole: depth, size, aliases that multiply, odd encodings, several documents."""
    base, many = random.choice(BASES).encode(), random.choice([9, 39, 41, 300, 3000, 50_000])
    opened = random.choice(["[", "{a: ", "- ", "? ", "{? ", "a:\n"])
    bomb = "".join(f"  {b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    merges = "".join(f"  k{i}: &k{i} {{<<: [*k{i - 1}, *k{i - 1}], x{i}: 1}}\n" for i in range(1, 30))
    big = random.choice([999_000, 10_000_000])
    wide = "".join(f"  k{i}: {i}\n" for i in range(random.choice([10, 3000, 60_000])))
    return random.choice([
        base + b"description: " + (opened * many).encode(),
        base + b"description:\n" + "".join(" " * i + "a:\n" for i in range(min(many, 3000))).encode(),
        base + f"description:\n  a: &a [1, 1, 1, 1]\n{bomb}".encode(),
        base + f"description:\n  k0: &k0 {{x: 1}}\n{merges}".encode(),
        base + b"#" * big, base + b"description: " + b"x" * big, base + b"description: '" + b"\n" * big + b"'",
        base + b"description: [" + b"1, " * (big // 3) + b"]", base * (big // len(base)), b"\x00" * big,
        base + b"description: " + random.randbytes(100), random.randbytes(random.choice([1, 100, 10_000])),
        b"\xef\xbb\xbf" + base, base.decode().encode("utf-16"), base.decode().encode("utf-32"), b"\xff\xfe" + base,
        base.replace(b"\n", b"\r\n"), base.replace(b"\n", b"\r"), base.replace(b" ", b"\xc2\xa0"),
        base + b"---\n" + base, b"---\n" + base + b"...\n", b"%YAML 1.1\n---\n" + base, b"%TAG ! !\n---\n" + base,
        b"", b"\n" * many, b"#", b"---\n---\n", b"- " * many, b"null", b"[]", b"{}", b"3", b"'", b"\xff" * 9,
        base + f"exclude:\n{wide}".encode(), f"grid:\n{wide}".encode() + base.split(b"grid:")[0],
        base.split(b"grid:")[0] + f"grid:\n  optimizer.lr: {list(range(1, min(many, 20_000)))}\n".encode(),
        base.split(b"grid:")[0] + b"grid:\n" + b"".join(b"  f%d: {a: {optimizer.lr: %d}}\n" % (i,
        i) for i in range(60)),
        base.split(b"grid:")[0] + f"grid: [{', '.join(['{augmentation: [flip]}'] * min(many, 3000))}]\n".encode(),
        dump({**parse(base.decode(), "base").to_data(), "grid": any_value(random, seed),
              "exclude": any_value(random, seed)}, random),
    ])  # fmt: skip


SETTINGS = [
    "training.epochs", "training", "training.precision", "training.timeout", "optimizer", "optimizer.lr", "seed",
    "name",
    "optimizer.schedule", "architecture", "architecture.width", "architecture.name", "augmentation", "dataset", "grid",
    "dataset.subset", "cross_validation.folds", "cross_validation", "report.metric", "report.equivalent", "plugins",
    "report.metrics", "loss", "loss.class_weights",
    "grid.optimizer.lr", "grid.augmentation", "grid.x", "exclude", "training.device", "training.engine", "description",
    "augmentation.pixels", "training.checkpoint", "training.retries", "training.batch_size", "cross_validation.test",
]  # fmt: skip

PLAUSIBLE = [
    1, 2, 3, 0.1, 0.5, 10, "10min", "none", "flip", "stages", "adam", ["flip", "shift"], {"name": "shift", "pixels": 2},
    "float32", "float64", "bfloat16", "torch", "numpy", "cpu", [1, 2], ["none", "shift"], {"optimizer.lr": [1, 2]},
    True,
    "val_loss", {"name": "step", "every": 1}, "cosine", "mnist-5k", {"name": "shapes", "count": 100}, "lenet5", {}, [],
]  # fmt: skip


def set_option(random: Random, seed: int) -> str:
    """A PATH=VALUE for --set, valid or not."""
    if random.random() < 0.25:
        return as_argument(f"{random.choice(SETTINGS)}={json.dumps(random.choice(PLAUSIBLE))}")
    path = random.choice(SETTINGS)
    if random.random() < 0.2:
        odd = [path + ".x", path + ".", "." + path, "", *TEXTS, path.upper(), path.replace(".", "..")]
        path = random.choice(odd)
    text = dump(any_value(random, seed), random).decode("utf-8", "surrogatepass").removesuffix("\n...\n").strip("\n")
    separator = random.choice(["=", "=", "=", "=", "=", "=", "==", "", ":", " = "])
    return as_argument(f"{path}{separator}{text[:10_000]}")


def as_argument(text: str) -> str:
    """The text as an argument of a process, which cannot contain a zero byte and is decoded with surrogateescape."""
    return text.replace("\0", "0").encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")


@lru_cache
def components() -> dict[str, list[dict[str, Any]]]:
    """All components by kind, with their parameters as `runner plugins --json` describes them."""
    catalog = load_catalog()
    by_kind: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for (kind, name), entry in sorted(catalog.entries.items()):
        by_kind[kind].append({"name": name, "parameters": [p.describe() for p in entry.parameters.values()]})
    return by_kind


def random_parameters(component: dict[str, Any], random: Random, seed: int, wrong: float) -> dict[str, Any]:
    """Values for some of the component's parameters, of the right type except for a share `wrong`."""
    values = {}
    for parameter in component["parameters"]:
        required = "default" not in parameter
        if random.random() < (0.95 if required else 0.5):
            odd = random.random() < wrong
            values[parameter["name"]] = any_value(random, seed) if odd else value_of_type(parameter["type"], random)
    if random.random() < wrong / 3:
        values[random.choice(TEXTS)] = any_value(random, seed)
    return values


def value_of_type(type_text: str, random: Random) -> Any:
    """A value, of any size, of a type as `runner plugins` writes it, such as "int" or "list of float"."""
    if type_text.startswith("list of "):
        return [
            value_of_type(type_text.removeprefix("list of "), random)
            for _ in range(random.choice([0, 1, 2, 2, 3, 200]))
        ]
    if type_text.startswith("int"):
        return random.choice([0, 1, 1, 2, 2, 3, 4, 5, 8, 10, 16, 20, 32, 40, 110, 999, 10**5, 10**9, 2**62])
    if type_text.startswith("float"):
        return random.choice([0, 0.0, 5e-324, 1e-9, 0.1, 0.25, 0.5, 0.9, 0.999, 1, 1.0, 2.5, 30, 360, 1e6, 1e300])
    if type_text in ("mapping", "mapping of anything"):
        return {random.choice(["name", "epochs", "factor", "warmup", "to"]): random.choice([1, 0.1, "step", [1, 2]])}
    if type_text == "bool":
        return random.random() < 0.5
    if type_text == "text":
        return random.choice(TEXTS)
    alternative = random.choice(type_text.split(" | "))
    if alternative == "null":
        return None
    if alternative.split()[0] in ("int", "float", "bool", "text", "mapping", "list"):
        return value_of_type(alternative, random)
    return json.loads(alternative) if alternative.isdecimal() else alternative
