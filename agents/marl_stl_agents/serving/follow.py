"""A file that is read while it grows, is rotated, and begins anew."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from marl_stl_agents.serving.place import Place, rotated_files
from marl_stl_env.errors import ServingError

#: How often a rotated file must be found without new bytes before it is left: its writer may not
#: have noticed yet.
_QUIET = 2


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Within the block a file that may not be read becomes a :class:`ServingError`."""
    try:
        yield
    except PermissionError as error:
        raise ServingError(
            f"{path} cannot be read: {error.strerror}; give the server the right to read it"
        ) from None


class FollowedFile:
    """A file, and the ones that a rotation makes of it, read as one stream of bytes.

    A file that was renamed is read to its end, then the ones that followed it, the oldest first.
    Of a file that was cut to nothing (copytruncate) the copy is looked for, and read on; where
    there is none, what had not been read is lost, and counted.

    Args:
        path: The file; it may not exist yet. A :class:`ServingError` says later that it cannot be
            read, or is no regular file.
        place: Where to go on; None begins anew.

    Attributes:
        place: Where the reader is.
        rotations: How often the stream went on in another file.
        losses: How often a file was gone before it was read to its end, as far as can be told.
    """

    def __init__(self, path: Path, place: Place | None = None) -> None:
        self.path, self.place = path, place or Place()
        self.rotations, self.losses = 0, 0
        self._handle: int | None = None
        self._quiet = 0

    def peek(self, size: int) -> tuple[bytes, bool]:
        """The next bytes, which are not taken yet.

        Returns:
            At most ``size`` bytes, none where there are no new ones; and whether the file ends with
            them because the stream goes on in another one (then :meth:`leave` goes there).
        """
        if self._handle is None and not self._open():
            return b"", False
        handle = self._opened()
        if not self.place.is_in(handle):
            self._replaced()
            return self.peek(size) if self._handle is not None else (b"", False)
        block = os.pread(handle, size, self.place.offset)
        if len(block) == size:
            return block, False
        return block, self._has_ended()

    def take(self, size: int) -> None:
        """Go on by so many bytes of what :meth:`peek` gave."""
        if size:
            self._quiet = 0
            self.place = self.place.moved(self._opened(), self.place.offset + size)

    def leave(self) -> None:
        """Go on to the file that follows; what was not taken of this one is over."""
        found = self._next()
        self.close()
        if found is not None:
            self._start(found, Place())
            self.rotations += 1

    @property
    def behind(self) -> int:
        """Bytes of the current file that have not been read."""
        if self._handle is None:
            return 0
        return max(os.fstat(self._handle).st_size - self.place.offset, 0)

    @property
    def follows(self) -> bool:
        """Whether another file follows the one that is open."""
        return self._handle is not None and self._next() is not None

    def close(self) -> None:
        """Close the file; the place stays."""
        if self._handle is not None:
            os.close(self._handle)
        self._handle, self._quiet = None, 0

    def hurry(self) -> None:
        """Leave a rotated file as soon as it has no more bytes."""
        self._quiet = _QUIET

    def _opened(self) -> int:
        if self._handle is None:
            raise FileNotFoundError(self.path)
        return self._handle

    def _open(self) -> bool:
        """Open the file that the place is in, or the log as it is now."""
        known = self.place
        if known.inode:
            for path in (self.path, *rotated_files(self.path)):
                if self._start(path, known, lambda handle: self._is_same(handle, known)):
                    return True
            if known.offset and self._start_copy(known):
                return True
            if self.path.exists():  # it is gone, or packed
                self.losses += 1
        return self._start(self.path, Place())

    @staticmethod
    def _is_same(handle: int, place: Place) -> bool:
        return os.fstat(handle).st_ino == place.inode and place.is_in(handle)

    def _start_copy(self, place: Place) -> bool:
        """Go on in a copy of the file, as copytruncate makes one."""
        return any(self._start(path, place, place.is_in) for path in rotated_files(self.path))

    def _start(
        self, path: Path, place: Place, wanted: Callable[[int], bool] = lambda _: True
    ) -> bool:
        """Open a file if it is the wanted one."""
        with suppress(FileNotFoundError), readable(path):
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                os.close(handle)
                raise ServingError(
                    f"{path} is no file that grows, and a pipe cannot be read again after a kill; "
                    "let it be written into a file"
                )
            if wanted(handle):
                self.close()
                self._handle = handle
                self.place = Place(
                    os.fstat(handle).st_ino, place.offset, place.head_bytes, place.head
                )
                return True
            os.close(handle)
        return False

    def _replaced(self) -> None:
        """The open file was cut to nothing, and may have grown again."""
        known = self.place
        if known.offset and self._start_copy(known):
            return
        self.losses += 1
        self.close()
        if self._start(self.path, Place()):
            self.rotations += 1

    def _has_ended(self) -> bool:
        """Whether the open file is no longer written to, as far as can be told."""
        if self._next() is None:
            return False
        self._quiet += 1
        return self._quiet > _QUIET

    def _next(self) -> Path | None:
        """The file that follows the open one; None while there is none."""
        here = os.fstat(self._opened())
        with suppress(FileNotFoundError):
            if self.path.stat().st_ino == here.st_ino:
                return None
        found = []
        for path in rotated_files(self.path):
            with suppress(FileNotFoundError):
                other = path.stat()
                if other.st_ino != here.st_ino and other.st_mtime_ns > here.st_mtime_ns:
                    found.append((other.st_mtime_ns, path))
        if found:
            return min(found)[1]
        return self.path if self.path.exists() else None
