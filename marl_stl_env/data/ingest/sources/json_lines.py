"""Lines of JSON as fields by name."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from marl_stl_env.data.ingest.sources.fields import Fields, Problem
from marl_stl_env.data.ingest.sources.source import Source

#: What may stand around the objects of an array, a line each.
_AROUND = b"[], \t\r\n\xef\xbb\xbf"


class JsonLines:
    """A JSON object in each line, or over several lines from ``{`` to ``}``.

    Brackets of an array around the objects, and commas after them, are passed over.

    Args:
        source: How they are written.
    """

    def __init__(self, source: Source) -> None:
        self._only = source.only

    def read(self, lines: Sequence[bytes], asked: Collection[str], last: bool) -> Fields:
        """The records among these lines.

        Args:
            lines: Whole lines.
            asked: The fields to read.
            last: Whether nothing comes after them.
        """
        found: dict[str, list[bytes | None]] = {name: [] for name in asked}
        places, bad, names = list[int](), list[Problem](), set[str]()
        used = 0
        for start, stop, text in self._objects(lines, last):
            used = stop
            if not text:
                continue
            try:
                record = _flat(json.loads(text))
            except (ValueError, TypeError, RecursionError) as error:
                bad.append((start, f"it is no JSON object ({str(error)[:100]})"))
                continue
            if self._only is not None and record.get(self._only[0]) != self._only[1]:
                continue
            names.update(record)
            places.append(start)
            for name, values in found.items():
                values.append(_text(record.get(name)))
        import pyarrow as pa

        columns = {n: pa.array(v, pa.binary()) for n, v in found.items() if n in names}
        return Fields(columns, frozenset(names), np.array(places, np.int64), tuple(bad), used)

    @staticmethod
    def _objects(lines: Sequence[bytes], last: bool) -> Iterator[tuple[int, int, bytes]]:
        """First line, line after the last one, and text of each object; no text for the rest."""
        start: int | None = None
        for place, line in enumerate(lines):
            text = line.strip(_AROUND)
            if start is not None:
                if line.rstrip(_AROUND) == b"}":
                    yield start, place + 1, b"".join(lines[start : place + 1]).strip(_AROUND)
                    start = None
            elif text == b"{":
                start = place
            else:
                yield place, place + 1, text
        if start is not None and last:
            yield start, len(lines), b"".join(lines[start:])


def _flat(record: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(record, dict):
        raise TypeError(f"{type(record).__name__} in its place")
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _text(value: Any) -> bytes | None:
    """A value of JSON as the text that stands for it; null for none."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "surrogatepass")
