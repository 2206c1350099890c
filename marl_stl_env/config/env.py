"""The configuration of one environment."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from marl_stl_env.config.data import DataConfig, Split
from marl_stl_env.config.response import PRESENCE, ResponseConfig, StlConfig
from marl_stl_env.config.shown import ShowsChanges
from marl_stl_env.config.vote import ConsensusConfig, Dynamics, FaultConfig, RewardConfig
from marl_stl_env.errors import ConfigError, UnknownNameError
from marl_stl_env.plugins import canonical
from marl_stl_env.validation import check_range, check_types, coerce, from_plain

Views = Literal["groups", "overlap", "full", "random"]
Order = Literal["sequential", "shuffled"]
Deliberation = Literal[0, 1]

#: Share of the columns in each random view, unless another one is asked for.
RANDOM_SHARE = 0.5


@dataclass(frozen=True, repr=False)
class EnvConfig(ShowsChanges):
    """One environment: its data, its sensors, its episodes, its rewards and its vote.

    Attributes:
        data: The data set and its split.
        split: The part of the data that is replayed.
        agents: Number of sensors, 1 to 64.
        views: What each sensor sees: "groups" its own group of columns, "overlap" several groups
            (each seen by ``view_share`` of the sensors), "full" all columns, "random" a random
            ``view_share`` of the columns.
        view_share: Share for "overlap" and "random", in (0, 1]. None takes as many sensors per
            group as the vote needs to tolerate its faulty sensors, or half of the columns.
        second_opinions: Sensors, the last ones, that see no features but second opinions: scores
            of forests that had never met the event's attack family. 0 makes none.
        episode_length: Events of an episode (fewer where the split is shorter).
        order: "sequential" replays the table in its order, "shuffled" in one fixed random order.
        reward: What a decision is worth.
        consensus: How votes become a decision.
        faults: Which sensors are faulty.
        deliberation: With 1 every event has a proposal round before the vote; the proposals, as
            agreed on, are shown to all sensors.
        dynamics: "replay" is Traffic-v0: every event stands alone. "response" is
            TrafficResponse-v0: quarantines last and alerts buy verdicts; needs entities.
        response: The settings of the response.
        stl: Which specifications are monitored.
        plugins: Modules of your own that register data sets, rules, rewards, faults or signals:
            dotted names, or paths of .py files. Their code is run.
    """

    data: DataConfig = field(default_factory=DataConfig)
    split: Split = "train"
    agents: int = 7
    views: Views = "overlap"
    view_share: float | None = None
    second_opinions: int = 0
    episode_length: int = 1000
    order: Order = "sequential"
    reward: RewardConfig = field(default_factory=RewardConfig)
    consensus: ConsensusConfig = field(default_factory=ConsensusConfig)
    faults: FaultConfig = field(default_factory=FaultConfig)
    deliberation: Deliberation = 0
    dynamics: Dynamics = "replay"
    response: ResponseConfig = field(default_factory=ResponseConfig)
    stl: StlConfig = field(default_factory=StlConfig)
    plugins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_types(self)
        object.__setattr__(self, "plugins", tuple(map(canonical, self.plugins)))
        check_range("agents", self.agents, 1, 64)
        check_range("episode_length", self.episode_length, 1, 10**9)
        self.consensus.threshold_for(self.agents)
        check_range("faulty", self.faults.faulty, 0, self.agents)
        check_range("second_opinions", self.second_opinions, 0, self.agents)
        self._check_view_share()
        if self.deliberation and self.agents == 1:
            raise ConfigError("deliberation=1 needs at least 2 agents: one has nobody to tell")
        self._warn_of_long_quarantines()

    def _warn_of_long_quarantines(self) -> None:
        length, texts = self.response.quarantine_length, self.stl.specs
        bounded = not texts or any("quarantined_fraction" in text for text in texts)
        if self.stl.shield and self.dynamics == "response" and bounded and length >= PRESENCE:
            warnings.warn(
                f"shield=True with quarantine_length={length}: while a quarantine lasts, all other "
                f"entities can leave the {PRESENCE} steps in which they count as present, so the "
                "shield of quarantined_fraction forbids nearly every Quarantine; use a "
                f"quarantine_length below {PRESENCE}, or specs without it",
                stacklevel=4,
            )

    def _check_view_share(self) -> None:
        if self.view_share is None:
            return
        check_range("view_share", self.view_share, 0.0, 1.0, open_low=True)
        if self.views not in {"overlap", "random"}:
            raise ConfigError(
                f"view_share={self.view_share} with views={self.views!r}: only views='overlap' and "
                "views='random' have a share; choose one of them or leave view_share out"
            )

    @property
    def seen_by(self) -> int:
        """Sensors that see each group of columns with ``views="overlap"``.

        If an event shows in one group that r of n sensors see, f of them are faulty and the
        others are misled by what they do see, the vote is right with r - f >= tau votes for a
        threat and (n - r) + f < tau against a benign event. Some tau does both iff
        2 r >= n + 2 f + 1, and the default one does: r is the size of a masking quorum (Malkhi
        and Reiter 1998, "Byzantine quorum systems", Distributed Computing 11(4)).
        """
        if self.view_share is not None and self.views == "overlap":
            return max(1, round(self.view_share * self.see_features))
        quorum = math.ceil((self.agents + 2 * self.consensus.faulty_for(self.agents) + 1) / 2)
        return min(quorum, max(1, self.see_features))

    @property
    def see_features(self) -> int:
        """Sensors that see features, the first ones; the others see second opinions."""
        return self.agents - self.second_opinions

    @property
    def random_share(self) -> float | None:
        """Share of the columns in each view with ``views="random"``; None with other views."""
        if self.views != "random":
            return None
        return RANDOM_SHARE if self.view_share is None else self.view_share


def make_config(config: EnvConfig | None, overrides: Mapping[str, Any]) -> EnvConfig:
    """The configuration given, or the default one, with single fields replaced.

    Args:
        config: Where to start; None starts from the defaults.
        overrides: Fields of :class:`EnvConfig` and, beside them, of :class:`DataConfig`.
            Nested configurations may be plain mappings, tuples may be lists.

    Raises:
        UnknownNameError: If an override is not a field of either.
        ConfigError: If the result is not valid.
    """
    if isinstance(config, Mapping):
        config = from_plain(EnvConfig, config)
    if config is not None and not isinstance(config, EnvConfig):
        raise ConfigError(f"config must be an EnvConfig or None, not {config!r}")
    of_data, of_env = ([item.name for item in fields(one)] for one in (DataConfig, EnvConfig))
    for name in overrides:
        if name not in of_data and name not in of_env:
            raise UnknownNameError("setting", name, [*of_env, *of_data])
    start = config or EnvConfig()
    flat = {name: value for name, value in overrides.items() if name in of_env}
    data = {name: value for name, value in overrides.items() if name in of_data}
    whole = coerce(DataConfig, flat.get("data", start.data))
    if data and not isinstance(whole, DataConfig):
        raise ConfigError(f"data must be a DataConfig or a mapping, not {whole!r:.80}")
    if data:
        flat["data"] = replace(whole, **data)
    return replace(start, **flat)
