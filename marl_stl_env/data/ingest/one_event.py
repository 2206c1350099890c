"""One event, given as a mapping of columns, scaled as the training rows were.

What :class:`~marl_stl_env.data.ingest.incoming.IncomingTraffic` does with a file of one row,
without arrow and pandas, whose calls cost more than all the rest on a single row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from marl_stl_env.data.encoding import CategoricalColumn, NumericColumn
from marl_stl_env.data.ingest.batches import column_names
from marl_stl_env.data.ingest.build import Format
from marl_stl_env.data.ingest.incoming import ENTITY, MOST_MISSING
from marl_stl_env.data.ingest.texts import MISSING
from marl_stl_env.data.preprocess import Preprocessor
from marl_stl_env.errors import DataFormatError, MissingColumnError
from marl_stl_env.types import Float32Array

_EVENT = "the event"
_LARGEST = float(np.finfo(np.float32).max)
_KNOWN_TEXTS = 4096


class ScaledEvent(NamedTuple):
    """One event as a team sees it.

    Attributes:
        features: Its scaled features.  # (1, features) float32
        entity: Its host, or None.
        time: Its time in seconds, or None.
    """

    features: Float32Array
    entity: str | None
    time: float | None


class EventReader:
    """Reads events one at a time.

    Args:
        form: How the traffic of the data set is written.
        preprocessor: The scaling.
        entities: Whether the host of an event must be named.
    """

    def __init__(self, form: Format, preprocessor: Preprocessor, entities: bool = False) -> None:
        self._form, self._entities = form, entities
        self._views = preprocessor.views
        self._missing = MISSING if form.dialect is None else form.dialect.missing
        self._width, self._preprocessor = preprocessor.width, preprocessor
        self._numbers = _Numbers(preprocessor)
        self._categories = _categories(preprocessor, form)
        self._names: dict[tuple[str, ...], dict[str, str] | None] = {}

    def read(self, event: Mapping[str, Any]) -> ScaledEvent:
        """Scale an event.

        Args:
            event: Column to value: numbers, texts, and None or NaN for no value. Columns that the
                team does not know are not looked at.

        Raises:
            MissingColumnError: If more than half of a view's columns are missing, or the host.
            DataFormatError: If a value cannot be read, with its column.
        """
        found = self._renamed(event)
        raw, absent = self._numbers.read(found, self._missing)
        features = np.zeros((1, self._width), np.float32)
        features[0, self._numbers.places] = raw
        for category in self._categories:
            absent += category.name not in found
            features[0, category.place(found.get(category.name))] = 1.0
        if absent:
            self._check_views(found)
        clock, entity = self._form.clock, self._form.entity or ENTITY
        time = found.get(clock) if clock is not None else None
        return ScaledEvent(
            self._preprocessor.with_opinions(features),
            self._entity(found, entity),
            None if time is None else seconds_of(time, str(clock), self._form.times),
        )

    def _renamed(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """The event with the names of columns that every source has; itself if it has them."""
        given = tuple(event)
        names = self._names[given] if given in self._names else self._clean(given)
        return event if names is None else {names[name]: event[name] for name in given}

    def _clean(self, given: tuple[str, ...]) -> dict[str, str] | None:
        """Given names to those of the columns; None where they are the same."""
        clean = column_names(given, self._form.rename)
        names = None if tuple(clean) == given else dict(zip(given, clean, strict=True))
        if len(self._names) < _KNOWN_TEXTS:
            self._names[given] = names
        return names

    def _entity(self, found: Mapping[str, Any], column: str) -> str | None:
        if column not in found:
            if self._entities:
                hint = "It names the host of each event, which this team isolates; add it."
                raise MissingColumnError(_EVENT, column, found, hint)
            return None
        text = as_text(found[column])
        return None if text in self._missing else text

    def _check_views(self, found: Mapping[str, Any]) -> None:
        for view, names in self._views.items():
            missing = [name for name in names if name not in found]
            if len(missing) > MOST_MISSING * len(names):
                raise MissingColumnError(
                    _EVENT,
                    missing[0],
                    found,
                    f"{len(missing)} of the {len(names)} columns of view {view!r} are missing, but "
                    f"at most half may be: {', '.join(missing)}. Are the names spelled alike?",
                )


class _Numbers:
    """The numeric columns of a preprocessor, scaled together."""

    def __init__(self, preprocessor: Preprocessor) -> None:
        columns, places, place = list[NumericColumn](), list[int](), 0
        for column in preprocessor.columns:
            if isinstance(column, NumericColumn):
                columns.append(column)
                places.append(place)
            place += len(column.outputs)
        self.places = np.array(places, np.int64)
        self._names = [column.name for column in columns]
        self._low, self._high = columns[0].bounds if columns else (0.0, 0.0)

        def of(name: str) -> Any:
            return np.array([getattr(column, name) for column in columns])

        self._symlog = of("symlog").astype(np.bool_)
        self._mean, self._scale, self._median = of("mean"), of("scale"), of("median")
        self._minimum, self._maximum = of("minimum"), of("maximum")

    def read(self, found: Mapping[str, Any], marks: frozenset[str]) -> tuple[Any, int]:
        """The scaled numbers (columns,) float64, and how many columns are missing."""
        absent, values = 0, list[float]()
        for name in self._names:
            if name in found:
                values.append(number_of(found[name], name, marks))
            else:
                values.append(math.nan)
                absent += 1
        raw = np.array(values).astype(np.float32).astype(np.float64)
        raw = np.where(np.isnan(raw), self._median, raw)
        raw = np.where(raw == np.inf, self._maximum, np.where(raw == -np.inf, self._minimum, raw))
        raw = np.where(self._symlog, np.sign(raw) * np.log1p(np.abs(raw)), raw)
        return np.clip((raw - self._mean) / self._scale, self._low, self._high), absent


@dataclass(frozen=True)
class _Category:
    """A categorical column.

    Attributes:
        name: Its name.
        places: Kept category to its output column.
        other: The output column of all others.
        known: Text, as it was given, to its output column; filled as texts come.
    """

    name: str
    places: Mapping[str, int]
    other: int
    form: Format
    known: dict[Any, int]

    def place(self, value: Any) -> int:
        """The output column of a value.

        Raises:
            DataFormatError: If it is no usable text.
        """
        try:
            place = self.known.get(value)
        except TypeError:
            place = None
        if place is not None:
            return place
        text = as_text(value)
        try:
            place = self.places.get(self.form.category(text), self.other)
        except ValueError as error:
            raise DataFormatError(_EVENT, str(error), column=self.name) from None
        if len(self.known) < _KNOWN_TEXTS and isinstance(value, str):
            self.known[value] = place
        return place


def _categories(preprocessor: Preprocessor, form: Format) -> list[_Category]:
    found, place = list[_Category](), 0
    for column in preprocessor.columns:
        if isinstance(column, CategoricalColumn):
            places = {name: place + number for number, name in enumerate(column.kept)}
            other = place + len(column.kept)
            found.append(_Category(column.name, places, other, form, {}))
        place += len(column.outputs)
    return found


def as_text(value: Any) -> str:
    """A value as a text field would hold it: nothing for None and NaN."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").strip()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value)


