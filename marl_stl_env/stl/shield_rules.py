"""What a shield must count to enforce bounds; :mod:`~marl_stl_env.stl.shield` has the theory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from marl_stl_env.config.response import PRESENCE
from marl_stl_env.errors import ConfigError
from marl_stl_env.stl.enforcement import Bound
from marl_stl_env.types import Action, IntArray

_ISOLATIONS = ("quarantined", "quarantined_fraction", "requarantined_benign")


@dataclass(frozen=True)
class CountRule:
    """At most ``limit`` of an action in any window that ends at step ``start`` or later."""

    action: Action
    window: int
    start: int
    limit: int

    @property
    def first(self) -> int:
        """The first step that such a window holds."""
        return self.start - self.window + 1


@dataclass(frozen=True)
class FractionRule:
    """At most ``limits[n]`` isolated entities where n are present, from step ``start`` on."""

    limits: IntArray  # (PRESENCE + 1,)
    start: int


@dataclass(frozen=True)
class RepeatRule:
    """From step ``start`` on, no quarantine of an entity that left one too few steps ago."""

    window: int
    start: int


@dataclass(frozen=True)
class Rules:
    """The rules that enforce a set of bounds."""

    counts: tuple[CountRule, ...]
    fractions: tuple[FractionRule, ...]
    repeats: tuple[RepeatRule, ...]

    @classmethod
    def of(cls, bounds: Iterable[Bound], quarantine_length: int | None) -> Rules:
        """The rules of these bounds.

        Args:
            bounds: What is enforced.
            quarantine_length: Steps that an isolation lasts; None where nothing is isolated.

        Raises:
            ConfigError: If a bound is on isolations and there are none.
        """
        found = [_rule(bound, quarantine_length) for bound in bounds]
        return cls(
            tuple(rule for rule in found if isinstance(rule, CountRule)),
            tuple(rule for rule in found if isinstance(rule, FractionRule)),
            tuple(rule for rule in found if isinstance(rule, RepeatRule)),
        )


def _rule(
    bound: Bound, quarantine_length: int | None
) -> CountRule | FractionRule | RepeatRule | None:
    """The rule of one bound; None where nothing can break it."""
    if bound.kind in _ISOLATIONS and quarantine_length is None:
        raise ConfigError(
            f"'{bound.comparison}' bounds isolations, and nothing is isolated here; use "
            "dynamics='response' or leave the specification out"
        )
    length = quarantine_length or 0
    if bound.kind == "requarantined_benign":
        admitted = bound.holds(np.ones(1, np.int64)).all()
        return None if admitted else RepeatRule(bound.window, bound.start)
    if bound.kind == "quarantined_fraction":
        limits = _limits(bound, length)
        if length <= PRESENCE:
            return FractionRule(limits, bound.start)
        # Within its time every entity but the current one may leave.
        return CountRule(Action.QUARANTINE, length, bound.start, int(limits[1]))
    action = Action.ALERT if bound.kind == "alerts" else Action.QUARANTINE
    window = bound.window or length
    return CountRule(action, window, bound.start, bound.largest(np.arange(window + 1)))


def _limits(bound: Bound, length: int) -> IntArray:
    """The most isolations that the bound admits, by the number of entities present."""
    held = np.arange(length + 1)
    # A monitor divides just so.
    shares = [(held / present).astype(np.float32) for present in range(1, PRESENCE + 1)]
    return np.array([0, *(bound.largest(share) for share in shares)])
