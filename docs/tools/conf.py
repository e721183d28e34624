"""The documentation as a site: Sphinx over the pages as they are in the repository, from its root. make docs

Links between pages are those of the files, so that they work on the site, in an editor and where the repository is
browsed. What Sphinx needs beyond that is added while it reads: the table of contents, from the folders, and notebooks.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from myst_parser.parsers.sphinx_ import MystParser

ROOT = Path(__file__).parents[2]

project = "archrunner"
extensions = ["myst_parser"]
root_doc = "docs/README"
include_patterns = [
    "*.md", "docs/*.md", "docs/**/*.md", "docs/tutorials/*.ipynb", "experiments/README.md", "reports/README.md",
    "reports/gallery/*/report.md",
]  # fmt: skip
exclude_patterns = [".*", "build", "dist", "tests", "findings"]
html_theme = "furo"
html_title = project
html_copy_source = False
myst_heading_anchors = 4

CONTENTS = {
    "Tutorials": ["tutorials/*"],
    "How-to guides": ["how-to/*"],
    "Reference": ["reference/*"],
    "Explanation": ["explanation/*"],
    "Decisions": ["decisions/README", "decisions/0*"],
    "Reports": ["/experiments/README", "/reports/README", "/reports/gallery/*/report"],
    "The project": ["/README", "/CONTRIBUTING", "/SECURITY", "/CHANGELOG"],
}
"""The headings of the table of contents, and what stands under each."""


class Notebook(MystParser):
    """A Jupyter notebook as the Markdown of its cells."""

    supported = ("ipynb",)

    def parse(self, inputstring: str, document: Any) -> None:
        super().parse("\n\n".join(map(_cell, json.loads(inputstring)["cells"])), document)


def _cell(cell: dict[str, Any]) -> str:
    source = "".join(cell["source"])  # their output stays out of git
    return f"```python\n{source}\n```" if cell["cell_type"] == "code" else source


def _before_reading(app: Any, page: str, source: list[str]) -> None:
    """Add the table of contents to the first page, and say in MyST's words what a link leads to.

    A link to a folder leads to the page that the folder has, and an anchor in HTML is a target.
    """
    folder = (ROOT / page).parent

    def page_of(link: re.Match[str]) -> str:
        return f"]({link[1]}README.md)" if (folder / link[1] / "README.md").is_file() else link[0]

    source[0] = re.sub(r"\]\(([^):#]+/)\)", page_of, source[0])
    source[0] = re.sub(r'^<a id="([\w-]+)"></a>', r"(\1)=\n", source[0], flags=re.MULTILINE)
    if page == root_doc:
        for title, pages in CONTENTS.items():
            listed = "\n".join(pages)
            source[0] += f"\n\n```{{toctree}}\n:hidden:\n:glob:\n:caption: {title}\n\n{listed}\n```\n"


def _begin_at_the_contents(app: Any, error: Exception | None) -> None:
    """Let the site's own address lead to its first page."""
    if error is None:
        page = f"{root_doc}.html"
        link = f'<meta http-equiv="refresh" content="0; url={page}"><a href="{page}">{project}</a>'
        (Path(app.outdir) / "index.html").write_text(f"<!doctype html>\n<title>{project}</title>\n{link}\n")


def setup(app: Any) -> None:
    app.add_source_suffix(".ipynb", "ipynb")
    app.add_source_parser(Notebook)
    app.connect("source-read", _before_reading)
    app.connect("build-finished", _begin_at_the_contents)
