"""Files beside a plugin: every folder of plugins is a package of its own, in which its files find each other.

``from . import helper`` in a plugin's file is the file beside it. So is ``import helper``, at the top or in a function,
unless Python's library or an installed package has that name. The full names of these modules begin with the package
of their folder, so that two folders, each with a ``helper.py``, share nothing.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import os
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from runner.components.plugin_code import PREFIX, RecordedLoader, is_installed

_FOLDERS: dict[str, Path] = {}
"""The folders by the names of their packages."""
_PACKAGE = re.compile(rf"{PREFIX}[0-9a-f]{{12}}(\.)?")


def package_of(folder: Path) -> str:
    """The name in sys.modules of the package that `folder` is; its ``__init__.py``, if there is one, is not run."""
    name = PREFIX + hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    _FOLDERS[name] = folder
    if name not in sys.modules:
        module, spec = ModuleType(name), ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = module.__path__ = [str(folder)]
        module.__spec__, module.__package__ = spec, name
        sys.modules[name] = module
    return name


def module_name(file: Path) -> str:
    """The name in sys.modules of the plugin `file`, or of the folder if `file` is one."""
    if file.is_dir():
        return package_of(file)
    stem = file.stem
    if not stem.isidentifier():  # no statement can import it, and a dot would make it a part of another module
        stem = re.sub(r"\W", "_", f"{stem}_{hashlib.sha256(os.fsencode(file.name)).hexdigest()[:12]}")
    return f"{package_of(file.parent)}.{stem}"


def readable(message: str) -> str:
    """A message of Python's about imports, without the names of the packages."""
    return _PACKAGE.sub(lambda found: "" if found[1] else "the folder", message)


def resolve(name: str, package: str) -> str:
    """The full name of what ``import name`` means in a module of `package`; `name` itself if that is no file beside."""
    return f"{package}.{name}" if package and _is_beside(name.partition(".")[0], package) else name


def _is_beside(name: str, package: str) -> bool:
    file = _FOLDERS[package] / name
    is_there = file.with_name(f"{name}.py").is_file() or (file / "__init__.py").is_file()
    return is_there and not is_installed(name)


@lru_cache(maxsize=64)
def builtins_of(package: str) -> dict[str, Any]:
    """Python's built-in names for the modules of a package: its ``__import__`` looks beside them."""
    return {**vars(builtins), "__import__": _importer(package)}


def _importer(package: str) -> Callable[..., ModuleType]:
    def import_(
        name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> ModuleType:  # Python's own parameters, some of which are passed by name
        full = resolve(name, package) if level == 0 else name
        if full != name:
            package_of(_FOLDERS[package])  # for an object that has outlived `forget`
        if full == name or fromlist:
            return builtins.__import__(full, globals, locals, fromlist, level)
        importlib.import_module(full)
        # `import a.b` binds a.
        return sys.modules[f"{package}.{name.partition('.')[0]}"]

    return import_


def import_file(path: Path) -> ModuleType:
    """The module of a plugin file, or of the ``__init__.py`` of a plugin folder; it runs once in a process.

    Raises whatever its code raises.
    """
    name, file = module_name(path), path / "__init__.py" if path.is_dir() else path
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None):
        return loaded
    inside = [str(path)] if path.is_dir() else None
    spec = spec_from_file_location(
        name, file, loader=RecordedLoader(name, str(file)), submodule_search_locations=inside
    )
    assert spec is not None and spec.loader is not None
    before = sys.modules.get(name)
    module = module_from_spec(spec)
    sys.modules[name] = module  # before it runs, as dataclasses and pickle look their module up by name
    # As an import does: by it, Python's message about a name that is missing says that there is a circle.
    spec._initializing = True  # type: ignore[attr-defined]
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        if before is not None:
            sys.modules[name] = before
        raise
    finally:
        spec._initializing = False  # type: ignore[attr-defined]
    return module


def modules_in(folder: Path) -> list[ModuleType]:
    """The modules below a plugin folder that were imported, its own first."""
    package = package_of(folder)
    below = [module for name, module in sys.modules.copy().items() if name.startswith(f"{package}.")]
    return [sys.modules[package], *sorted(below, key=lambda module: module.__name__)]
