"""What a file is, by its first bytes."""

from __future__ import annotations

import gzip
from pathlib import Path

from marl_stl_env.errors import DataFormatError

_NOT_CSV = {
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"BZh": "a bzip2 archive; unpack it first",
    b"\xfd7zX": "an xz archive; unpack it first",
    b"\x28\xb5\x2f\xfd": "a zstd archive; unpack it first",
    b"PAR1": "a Parquet file; name it *.parquet",
    b"ARROW1": "an Arrow or Feather file; save it as Parquet",
    b"\xd0\xcf\x11\xe0": "an Excel file; save it as CSV",
    b"\xd4\xc3\xb2\xa1": "a capture of packets; make flows of it first, with Zeek for example",
    b"\n\r\r\n": "a capture of packets; make flows of it first, with Zeek for example",
    b"<!do": "a web page; the download went wrong, get the file again",
    b"<htm": "a web page; the download went wrong, get the file again",
}
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def check_kind(path: Path, encoding: str | None) -> None:
    """Refuse a file that is no text, or text in another encoding, by its first bytes.

    Args:
        path: The file, gzipped or not.
        encoding: Its encoding, as the user gave it; None is UTF-8.

    Raises:
        DataFormatError: If it is, with the remedy.
    """
    with gzip.open(path) if is_gzip(path) else path.open("rb") as handle:
        start = handle.read(64)
    for magic, what in _NOT_CSV.items():
        if start.startswith(magic) or start.lower().startswith(magic):
            raise DataFormatError(path, f"this is {what}")
    if encoding is not None:
        return
    found = "utf-16" if start.startswith(_UTF_16) else None
    if found is None:  # without a mark, every other byte of a Latin header is zero
        odd, even = set(start[1::2]), set(start[::2])
        found = {(True, False): "utf-16-le", (False, True): "utf-16-be"}.get(
            (odd == {0}, even == {0})
        )
    if found is not None:
        raise DataFormatError(
            path, f"this is UTF-16 text; give encoding={found}, or save it as UTF-8"
        )


def is_gzip(path: Path) -> bool:
    """Whether a file is gzipped, by its content."""
    with path.open("rb") as handle:
        return handle.read(2) == b"\x1f\x8b"
