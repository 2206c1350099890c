"""Traffic tables as folders of .npy files that are memory-mapped when opened."""

from __future__ import annotations

import json
import mmap
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from marl_stl_env.data.table import ROW_ARRAYS, TrafficTable
from marl_stl_env.errors import CacheError
from marl_stl_env.types import AnyArray, Float32Array, IntArray

FEATURES = "features.npy"
_META = "table.json"


class Columns(Protocol):
    """Feature columns that grow by blocks of rows."""

    def append(self, block: list[Float32Array]) -> None:
        """Add rows: one array per column."""

    def finish(self, order: IntArray | None, path: Path | None) -> Float32Array:
        """The columns as (rows, columns) float32, rows in ``order``."""


def create_columns(count: int, folder: Path | None) -> Columns:
    """Columns in memory, or in files of ``folder`` while they grow."""
    return _MemoryColumns(count) if folder is None else _FileColumns(count, folder)


class _MemoryColumns:
    def __init__(self, count: int) -> None:
        self._blocks: list[list[Float32Array]] = [[] for _ in range(count)]

    def append(self, block: list[Float32Array]) -> None:
        for blocks, column in zip(self._blocks, block, strict=True):
            blocks.append(column)

    def finish(self, order: IntArray | None, path: Path | None) -> Float32Array:  # noqa: ARG002
        rows = sum(map(len, self._blocks[0]))
        stacked = np.empty((len(self._blocks), rows), np.float32)
        for place, blocks in enumerate(self._blocks):
            column = np.concatenate(blocks)
            stacked[place] = column if order is None else column[order]
            blocks.clear()
        return stacked.T


class _FileColumns:
    def __init__(self, count: int, folder: Path) -> None:
        self._folder = folder / "columns"
        self._folder.mkdir(parents=True)
        self._paths = [self._folder / str(place) for place in range(count)]
        self._rows = 0

    def append(self, block: list[Float32Array]) -> None:
        for path, column in zip(self._paths, block, strict=True):
            with path.open("ab") as handle:
                column.tofile(handle)
        self._rows += len(block[0])

    def finish(self, order: IntArray | None, path: Path | None) -> Float32Array:
        assert path is not None  # noqa: S101 - the one who gave the folder gives the path
        with path.open("wb") as handle:
            header = {
                "descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)),
                "fortran_order": True,
                "shape": (self._rows, len(self._paths)),
            }
            np.lib.format.write_array_header_2_0(handle, header)
            for part in self._paths:
                column = np.fromfile(part, np.float32)
                (column if order is None else column[order]).tofile(handle)
                part.unlink()
        self._folder.rmdir()
        return open_array(path)


def open_array(path: Path) -> AnyArray:
    """An array, memory-mapped for reading.

    Raises:
        CacheError: If the file is missing or damaged.
    """
    try:
        array: AnyArray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CacheError(f"{path} is damaged ({error}); remove its folder and try again") from None
    return array


def release(array: AnyArray) -> None:
    """Let the system take back the memory that holds pages of a mapped array."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def save_table(table: TrafficTable, folder: Path) -> None:
    """Write a table to a folder; features that already stand there are left."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ROW_ARRAYS:
        array = getattr(table, name)
        if array is not None and not (folder / f"{name}.npy").exists():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
    meta = {f.name: getattr(table, f.name) for f in fields(table) if f.name not in ROW_ARRAYS}
    meta |= {name: dict(meta[name]) for name in ("views", "categories", "source", "benign")}
    (folder / _META).write_text(json.dumps(meta), encoding="utf-8")


def open_table(folder: Path) -> TrafficTable:
    """A saved table, memory-mapped. Its arrays were checked before they were written.

    Raises:
        CacheError: If the folder is damaged.
    """
    state = read_json(folder / _META)
    try:
        for name in ("views", "categories"):
            state[name] = {key: tuple(values) for key, values in state[name].items()}
        for name in ("family_names", "feature_names", "notes"):
            state[name] = tuple(state[name])
    except (KeyError, TypeError, AttributeError) as error:
        raise CacheError(f"{folder / _META} is damaged ({error!r}); remove the folder") from None
    for name in ROW_ARRAYS:
        path = folder / f"{name}.npy"
        state[name] = open_array(path) if path.exists() else None
    return TrafficTable.of_checked(state)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CacheError: If the file is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CacheError(f"{path} is damaged ({error}); remove its folder") from None
    if not isinstance(content, dict):
        raise CacheError(f"{path} is damaged: no object; remove its folder")
    return content
