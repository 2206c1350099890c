"""The loaders of data sets by name: the project's own, and those that users register."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar, overload

from marl_stl_env.data.info import Dataset
from marl_stl_env.data.ingest.build import Format
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import PluginError
from marl_stl_env.registry import Registry, blamed, describe

#: Column of new traffic that says what is a threat, where a data set is a function.
LABEL = "label"


class TableFunction(Protocol):
    """A data set as a function: the usual way to register one.

    Its parameters are the options of the data set, with defaults where they may be left out;
    annotated ones are checked. It is called once for each choice of options, and must give the
    same table every time.
    """

    def __call__(self, **options: Any) -> TrafficTable:
        """The raw table: not scaled, categories as codes; in time order if it has times."""


class DatasetLoader(Protocol):
    """A data set that is read from files into the cache, as a module or an object.

    Parameters of ``files`` and ``load`` beside the stated ones are the options of the data set;
    ``written`` takes some of them.
    """

    DATASET: Dataset

    def files(self, data_dir: Path | str | None, /) -> tuple[Path, ...]:
        """The files to read; none for a table that is made in memory."""

    def load(self, paths: tuple[Path, ...], folder: Path | None, /) -> TrafficTable:
        """The raw table, its features in ``folder``, or in memory where that is None."""

    def written(self) -> Format:
        """How the files are written, for new traffic."""


_Mine = TypeVar("_Mine")


@dataclass(frozen=True)
class _BuiltIn:
    """A module of this project, imported when it is needed."""

    module: str


#: Name to the loader of every known data set.
DATASETS: Registry[Any] = Registry("dataset")

for _name, _module in {
    "synthetic": "synthetic.loader",
    "nsl-kdd": "nsl_kdd",
    "unsw-nb15": "unsw_nb15",
    "unsw-nb15-raw": "unsw_nb15_raw",
    "cic-ids2017": "cic_ids2017",
    "kdd99": "kdd99",
    "ctu-13": "ctu_13",
    "zeek": "zeek",
    "custom": "custom",
}.items():
    _entry = _BuiltIn(f"marl_stl_env.data.datasets.{_module}")
    DATASETS.add(_name, _entry, _entry)


@overload
def register_dataset(
    name: str, loader: None = None, *, replace: bool = False
) -> Callable[[_Mine], _Mine]: ...
@overload
def register_dataset(name: str, loader: _Mine, *, replace: bool = False) -> _Mine: ...
def register_dataset(name: str, loader: Any = None, *, replace: bool = False) -> Any:
    """Register a data set under a name, which ``--dataset`` then takes.

    Args:
        name: The name.
        loader: A :class:`TableFunction` or a :class:`DatasetLoader`; without it, a decorator of a
            function is returned.
        replace: Put it in the place of one of your own.

    Returns:
        The loader, or the decorator.

    Raises:
        PluginError: If the name is taken or malformed, or the loader is neither of the two.
    """
    return DATASETS.decorator(name, loader, lambda given: as_loader(name, given), replace=replace)


def loader_of(name: str) -> Any:
    """The :class:`DatasetLoader` of a data set.

    Raises:
        UnknownNameError: If there is no such data set.
    """
    entry = DATASETS.find(name)
    return import_module(entry.module) if isinstance(entry, _BuiltIn) else entry


def code_of(name: str) -> str:
    """A digest of the code of an own loader, which decides on what is cached; "" of a built-in."""
    if not DATASETS.is_own(name):
        return ""
    entry = DATASETS.find(name)
    source = entry if inspect.ismodule(entry) else type(entry)
    try:
        return hashlib.sha256(Path(inspect.getfile(source)).read_bytes()).hexdigest()
    except (TypeError, OSError):
        raise PluginError(
            f"{DATASETS.described(name)} reads files, and what it reads is cached by its code: "
            "define it in a .py file, or register a function that returns the table"
        ) from None


def as_loader(name: str, given: Any) -> Any:
    """A :class:`TableFunction` or a :class:`DatasetLoader` as the latter.

    Raises:
        PluginError: If it is neither.
    """
    if all(hasattr(given, part) for part in ("DATASET", "files", "load", "written")):
        if not isinstance(given.DATASET, Dataset):
            raise PluginError(f"dataset {name!r}: DATASET must be a Dataset, not {given.DATASET!r}")
        return given
    if not callable(given):
        raise PluginError(
            f"dataset {name!r}: register a function that returns a TrafficTable, or a loader with "
            f"DATASET, files, load and written, not {given!r:.80}"
        )
    return _InMemory(name, given)


class _InMemory:
    """A function as a loader: nothing of it is cached, since its code may change."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        lines = (inspect.getdoc(function) or "").splitlines() or ["a data set of your own"]
        self.DATASET = Dataset(name, lines[0], licence="your own", citation=describe(function))
        own_path = "path" in inspect.signature(function).parameters
        self.files = _no_files_of_path if own_path else _no_files
        self.load = _checked(name, function)

    @staticmethod
    def written() -> Format:
        """CSV or Parquet with the columns of the table and, where known, the column ``label``."""
        form: Format = import_module("marl_stl_env.data.datasets.custom").written(LABEL)
        return form


def _no_files(data_dir: Path | str | None = None) -> tuple[Path, ...]:
    del data_dir
    return ()


def _no_files_of_path(
    data_dir: Path | str | None = None,
    path: Any = None,  # noqa: ARG001 - the function reads it
) -> tuple[Path, ...]:
    del data_dir
    return ()


def _checked(name: str, function: Callable[..., Any]) -> Callable[..., TrafficTable]:
    """The function as a ``load``; its signature, which tells the options, stays."""

    @wraps(function)
    def load(paths: object, folder: object, **options: Any) -> TrafficTable:
        del paths, folder
        what = f"dataset {name!r} ({describe(function)})"
        with blamed(what):
            table = function(**options)
        if not isinstance(table, TrafficTable):
            raise PluginError(f"{what} returns {type(table).__name__}; it must be a TrafficTable")
        return replace(table, name=name)

    return load
