"""What every configuration does with its fields: it converts plain values and checks all."""

from __future__ import annotations

import math
import os
import resource
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from marl_stl_env.errors import ConfigError, UnknownNameError

_Config = TypeVar("_Config")


def check_types(config: object) -> None:
    """Refuse field values that their annotations do not allow, once plain ones are converted.

    A nested configuration may be given as a mapping, a tuple as a list, a path as text.

    Raises:
        UnknownNameError: If a ``Literal`` field holds none of its names.
        ConfigError: If any other field has the wrong type.
    """
    hints = get_type_hints(type(config))
    for item in fields(config):  # type: ignore[arg-type]
        given = getattr(config, item.name)
        value = coerce(hints[item.name], given)
        if value is not given:
            object.__setattr__(config, item.name, value)
        check_type_of(item.name, value, hints[item.name])


def from_plain(config_type: type[_Config], values: Mapping[str, Any]) -> _Config:
    """A configuration from plain mappings and lists, nested to any depth.

    Args:
        config_type: A configuration class.
        values: Field to value; a nested configuration may be a mapping, a tuple a list.

    Raises:
        UnknownNameError: If a key is not a field.
        ConfigError: If a value is not allowed.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{config_type.__name__} is written as a mapping, not {values!r:.80}")
    hints = get_type_hints(config_type)
    known = [item.name for item in fields(config_type)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise UnknownNameError("setting", name, known)
    return config_type(**{name: coerce(hints[name], value) for name, value in values.items()})


def coerce(hint: Any, value: Any) -> Any:
    """A value as its field takes it: lists become tuples, mappings configurations."""
    if isinstance(value, Mapping) and is_dataclass(hint) and isinstance(hint, type):
        return from_plain(hint, value)
    options = get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)
    if isinstance(value, list) and any(get_origin(option) is tuple for option in options):
        return tuple(value)
    if isinstance(value, str) and Path in options and str not in options:
        return Path(value)
    return value


def check_type_of(name: str, value: object, hint: Any) -> None:
    """Refuse a value that an annotation does not allow.

    Raises:
        UnknownNameError: If it is none of the names of a ``Literal``.
        ConfigError: If it has the wrong type.
    """
    from typeguard import TypeCheckError, check_type

    if get_origin(hint) is Literal and not _is_among(value, get_args(hint)):
        raise UnknownNameError(name, value, map(str, get_args(hint)))
    try:
        check_type(value, hint)
    except TypeCheckError as error:
        raise ConfigError(f"{name}={value!r} has the wrong type: {error}") from None


def _is_among(value: object, names: tuple[object, ...]) -> bool:
    """Whether a value is one of the names; an array, say, cannot be compared with them."""
    return isinstance(value, str | Integral) and value in names


def check_range(
    name: str, value: float, low: float, high: float = math.inf, *, open_low: bool = False
) -> None:
    """Refuse a number outside ``[low, high]`` (``(low, high]`` with ``open_low``).

    Raises:
        ConfigError: If the number is not finite or lies outside.
    """
    inside = (low < value if open_low else low <= value) and value <= high
    if not inside or abs(value) == math.inf:
        bracket = "(" if open_low else "["
        raise ConfigError(f"{name}={value!r} is outside {bracket}{low}, {high}]")


def check_count(name: str, value: object, high: int) -> None:
    """Refuse what is not a whole number in ``[1, high]``.

    Raises:
        ConfigError: If it is none; True and 1.0 are none.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{name}={value!r:.80} must be a whole number in [1, {high}]")
    check_range(name, value, 1, high)


def check_memory(needs: Mapping[str, float], there: float | None = None) -> None:
    """Refuse what cannot fit into memory.

    Args:
        needs: Bytes that are needed at least, by the settings that decide them.
        there: Bytes that there are; None takes those of this machine, as far as this process may
            use them.

    Raises:
        ConfigError: If more is needed.
    """
    whole, known = sum(needs.values()), memory_bytes() if there is None else there
    setting, most = max(needs.items(), key=lambda need: need[1])
    if whole > known:
        raise ConfigError(
            f"some {whole / 1e9:,.1f} GB of memory are needed, {most / 1e9:,.1f} GB of them for "
            f"{setting}, and there are {known / 1e9:,.1f} GB; choose smaller ones"
        )


def memory_bytes() -> float:
    """Bytes of memory of this machine, as far as this process may use them."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return float(there if limit == resource.RLIM_INFINITY else min(there, limit))
