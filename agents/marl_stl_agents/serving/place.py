"""Where a reader is in a file that grows and is rotated."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from marl_stl_env.errors import StateError

#: A file is known again by its first bytes.
_HEAD_BYTES = 1024
_NUMBERED = r"[.\-_]\d[\d.:T_-]*"


@dataclass(frozen=True)
class Place:
    """A place in a file.

    Attributes:
        inode: The file's number on its disk; 0 before a file was opened.
        offset: Bytes read.
        head_bytes: How many of its first bytes ``head`` is of.
        head: Their sha256.
    """

    inode: int = 0
    offset: int = 0
    head_bytes: int = 0
    head: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON types; :meth:`from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Place:
        """The place that :meth:`to_dict` described.

        Raises:
            StateError: If it is none.
        """
        try:
            inode, offset, size = (int(data[name]) for name in ("inode", "offset", "head_bytes"))
            return cls(inode, offset, size, str(data["head"]))
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"this is no place in a file: {error!r}") from None

    def moved(self, handle: int, offset: int) -> Place:
        """The place after reading on to an offset of an open file."""
        size = min(offset, _HEAD_BYTES)
        if self.inode and size == self.head_bytes:
            return Place(self.inode, offset, size, self.head)
        return Place(os.fstat(handle).st_ino, offset, size, head_of(handle, size))

    def is_in(self, handle: int) -> bool:
        """Whether an open file begins as the one that was read, and is at least as long."""
        if os.fstat(handle).st_size < self.offset:
            return False
        return head_of(handle, self.head_bytes) == self.head if self.head_bytes else True


def head_of(handle: int, size: int) -> str:
    """The sha256 of the first bytes of an open file."""
    return hashlib.sha256(os.pread(handle, size, 0)).hexdigest()


def rotated_files(path: Path) -> Iterator[Path]:
    """The files that a rotation made of a log: ``x.log.1``, ``x.log-20260101``, ``x.2026-01.log``.

    Packed ones are left out.
    """
    stem, suffix = re.escape(path.stem), re.escape(path.suffix)
    form = re.compile(f"{re.escape(path.name)}{_NUMBERED}|{stem}{_NUMBERED}{suffix}")
    for other in path.parent.iterdir():
        if form.fullmatch(other.name) and other.is_file():
            yield other
