"""The file of decisions: lines are added, and taken back to where a snapshot was."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from marl_stl_agents.serving.place import rotated_files
from marl_stl_env.errors import ServingError
from marl_stl_env.files import output_errors


@dataclass(frozen=True)
class Written:
    """A file of decisions at a snapshot.

    Attributes:
        inode: The file's number on its disk; 0 before there was one.
        offset: Its length.
    """

    inode: int = 0
    offset: int = 0


class DecisionLog:
    """An NDJSON file that lines are added to, and that others may rename.

    Args:
        path: The file; made where it is not there.
        written: What the last snapshot knows. What stands behind it is taken back: it will be
            decided again, alike. Where the file was renamed since, that is done there, and a new
            file begins.
        write: Writes bytes to an open file and returns how many.

    Attributes:
        offset: Its length.

    Raises:
        ServingError: If the file is shorter, or no regular file.
        OutputError: If it cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        written: Written = Written(),
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        self.path, self.offset, self._write = path, written.offset, write
        moved = _moved_to(path, written)
        if moved is not None:
            handle = self._opened(moved, written.offset)
            self._cut(handle)
            os.close(handle)
            self.offset = 0
        self._handle = self._opened(path, self.offset)
        if moved is not None and os.fstat(self._handle).st_size:
            os.close(self._handle)
            raise ServingError(f"{path} has lines that this server has not written; move it away")
        self._cut(self._handle)

    @property
    def written(self) -> Written:
        """What a snapshot has to know."""
        return Written(os.fstat(self._handle).st_ino, self.offset)

    @property
    def was_moved(self) -> bool:
        """Whether somebody has renamed the file: :meth:`begin` begins another one."""
        try:
            return self.path.stat().st_ino != self.written.inode
        except FileNotFoundError:
            return True

    def begin(self) -> None:
        """Begin a new file, once a snapshot covers all lines of the old one.

        Raises:
            ServingError: If a file with lines has come up in its place.
            OutputError: If it cannot be opened.
        """
        handle = self._opened(self.path, 0)
        if os.fstat(handle).st_size:
            os.close(handle)
            raise ServingError(
                f"{self.path} was replaced by a file with lines of another program; move it away"
            )
        self.close()
        self._handle, self.offset = handle, 0

    def add(self, lines: bytes) -> None:
        """Add lines, all or none of them.

        Raises:
            ServingError: If another program has cut the file.
            OutputError: If the disk is full; then the file is as before.
        """
        if os.fstat(self._handle).st_size < self.offset:
            raise ServingError(
                f"{self.path} was cut by another program; rotate it by renaming, not by "
                "copytruncate"
            )
        with output_errors(self.path):
            try:
                rest = memoryview(lines)
                while rest:
                    rest = rest[self._write(self._handle, bytes(rest)) :]
            except OSError:
                self._cut(self._handle)
                raise
        self.offset += len(lines)

    def sync(self) -> None:
        """Wait until the disk has all lines.

        Raises:
            OutputError: If it fails.
        """
        with output_errors(self.path):
            os.fsync(self._handle)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def _opened(self, path: Path, least: int) -> int:
        """A file, made where it is not there, with at least so many bytes."""
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            handle = os.open(path, flags, 0o666)
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size < least:
            os.close(handle)
            raise ServingError(
                f"{path} has {found.st_size:,} bytes, and {least:,} had been written at the last "
                "snapshot: it was changed. Put it back, or move it and the state beside it away to "
                "begin anew"
            )
        return handle

    def _cut(self, handle: int) -> None:
        """Take back what stands behind the offset."""
        os.ftruncate(handle, self.offset)
        os.lseek(handle, self.offset, os.SEEK_SET)


def _moved_to(path: Path, written: Written) -> Path | None:
    """Where a file of decisions was renamed to; None where it is still there, or nowhere."""
    if not written.inode or (path.exists() and path.stat().st_ino == written.inode):
        return None
    if not path.parent.is_dir():
        return None
    same = (other for other in rotated_files(path) if other.stat().st_ino == written.inode)
    return next(same, None)
