"""Frozen, validated configuration of an environment."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from marl_stl_env.errors import ConfigError, UnknownNameError
from marl_stl_env.validation import check_range, check_types

Split = Literal["train", "validation", "test"]
SplitMethod = Literal["auto", "stratified", "official", "temporal"]
Views = Literal["groups", "overlap", "full"]
Order = Literal["sequential", "shuffled"]
Weights = Literal["equal", "reliability"]
Balance = Literal["none", "families"]
Deliberation = Literal[0, 1]
Dynamics = Literal["replay", "response"]

#: In place of a fault's name: every lane draws one of all known faults at its reset.
MIXED = "mixed"

_Config = TypeVar("_Config")


@dataclass(frozen=True)
class RewardConfig:
    """What one event is worth, by its true label and the vote on it.

    Attributes:
        true_positive: A threat that was stopped.
        true_negative: A benign event that passed.
        false_positive: A benign event that was stopped.
        false_negative: A threat that passed.
        allow_cost: Subtracted for every Allow.
        block_cost: Subtracted for every Block; None is 0 in a replay and 0.5 in a response.
        quarantine_cost: Subtracted for every Quarantine; None is 0 or 1.
        alert_cost: Subtracted for every Alert, in a response once more above the analyst's
            budget; None is 0 or 0.25.
        team_share: A sensor's reward is ``(1 - team_share)`` of what its own action earns
            plus ``team_share`` of what the team's decision earns; in [0, 1].
        proposal_weight: With deliberation, weight of what a sensor's proposal earns as a statement
            of confidence: Allow, Alert, Block, Quarantine from surely benign to surely a threat.
            0 pays nothing for proposals.
    """

    true_positive: float = 10.0
    true_negative: float = 1.0
    false_positive: float = -8.0
    false_negative: float = -10.0
    allow_cost: float = 0.0
    block_cost: float | None = None
    quarantine_cost: float | None = None
    alert_cost: float | None = None
    team_share: float = 1.0
    proposal_weight: float = 1.0

    def __post_init__(self) -> None:
        check_types(self)
        for item in fields(self):
            if getattr(self, item.name) is not None:
                check_range(item.name, getattr(self, item.name), -1e6, 1e6)
        check_range("team_share", self.team_share, 0.0, 1.0)
        check_range("proposal_weight", self.proposal_weight, 0.0, 1e6)
        if self.true_positive <= self.false_negative or self.true_negative <= self.false_positive:
            raise ConfigError(
                "a right vote must earn more than a wrong one, but true_positive="
                f"{self.true_positive}, false_negative={self.false_negative}, true_negative="
                f"{self.true_negative}, false_positive={self.false_positive}"
            )

    def action_costs(self, dynamics: Dynamics = "replay") -> tuple[float, float, float, float]:
        """The cost of each action, in the order of :class:`~marl_stl_env.types.Action`."""
        given = (self.block_cost, self.quarantine_cost, self.alert_cost)
        usual = (0.5, 1.0, 0.25) if dynamics == "response" else (0.0, 0.0, 0.0)
        block, quarantine, alert = (
            default if cost is None else cost for cost, default in zip(given, usual, strict=True)
        )
        return self.allow_cost, block, quarantine, alert

    @property
    def threshold(self) -> float:
        """The cost-optimal rule stops an event iff P(threat) is at least this (action costs aside).

        Elkan (2001), "The foundations of cost-sensitive learning", equation 2.
        """
        benign_gap = self.true_negative - self.false_positive
        threat_gap = self.true_positive - self.false_negative
        return benign_gap / (benign_gap + threat_gap)


@dataclass(frozen=True)
class ConsensusConfig:
    """How many sensors may lie, and how many threat votes make a threat.

    Attributes:
        max_faulty: Byzantine sensors to tolerate (f). None takes all that the team can bear,
            ``(agents - 1) // 3``: none at all below four sensors.
        threshold: Threat votes that decide "threat" (tau), ``f + 1 <= tau <= agents - f``.
            None takes ``ceil(agents / 2)``.
        weights: With "equal" every vote counts alike. With "reliability" a vote weighs as much as
            its sensor has told threats and benign events apart on events with label feedback;
            ``threshold`` then decides only until one event of each class had label feedback.
        feedback_share: Share of the past events whose true label the team learns, in (0, 1]; used
            with "reliability" alone.
    """

    max_faulty: int | None = None
    threshold: int | None = None
    weights: Weights = "equal"
    feedback_share: float = 0.1

    def __post_init__(self) -> None:
        check_types(self)
        check_range("feedback_share", self.feedback_share, 0.0, 1.0, open_low=True)

    def faulty_for(self, agents: int) -> int:
        """The number of Byzantine sensors f that ``agents`` sensors tolerate here.

        Raises:
            ConfigError: If ``agents < 3 f + 1``.
        """
        bound = (agents - 1) // 3
        faulty = bound if self.max_faulty is None else self.max_faulty
        if not 0 <= faulty <= bound:
            raise ConfigError(
                f"max_faulty={faulty} is outside [0, {bound}]: {agents} sensors tolerate at most "
                f"{bound} Byzantine ones (agents >= 3 * max_faulty + 1); use at least "
                f"{3 * max(faulty, 0) + 1} sensors or a smaller max_faulty"
            )
        return faulty

    def threshold_for(self, agents: int) -> int:
        """The number of threat votes tau that decides "threat" among ``agents`` sensors.

        Raises:
            ConfigError: If the threshold lies outside ``[f + 1, agents - f]``.
        """
        faulty = self.faulty_for(agents)
        threshold = math.ceil(agents / 2) if self.threshold is None else self.threshold
        if not faulty + 1 <= threshold <= agents - faulty:
            raise ConfigError(
                f"threshold={threshold} is outside [{faulty + 1}, {agents - faulty}] for {agents} "
                f"sensors with max_faulty={faulty}: fewer votes would let the Byzantine sensors "
                "decide alone, more would let them veto"
            )
        return threshold


@dataclass(frozen=True)
class FaultConfig:
    """How many sensors are faulty, and in what way.

    Attributes:
        faulty: Faulty sensors of every lane (k), drawn anew at each reset; 0 to all of them.
        fault: A name from ``marl_stl_env.consensus.faults.FAULTS``, or "mixed", which draws one
            of them for each lane at each reset.
        sleeper_start: First step of the episode at which a "sleeper" turns, counted from 0.
    """

    faulty: int = 0
    fault: str = MIXED
    sleeper_start: int = 100

    def __post_init__(self) -> None:
        check_types(self)
        check_range("faulty", self.faulty, 0)
        check_range("sleeper_start", self.sleeper_start, 0)


@dataclass(frozen=True)
class ResponseConfig:
    """What actions change in ``TrafficResponse-v0``; times are steps of the lane.

    Attributes:
        quarantine_length: Steps for which a Quarantine isolates the event's entity.
        alert_budget: Alerts that the analyst takes on in any ``alert_window`` steps.
        alert_window: Steps over which the budget counts.
        alert_delay: Steps from an alert to the analyst's verdict on the entity.
        verdict_length: Steps for which a verdict is shown.
    """

    quarantine_length: int = 10
    alert_budget: int = 4
    alert_window: int = 64
    alert_delay: int = 4
    verdict_length: int = 256

    def __post_init__(self) -> None:
        check_types(self)
        for item in fields(self):
            lowest = 0 if item.name == "alert_budget" else 1
            check_range(item.name, getattr(self, item.name), lowest, 10**6)


@dataclass(frozen=True)
class StlConfig:
    """Which specifications are watched.

    Attributes:
        monitor: Watch them in every lane.
        observe: Also show every sensor how much of each specification is left, in [-1, 1].
        specs: The specifications, each a text ``name=formula``, such as
            ``quiet=G (false_alarms_64 <= 3)``; none takes the default set of the dynamics. Python
            also takes a mapping.
        posture_window: Steps over which the default specification "posture" counts errors.
    """

    monitor: bool = False
    observe: bool = False
    specs: tuple[str, ...] = ()
    posture_window: int = 64

    def __post_init__(self) -> None:
        if isinstance(self.specs, Mapping):
            object.__setattr__(self, "specs", _settings(self.specs))
        check_types(self)
        check_range("posture_window", self.posture_window, 1, 10**6)
        for text in self.specs:
            if "=" not in text or not text.split("=", 1)[0].strip():
                raise ConfigError(
                    f"specs holds {text!r}: write every specification as name=formula"
                )
        if self.observe and not self.monitor:
            raise ConfigError("observe=True shows what monitor=True watches: set both")


@dataclass(frozen=True)
class EnvConfig:
    """One environment: its data, its sensors, its episodes, its rewards and its vote.

    Attributes:
        dataset: A name from ``marl_stl_env.datasets()``.
        data_dir: Folder with the data files; None takes ``$MARL_STL_DATA_DIR``.
        dataset_options: Options of the data set, each a text ``name=value``, such as
            ``path=flows.csv``; the value is JSON where it can be. Python also takes a mapping.
            A ``path`` that names a file from here becomes absolute.
        download: Fetch the data from its publisher where it is not there.
        split: The part of the data that is replayed.
        split_method: "official" is the publisher's test set; "stratified" draws 70/15/15 by
            attack family; "temporal" cuts in time order with a gap; "auto" is official where
            the publisher gives a test set and stratified elsewhere.
        split_seed: Seed of the split, of balance, synthetic outliers and random views.
        holdout_families: Attack families whose training rows stand in validation instead, as
            the unseen attacks of a real test set would.
        drop_duplicates: Keep one event of all that have the same features.
        threat_rate: Share of threats to resample every split to, in (0, 1); None leaves it.
        balance: "families" lets training replay every attack family equally often, at the same
            threat rate; "none" replays the training split as it is.
        synthetic_outliers: Synthetic outliers that training replays for every event of its own:
            threats whose columns are each drawn from another training event. They teach to stop
            what looks like nothing known.
        agents: Number of sensors, 1 to 64.
        views: "groups" gives each sensor its part of the columns, "overlap" shows each group of
            columns to ``redundancy`` sensors, "full" shows all to all.
        redundancy: Sensors that see each group with "overlap", 1 to ``agents``. None takes as
            many as the vote needs to bear its faulty sensors: see ``seen_by``.
        random_views: Share of the columns, in (0, 1], in each of as many random views as there are
            sensors, drawn with ``split_seed`` in place of the data set's own views; 0 keeps those.
        episode_length: Events of an episode (fewer where the split is shorter).
        order: "sequential" replays the table in its order, "shuffled" in one fixed random order.
        reward: What a decision is worth.
        consensus: How votes become a decision.
        faults: Which sensors lie.
        deliberation: With 1 every event has a proposal round before the vote; what was proposed,
            as agreed on, is shown to all sensors.
        dynamics: "replay" (``Traffic-v0``): every event stands alone. "response"
            (``TrafficResponse-v0``): quarantines last and alerts buy verdicts; needs entities.
        response: The settings of the response.
        stl: Which specifications are watched.
    """

    dataset: str = "synthetic"
    data_dir: Path | None = None
    dataset_options: tuple[str, ...] = ()
    download: bool = False
    split: Split = "train"
    split_method: SplitMethod = "auto"
    split_seed: int = 0
    holdout_families: tuple[str, ...] = ()
    drop_duplicates: bool = False
    threat_rate: float | None = None
    balance: Balance = "none"
    synthetic_outliers: float = 0.0
    agents: int = 4
    views: Views = "groups"
    redundancy: int | None = None
    random_views: float = 0.0
    episode_length: int = 1000
    order: Order = "sequential"
    reward: RewardConfig = field(default_factory=RewardConfig)
    consensus: ConsensusConfig = field(default_factory=ConsensusConfig)
    faults: FaultConfig = field(default_factory=FaultConfig)
    deliberation: Deliberation = 0
    dynamics: Dynamics = "replay"
    response: ResponseConfig = field(default_factory=ResponseConfig)
    stl: StlConfig = field(default_factory=StlConfig)

    def __post_init__(self) -> None:
        if isinstance(self.data_dir, str | Path):
            object.__setattr__(self, "data_dir", Path(self.data_dir).expanduser().absolute())
        if isinstance(self.dataset_options, Mapping):
            object.__setattr__(self, "dataset_options", _settings(self.dataset_options))
        check_types(self)
        object.__setattr__(self, "dataset_options", tuple(map(_in_full, self.dataset_options)))
        check_range("agents", self.agents, 1, 64)
        check_range("episode_length", self.episode_length, 1, 10**9)
        check_range("split_seed", self.split_seed, 0, 2**32 - 1)
        if self.threat_rate is not None and not 0.0 < self.threat_rate < 1.0:
            raise ConfigError(f"threat_rate={self.threat_rate!r} is outside (0, 1)")
        check_range("synthetic_outliers", self.synthetic_outliers, 0.0, 100.0)
        check_range("random_views", self.random_views, 0.0, 1.0)
        self.consensus.threshold_for(self.agents)
        if self.redundancy is not None:
            check_range("redundancy", self.redundancy, 1, self.agents)
        check_range("faulty", self.faults.faulty, 0, self.agents)
        if self.deliberation and self.agents == 1:
            raise ConfigError("deliberation=1 needs at least 2 agents: one has nobody to tell")
        if self.deliberation and self.stl.monitor:
            raise ConfigError(
                "monitor=True with deliberation=1: a specification counts events, and a proposal "
                "is a step without one; use deliberation=0"
            )

    @property
    def seen_by(self) -> int:
        """Sensors that see each group of columns with ``views="overlap"``.

        If an event shows in one group that r of n sensors see, f of them lie and the others are
        taken in by what they do see, the vote is right with r - f >= tau votes for a threat and
        (n - r) + f < tau against a benign event. Some tau does both iff 2 r >= n + 2 f + 1, and
        the default one does: r is the size of a masking quorum (Malkhi and Reiter 1998,
        "Byzantine quorum systems", Distributed Computing 11(4)).
        """
        if self.redundancy is not None:
            return self.redundancy
        return math.ceil((self.agents + 2 * self.consensus.faulty_for(self.agents) + 1) / 2)


def _settings(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Options as texts ``name=value``, which hash, print and parse alike everywhere."""
    try:
        return tuple(
            f"{name}={value if isinstance(value, str | Path) else json.dumps(value)}"
            for name, value in options.items()
        )
    except TypeError as error:
        raise ConfigError(
            f"dataset_options holds what JSON cannot ({error}); load the table first and "
            "pass it as table="
        ) from None


def _in_full(setting: str) -> str:
    """A setting ``path=FILE`` with the whole path, so that it means the same file from anywhere.

    Where there is no such file it stays as it is: it may be one of the data folder.
    """
    name, _, text = setting.partition("=")
    path = Path(text).expanduser()
    return f"path={path.absolute()}" if name == "path" and path.is_file() else setting


def make_config(config: EnvConfig | None, overrides: dict[str, Any]) -> EnvConfig:
    """The configuration given, or the default one, with single fields replaced.

    Raises:
        UnknownNameError: If an override is not a field of :class:`EnvConfig`.
        ConfigError: If the result is not valid.
    """
    known = [item.name for item in fields(EnvConfig)]
    for name in overrides:
        if name not in known:
            raise UnknownNameError("setting", name, known)
    if config is not None and not isinstance(config, EnvConfig):
        raise ConfigError(f"config must be an EnvConfig or None, not {config!r}")
    return replace(config or EnvConfig(), **overrides)
