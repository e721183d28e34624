"""Broken files of a finished study for tests/stress/fuzz.py: journals, plans, ledgers, checkpoints.

All random choices are drawn from the generator that is passed in.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import sqlite3
import zlib
from dataclasses import replace
from pathlib import Path
from random import Random

import fuzz_yaml
import numpy as np
import yaml
from fuzz_data import EVIL, Files, damage, run_arguments

from runner.cli import main
from runner.fits.records import Look
from runner.journal.index import read
from runner.journal.line import encode
from runner.planning import plan_file


def finished_study(folder: Path) -> Files:
    """Run and publish a small study in `folder`; returns its files, with fixed times and versions in its records."""
    text = (
        fuzz_yaml.SMALL.replace("epochs: 1", "epochs: 1, checkpoint: 1h, keep: all")
        + "grid:\n  optimizer.lr: [1e-2, 1e-3]\n"
    )
    (folder / "small.yaml").write_text(text)
    before = Path.cwd()
    os.chdir(folder)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert main([*run_arguments("small.yaml")[:-2], "--tracking-uri", "sqlite:///store.db"]) == 0
    os.chdir(before)
    with contextlib.closing(sqlite3.connect(folder / "store.db")) as store, store:
        # Paths relative to the working directory: each case copies the store into its own folder.
        store.execute("UPDATE experiments SET artifact_location = 'artifacts'")
        store.execute("UPDATE runs SET artifact_uri = 'artifacts/' || run_uuid")
    report = folder / "reports" / "small"
    results, _ = read(report / "journal.jsonl")
    # The same seed must give the same cases, so what differs between two runs is set to constants.
    fixed = [replace(r, seconds=0.5, cpu=0.5, worker="1", finished=10**12, memory=10**8, versions={}) for r in results]
    plan = replace(plan_file.read(report / "plan.yaml"), made_with={"archrunner": "0"})
    return {
        "small.yaml": text.encode(),
        "other.yaml": text.replace("name: small", "name: other", 1).encode(),
        "reports/small/journal.jsonl": b"".join(map(encode, [*fixed, Look(1, adaptive=False)])),
        "reports/small/splits.npz": (report / "splits.npz").read_bytes(),
        "reports/small/plan.yaml": plan_file.text(plan).encode(),
        "reports/small/mlflow.jsonl": (report / "mlflow.jsonl").read_bytes(),
        "store.db": (folder / "store.db").read_bytes(),
        **{
            f"reports/small/fits/{path.name}": path.read_bytes()
            for path in (report / "fits").iterdir()
            if path.suffix in (".npz", ".safetensors")
        },
    }


def broken_report_file(base: Files, random: Random, seed: int) -> tuple[Files, list[str]]:
    """A finished study with one of its files broken, and a command that reads it."""
    files, kind = {name: content for name, content in base.items() if name != "store.db"}, random.random()
    path = "reports/small/journal.jsonl"
    if kind < 0.55:
        files[path] = broken_journal(files[path], random, seed)
    elif kind < 0.88:
        files["reports/small/plan.yaml"] = broken_plan(files["reports/small/plan.yaml"], random, seed)
    elif kind < 0.93:
        path = random.choice([name for name in files if name.endswith(".npz")])
        files[path] = random.choice([damage, _odd_arrays])(files[path], random)
    elif kind < 0.96:
        return _broken_ledger(files | {"store.db": base["store.db"]}, random, seed)
    else:
        return _broken_checkpoint(files, random)
    if random.random() < 0.1:  # as if the report folder had been copied to that of another experiment
        files |= {name.replace("/small/", "/other/"): content for name, content in files.items() if "/small/" in name}
        return files, random.choice(
            [run_arguments("other.yaml"), ["plan", "other.yaml"], ["report", "other", "--format", "csv"]]
        )
    commands = [["report", "small", "--format", random.choice(["csv", "csv,tex", "md", "csv"])], ["plan", "small.yaml"]]
    commands += [["compare", "small", "copy"], ["compare", "copy", "small", "--json"], run_arguments("small.yaml")]
    files |= {name.replace("/small/", "/copy/"): content for name, content in base.items() if "/small/" in name}
    command = random.choices(commands, [8, 3, 3, 1, 2])[0]
    return files, ["publish", "small", "--tracking-uri", "sqlite:///s.db"] if random.random() < 0.02 else command


def broken_journal(content: bytes, random: Random, seed: int) -> bytes:
    lines = content.splitlines(keepends=True)
    for _ in range(random.choice([1, 1, 1, 2])):
        at = random.randrange(len(lines))
        changes = [_replace_line, _change_fit, _change_fit, _change_fit, _change_entry, damage_line]
        # The second change may get a line that the first one left unreadable.
        with contextlib.suppress(ValueError, KeyError, TypeError, IndexError, RecursionError):
            lines[at] = random.choice(changes)(lines[at], random, seed)
    if random.random() < 0.2:
        random.shuffle(lines)
    if random.random() < 0.1:
        lines.insert(random.randrange(len(lines)), random.choice(lines))
    return b"".join(lines)


def _replace_line(line: bytes, random: Random, seed: int) -> bytes:
    """Something else in place of the line: a torn line, nothing, deep nesting, another encoding."""
    return random.choice([
        line[: random.randrange(len(line))], b"\n", b"", b"\0" * 100 + b"\n", b"\xff\xfe\n", b"[" * 50_000 + b"\n",
        b'{"a":' * 50_000 + b"\n", b"9" * 5000 + b"\n", b"x" * 10_000_000 + b"\n", line[:-1] + b"\r\n", line * 2,
        b"\xef\xbb\xbf" + line, b"{}\n", b"null\n", b"3\n", line.decode().encode("utf-16"), b"NaN\n",
        line.replace(b",", b", "),
    ])  # fmt: skip


def damage_line(line: bytes, random: Random, seed: int) -> bytes:
    return damage(line, random)


def _change_entry(line: bytes, random: Random, seed: int) -> bytes:
    """The line with another format version, checksum or fit, or with an unknown key."""
    entry = json.loads(line)
    key = random.choice([*entry, "more"])
    entry[key] = random.choice([fuzz_yaml.any_value(random, seed), 0, 2, "1", 1.0, True])
    return json.dumps(entry).encode() + b"\n"


def _change_fit(line: bytes, random: Random, seed: int) -> bytes:
    """The line with a fit edited by hand, and a checksum that matches it."""
    fit = json.loads(line)["fit"]
    for _ in range(random.choice([1, 1, 2])):
        container, key = random.choice(list(fuzz_yaml.positions(fit)))
        fuzz_yaml.mutate_node(container, key, fit, random, seed)
    text = json.dumps(fit, separators=(",", ":"))
    return f'{{"format":2,"sum":"{zlib.crc32(text.encode()):08x}","fit":{text}}}\n'.encode()


def broken_plan(content: bytes, random: Random, seed: int) -> bytes:
    if random.random() < 0.3:
        return random.choice([fuzz_yaml.change_bytes, fuzz_yaml.change_words, fuzz_yaml.change_lines])(content, random)
    if random.random() < 0.1:
        return fuzz_yaml.extreme_file(random, seed)
    document = yaml.safe_load(content)
    for _ in range(random.choice([1, 1, 2])):
        container, key = random.choice(list(fuzz_yaml.positions(document)))
        fuzz_yaml.mutate_node(container, key, document, random, seed)
    return fuzz_yaml.dump(document, random)


def _odd_arrays(content: bytes, random: Random) -> bytes:
    """The saved arrays with one of another type, shape or range, missing, or unpacking to 100 MB; or a plain .npy."""
    with np.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    name = random.choice(list(arrays))
    array, file = arrays.pop(name), io.BytesIO()
    if random.random() < 0.1:
        np.save(file, array)
        return file.getvalue()
    odd = [
        array[..., None], array[:0] if array.ndim else array, array.ravel()[:1], array.astype(str), np.array(None),
        np.full(array.shape, np.nan), np.full(array.shape, -1), np.full(array.shape, 2**62), np.zeros(10**8, np.uint8),
        np.full(array.shape, "x" * 10_000), np.zeros((3, 1, 5000, 5000), np.uint8), np.empty(10**9, "V0"),
    ]  # fmt: skip
    changed = random.choice([{}, *({name: value} for value in odd)])
    np.savez_compressed(file, allow_pickle=True, **arrays, **changed)
    return file.getvalue()


def _broken_ledger(files: Files, random: Random, seed: int) -> tuple[Files, list[str]]:
    path = "reports/small/mlflow.jsonl"
    lines = files[path].splitlines(keepends=True)
    at = random.randrange(len(lines))
    lines[at] = random.choice([_replace_line, damage_line])(lines[at], random, seed)
    files[path] = b"".join(lines)
    return files, ["publish", "small", "--tracking-uri", "sqlite:///store.db"]


def _broken_checkpoint(files: Files, random: Random) -> tuple[Files, list[str]]:
    """A study whose first fit is missing from the journal and has a broken checkpoint."""
    path = "reports/small/journal.jsonl"
    first, rest = files[path].split(b"\n", 1)
    fit_id = json.loads(first)["fit"]["id"]
    archive = io.BytesIO()
    np.savez(archive, header=np.frombuffer(b'{"owner": {}, "spent": {}, "standing": {"dict": []}}', np.uint8))
    content = b"archrunner checkpoint 1 " + b"0" * 64 + b"\n" + archive.getvalue()
    odd = [content, damage(content, random), b"", random.randbytes(500), pickle.dumps(EVIL[0])]
    files |= {path: rest, f"reports/small/fits/{fit_id}.checkpoint": random.choice(odd)}
    return files, run_arguments("small.yaml")
