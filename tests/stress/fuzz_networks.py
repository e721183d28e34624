"""Broken saved networks, and broken images for them, for tests/stress/fuzz.py.

All random choices are drawn from the generator that is passed in.
"""

from __future__ import annotations

import io
import json
import pickle
from random import Random

import fuzz_yaml
import numpy as np
from fuzz_data import EVIL, Files, damage, npz, picture

COMMANDS = (["predict", "small", "x.npy"], ["look", "small", "x.npy", "--out", "x.png"])
EXPORT = ["export", "small", "--format", "torch", "--out", "x.pt2"]
"""Exporting takes seconds, so it is rare."""


def broken_network(base: Files, random: Random, seed: int) -> tuple[Files, list[str]]:
    """A study with a broken network, or images that its networks cannot take, and a command that uses both."""
    files = {name: content for name, content in base.items() if name != "store.db"}
    saved = [name for name in files if name.endswith(".safetensors")]
    files["x.npy"] = _images(random)
    if random.random() < 0.25:
        name = random.choice(["x.npz", "x.png", "x/y.png"])
        files[name] = npz(random)[0]["x.npz"] if name == "x.npz" else picture(random)
        return files, ["predict", "small", name.partition("/")[0]]
    for path in saved if random.random() < 0.5 else saved[:1]:
        files[path] = random.choice([damage, _other_facts(seed), _other_header(seed), _other_file])(files[path], random)
    return files, EXPORT if random.random() < 0.03 else random.choice(COMMANDS)


def _images(random: Random) -> bytes:
    """Images as the networks take them or, now and then, others."""
    shape = random.choice([(2, 1, 8, 8)] * 6 + [(1, 1, 8, 8), (2, 8, 8), (0, 1, 8, 8), (2, 3, 8, 8), (8,), ()])
    file = io.BytesIO()
    np.save(file, np.zeros(shape, random.choice(["u1"] * 6 + ["f4", "u2", "?", "U1"])))
    return file.getvalue() if random.random() < 0.9 else damage(file.getvalue(), random)


def _parts(content: bytes) -> tuple[dict, bytes]:
    """The header and the tensors of a safetensors file: the length of the header, the header as JSON, the bytes."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _joined(header: object, tensors: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + tensors


def _other_facts(seed: int):
    """Changes what the file says of the network: its layers, shape, classes, normalisation."""

    def change(content: bytes, random: Random) -> bytes:
        header, tensors = _parts(content)
        facts = json.loads(header["__metadata__"]["archrunner"])
        _mutate(facts, random, seed)
        return _joined({**header, "__metadata__": {"archrunner": json.dumps(facts)}}, tensors)

    return change


def _other_header(seed: int):
    """Changes names, types, shapes and places of the tensors."""

    def change(content: bytes, random: Random) -> bytes:
        header, tensors = _parts(content)
        _mutate(header, random, seed)
        return _joined(header, tensors)

    return change


def _mutate(document: object, random: Random, seed: int) -> None:
    for _ in range(random.choice([1, 1, 2])):
        container, key = random.choice(list(fuzz_yaml.positions(document)))
        fuzz_yaml.mutate_node(container, key, document, random, seed)


def _other_file(content: bytes, random: Random) -> bytes:
    """Something else under the name: nothing, a pickle, a header that promises far too much."""
    return random.choice([
        b"", pickle.dumps(EVIL[0]), b"\xff" * 8 + content[8:], (10**9).to_bytes(8, "little") + b"{}",
        _joined({"a": {"dtype": "F32", "shape": [2**40, 2**30], "data_offsets": [0, 2**62]}}, b""), _joined([], b""),
        content[:8] + b"[" * 50_000, random.randbytes(500),
    ])  # fmt: skip
