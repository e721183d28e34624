"""Where a plugin is: the file, or the folder with an ``__init__.py``, that an experiment or an option names."""

from __future__ import annotations

from pathlib import Path

from runner.errors import PluginError
from runner.text import did_you_mean


def find_plugin(text: str, folder: Path | None = None, where: str = "") -> Path:
    """The absolute path of the plugin `text`, relative to `folder`; raises PluginError with the reason without one.

    `where` describes the folder in the message. An ``__init__.py`` stands for its folder.
    """
    folder = folder or Path()
    try:
        path = (folder / Path(text).expanduser()).resolve()
    except RuntimeError:
        user = text[1:].partition("/")[0]
        raise PluginError(f"no file '{text}'; there is no user '{user}' with a home folder") from None
    if text and path.is_dir():
        return _checked_folder(text, path)
    if path.is_file():
        return path.parent if path.name == "__init__.py" else path
    if "$" in text:
        raise PluginError(f"no file '{text}'; a variable is written ${{NAME}}, in the experiment's file")
    raise PluginError(f"no file '{text}'{where}{did_you_mean(text, _near(path, folder))}")


def _checked_folder(text: str, path: Path) -> Path:
    if (path / "__init__.py").is_file():
        return path
    files = [f"{text.rstrip('/')}/{file.name}" for file in sorted(path.glob("*.py"))]
    instead = f", or list its files: {', '.join(files[:5])}" if files else ""
    cure = "add one that imports the files with hooks (from . import my_block)"
    raise PluginError(f"'{text}' is a folder without an __init__.py; {cure}{instead}")


def _near(path: Path, folder: Path) -> list[str]:
    """The plugins beside a path that does not exist, and in the folder that it starts from."""
    folder = folder.resolve()
    found = {file for place in (path.parent, folder) if place.is_dir() for file in place.glob("*.py")}
    found |= {file.parent for place in (path.parent, folder) if place.is_dir() for file in place.glob("*/__init__.py")}
    return [f"./{file.relative_to(folder)}" if file.is_relative_to(folder) else str(file) for file in found]
