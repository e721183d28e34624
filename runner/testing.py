"""For the tests of a plugin's author: a suite that tries every component of the plugin, as `runner plan` does.

In a file beside the plugin, ``test_my_block.py``, for pytest::

    from runner.testing import PluginSuite

    class TestMyBlock(PluginSuite):
        plugin = "my_block.py"

Each component is a test of its own. The built-in components are tested with the same suite.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from runner.conformance.plugin_check import Checked, check_component, find
from runner.errors import RunnerError
from runner.text import did_you_mean, nearest

SETTINGS = ("plugin", "parameters", "engine")


class PluginSuite:
    """A suite to inherit: one test per component of `plugin`, and per set of `parameters` to try it with.

    `plugin` is the path of a plugin file or folder, relative to the file of the test, or an installed package's name.
    `parameters` has, by the name of a component, the sets of parameters to try it with instead of its defaults.
    `engine` is the one that components have to work on, "numpy" or "torch"; "" for both.
    """

    plugin: ClassVar[str | Path]
    parameters: ClassVar[Mapping[str, Sequence[Mapping[str, Any]]]] = {}
    engine: ClassVar[str] = ""

    @classmethod
    def cases(cls) -> list[tuple[str, str, Mapping[str, Any]]]:
        """(kind, name, parameters) of every component that is tried; raises RunnerError for a suite that tries less."""
        cls._refuse_misspelt()
        keys = [(entry.component.kind, entry.component.name) for entry in find(cls._plugin())[1]]
        for name, sets in cls.parameters.items():
            names = [key[1] for key in keys]
            # Suites of several plugins may share their parameters, so only a likely misspelling is refused.
            if name not in names and nearest(name, names, 0.7):
                known = did_you_mean(name, names)
                raise RunnerError(f"{cls.__name__}.parameters: {cls.plugin} has no component '{name}'{known}")
            if isinstance(sets, Mapping) or not sets or not all(isinstance(given, Mapping) for given in sets):
                raise RunnerError(f"{cls.__name__}.parameters: '{name}' needs a list of mappings, such as [{{}}]")
        return [(*key, given) for key in keys for given in cls.parameters.get(key[1], [{}])]

    @classmethod
    def check(cls, kind: str, name: str, given: Mapping[str, Any]) -> Checked:
        """One component tried with the parameters `given`: its faults, if any, are in `faults`."""
        catalog, _ = find(cls._plugin())
        return check_component(catalog, catalog.find(kind, name), given, cls.engine)

    @classmethod
    def _refuse_misspelt(cls) -> None:
        """Raise RunnerError if an attribute of the suite is missing, misspelt or unknown: it would try less."""
        for name in vars(cls):
            if name not in SETTINGS and (meant := nearest(name, SETTINGS, 0.8)):
                raise RunnerError(f"{cls.__name__}.{name}: did you mean '{meant}'?")
        if not hasattr(cls, "plugin"):
            raise RunnerError(f'{cls.__name__} names no plugin; write plugin = "my_block.py", the file beside it')
        if cls.engine not in ("", "numpy", "torch"):
            raise RunnerError(f"{cls.__name__}.engine: found {cls.engine!r}; allowed: 'numpy', 'torch', '' for both")

    @classmethod
    def _plugin(cls) -> str:
        beside = Path(inspect.getfile(cls)).parent / cls.plugin
        return str(beside if beside.is_file() or (beside / "__init__.py").is_file() else cls.plugin)

    # pytest calls this for a class as for a module; pytest itself need not be installed to use the rest.
    def pytest_generate_tests(self, metafunc: Any) -> None:
        if "kind" in metafunc.fixturenames:
            cases = self.cases()
            names = [" ".join([kind, name, *(f"{k}={v}" for k, v in given.items())]) for kind, name, given in cases]
            metafunc.parametrize(("kind", "name", "given"), cases, ids=names)

    def test_component(self, kind: str, name: str, given: Mapping[str, Any]) -> None:
        """The component keeps the promises of its kind: docs/reference/plugins.md says which."""
        checked = self.check(kind, name, given)
        uneven = not checked.alike and not self.engine
        if faults := (*checked.faults, *(checked.notes if uneven else ())):
            raise AssertionError("\n".join(faults))
        for note in checked.notes if checked.alike else ():
            warnings.warn(note, stacklevel=2)  # which pytest lists, as it is allowed
        if checked.skipped:
            raise AssertionError(f"{kind} {name} was not tried: {checked.skipped}; name them in `parameters`")
