"""Help that can be read in a narrow terminal, and one line for each way of mistyping an argument."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
from command import TINY, Command

from runner.cli import COMMANDS, main


@pytest.mark.parametrize("columns", ["50", "80", "120"])
def test_help_fits_the_terminal(columns: str, here: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for command in (["help"], ["--help"], *([name, "--help"] for name in COMMANDS)):
        done = here(*command)
        assert (done.returncode, done.stderr) == (0, ""), command
        too_long = [line for line in done.stdout.splitlines() if len(line) > int(columns)]
        # A path in a command, and a choice in a usage, cannot be broken.
        assert not [line for line in too_long if " " in line.strip()], command
        assert "examples:\n  " in done.stdout


def test_the_command_alone_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        main([])
    printed = capsys.readouterr()
    assert not ending.value.code and not printed.err
    assert printed.out.startswith("usage: runner [-h]") and "runner run study.yaml --workers 4" in printed.out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_a_command_can_be_typed(name: str, here: Command) -> None:
    """Each is read without a complaint about its arguments; continued lines are one command to a shell."""
    for line in import_module(f"runner.commands.{name}").EXAMPLES:
        found = re.search(r"runner ([^)>#]*)", line)
        assert found
        words = shlex.split(found[1])
        assert words[0] == name
        assert here(*words, "--nope").stderr.startswith(f"runner {name}: unknown option '--nope'")


WRONG = r"""
runn                                 => runner: COMMAND: unknown 'runn'; did you mean 'run'?
--hlep                               => runner: unknown option '--hlep'; did you mean '--help'?
help plann                           => runner: COMMAND: unknown 'plann'; did you mean 'plan'?
''                                   => runner: COMMAND: unknown ''; allowed: compare
run                                  => runner run: missing: FILE; for example: runner run study.yaml
compare a                            => runner compare: missing: B; for example: runner compare study
run a.yaml b.yaml                    => runner run: one argument too many: 'b.yaml'
run a.yaml --workers                 => runner run: --workers needs a value: --workers N
run a.yaml --only                    => runner run: --only needs a value: --only failed
run a.yaml --workers ''              => runner run: argument --workers: found ''; allowed: 1 or more
run a.yaml --workers two             => runner run: argument --workers: found 'two'; allowed: 1 or more
run a.yaml --workers 2 --workers=3   => runner run: --workers is given 2 times; expected once
run a.yaml --executor serial --executor serial => runner run: --executor is given 2 times; expected once
run a.yaml --reports ''              => runner run: argument --reports: found ''; expected a value
run a.yaml --tracking-uri ' '        => runner run: argument --tracking-uri: found ' '; expected a value
run a.yaml --publish-wait soon       => runner run: argument --publish-wait: found 'soon'; allowed: seconds, 0 or more
run a.yaml --only faild              => runner run: --only: unknown 'faild'; did you mean 'failed'?
run a.yaml --dryrun                  => runner run: unknown option '--dryrun'; did you mean '--dry-run'?
plan a.yaml --json=yes               => runner plan: --json takes no value; found 'yes'
plan tiny.yaml --set ''              => --set : expected PATH=VALUE, such as training.epochs=3
plan tiny.yaml --set training..epochs=1 => --set training..epochs=1: expected PATH=VALUE
plan tiny.yaml --set seed=           => --set seed=: seed: found nothing; expected a whole number
plan tiny.yaml --set trainin.epochs=1 => --set trainin.epochs=1: trainin: unknown key 'trainin'; did you mean 'train
plan tiny.yaml --set seed=1 --set seed=2 => --set seed=2: 'seed' is set twice
plan tiny.yaml --set seed=1 --set ' seed =2' => --set seed =2: 'seed' is set twice
report tiny --format html,,csv       => --format: unknown ''; allowed: csv, html, md, png, tex
report tiny --format HTML            => --format: unknown 'HTML'; did you mean 'html'? allowed: csv
compare a b --out ''                 => runner compare: argument --out: found ''; expected a value
plugins --plugin ''                  => --plugin : no file ''
plugins --plugin tiny.yaml           => TINY is not a Python file (its name must end in .py)
run tiny.yaml --tracking-uri no     => --tracking-uri: found 'no'; expected an address, such as
ui --port 99999                      => runner ui: argument --port: found '99999'; allowed: 1 to 65535
ui --port http                       => runner ui: argument --port: found 'http'; allowed: 1 to 65535
ui --host ''                         => runner ui: argument --host: found ''; expected a value
describe                             => runner describe: missing: NAME; for example: runner describe stages
describe my_block                    => unknown component 'my_block'; see runner plugins; one of a plugin's file needs
describe ''                          => unknown architecture ''; allowed: alexnet
describe adam --set                  => runner describe: --set needs a value: --set KEY=VALUE
describe stages --input 0x2x2        => runner describe: argument --input: found '0x2x2'; expected channels x height
describe shift --dataset ''          => unknown dataset ''; allowed: cifar10
completion                           => runner completion: missing: SHELL; for example: eval "$(runner completion bash)"
completion tcsh                      => runner completion: SHELL: unknown 'tcsh'; did you mean 'zsh'? allowed: bash
"""


def test_a_wrong_argument_is_one_line_with_what_is_right(tmp_path: Path, here: Command) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "reports" / "tiny").mkdir(parents=True)
    wrong = []
    for given, expected in (re.split(r"\s+=> ", line) for line in WRONG.strip().splitlines()):
        done = here(*shlex.split(given))
        starts = done.stderr.startswith(expected.replace("TINY", str(tmp_path / "tiny.yaml")))
        if (done.returncode, done.stdout, done.stderr.count("\n"), starts) != (2, "", 1, True):
            wrong.append(f"{given}: {done.returncode} {done.stdout[:100]!r} {done.stderr!r}")
    assert not wrong, "\n".join(wrong)
