"""The known data sets, and how to load one by name.

A loader (:class:`~marl_stl_env.data.loaders.DatasetLoader`) is a module with ``DATASET``,
``files(data_dir, ...)``, which names the files to read,
``load(paths, folder, ...)``, which reads them into a raw table whose features stand in ``folder``
(or in memory where it is None), and ``written(...)``, which says how they are written. Further
parameters of the first two are the options of the data set; ``written`` takes some of them. For a
``dialect`` of ``load`` and ``written`` the options are ``sep``, ``encoding`` and ``missing``.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from marl_stl_env.data.info import Dataset
from marl_stl_env.data.ingest.build import Format
from marl_stl_env.data.ingest.cache import content_digest, entry, file_digest, key_of
from marl_stl_env.data.ingest.locate import named_files
from marl_stl_env.data.ingest.manifest import file_state
from marl_stl_env.data.ingest.readers.csv_rows import dialect
from marl_stl_env.data.ingest.store import open_table, save_table
from marl_stl_env.data.loaders import DATASETS, code_of, loader_of
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import (
    ConfigError,
    DataFileNotFoundError,
    DataFormatError,
    UnknownNameError,
)
from marl_stl_env.validation import check_type_of

#: Options of every data set whose files are text with separators, with their types.
_TEXT: Mapping[str, Any] = {
    "sep": str | None,
    "encoding": str | None,
    "missing": str | Sequence[str],
}


def datasets() -> tuple[str, ...]:
    """The names that :func:`load_dataset` knows."""
    return tuple(DATASETS)


def dataset_info(name: str) -> Dataset:
    """What is known about a data set.

    Raises:
        UnknownNameError: If there is no such data set.
    """
    dataset: Dataset = loader_of(name).DATASET
    return dataset


def load_dataset(
    name: str, *, data_dir: Path | str | None = None, download: bool = False, **options: Any
) -> TrafficTable:
    """Load a data set as a raw table: not scaled, categories as codes.

    What is read from files is kept in the cache and memory-mapped from there.

    Args:
        name: One of :func:`datasets`.
        data_dir: Folder with the data files; None takes ``$MARL_STL_DATA_DIR``.
        download: Fetch the files from their publisher first, where they are not there.
        **options: Options of the data set, such as ``rows`` and ``seed`` of "synthetic".

    Raises:
        UnknownNameError: If the data set or one of the options does not exist.
        ConfigError: If an option has a value that is not allowed.
        DataFileNotFoundError: If a data file is missing.
        DataFormatError: If a data file is not what its format specifications.
        DownloadError: If the files cannot be fetched.
    """
    folder = cached_table(name, data_dir=data_dir, download=download, options=options)
    if folder is not None:
        return open_table(folder)
    loader = loader_of(name)
    table: TrafficTable = loader.load((), None, **_of(loader.load, options))
    return table


def cached_table(
    name: str, *, data_dir: Path | str | None, download: bool, options: Mapping[str, Any]
) -> Path | None:
    """The cache's folder with the raw table, read first where needed; None without files."""
    loader = loader_of(name)
    _check_options(name, loader, options)
    paths = _paths(loader, data_dir, download, options)
    if not paths:
        return None
    reading = _of(loader.load, options)
    contents = [[path.name, file_digest(path)] for path in paths]

    def build(draft: Path) -> None:
        before = [file_state(path) for path in paths]
        save_table(loader.load(paths, draft, **reading), draft)
        for path, (_, digest), state in zip(paths, contents, before, strict=True):
            if file_state(path) != state or content_digest(path) != digest:
                raise DataFormatError(
                    path, "it was changed while it was read; try again when it is complete"
                )

    given = sorted((option, options[option]) for option in options if option in {*reading, *_TEXT})
    code = [code_of(name)] if DATASETS.is_own(name) else []
    return entry("tables", key_of([name, given, contents, *code]), build)


def _paths(
    loader: Any, data_dir: Path | str | None, download: bool, options: Mapping[str, Any]
) -> tuple[Path, ...]:
    """The files to read: those that ``path=`` names, or those that the loader finds."""
    own = "path" in inspect.signature(loader.files).parameters
    if options.get("path") is not None and not own:
        return named_files(options["path"], data_dir)
    choice = _of(loader.files, options)
    try:
        found: tuple[Path, ...] = loader.files(data_dir, **choice)
    except DataFileNotFoundError:
        if not download:
            raise
        from marl_stl_env.data.ingest.download import fetch

        fetch(loader.DATASET)
        found = loader.files(data_dir, **choice)
    return found


def file_format(name: str, options: Mapping[str, Any]) -> Format:
    """How files of a data set are written, as its loader reads them.

    Args:
        name: One of :func:`datasets`.
        options: Options of the data set.

    Raises:
        UnknownNameError: If the data set does not exist.
    """
    loader = loader_of(name)
    form: Format = loader.written(**_of(loader.written, options))
    return form


def parse_options(settings: tuple[str, ...]) -> dict[str, Any]:
    """Options from texts ``name=value``; a value is JSON where it can be, and text elsewhere.

    Raises:
        ConfigError: If a text is not of this form, or a name occurs twice.
    """
    options: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not (equals and name) or name in options:
            problem = "is given twice" if name in options else "is not of the form name=value"
            raise ConfigError(f"dataset option {setting!r} {problem}")
        try:
            options[name] = json.loads(text)
        except ValueError:
            options[name] = text
    return options


def text_options(name: str, settings: tuple[str, ...]) -> dict[str, Any]:
    """Options that say how a text file of a data set is written, from texts ``name=value``.

    Args:
        name: One of :func:`datasets`.
        settings: ``sep``, ``encoding`` and ``missing``.

    Raises:
        UnknownNameError: If there is another one, or files of the data set are written in one way.
        ConfigError: If a text is not of this form, or a value is not allowed.
    """
    options = parse_options(settings)
    for option in options:
        if option not in _TEXT:
            raise UnknownNameError("option of a text file", option, list(_TEXT))
    _check_options(name, loader_of(name), options)
    return options


def _of(function: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a function takes; those of text files become its ``dialect``."""
    taken = inspect.signature(function).parameters
    chosen = {name: value for name, value in options.items() if name in taken}
    text = {name: value for name, value in options.items() if name in _TEXT}
    if text and "dialect" in taken:
        chosen["dialect"] = dialect(**text)
    return chosen


def _check_options(name: str, loader: Any, options: Mapping[str, Any]) -> None:
    known = [
        *inspect.signature(loader.files).parameters,
        *inspect.signature(loader.load).parameters,
    ]
    if loader.DATASET.folder:  # its files may be named instead of found
        known.append("path")
    if "dialect" in known:
        known += _TEXT
    fixed = ("data_dir", "paths", "folder", "dialect")
    known = [option for option in known if option not in fixed]
    known = list(dict.fromkeys(known))
    hints = {**_TEXT, **get_type_hints(loader.files), **get_type_hints(loader.load)}
    for option, value in options.items():
        if option not in known:
            raise UnknownNameError(f"option of data set {name!r}", option, known or ["none"])
        _check_option(option, value, hints.get(option, Any))


def _check_option(name: str, value: Any, hint: Any) -> None:
    """Refuse an option of another type; values come as JSON, or from Python with numpy's types.

    Raises:
        ConfigError: If its type is another one.
    """
    plain = value.item() if isinstance(value, np.generic) else value
    if hint is int and type(plain) is not int:
        raise ConfigError(f"option {name}={value!r} is no whole number; write it in digits")
    check_type_of(f"option {name}", plain, hint)
