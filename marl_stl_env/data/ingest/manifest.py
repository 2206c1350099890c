"""What an entry of the cache holds, and which drafts nobody writes any more."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np

from marl_stl_env.data.ingest.store import read_json
from marl_stl_env.errors import CacheError

_MANIFEST, _OWNER = "manifest.json", ".owner"
_UNOWNED_SECONDS = 10.0  # a draft without an owner for longer was left by a process that died
_FOREIGN_SECONDS = 7 * 86_400.0  # a draft of another machine, whose processes cannot be seen


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


def mark_owner(draft: Path) -> None:
    """Say in the folder of a draft which process writes it."""
    (draft / _OWNER).write_text(f"{os.getpid()} {socket.gethostname()}", encoding="utf-8")


def clear_stale(folder: Path) -> None:
    """Remove the drafts in a folder of the cache, and beside it, whose process has ended."""
    for draft in folder.parent.glob("*/.*.tmp"):
        if _is_stale(draft):
            shutil.rmtree(draft, ignore_errors=True)


def _is_stale(draft: Path) -> bool:
    try:
        age = time.time() - draft.stat().st_mtime
        pid, host = (draft / _OWNER).read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return draft.exists() and age > _UNOWNED_SECONDS
    except (OSError, ValueError):
        return age > _UNOWNED_SECONDS
    return age > _FOREIGN_SECONDS if host != socket.gethostname() else not _is_alive(int(pid))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
