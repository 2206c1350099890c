"""The file of decisions: lines are added, and taken back to where a snapshot was."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from marl_stl_env.errors import ServingError
from marl_stl_env.files import output_errors


class DecisionLog:
    """An NDJSON file that lines are added to.

    Args:
        path: The file; made where it is not there.
        offset: Its length at the last snapshot. What stands behind it is taken back: it will be
            decided again, alike.
        write: Writes bytes to an open file and returns how many.

    Attributes:
        offset: Its length.

    Raises:
        ServingError: If the file is shorter, or no regular file.
        OutputError: If it cannot be opened.
    """

    def __init__(
        self, path: Path, offset: int = 0, write: Callable[[int, bytes], int] = os.write
    ) -> None:
        self.path, self.offset, self._write = path, offset, write
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._handle = os.open(path, flags, 0o666)
        found = os.fstat(self._handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size < offset:
            os.close(self._handle)
            raise ServingError(
                f"{path} has {found.st_size:,} bytes, and {offset:,} had been written at the last "
                "snapshot: it was changed. Put it back, or move it and the state beside it away to "
                "begin anew"
            )
        self._cut()

    def add(self, lines: bytes) -> None:
        """Add lines, all or none of them.

        Raises:
            OutputError: If the disk is full; then the file is as before.
        """
        with output_errors(self.path):
            try:
                rest = memoryview(lines)
                while rest:
                    rest = rest[self._write(self._handle, bytes(rest)) :]
            except OSError:
                self._cut()
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

    def _cut(self) -> None:
        """Take back what stands behind the offset."""
        os.ftruncate(self._handle, self.offset)
        os.lseek(self._handle, self.offset, os.SEEK_SET)
