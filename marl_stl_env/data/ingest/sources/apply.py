"""The rules of a mapping at work: the fields of some records as columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from marl_stl_env.data.ingest.sources.mapping import Constant, Field, FieldMapping, Rule, Sum
from marl_stl_env.data.ingest.sources.values import categories, no_value, numbers, seconds
from marl_stl_env.data.ingest.texts import MISSING
from marl_stl_env.types import BoolArray, Float64Array


class Columns:
    """Makes columns of fields.

    Args:
        mapping: What gives each column.
        numeric: Columns that are numbers; the others are texts.
        times: Fields that are times, with their formats.
        needed: Columns without which a record is malformed, such as the time.
        missing: Texts that stand for "no value".

    Attributes:
        mapping: What gives each column.
        missing: Texts that stand for "no value".
    """

    def __init__(
        self,
        mapping: FieldMapping,
        numeric: Collection[str],
        times: Mapping[str, Sequence[str]],
        needed: Collection[str] = (),
        missing: frozenset[str] = MISSING,
    ) -> None:
        self.mapping, self._numeric, self.missing = mapping, frozenset(numeric), missing
        self._times, self._needed = times, frozenset(needed)

    def make(self, fields: Mapping[str, Any], rows: int) -> tuple[dict[str, Any], list[str | None]]:
        """The columns.

        Args:
            fields: Field to its texts, an arrow array of binary.
            rows: Number of records.

        Returns:
            Column to its arrow array: float64 for numbers, binary for texts, without nulls among
            the numbers (NaN stands for no value). And what is wrong with each record, or None.
        """
        found: dict[str, Any] = {}
        wrong: list[str | None] = [None] * rows
        for column, rules in self.mapping.columns.items():
            numeric = column in self._numeric
            make = self._numbers if numeric else self._texts
            array, bad = make(rules, fields, rows)
            what = "cannot be read as a number or time" if numeric else "holds what is no text"
            if column in self._needed and self.mapping.gives(column, fields):
                bad = bad | np.asarray(array.is_null(nan_is_null=numeric))
                what = f"is missing or {what}"
            found[column] = array
            for at in np.flatnonzero(bad):
                wrong[at] = wrong[at] or f"{column!r} {what}"
        return found, wrong

    def _numbers(
        self, rules: Sequence[Rule], fields: Mapping[str, Any], rows: int
    ) -> tuple[Any, BoolArray]:
        import pyarrow as pa

        values, wrong = np.full(rows, np.nan), np.zeros(rows, np.bool_)
        for rule in rules:
            found, bad = self._number(rule, fields, rows)
            open_ = np.isnan(values) & ~wrong
            values = np.where(open_, found, values)
            wrong |= open_ & bad
        return pa.array(values), wrong

    def _number(
        self, rule: Rule, fields: Mapping[str, Any], rows: int
    ) -> tuple[Float64Array, BoolArray]:
        nothing = np.full(rows, np.nan), np.zeros(rows, np.bool_)
        if isinstance(rule, Constant):
            return np.full(rows, float(rule.value)), nothing[1]
        if isinstance(rule, Field):
            if rule.name not in fields:
                return nothing
            if rule.lookup or rule.otherwise is not None:
                return numbers(_looked_up(rule, fields[rule.name]), self.missing)
            return self._read(rule.name, fields)
        if not set(rule.factors) <= set(fields):
            return nothing
        total, wrong = np.zeros(rows), nothing[1]
        for name, factor in rule.factors.items():
            values, bad = self._read(name, fields)
            total, wrong = total + factor * values, wrong | bad
        return total, wrong

    def _read(self, name: str, fields: Mapping[str, Any]) -> tuple[Float64Array, BoolArray]:
        if name in self._times:
            return seconds(fields[name], self._times[name], self.missing)
        return numbers(fields[name], self.missing)

    def _texts(
        self, rules: Sequence[Rule], fields: Mapping[str, Any], rows: int
    ) -> tuple[Any, BoolArray]:
        import pyarrow as pa
        import pyarrow.compute as pc

        texts, wrong = pa.nulls(rows, pa.binary()), np.zeros(rows, np.bool_)
        for rule in rules:
            if isinstance(rule, Field) and rule.name in fields:
                found, bad = categories(_looked_up(rule, fields[rule.name]))
            elif isinstance(rule, Constant):
                found, bad = pa.array([str(rule.value).encode()] * rows, pa.binary()), wrong
            elif isinstance(rule, Sum):
                values, bad = self._number(rule, fields, rows)
                found = pa.array(values, from_pandas=True).cast(pa.string()).cast(pa.binary())
            else:
                continue
            wrong = wrong | (np.asarray(texts.is_null()) & bad)
            texts = pc.coalesce(texts, found) if len(rules) > 1 else found
        return texts, wrong


def _looked_up(rule: Field, array: Any) -> Any:
    """The texts of a field, those of the lookup replaced; one without a value is null."""
    if not rule.lookup and rule.otherwise is None:
        return array
    import pyarrow as pa

    coded = array.dictionary_encode()
    names = no_value(coded.dictionary).to_pylist()
    plain = coded.dictionary.to_pylist()
    table = [_new_text(rule, name, old) for name, old in zip(names, plain, strict=True)]
    return pa.array(table, pa.binary()).take(coded.indices)


def _new_text(rule: Field, name: str | None, old: bytes) -> bytes | None:
    if name is None:
        return None
    if name in rule.lookup:
        return rule.lookup[name].encode()
    return old if rule.otherwise is None else rule.otherwise.encode()
