"""Records `runner.api` in docs/reference/api.json, if the rule of deprecation allows it: make reference

The test of the record fails as soon as the code differs from it. This program refuses to record a change for which
`runner.api.VERSION` has not been raised, so that nothing changes for plugins by accident.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from api_names import public_names  # noqa: E402 (from beside this file)

from runner import api  # noqa: E402

RECORD = Path(__file__).parents[1] / "reference" / "api.json"


def current() -> dict[str, Any]:
    """The interface as the code has it."""
    return {"version": list(api.VERSION), "names": {public.name: list(public.signatures) for public in public_names()}}


def recorded() -> dict[str, Any]:
    """The interface as it was recorded last; {} if it never was."""
    content: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    return content


def refusal(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Why `new` may not replace `old`; "" if it may.

    What is gone, or is no longer called as it was, needs a new major version; what is new, a new minor one.
    """
    if not old:
        return ""
    before, now = _by_callable(old), _by_callable(new)
    gone = sorted(line for key, line in before.items() if not _still_works(line, now.get(key, "")))
    added = sorted(line for key, line in now.items() if before.get(key) != line and line not in gone)
    if gone and new["version"][0] <= old["version"][0]:
        return f"gone or changed, which needs a new major version: {'; '.join(gone)}"
    if added and new["version"] <= old["version"]:
        return f"new, which needs a new minor version: {'; '.join(added)}"
    return ""


def _by_callable(record: dict[str, Any]) -> dict[str, str]:
    """Each signature by what it is the signature of."""
    lines = (line for lines in record["names"].values() for line in lines)
    return {re.split(r"[(:=]", line, maxsplit=1)[0].strip(): line for line in lines}


def _still_works(old: str, new: str) -> bool:
    """Whether what is written by the signature `old` is right by `new`: equal, or with further optional parameters."""
    if old == new:
        return True
    before, now = _parameters(old), _parameters(new)
    if not before or not now:
        return False
    (ordered, named, rest), (ordered_now, named_now, rest_now) = before, now
    further = [*ordered_now[len(ordered) :], *(item for item in named_now if item not in named)]
    works = ordered_now[: len(ordered)] == ordered and all(item in named_now for item in named) and rest == rest_now
    return works and all(default is not None for _, default in further)


def _parameters(line: str) -> tuple[list[Any], list[Any], list[Any]] | None:
    """The parameters by position, those by name, each with its default, and all else; None if it is no signature."""
    try:
        (function,) = ast.parse(f"def f({line.partition('(')[2]}: pass").body
    except SyntaxError:
        return None
    assert isinstance(function, ast.FunctionDef)
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    defaults = [*[None] * (len(positional) - len(given.defaults)), *given.defaults]
    rest = [part and ast.unparse(part) for part in (given.vararg, given.kwarg, function.returns)]

    def pairs(names: list[ast.arg], values: Any) -> list[Any]:
        return [(ast.unparse(n), v and ast.unparse(v)) for n, v in zip(names, values, strict=True)]

    return pairs(positional, defaults), pairs(given.kwonlyargs, given.kw_defaults), rest


def main() -> int:
    reason = refusal(recorded(), current())
    if reason:
        print(f"runner.api.VERSION is {api.VERSION}; {reason}", file=sys.stderr)
        return 1
    RECORD.write_text(json.dumps(current(), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
