"""What an entry of the cache holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from marl_stl_env.data.ingest.store import read_json
from marl_stl_env.errors import CacheError

_MANIFEST = "manifest.json"


def file_state(path: Path) -> list[int]:
    """What the file system says of a file: size, times of its content and of its entry, inode."""
    state = path.stat()
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]


def write_manifest(folder: Path, digest: Callable[[Path], str]) -> None:
    """List every file of a folder.

    Args:
        folder: The folder.
        digest: The SHA-256 of a file.
    """
    content = {
        name: {
            "state": file_state(path),
            "sha256": digest(path),
            "array": _described(path),
        }
        for name, path in _files(folder).items()
    }
    (folder / _MANIFEST).write_text(json.dumps(content), encoding="utf-8")


def is_whole(folder: Path, digest: Callable[[Path], str]) -> bool:
    """Whether the files are those that were listed, unchanged.

    A file is read again only where the file system shows a change. Nothing is unpickled.

    Args:
        folder: The folder.
        digest: The SHA-256 of a file.
    """
    try:
        listed = read_json(folder / _MANIFEST)
        files = _files(folder)
        return (
            bool(listed)
            and files.keys() == listed.keys()
            and all(_is_same(path, listed[name], digest) for name, path in files.items())
        )
    except (CacheError, OSError, ValueError, KeyError, TypeError):
        return False


def _is_same(path: Path, known: dict[str, Any], digest: Callable[[Path], str]) -> bool:
    if _described(path) != known["array"]:
        return False
    return bool(file_state(path) == known["state"] or digest(path) == known["sha256"])


def _files(folder: Path) -> dict[str, Path]:
    """All files of an entry but the list itself, by name; a link is none of its files."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() or path.is_symlink())
    files = {str(path.relative_to(folder)): path for path in paths}
    files.pop(_MANIFEST, None)
    if any(path.is_symlink() for path in files.values()):
        raise ValueError(f"{folder} holds links")
    return files


def _described(path: Path) -> list[Any] | None:
    """Type, shape and order of an array; None for other files."""
    if path.suffix != ".npy":
        return None
    with path.open("rb") as handle:
        version = np.lib.format.read_magic(handle)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(handle)
    if dtype.hasobject:
        raise ValueError(f"{path} holds objects")
    return [str(dtype), list(shape), fortran]
