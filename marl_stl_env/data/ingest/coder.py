"""Codes of the distinct texts of a column."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from marl_stl_env.data.ingest.batch import Batch, Error
from marl_stl_env.errors import DataFormatError
from marl_stl_env.types import IntArray

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Coder:
    """Gives every distinct text of a column a code, in the order of appearance.

    Args:
        clean: Turns a text into its name; texts with one name share a code. It may raise
            ``ValueError`` with what is wrong and how to fix it.
        limit: Most names allowed.
        fallback: Encoding of files that are not UTF-8; None refuses them.
        kind: The error raised.
    """

    def __init__(
        self,
        clean: Callable[[str], str] = str.strip,
        *,
        limit: int,
        fallback: str | None = None,
        kind: Error = DataFormatError,
    ) -> None:
        self._clean, self._limit, self._fallback, self._kind = clean, limit, fallback, kind
        self._code: dict[str, int] = {}
        self._rows: dict[int, int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the codes 0, 1, ..."""
        return tuple(self._code)

    @property
    def counts(self) -> dict[str, int]:
        """The rows coded so far, by name."""
        return {name: self._rows.get(code, 0) for name, code in self._code.items()}

    def add(self, name: str) -> int:
        """The code of a name."""
        return self._code.setdefault(name, len(self._code))

    def codes(self, batch: Batch, column: str) -> IntArray:
        """The codes of a column.

        Returns:
            (rows,) int64

        Raises:
            DataFormatError: If a text cannot be read or cleaned, or there are too many names.
        """
        encoded = batch.columns[column]
        encoded = encoded.dictionary_encode()
        places: IntArray = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        code_of = np.empty(len(encoded.dictionary) + 1, np.int64)
        texts = [*encoded.dictionary.to_pylist(), None]
        for place, rows in zip(*np.unique(places, return_counts=True), strict=True):
            try:
                code = self.add(self._name(texts[place]))
                code_of[place] = code
                self._rows[code] = self._rows.get(code, 0) + int(rows)
            except ValueError as error:
                raise batch.error(
                    str(error), int((places == place).argmax()), column, self._kind
                ) from None
        if len(self._code) > self._limit:
            at = int((code_of[places] >= self._limit).argmax())
            raise batch.error(
                f"more than {self._limit:,} different texts: this seems to be an identifier, or "
                "numbers with some text among them; drop the column or mend it",
                at, column,
            )  # fmt: skip
        return code_of[places]

    def _name(self, text: Any) -> str:
        if isinstance(text, bytes):
            try:
                text = text.decode("utf-8")
            except UnicodeDecodeError:
                if self._fallback is None:
                    raise ValueError(
                        f"{text[:30]!r} is not UTF-8 text; give encoding=, such as cp1252, or save "
                        "the file as UTF-8"
                    ) from None
                text = text.decode(self._fallback, errors="replace")
        text = "" if text is None else str(text)
        if _CONTROL.search(text):
            raise ValueError(f"{text[:30]!r} holds a line break or a control character")
        return self._clean(text)
