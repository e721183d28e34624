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
from pathlib import Path
from types import ModuleType
from typing import Any

PREFIX = "runner_plugin_"
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


def package_in(module: str) -> str:
    """The package at the start of a module's full name; "" if the module is not one of a plugin's folder."""
    first = module.partition(".")[0]
    return first if first.startswith(PREFIX) else ""


def short_name(module: str) -> str:
    """The module's name within its folder: it does not change if the folder moves."""
    return module.removeprefix(f"{package_in(module)}.")


def readable(message: str) -> str:
    """A message of Python's about imports, without the names of the packages."""
    return _PACKAGE.sub(lambda found: "" if found[1] else "the folder", message)


def resolve(name: str, package: str) -> str:
    """The full name of what ``import name`` means in a module of `package`; `name` itself if that is no file beside."""
    return f"{package}.{name}" if package and _is_beside(name.partition(".")[0], package) else name


@lru_cache(maxsize=1024)  # as a function may import something each time that it is called
def _is_beside(name: str, package: str) -> bool:
    file = _FOLDERS[package] / name
    if not (file.with_name(f"{name}.py").is_file() or (file / "__init__.py").is_file()):
        return False
    from runner.components.plugin_code import is_installed  # which builds on this module

    return not is_installed(name)


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


def forget() -> None:
    """Forget every module of every folder, so that it is imported again."""
    for name in [name for name in sys.modules if name.startswith(PREFIX)]:
        del sys.modules[name]
    _is_beside.cache_clear()