def number_of(value: Any, column: str, marks: frozenset[str] = MISSING) -> float:
    """A value as a number; NaN for no value.

    Raises:
        DataFormatError: If it is none, or too large for single precision.
    """
    if value is None:
        return math.nan
    if isinstance(value, str | bytes):
        text = as_text(value)
        if text in marks:
            return math.nan
        value = text if "_" not in text else None  # float() would take 1_000
    try:
        number = float(value)
    except (TypeError, ValueError):
        problem = f"{value!r} is not a number; correct it, or leave it out"
        raise DataFormatError(_EVENT, problem, column=column) from None
    if abs(number) > _LARGEST and math.isfinite(number):
        raise DataFormatError(_EVENT, f"{value!r} exceeds {_LARGEST:.4g}", column=column)
    return number


def seconds_of(value: Any, column: str, formats: Sequence[str] = ()) -> float:
    """A time in seconds.

    Args:
        value: A number, a text, or a date and time.
        column: Its column, for messages.
        formats: How text is written (``strptime``); none: a number or ISO 8601.

    Raises:
        DataFormatError: If it is no time.
    """
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str) and formats:
        return _seconds(_parsed(value.strip(), column, formats))
    else:
        try:
            seconds = float(value)
        except (TypeError, ValueError):
            moment = _iso(value, column)
        else:
            if math.isfinite(seconds):
                return seconds
            raise DataFormatError(_EVENT, f"{value!r} is not a finite number", column=column)
    return _seconds(moment)


def _parsed(text: str, column: str, formats: Sequence[str]) -> datetime:
    for form in formats:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    raise DataFormatError(_EVENT, f"{text!r} is no time; write it as {formats[0]}", column=column)


def _iso(value: Any, column: str) -> datetime:
    try:
        return datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise DataFormatError(
            _EVENT, f"{value!r} is no time; write seconds or ISO 8601", column=column
        ) from None


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
