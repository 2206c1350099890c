"""How the records of a sensor are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Source:
    """A kind of text file with a record in each line: delimited fields, or a JSON object.

    Where a source writes both, a file is JSON if its first character is ``{`` or ``[``. Fields of
    nested objects are named with dots (``flow.start``).

    Attributes:
        name: What ``--source`` calls it.
        summary: What writes it, in one line.
        sep: Separates the fields of a line.
        names_after: What the line with the names of the fields begins with; without it, the first
            line has the names.
        comment: Lines that begin with it are no records; "" where there are none.
        joined: Whether fields at the end may be joined by two or more spaces.
        footer: The line with which a footer begins; it goes on to the next line of names.
        json: Whether it is always JSON.
        only: Field and value of the JSON records that are events; None takes all.
        times: Fields that are times, with their formats (``strptime``; none: seconds or ISO 8601).
    """

    name: str
    summary: str
    sep: str = ","
    names_after: bytes = b""
    comment: bytes = b""
    joined: bool = False
    footer: bytes = b""
    json: bool = False
    only: tuple[str, str] | None = None
    times: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
