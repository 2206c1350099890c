"""Checks that every configuration makes of its fields."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Literal, get_args, get_origin, get_type_hints

from marl_stl_env.errors import ConfigError, UnknownNameError


def check_types(config: object) -> None:
    """Refuse field values that their annotations do not allow.

    Raises:
        UnknownNameError: If a ``Literal`` field holds none of its names.
        ConfigError: If any other field has the wrong type.
    """
    from typeguard import TypeCheckError, check_type

    hints = get_type_hints(type(config))
    for item in fields(config):  # type: ignore[arg-type]
        value, hint = getattr(config, item.name), hints[item.name]
        if get_origin(hint) is Literal and value not in get_args(hint):
            raise UnknownNameError(item.name, value, map(str, get_args(hint)))
        try:
            check_type(value, hint)
        except TypeCheckError as error:
            raise ConfigError(f"{item.name}={value!r} has the wrong type: {error}") from None


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
