"""Where data files are."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from marl_stl_env.data.info import Dataset
from marl_stl_env.data.ingest.cache import cache_dir
from marl_stl_env.errors import DataFileNotFoundError

DATA_DIR_VARIABLE = "MARL_STL_DATA_DIR"


def resolve_data_dir(data_dir: Path | str | None) -> Path | None:
    """The folder given, or ``$MARL_STL_DATA_DIR``, or None where that is not set."""
    given = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    return Path(given).expanduser() if given else None


def download_dir() -> Path:
    """Where downloads are kept."""
    return cache_dir() / "downloads"


def places(dataset: Dataset, data_dir: Path | str | None) -> tuple[Path, ...]:
    """The folders that may hold the files of a data set, the first choice first."""
    root = resolve_data_dir(data_dir)
    given = (root / dataset.folder, root) if root else ()
    return (*given, download_dir() / dataset.folder)


def find_file(dataset: Dataset, names: Iterable[str], data_dir: Path | str | None) -> Path | None:
    """The path of a data file under the first of its names that is found, or None."""
    for place in places(dataset, data_dir):
        for name in names:
            if (place / name).is_file():
                return place / name
    return None


def find_all(dataset: Dataset, pattern: str, data_dir: Path | str | None) -> tuple[Path, ...]:
    """All files of a glob pattern in the first place that has any, by name.

    The data set's own folders are searched with all their subfolders, the data folder itself
    without them: other data sets may stand there.
    """
    root = resolve_data_dir(data_dir)
    for place in places(dataset, data_dir):
        paths = place.glob(pattern) if place == root else place.rglob(pattern)
        found = sorted(path for path in paths if path.is_file())
        if found:
            return tuple(found)
    return ()


def named_files(path: Any, data_dir: Path | str | None) -> tuple[Path, ...]:
    """The files that an option ``path=`` names: as they stand, or below the data folder.

    Args:
        path: A path, several with commas between them, or a list of paths.
        data_dir: Folder with data files, or None.

    Raises:
        DataFileNotFoundError: If one of them is no file.
    """
    root = resolve_data_dir(data_dir)

    def candidates(one: Path | str) -> list[Path]:
        named = Path(one).expanduser()
        further = [root / named, root / named.name] if root else []
        return list(dict.fromkeys([named, *further]))

    def find(one: Path | str) -> Path | None:
        return next((choice for choice in candidates(one) if choice.is_file()), None)

    several = path if isinstance(path, list | tuple) else [path]
    if isinstance(path, str) and "," in path and find(path) is None:
        several = [part.strip() for part in path.split(",")]
    found = [find(one) for one in several]
    for one, where in zip(several, found, strict=True):
        if where is None:
            raise DataFileNotFoundError(
                f"{' or '.join(map(str, candidates(one)))} is not a file; check the option path=, "
                f"or if it has moved name its new folder with {DATA_DIR_VARIABLE} or --data-dir"
            )
    return tuple(where for where in found if where is not None)


def missing_file(dataset: Dataset, what: str, data_dir: Path | str | None) -> DataFileNotFoundError:
    """The error for a file that is in none of the places."""
    root = resolve_data_dir(data_dir)
    looked = (
        f"looked in {' and '.join(map(str, places(dataset, data_dir)))}"
        if root
        else f"no data folder is set, and {download_dir() / dataset.folder} does not hold it"
    )
    fetch = (
        f", or fetch it with `marl-stl-data download {dataset.name}`" if dataset.downloads else ""
    )
    return DataFileNotFoundError(
        f"{what} is missing ({looked}). Get it from {dataset.homepage}, then pass --data-dir DIR "
        f"(data_dir=... in Python) or set {DATA_DIR_VARIABLE} to the folder that holds it{fetch}."
    )
