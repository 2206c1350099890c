"""The cache: what was read and prepared once is opened, memory-mapped, the next time.

Entries are folders named by a digest of everything that they depend on, written whole or not at
all, and never changed. Removing the cache loses nothing but time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from marl_stl_env.data.ingest.manifest import file_state, is_whole, write_manifest
from marl_stl_env.data.ingest.store import read_json
from marl_stl_env.errors import CacheError
from marl_stl_env.files import atomic_path, clear_drafts, write_text

CACHE_DIR_VARIABLE = "MARL_STL_CACHE_DIR"
#: Raised whenever loaders, splits or scaling change what they write.
VERSION = 4
#: Two changes of a file within this time may bear the same time.
_TICK_NS = 100_000_000


def cache_dir() -> Path:
    """``$MARL_STL_CACHE_DIR``, or the user's cache folder of the platform."""
    import platformdirs

    given = os.environ.get(CACHE_DIR_VARIABLE)
    return Path(given).expanduser() if given else platformdirs.user_cache_path("marl-stl-env")


def key_of(content: Any) -> str:
    """A short digest of plain data and of the version of this code."""
    text = json.dumps([VERSION, content], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def entry(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder of an entry; it is built where it is not there yet, or not whole any more.

    Args:
        kind: Folder of the cache, such as "tables".
        key: Name of the entry.
        build: Makes the given folder, which then moves into the cache as a whole.
    """
    folder = cache_dir() / kind / key
    if folder.is_dir() and not is_whole(folder, file_digest):
        shutil.rmtree(folder)
    if not folder.is_dir():
        for kept in cache_dir().glob("*/"):
            clear_drafts(kept)
        try:
            with atomic_path(folder) as draft:
                build(draft)
                write_manifest(draft, content_digest)
        except OSError:
            if not folder.is_dir():  # another process may have been faster
                raise
    return folder


def content_digest(path: Path) -> str:
    """The SHA-256 of a file as it is now."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, remembered as long as the file system shows no change of it.

    A digest is not trusted where the file was changed just before it was taken: a second change
    could bear the same time.
    """
    state = file_state(path)
    memo = cache_dir() / "digests" / f"{key_of(str(path.resolve()))}.json"
    if memo.exists():
        try:
            known = read_json(memo)
        except CacheError:
            known = {}
        when, digest = known.get("taken"), known.get("sha256")
        settled = isinstance(when, int) and when > max(state[1:3]) + _TICK_NS
        if known.get("state") == state and settled and isinstance(digest, str):
            return digest
    taken = time.time_ns()
    digest = content_digest(path)
    content = {"path": str(path), "state": state, "taken": taken, "sha256": digest}
    write_text(memo, json.dumps(content))
    return digest


def clear_cache() -> int:
    """Remove tables, prepared data, scores and reports; downloads stay. Returns the bytes freed."""
    freed = 0
    for kind in ("tables", "prepared", "classifiers", "preflight", "digests"):
        folder = cache_dir() / kind
        freed += sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        shutil.rmtree(folder, ignore_errors=True)
    return freed
