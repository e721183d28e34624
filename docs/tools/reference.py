"""Writes the pages of the reference that follow from the code: make reference

docs/reference/api.md is from the docstrings of `runner.api`, command-line.md from the parser, and components.md from
the catalog; what stands above the mark is written by hand. The pages are in git, to be read without building anything,
and a test fails if one is not what the code says.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from api_names import Public, public_names  # noqa: E402 (from beside this file)

from runner import api  # noqa: E402
from runner.cli import COMMANDS, make_parser  # noqa: E402
from runner.commands.arguments import CommandParser  # noqa: E402
from runner.commands.output import shape_text  # noqa: E402
from runner.components import documentation  # noqa: E402
from runner.components.catalog import Catalog, load_catalog  # noqa: E402
from runner.components.parameters import RegisteredComponent  # noqa: E402
from runner.components.records import KINDS  # noqa: E402
from runner.components.validation import type_name  # noqa: E402
from runner.text import yaml_value  # noqa: E402

_MARKDOWN = re.compile(r"[*<\[\]#]|(?<!\w)_|_(?!\w)")
"""What Markdown would not print as it is; within a word ``_`` is text."""
FOLDER = Path(__file__).parents[1] / "reference"
MARK = "<!-- All below is written from the code by docs/tools/reference.py: make reference -->\n\n"
HEADINGS = {
    "runner.components.hookspecs": "Hooks",
    "runner.components.protocols": "What components build",
    "runner.components.records": "Records, and types of parameters",
    "runner.network.base": "Networks",
    "runner.network.graph": "Networks",
    "runner.network.layers": "Layers",
}
"""By the module that defines a name, the heading that it stands under; all others are "Errors and helpers"."""
ORDER = ("Hooks", "Records, and types of parameters", "What components build", "Networks", "Layers")
PLURALS = {"dataset": "Data sets", "loss": "Losses"}


def api_page() -> str:
    """Every name of the interface with its signatures and its documentation."""

    def heading(public: Public) -> str:
        return HEADINGS.get(public.module, "Errors and helpers")

    names = public_names()
    headings = sorted({heading(public) for public in names}, key=lambda title: (*ORDER, title).index(title))
    parts = [f"This is version {'.'.join(map(str, api.VERSION))}.\n"]
    for title in headings:
        parts.append(f"## {title}\n")
        parts += [_public_entry(public) for public in names if heading(public) == title]
    return "\n".join(parts)


def _public_entry(public: Public) -> str:
    signatures = "\n".join(public.signatures)
    members = [f"- `{name}`: {_inline(_paragraph(text))}" for name, text in sorted(public.members.items())]
    parts = [f"### {public.name}", f"```text\n{signatures}\n```", markdown(public.documentation), "\n".join(members)]
    return "\n\n".join(filter(None, parts)) + "\n"


def command_page() -> str:
    """Every command with its arguments and examples."""
    (commands,) = (a.choices for a in make_parser()._actions if isinstance(a, argparse._SubParsersAction))
    parts = []
    for name in COMMANDS:
        parser: CommandParser = commands[name]
        parser.fill()
        rows = [(_argument(action), _help(parser, action)) for action in parser._actions if action.dest != "help"]
        lines = [line.strip() for line in (parser.epilog or "").splitlines()[1:]]
        examples = "\n".join(["```sh", *lines, "```"])
        sections = [f"## runner {name}", str(parser.description), _table(("argument", ""), rows), examples]
        parts.append("\n\n".join(sections) + "\n")
    return "\n".join(parts)


def _argument(action: argparse.Action) -> str:
    value = action.metavar or ("\\|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    if not action.option_strings:
        return f"`{value}`" if action.nargs not in ("?", "*") else f"`[{value}]`"
    return f"`{action.option_strings[-1]}`" if action.nargs == 0 else f"`{action.option_strings[-1]} {value}`"


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    choices = ", ".join(map(str, action.choices)) if action.choices else ""
    text = (action.help or "") % {"prog": parser.prog, "default": action.default, "choices": choices}
    again = "; may be given several times" if isinstance(action, argparse._AppendAction) else ""
    return _cell(text + again)


def component_page() -> str:
    """Every built-in component by kind, those of one file together."""
    catalog, parts = load_catalog(), []
    for kind in KINDS:
        parts.append(f"## {PLURALS.get(kind, f'{kind.capitalize()}s')}\n")
        entries = [entry for (k, _), entry in sorted(catalog.entries.items()) if k == kind and entry.is_ours]
        for _, group in groupby(sorted(entries, key=lambda entry: entry.module), key=lambda entry: entry.module):
            members = list(group)
            parts += [_component(catalog, entry) for entry in members]
            names = ", ".join(f"`{entry.component.name}`" for entry in members)
            parts.append(f"{names}: {markdown(documentation.notes(members[0]))}\n")
    return "\n".join(parts)


def _component(catalog: Catalog, entry: RegisteredComponent) -> str:
    rows = [_parameter(parameter.describe()) for parameter in entry.parameters.values()]
    rows += [(f"`{name}`", _cell(type_name(p.annotation)), "not set") for name, p in entry.common.items()]
    table = _table(("parameter", "allowed", "default"), rows) if rows else ""
    contents = _contents(catalog, entry) if entry.component.kind == "dataset" else ""
    parts = [f"### {entry.component.name}", markdown(documentation.docstring(entry)), table, contents]
    return "\n\n".join(filter(None, parts)) + "\n"


def _parameter(facts: dict[str, object]) -> tuple[str, str, str]:
    default = f"`{yaml_value(facts['default'])}`" if "default" in facts else "required"
    return f"`{facts['name']}`", _cell(str(facts["type"])), _cell(default)


def _contents(catalog: Catalog, entry: RegisteredComponent) -> str:
    facts = catalog.facts(entry.component.name)
    if not facts:
        return ""
    held_out = f" and {facts['test_size']:,} held out for a test" if facts["test_size"] else ""
    line = f"{facts['size']:,} images of {shape_text(facts['shape'])}{held_out}, {len(facts['class_names'])} classes"
    cite = f" Cite {facts['citation']}." if facts["citation"] else ""
    return f"{line}. Licence: {facts['licence']}.{cite}"


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [[*titles], ["---"] * len([*titles]), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def _cell(text: str) -> str:
    return _inline(text).replace("|", "\\|")


def markdown(docstring: str) -> str:
    """A docstring as Markdown: its code after ``::`` as a block of Python, its paragraphs as lines."""
    return "\n\n".join(_blocks(docstring))


def _blocks(docstring: str) -> Iterator[str]:
    is_code, code = False, []
    for block in re.split(r"\n{2,}", docstring):
        if is_code and block.startswith("    "):
            code.append(re.sub("^    ", "", block, flags=re.MULTILINE))
            continue
        if code:
            yield "```python\n" + "\n\n".join(code) + "\n```"
        is_code, code = block.endswith("::"), []
        lines = block.splitlines()
        is_list = any(line.startswith(("- ", "* ")) for line in lines)
        yield _inline(block.removesuffix(":") if is_list else _paragraph(block.removesuffix(":")))
    if code:
        yield "```python\n" + "\n\n".join(code) + "\n```"


def _paragraph(text: str) -> str:
    return " ".join(text.split())


def _inline(text: str) -> str:
    """Code between two backticks, as docstrings have it, between one; outside of it Markdown's characters as text."""
    text = re.sub(r":\w+:`([^`]*)`", r"`\1`", text.replace("``", "`"))
    parts = re.split("(`[^`]*`)", text)  # at odd places is code
    return "".join(p if i % 2 else _MARKDOWN.sub(r"\\\g<0>", p) for i, p in enumerate(parts))


PAGES = {"api.md": api_page, "command-line.md": command_page, "components.md": component_page}


def text_of(page: str) -> str:
    """The whole page as it should be: its part above the mark, and what follows from the code."""
    by_hand = (FOLDER / page).read_text().partition(MARK)[0]
    return by_hand + MARK + PAGES[page]()


def main() -> int:
    for page in PAGES:
        (FOLDER / page).write_text(text_of(page))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
