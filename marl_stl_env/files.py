"""Output files are written whole or not at all, and by one process at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from marl_stl_env.errors import LockedError, MarlStlError, OutputError

LOCK = ".lock"
_DRAFT = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}\.tmp")
_UNLOCKED_SECONDS = 10.0  # a draft is locked at once; one without a lock was left by a dead process
_FOREIGN_SECONDS = 7 * 86_400.0  # locks of another machine may not be seen here
#: What a disk refuses while a file is being filled.
_REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and move it there when the block succeeds.

    The block may create a file or a folder. If it raises, or the process is killed, ``path``
    stays as it was.

    Args:
        path: Where the finished file or folder shall be. An existing file is replaced; an
            existing folder is not (``OutputError``). A link is replaced, never followed.

    Raises:
        OutputError: If the disk is full, or the place cannot be written to.
    """
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{path.name}."
        folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=".tmp", dir=path.parent))
    try:
        with output_errors(path, _REFUSED), locked(folder):
            draft = folder / path.name
            yield draft
            with output_errors(path):
                if draft.is_file():
                    with draft.open("rb") as handle:
                        os.fsync(handle.fileno())
                os.replace(draft, path)  # noqa: PTH105 - replaces a file, moves a folder, both atomically
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, whole or not at all.

    Raises:
        OutputError: If it cannot be written.
    """
    with atomic_path(path) as draft:
        draft.write_text(text, encoding="utf-8")


def remove_folder(path: Path) -> None:
    """Remove a folder; other processes see it whole or not at all.

    Raises:
        OutputError: If it cannot be removed.
    """
    with output_errors(path):
        place = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        path.rename(place / path.name)
        shutil.rmtree(place)


@contextmanager
def output_errors(path: Path, numbers: tuple[int, ...] | None = None) -> Iterator[None]:
    """Say which file could not be written.

    Args:
        path: The file.
        numbers: The error numbers meant; None means all of them.

    Raises:
        OutputError: In place of an ``OSError`` that is none of this project's own.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, MarlStlError) or (numbers is not None and error.errno not in numbers):
            raise
        raise OutputError(path, error) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; the system lets go of it when the process ends, however it does.

    Args:
        folder: An existing folder. The lock is a file in it, gone afterwards.

    Raises:
        LockedError: If another process, or another part of this one, holds it.
        OutputError: If the folder cannot be written to.
    """
    path = folder / LOCK
    handle = _lock(path)
    try:
        os.write(handle, f"{os.getpid()} {socket.gethostname()}".encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _lock(path: Path) -> int:
    """The open lock file, which holds the lock."""
    while True:
        with output_errors(path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(handle, 300).decode(errors="replace").partition(" ")
            os.close(handle)
            if not isinstance(error, BlockingIOError):
                raise OutputError(path, error) from error
            raise LockedError(path.parent, owner[0], owner[2]) from None
        # Whoever held it before may have removed the file that was opened here.
        with suppress(FileNotFoundError):
            if os.fstat(handle).st_ino == path.lstat().st_ino:
                os.ftruncate(handle, 0)
                return handle
        os.close(handle)


def clear_drafts(folder: Path) -> None:
    """Remove what processes that have ended left of their unfinished files in a folder."""
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):  # another process may be removing it, or writing it
            if _is_draft(path) and _is_abandoned(path):
                shutil.rmtree(path, ignore_errors=True)


def _is_draft(path: Path) -> bool:
    form = _DRAFT.fullmatch(path.name)
    if form is None or path.is_symlink() or not path.is_dir():
        return False
    return {item.name for item in path.iterdir()} <= {LOCK, form["name"]}


def _is_abandoned(draft: Path) -> bool:
    """Whether the process that wrote a draft has ended, as far as its lock tells."""
    age = time.time() - draft.stat().st_mtime
    try:
        handle = os.open(draft / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return age > _UNLOCKED_SECONDS
    try:
        host = os.read(handle, 300).decode(errors="replace").partition(" ")[2]
        if host != socket.gethostname():
            return age > (_FOREIGN_SECONDS if host else _UNLOCKED_SECONDS)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(handle)
    return True
