"""The code of plugins: the source files that a component is made of, with their content exactly as it was imported.

A plugin's code is every module that it imports, at once or later, directly or through others, if that module lies
outside of Python's library and of site-packages (a helper beside the file, a package of the user's, an editable
install) or in a package that provides components. Everything else counts by its version. archrunner's own modules are
left out: `planning.fits.IDENTITY` stands for them.

While code of a plugin runs, what it prints goes to standard error: standard output is for results.

A finder notes what is imported while plugins are in use. Python's compiled files (.pyc) are bypassed for this code:
they are found by size and time, and a file may be replaced by one that has the same.
"""

from __future__ import annotations

import ast
import hashlib
import io
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

INSTALLED = {"site-packages", "dist-packages"}
LIBRARY = tuple(f"{Path(sysconfig.get_path(name)).resolve()}/" for name in ("stdlib", "platstdlib"))
OURS = __name__.partition(".")[0]
PREFIX = "runner_plugin_"
"""What the full names of the modules of plugin files and folders begin with; see `siblings`."""


@dataclass(frozen=True)
class SourceFile:
    """A module's file: its path, the hash of its content, and the dotted names that its source imports anywhere."""

    path: str
    digest: str
    imports: tuple[str, ...] = ()


@dataclass
class _Recorder:
    """The finder. `files` are by module name; `packages` are the top-level packages that provide components."""

    files: dict[str, SourceFile] = field(default_factory=dict)
    packages: set[str] = field(default_factory=set)
    importing: list[str] = field(default_factory=list)
    """The plugin modules that are running now, innermost last."""
    imported: dict[str, list[str]] = field(default_factory=dict)
    """What each module imported when it ran, by whatever means: importlib's calls are not seen in a source."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        spec = self.locate(name, path)
        if spec is None or not self.covers(name, spec):
            return None
        if self.importing:
            self.imported.setdefault(self.importing[-1], []).append(name)
        # Only Python's own loader is replaced. What another one reads (pytest's, a C extension's) is hashed later.
        if type(spec.loader) is SourceFileLoader:
            spec.loader = RecordedLoader(name, spec.origin or "")
        return spec

    def locate(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        """The spec that the other finders have for a module; nothing is imported."""
        finders = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        return next((spec for finder in finders if (spec := finder.find_spec(name, path))), None)

    def covers(self, name: str, spec: ModuleSpec) -> bool:
        """Whether the module counts as the code of plugins."""
        top = name.partition(".")[0]
        if top == OURS or not spec.has_location or not spec.origin:
            return False
        return top in self.packages or top.startswith(PREFIX) or is_user_code(spec.origin)

    def find(self, name: str) -> SourceFile | None:
        """The file of a covered module, imported or not; None for any other."""
        if name not in self.files:
            loaded = sys.modules.get(name)
            spec = getattr(loaded, "__spec__", None) if loaded else self._locate_dotted(name)
            if spec is None or not self.covers(name, spec):
                return None
            self.files[name] = read_file(name, str(spec.origin), bool(spec.submodule_search_locations))
        return self.files[name]

    def _locate_dotted(self, name: str) -> ModuleSpec | None:
        parent = name.rpartition(".")[0]
        if not parent:
            return self.locate(name, None)
        loaded = sys.modules.get(parent)
        spec = getattr(loaded, "__spec__", None) if loaded else self._locate_dotted(parent)
        inside = spec.submodule_search_locations if spec else None
        return None if inside is None else self.locate(name, inside)


_recorder = _Recorder()


class RecordedLoader(SourceFileLoader):
    """Imports a module from its source and notes the content that it ran."""

    runs_plugins = True
    """By which `flow.signals` knows the frames of plugins, whose modules have this loader."""

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path)
        # Noted before it is parsed, so that a file with a syntax error is known by its content too.
        _recorder.files[fullname] = SourceFile(self.path, _digest(source))
        tree = ast.parse(source, self.path)
        names = _imported_names(tree, fullname, Path(self.path).name == "__init__.py")
        _recorder.files[fullname] = SourceFile(self.path, _digest(source), names)
        code: CodeType = compile(tree, self.path, "exec", dont_inherit=True)
        return code

    def exec_module(self, module: ModuleType) -> None:
        code, package = self.get_code(module.__name__), package_in(module.__name__)
        if package:
            from runner.components import siblings  # not for built-in components alone

            module.__dict__["__builtins__"] = siblings.builtins_of(package)
        with running(module.__name__):
            exec(code, module.__dict__)


@contextmanager
def running(module: str) -> Iterator[None]:
    """Note the modules that are imported during the context as the code of `module`, and keep its prints aside."""
    _recorder.importing.append(module)
    try:
        with aside():
            yield
    finally:
        _recorder.importing.pop()


class Silence(io.StringIO):
    """A standard output whose prints nobody is to see."""

    def write(self, text: str) -> int:
        return len(text)


def aside() -> redirect_stdout[Any]:
    """A context in which prints go to standard error, unless they are silenced."""
    return redirect_stdout(sys.stdout if isinstance(sys.stdout, Silence) else sys.stderr)


def record(packages: Sequence[str] = ()) -> None:
    """Begin to note what is imported; `packages` are top-level names of installed packages that provide components."""
    _recorder.packages.update(packages)
    if _recorder not in sys.meta_path:
        sys.meta_path.insert(0, _recorder)


def files_of(module: str) -> dict[str, SourceFile]:
    """The files of the plugin `module`'s code by module name, the plugin's own first."""
    found: dict[str, SourceFile] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop(0)
        # Of a.b.c, a and a.b run too. Where one of them is not covered, the others are not either.
        for end in range(1, name.count(".") + 2):
            part = ".".join(name.split(".")[:end])
            if part in found:
                continue
            file = _recorder.find(part)
            if file is None:
                if _has_file(part):
                    break
                continue  # a namespace package has no file of its own
            found[part] = file
            waiting += [*file.imports, *_recorder.imported.get(part, ())]
    return found


def edited() -> list[str]:
    """The paths of imported plugin code whose files have changed, or have gone, since they were imported."""
    return sorted(file.path for file in _recorder.files.copy().values() if _file_digest(file.path) != file.digest)


def differing(planned: Mapping[str, str]) -> list[str]:
    """The paths of imported code whose content is not that of `planned`, hashes by path."""
    # A copy, which is made in one step: other threads import libraries meanwhile.
    for name, module in sys.modules.copy().items() if planned else ():
        # Imported before `record`: by the script that is being run, say.
        if getattr(module, "__file__", None) in planned and name not in _recorder.files:
            _recorder.find(name)
    return sorted(
        {f.path for f in _recorder.files.copy().values() if f.path in planned and f.digest != planned[f.path]}
    )


def forget() -> None:
    """Forget all plugin code, so that it is imported again."""
    for name in {*_recorder.files, *(name for name in [*sys.modules] if name.startswith(PREFIX))}:
        sys.modules.pop(name, None)
    _recorder.files.clear()
    _recorder.imported.clear()


@lru_cache(maxsize=1024)  # as a function may import something each time that it is called
def is_installed(name: str) -> bool:
    """Whether a top-level module of this name is part of Python, of an installed distribution, or ours."""
    if name == OURS or name in sys.stdlib_module_names:
        return True
    spec = _recorder.locate(name, None)
    return spec is not None and spec.origin is not None and not is_user_code(spec.origin)


def package_in(module: str) -> str:
    """The package at the start of a module's full name; "" if the module is not one of a plugin's folder."""
    first = module.partition(".")[0]
    return first if first.startswith(PREFIX) else ""


def short_name(module: str) -> str:
    """The module's name within its folder: it does not change if the folder moves."""
    return module.removeprefix(f"{package_in(module)}.")


