"""Plugins: modules of a user's own that register data sets, rules, rewards, faults and signals.

A plugin is a dotted module or the path of a ``.py`` file. It is imported before a name is looked
up, once in every process. Importing a module runs its code.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from marl_stl_env.errors import PluginError
from marl_stl_env.registry import temporary_registrations, undone_on_error

#: Package under which the files of plugins are known to this process.
_PACKAGE = "marl_stl_plugins"


@dataclass(frozen=True)
class Plugin:
    """An imported plugin.

    Attributes:
        name: The dotted module or the absolute path, as configurations hold it.
        file: The file that was imported.
        sha256: Its digest.
    """

    name: str
    file: Path
    sha256: str

    @property
    def stem(self) -> str:
        """Its name without folders and packages: what stays when the file is moved."""
        return self.file.stem if self.file.stem != "__init__" else self.file.parent.name


_IMPORTED: dict[str, Plugin] = {}


@contextmanager
def temporary_plugins() -> Iterator[None]:
    """Forget at the end of a block what it registers and which plugins it imports."""
    before = dict(_IMPORTED)
    try:
        with temporary_registrations():
            yield
    finally:
        for name in _IMPORTED.keys() - before.keys():
            sys.modules.pop(_module_name(_IMPORTED[name]), None)
        _IMPORTED.clear()
        _IMPORTED.update(before)


def is_file(name: str) -> bool:
    """Whether a plugin is named by the path of its file."""
    return name.endswith(".py") or "/" in name


def canonical(name: str) -> str:
    """A plugin's name that means the same from anywhere: paths become absolute.

    Raises:
        PluginError: If it is no name of a module and no path.
    """
    if is_file(name):
        return str(Path(name).expanduser().absolute())
    if not all(part.isidentifier() for part in name.split(".")):
        raise PluginError(
            f"plugin {name!r} is neither a dotted module, such as my_package.rules, nor the path "
            "of a .py file"
        )
    return name


def load_plugins(names: Iterable[str]) -> tuple[Plugin, ...]:
    """Import plugins that this process has not imported yet.

    Args:
        names: Dotted modules or paths of ``.py`` files.

    Returns:
        What was imported, now or before.

    Raises:
        PluginError: If one is not there, fails, or registers a name that is taken.
    """
    return tuple(_load(canonical(name)) for name in names)


def find_plugin(name: str) -> Plugin:
    """A plugin as this process has imported it, or as it would import it now; nothing is run.

    Raises:
        PluginError: If it is not there.
    """
    name = canonical(name)
    if name in _IMPORTED:
        return _IMPORTED[name]
    file = _locate(name)
    return Plugin(name, file, _digest(file))


def _load(name: str) -> Plugin:
    plugin = find_plugin(name)
    if name in _IMPORTED:
        return plugin
    if not _is_imported(plugin):
        with undone_on_error():
            _run(plugin)
    _IMPORTED[name] = plugin
    return plugin


def _is_imported(plugin: Plugin) -> bool:
    """Whether the same was imported under another name: as a copy, or as the script that runs."""
    if any(one.sha256 == plugin.sha256 for one in _IMPORTED.values()):
        return True
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return any(file and Path(file).absolute() == plugin.file for file in files)


def _locate(name: str) -> Path:
    """The file of a plugin."""
    if is_file(name):
        if not Path(name).is_file() or not name.endswith(".py"):
            raise PluginError(f"plugin {name}: there is no such .py file; correct the path")
        return Path(name)
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError) as error:
        raise _not_found(name) from error
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise _not_found(name)
    return Path(spec.origin)


def _not_found(name: str) -> PluginError:
    return PluginError(
        f"plugin {name!r}: Python finds no such module; install it, add its folder to PYTHONPATH, "
        f"or give the path of its file, such as ./{name.rpartition('.')[2]}.py"
    )


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise PluginError(f"plugin {file} cannot be read: {error.strerror}") from None


def _module_name(plugin: Plugin) -> str:
    return f"{_PACKAGE}.{plugin.file.stem}" if is_file(plugin.name) else plugin.name


def _run(plugin: Plugin) -> None:
    """Import a plugin.

    Raises:
        PluginError: Whatever it raises, with its line.
    """
    module_name = _module_name(plugin)
    try:
        if is_file(plugin.name):
            _run_file(module_name, plugin.file)
        else:
            importlib.import_module(module_name)
    except Exception as error:
        sys.modules.pop(module_name, None)
        problem = f"{type(error).__name__}: {error}"
        raise PluginError(
            f"plugin {plugin.name} fails{_line_in(plugin.file, error)}: {problem}; correct it and "
            "try again"
        ) from error


def _run_file(module_name: str, file: Path) -> None:
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported")
    sys.modules.setdefault(_PACKAGE, ModuleType(_PACKAGE))
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)


def _line_in(file: Path, error: Exception) -> str:
    """The innermost line of the plugin's own file in a traceback, as " in line 3"."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f" in line {error.lineno}"
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return "" if line is None else f" in line {line}"
