"""What is known about a data set besides its rows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Download:
    """One file to fetch.

    Attributes:
        urls: Addresses, the publisher's first.
        name: File name in the data set's folder.
        sha256: Its digest; for a member of a zip archive, the member's.
        member: Name of the file inside the zip archive that is fetched, or None.
    """

    urls: tuple[str, ...]
    name: str
    sha256: str
    member: str | None = None


@dataclass(frozen=True)
class Dataset:
    """One known data set.

    Attributes:
        name: What users call it.
        summary: What it holds, in one line.
        licence: Terms of use of the data.
        citation: What to cite.
        homepage: Where to get it by hand.
        folder: Name of its folder under the data folder.
        downloads: What ``marl-stl-data download`` fetches.
        dropped: Columns that the loader leaves out, and why.
        defects: What is known to be wrong with it.
    """

    name: str
    summary: str
    licence: str
    citation: str
    homepage: str = ""
    folder: str = ""
    downloads: tuple[Download, ...] = ()
    dropped: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()
