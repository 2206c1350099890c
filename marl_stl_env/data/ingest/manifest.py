"""What an entry of the cache holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from marl_stl_env.data.ingest.store import read_json
from marl_stl_env.errors import CacheError

_MANIFEST = "manifest.json"


def write_manifest(folder: Path) -> None:
    """List every file of a folder: arrays with size, type and shape, others with their digest."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    content = {str(path.relative_to(folder)): _described(path) for path in paths}
    (folder / _MANIFEST).write_text(json.dumps(content), encoding="utf-8")


def is_whole(folder: Path) -> bool:
    """Whether every file is there as it was listed. Nothing is unpickled, only headers are read."""
    try:
        listed = read_json(folder / _MANIFEST)
        return bool(listed) and all(
            _described(folder / name) == known for name, known in listed.items()
        )
    except (CacheError, OSError, ValueError):
        return False


def _described(path: Path) -> list[Any]:
    size = path.stat().st_size
    if path.suffix != ".npy":
        return [size, hashlib.sha256(path.read_bytes()).hexdigest()]
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
    return [size, str(dtype), list(shape), fortran]