def is_user_code(path: str) -> bool:
    """Whether the file belongs neither to Python's library nor to an installed distribution."""
    file = Path(path)
    return file.is_absolute() and not INSTALLED & set(file.parts) and not str(file.resolve()).startswith(LIBRARY)


def read_file(name: str, path: str, is_package: bool = False) -> SourceFile:
    """The file as it is now, with the names that it imports if it is Python source."""
    try:
        content = Path(path).read_bytes()
        tree = ast.parse(content) if path.endswith(".py") else ast.Module([], [])
    except (OSError, SyntaxError, ValueError):
        return SourceFile(path, _file_digest(path))
    return SourceFile(path, _digest(content), _imported_names(tree, name, is_package))


def _imported_names(tree: ast.AST, module: str, is_package: bool) -> tuple[str, ...]:
    """The dotted names that the source of `module` imports, within functions too."""
    package, beside = module if is_package else module.rpartition(".")[0], package_in(module)
    names: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= dict.fromkeys(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # `from a import b` may import the module a.b; if b is only a name within a, no file is found for it.
            names |= dict.fromkeys([base, *(f"{base}.{alias.name}" for alias in node.names)])
    found = tuple(name for name in names if name and not name.startswith("."))
    if not beside:
        return found
    from runner.components.siblings import resolve  # not for built-in components alone

    return tuple(resolve(name, beside) for name in found)


def _has_file(name: str) -> bool:
    loaded = sys.modules.get(name)
    spec = getattr(loaded, "__spec__", None) if loaded else _recorder._locate_dotted(name)
    return spec is None or spec.origin is not None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _file_digest(path: str) -> str:
    try:
        return _digest(Path(path).read_bytes())
    except OSError:
        return ""
