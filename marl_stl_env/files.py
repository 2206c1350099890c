"""Output files are written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and move it there when the block succeeds.

    The block may create a file or a folder. If it raises, or the process is killed, ``path``
    stays as it was.

    Args:
        path: Where the finished file or folder shall be. An existing file is replaced; an
            existing folder is not (``OSError``).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    draft = folder / path.name
    try:
        yield draft
        if draft.is_file():
            with draft.open("rb") as handle:
                os.fsync(handle.fileno())
        os.replace(draft, path)  # noqa: PTH105 - replaces a file, moves a folder, both atomically
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, whole or not at all."""
    with atomic_path(path) as draft:
        draft.write_text(text, encoding="utf-8")
