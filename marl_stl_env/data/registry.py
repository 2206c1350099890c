"""The known data sets, and how to load one by name."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import UnknownNameError


@dataclass(frozen=True)
class Dataset:
    """One known data set.

    Attributes:
        name: What users call it.
        loader: "module:function"; the function takes ``data_dir`` and its own options.
        licence: Terms of use of the data.
        citation: What to cite.
    """

    name: str
    loader: str
    licence: str
    citation: str


_DATASETS = (
    Dataset("synthetic", "marl_stl_env.data.synthetic:load", "MIT, generated here", "this project"),
    Dataset(
        "nsl-kdd",
        "marl_stl_env.data.nsl_kdd:load",
        "free for research, with citation",
        "Tavallaee, Bagheri, Lu, Ghorbani (2009), A detailed analysis of the KDD CUP 99 data set",
    ),
)
_BY_NAME = {dataset.name: dataset for dataset in _DATASETS}


def datasets() -> tuple[str, ...]:
    """The names that :func:`load_dataset` knows."""
    return tuple(_BY_NAME)


def dataset_info(name: str) -> Dataset:
    """What is known about a data set.

    Raises:
        UnknownNameError: If there is no such data set.
    """
    if name not in _BY_NAME:
        raise UnknownNameError("dataset", name, _BY_NAME)
    return _BY_NAME[name]


def load_dataset(name: str, *, data_dir: Path | str | None = None, **options: Any) -> TrafficTable:
    """Load a data set as a raw table: not scaled, categories as codes.

    Args:
        name: One of :func:`datasets`.
        data_dir: Folder with the data files; None takes ``$MARL_STL_DATA_DIR``.
        **options: Options of the data set, such as ``rows`` and ``seed`` of "synthetic".

    Raises:
        UnknownNameError: If the data set or one of the options does not exist.
        ConfigError: If an option has a value that is not allowed.
        DataFileNotFoundError: If a data file is missing.
        DataFormatError: If a data file is not what its format promises.
    """
    module, function = dataset_info(name).loader.split(":")
    loader = getattr(import_module(module), function)
    known = [option for option in inspect.signature(loader).parameters if option != "data_dir"]
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of data set {name!r}", option, known or ["none"])
    table: TrafficTable = loader(data_dir=data_dir, **options)
    return table
