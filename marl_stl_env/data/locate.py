"""Where data files are."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from marl_stl_env.errors import DataFileNotFoundError

DATA_DIR_VARIABLE = "MARL_STL_DATA_DIR"


def resolve_data_dir(data_dir: Path | str | None) -> Path | None:
    """The folder given, or ``$MARL_STL_DATA_DIR``, or None where that is not set."""
    given = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    return Path(given).expanduser() if given else None


def find_file(name: str, *, folder: str, data_dir: Path | str | None, origin: str) -> Path:
    """The path of a data file, in ``data_dir / folder`` or in ``data_dir`` itself.

    Args:
        name: File name.
        folder: Name of the data set's own folder.
        data_dir: Folder with the data; None takes ``$MARL_STL_DATA_DIR``.
        origin: Where the file can be had, for the error message.

    Raises:
        DataFileNotFoundError: If the file is in neither place, or no folder is known.
    """
    root = resolve_data_dir(data_dir)
    places = [root / folder / name, root / name] if root else []
    for place in places:
        if place.is_file():
            return place
    looked = f"looked for {' and '.join(map(str, places))}" if root else "no data folder is set"
    raise DataFileNotFoundError(
        f"{name} is missing ({looked}). Get it from {origin}, then pass --data-dir DIR "
        f"(data_dir=... in Python) or set {DATA_DIR_VARIABLE} to the folder that holds it."
    )


def sha256(content: bytes) -> str:
    """The SHA-256 digest of a file's content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
