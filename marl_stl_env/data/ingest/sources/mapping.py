"""From the fields of a source to the columns of a run."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from marl_stl_env.errors import MappingError

_RULE = (
    'a rule is the name of a field, {"field": NAME} with "scale" or with "lookup" and "otherwise", '
    '{"sum": {FIELD: FACTOR}}, {"constant": VALUE}, or a list of rules, of which the first one '
    "with a value counts"
)


@dataclass(frozen=True)
class Field:
    """The text of a field.

    Attributes:
        name: The field.
        lookup: Text to the text that the run has for it.
        otherwise: The text for all others; None leaves them as they are.
    """

    name: str
    lookup: Mapping[str, str] = field(default_factory=dict)
    otherwise: str | None = None


@dataclass(frozen=True)
class Sum:
    """A weighted sum of numbers or times (in seconds); without a value where one has none.

    Attributes:
        factors: Field to its factor.
    """

    factors: Mapping[str, float]


@dataclass(frozen=True)
class Constant:
    """The same value for every record."""

    value: str | float


Rule = Field | Sum | Constant


@dataclass(frozen=True)
class FieldMapping:
    """What gives each column of a run.

    Attributes:
        columns: Column to its rules, of which the first one with a value counts.
        source: Name of the source that it is for, or None.
        file: Where it was written, for messages.
    """

    columns: Mapping[str, tuple[Rule, ...]]
    source: str | None = None
    file: str = "the mapping"

    @property
    def fields(self) -> frozenset[str]:
        """Every field that is read."""
        return frozenset(name for rules in self.columns.values() for name in fields_of(rules))

    def given(self, fields: Collection[str]) -> tuple[str, ...]:
        """The columns that these fields give: those with a rule whose fields are all there."""
        return tuple(column for column in self.columns if self.gives(column, fields))

    def gives(self, column: str, fields: Collection[str]) -> bool:
        """Whether these fields give a column."""
        return any(set(fields_of([rule])) <= set(fields) for rule in self.columns[column])

    def keeping(self, names: Iterable[str]) -> FieldMapping:
        """The mapping with these fields as columns of the same names, where it has none."""
        more = {name: (Field(name),) for name in names if name not in self.columns}
        return replace(self, columns={**self.columns, **more})

    def only(self, names: Collection[str]) -> FieldMapping:
        """The mapping without the columns that are not among these."""
        kept = {name: rules for name, rules in self.columns.items() if name in names}
        return replace(self, columns=kept)

    def renamed(self, names: Mapping[str, str]) -> FieldMapping:
        """The mapping with other names of some columns."""
        return replace(self, columns={names.get(n, n): r for n, r in self.columns.items()})


def same_names(names: Iterable[str]) -> FieldMapping:
    """The mapping of a source whose fields have the names of the columns."""
    return FieldMapping({name: (Field(name),) for name in names})


def fields_of(rules: Iterable[Rule]) -> list[str]:
    """The fields that rules read."""
    found: list[str] = []
    for rule in rules:
        if isinstance(rule, Field):
            found.append(rule.name)
        elif isinstance(rule, Sum):
            found += rule.factors
    return found


def read_mapping(path: Path) -> FieldMapping:
    """Read a mapping file: ``{"source": NAME, "columns": {COLUMN: RULE}}``, JSON.

    Raises:
        MappingError: If there is no such file, or it is no mapping.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MappingError(f"{path} cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise MappingError(f"{path} is no JSON ({error})") from None
    return mapping_of(content, str(path))


def mapping_of(content: Any, file: str = "the mapping") -> FieldMapping:
    """The mapping that the content of a mapping file describes.

    Args:
        content: The content.
        file: Where it is from, for messages.

    Raises:
        MappingError: If it is no mapping.
    """
    known = {"source", "columns", "about"}
    if not isinstance(content, dict) or not known >= set(content) or "columns" not in content:
        raise MappingError(
            f'{file}: a mapping is {{"source": NAME, "columns": {{COLUMN: RULE}}}}, and may have '
            '"about", a text'
        )
    columns, source = content["columns"], content.get("source")
    if not isinstance(columns, dict) or not columns:
        raise MappingError(f'{file}: "columns" names the columns of the run, each with a rule')
    if source is not None and not isinstance(source, str):
        raise MappingError(f'{file}: "source" is the name of a source, not {source!r}')
    return FieldMapping(
        {n: _rules(rule, f"{file}, {n!r}") for n, rule in columns.items()}, source, file
    )


def _rules(content: Any, place: str) -> tuple[Rule, ...]:
    if isinstance(content, list) and content:
        return tuple(rule for one in content for rule in _rules(one, place))
    return (_rule(content, place),)


def _rule(content: Any, place: str) -> Rule:
    if isinstance(content, str) and content:
        return Field(content)
    keys = frozenset(content) if isinstance(content, dict) else frozenset()
    if keys == {"constant"} and _is_constant(content["constant"]):
        return Constant(content["constant"])
    if keys == {"sum"} and _are_numbers(content["sum"]):
        return Sum({name: float(factor) for name, factor in content["sum"].items()})
    if keys == {"field", "scale"} and _are_numbers({content["field"]: content["scale"]}):
        return Sum({content["field"]: float(content["scale"])})
    if {"field"} <= keys <= {"field", "lookup", "otherwise"} and isinstance(content["field"], str):
        lookup, otherwise = content.get("lookup", {}), content.get("otherwise")
        texts = [*lookup.values()] if isinstance(lookup, dict) else [None]
        if all(isinstance(text, str) for text in texts) and isinstance(otherwise, str | None):
            return Field(content["field"], lookup, otherwise)
    raise MappingError(f"{place}: {json.dumps(content)[:80]} is no rule; {_RULE}")


def _is_constant(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _are_numbers(factors: Any) -> bool:
    return (
        isinstance(factors, dict)
        and bool(factors)
        and all(
            isinstance(name, str) and isinstance(value, int | float) and not isinstance(value, bool)
            for name, value in factors.items()
        )
    )
