"""Completion in the shells themselves: what a user gets who types a part of a word and presses the tab key."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from command import RUNNER, environment

CASES = {
    "runner comp": ["compare", "completion"],
    "runner report al": ["alpha"],
    "runner report sub/../reports/b": ["sub/../reports/beta/"],
    "runner run stu": ["study.yaml"],
    "runner run study.yaml --executor ": ["process", "serial", "ray"],
    "runner run study.yaml --workers ": [],
    "runner describe ada": ["adagrad", "adam", "adamw"],
    "runner describe --kind architecture len": ["lenet5"],
    "runner plugins --plugin my": ["my_block.py"],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two studies, an experiment and a plugin, which is also the home of whoever types."""
    for name in ("alpha", "beta"):
        (tmp_path / "reports" / name).mkdir(parents=True)
        (tmp_path / "reports" / name / "plan.yaml").touch()
    (tmp_path / "sub").mkdir()
    for name in ("study.yaml", "my_block.py", "notes.txt"):
        (tmp_path / name).touch()
    return tmp_path


def variables(folder: Path) -> dict[str, str]:
    path = f"{RUNNER.parent}:{os.environ['PATH']}"
    return environment() | {"HOME": str(folder), "PATH": path, "TERM": "dumb", "PS1": "$ ", "LC_ALL": "C.UTF-8"}


def need(shell: str) -> str:
    found = shutil.which(shell)
    if not found:
        pytest.skip(f"{shell} is not installed")
    return found


def lines_of(folder: Path, *command: str) -> list[str]:
    done = subprocess.run(command, cwd=folder, env=variables(folder), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.splitlines()


def test_bash_offers_what_fits(folder: Path) -> None:
    """By the function that bash calls, with the variables that it sets."""
    ask = [
        'eval "$(runner completion bash)"',
        'ask() { COMP_LINE=$1 COMP_POINT=${#1}; COMPREPLY=(); _python_argcomplete runner; echo "$1|${COMPREPLY[*]}"; }',
        *(f"ask {shlex.quote(line)}" for line in CASES),
    ]
    printed = lines_of(folder, need("bash"), "--norc", "--noprofile", "-c", "\n".join(ask))
    # A unique completion ends in a space, as the next word may begin.
    found = {line: answer.replace(" \v", "\v").split() for line, _, answer in (text.partition("|") for text in printed)}
    assert found == CASES


def test_fish_offers_what_fits(folder: Path) -> None:
    ask = ["runner completion fish | source"]
    ask += [f"echo 'ask {line}|'; complete -C {shlex.quote(line)}" for line in CASES]
    found: dict[str, list[str]] = {}
    for text in lines_of(folder, need("fish"), "--no-config", "-c", "\n".join(ask)):
        if text.startswith("ask "):
            answers = found.setdefault(text[4:-1], [])
        else:
            answers.append(text.split("\t")[0])
    assert {line: sorted(answers) for line, answers in found.items()} == CASES


def typed(folder: Path, shell: list[str], setup: str, keys: str, expected: str) -> str:
    """What a terminal shows after `keys`; reads until `expected` is there."""
    process, descriptor = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execve(shell[0], shell, variables(folder))
    shown, until = "", time.monotonic() + 60
    try:
        os.write(descriptor, f"{setup}; echo rea''dy\n".encode())
        for awaited, answer in (("ready\r\n", keys), (expected, "")):
            while awaited not in shown and time.monotonic() < until:
                if select.select([descriptor], [], [], 1)[0]:
                    shown += os.read(descriptor, 65536).decode(errors="replace")
                    shown = shown.replace(" \b", "")  # zsh writes a space after each word and goes back
            os.write(descriptor, answer.encode())
    finally:
        os.close(descriptor)  # the terminal is closed, which ends the shell
        os.waitpid(process, 0)
    return shown


@pytest.mark.parametrize(
    ("shell", "setup"),
    [
        (["bash", "--norc", "--noprofile", "-i"], 'eval "$(runner completion bash)"'),
        (["zsh", "-f", "-i"], 'autoload -Uz compinit; compinit -u -D; eval "$(runner completion zsh)"'),
    ],
    ids=["bash", "zsh"],
)
def test_the_tab_key_completes_a_word(shell: list[str], setup: str, folder: Path) -> None:
    command = [need(shell[0]), *shell[1:]]
    keys = "runner rep\talp\t--form\thtml,cs\tx"
    expected = "runner report alpha --format html,csv x"
    shown = typed(folder, command, setup, keys, expected)
    assert expected in shown, shown
