"""The attackers of ``TrafficAdversarial-v0``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from marl_stl_env.config.shown import ShowsChanges
from marl_stl_env.config.texts import as_settings
from marl_stl_env.errors import ConfigError
from marl_stl_env.validation import check_range, check_types

_TEXTS = ("mutable", "sums", "rates")


@dataclass(frozen=True, repr=False)
class AdversaryConfig(ShowsChanges):
    """Who attacks, and what an attacker may do to its own events.

    Attributes:
        attackers: Number of attackers, 1 to 64; each owns a share of the attacking entities, or of
            the attacks where the data names no entities.
        disguises: Disguises to choose from (K), beside none and waiting, 1 to 64.
        constraints: A JSON file of constraints; None takes the data set's own.
        mutable: Columns that an attacker may change, in place of those of a file: a mapping from
            the column to its limits (see :class:`~marl_stl_env.adversary.constraints.Mutable`), or
            texts ``name=JSON``.
        sums: Columns that are sums of others: a mapping from the sum to its parts.
        rates: Columns that are products over products: a mapping from the rate to
            ``{"of": [...], "per": [...]}``.
        disguise_cost: Weight of what a disguise takes from the worth of an attack that passes; 0
            makes disguises free.
        wait_events: Events for which an attack that waits is held back.
        wait_cost: What an attacker pays for waiting once.
        owns_faulty: The faulty sensors of the environment are the attackers': they see which.
    """

    attackers: int = 1
    disguises: int = 8
    constraints: Path | None = None
    mutable: tuple[str, ...] = ()
    sums: tuple[str, ...] = ()
    rates: tuple[str, ...] = ()
    disguise_cost: float = 1.0
    wait_events: int = 16
    wait_cost: float = 0.5
    owns_faulty: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.constraints, str | Path):
            object.__setattr__(self, "constraints", Path(self.constraints).expanduser().absolute())
        for name in _TEXTS:
            value = getattr(self, name)
            if isinstance(value, Mapping):
                object.__setattr__(self, name, as_settings(name, value))
            elif isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        check_types(self)
        check_range("attackers", self.attackers, 1, 64)
        check_range("disguises", self.disguises, 1, 64)
        check_range("disguise_cost", self.disguise_cost, 0.0, 1e3)
        check_range("wait_events", self.wait_events, 1, 10**6)
        check_range("wait_cost", self.wait_cost, 0.0, 1e6)
        if self.constraints is not None and any(getattr(self, name) for name in _TEXTS):
            raise ConfigError(
                f"constraints={str(self.constraints)!r} with mutable, sums or rates: state the "
                "constraints in the file or in the settings, not in both"
            )
