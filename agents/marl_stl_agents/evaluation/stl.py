"""How well a frozen team satisfies the specifications, and what can be certified of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from marl_stl_agents.config import EvaluateConfig
from marl_stl_agents.evaluation.result import Robustness, SpecResult
from marl_stl_agents.evaluation.rollouts import Act, RecurrentGreedy, collect_rollout
from marl_stl_env.config import EnvConfig, FaultConfig, StlConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.stl.certificate import Certificate, certify, certify_all
from marl_stl_env.stl.specs import CONJUNCTION
from marl_stl_env.types import (
    ACTIONS,
    Action,
    AnyArray,
    BoolArray,
    Float32Array,
    Float64Array,
    Int8Array,
)

#: Lanes of training are seeded below 2**33; these are for evaluation alone.
FRESH_SEEDS = 2**40
#: Episodes for the certificate, where training monitored specifications and no number is given.
DEFAULT_EPISODES = 200
#: Episodes in which the specifications of a checkpoint are watched.
CHECKPOINT_EPISODES = 100
_LANES = 1024
_TRIVIAL_EPISODES = 64
_KEPT = 0.99


class Watched(NamedTuple):
    """Status of the specifications at the end of each episode.

    Attributes:
        names: The specifications, in the order of both arrays.
        satisfied: Whether each was satisfied.  # (episodes, specifications) bool
        robustness: Of each specification; +inf where the episode ended before it counted.
            # (episodes, specifications) float32
        rewards: Mean payoff of the team's decision per event.  # (episodes,) float64
    """

    names: tuple[str, ...]
    satisfied: BoolArray
    robustness: Float32Array
    rewards: Float64Array

    def by_name(self) -> dict[str, tuple[BoolArray, Float32Array]]:
        """Truth and robustness of every specification and, last, of all together."""
        each = zip(self.names, self.satisfied.T, self.robustness.T, strict=True)
        together = (self.satisfied.all(axis=1), self.robustness.min(axis=1))
        return {**{name: (truth, value) for name, truth, value in each}, CONJUNCTION: together}

    def shares(self) -> dict[str, float]:
        """Share of the episodes that satisfy each, and all together, as they are logged."""
        truths = self.by_name().items()
        return {f"stl/{name}": float(truth.mean()) for name, (truth, _) in truths}

    def excess(self, budget: float) -> float:
        """By how much the share of episodes that violate any specification exceeds the budget."""
        return max(0.0, float((~self.satisfied.all(axis=1)).mean()) - budget)


def monitored(config: EnvConfig) -> EnvConfig:
    """The environment with its specifications monitored; the observations do not change.

    Raises:
        ConfigError: If it cannot monitor specifications.
    """
    return replace(config, stl=replace(config.stl, monitor=True))


def watch(
    config: EnvConfig,
    table: TrafficTable,
    act: Act,
    episodes: int,
    first_seed: int = FRESH_SEEDS,
) -> Watched:
    """Run whole episodes with a frozen policy and monitor the specifications.

    Args:
        config: The environment, faulty sensors included.
        table: The scaled table of the split.
        act: The policy of every sensor.
        episodes: How many; fixed before the first is run.
        first_seed: Episode i is the first one of seed ``first_seed + i``.
    """
    parts, choose = [], _chooser(config, table, act, episodes)
    for begin in range(0, episodes, _LANES):
        lanes = min(_LANES, episodes - begin)
        engine = Engine(monitored(config), table, lanes, first_seed + begin)
        if isinstance(act, RecurrentGreedy):
            act.forget()
        parts.append(_whole_episodes(engine, partial(choose, engine)))
    together = (
        np.concatenate(arrays) for arrays in zip(*(part[1:] for part in parts), strict=True)
    )
    return Watched(parts[0].names, *together)


def _chooser(
    config: EnvConfig, table: TrafficTable, act: Act, episodes: int
) -> Callable[[Engine], Int8Array]:
    """What the honest sensors of an engine choose on its current events.

    An event that looks the same in every episode is acted on once, not in each of them.
    """
    shown = config.stl.observe or config.stl.shield or config.deliberation
    alike = config.dynamics == "replay" and not shown and not isinstance(act, RecurrentGreedy)
    if alike and len(table) < episodes * config.episode_length:
        honest = replace(config, faults=FaultConfig(), stl=StlConfig(monitor=False))
        actions = collect_rollout(honest, table, act).actions
        return lambda engine: actions[engine.rows]

    def choose(engine: Engine) -> Int8Array:
        chosen, _ = act(engine.observe().reshape(engine.lanes * engine.agents, -1))
        return chosen.reshape(engine.lanes, -1)

    return choose


def _whole_episodes(engine: Engine, choose: Callable[[], AnyArray]) -> Watched:
    """Run the first episode of every lane."""
    engine.reset()
    rewards, events, over = np.zeros(engine.lanes), 0, False
    while not over:
        record = engine.step(choose())
        rewards += record.decision_rewards
        # Begun together, all lanes vote together: a proposal round is no event.
        events, over = events + int(record.voting.all()), bool(record.truncated.all())
    status = record.spec_status
    return Watched(_names(engine), ~status.violated, status.robustness, rewards / events)


def _names(engine: Engine) -> tuple[str, ...]:
    if engine.spec_monitor is None:
        raise TypeError("this engine monitors no specifications")
    return tuple(one.name for one in engine.spec_monitor.specifications)


def trivially_satisfied(config: EnvConfig, table: TrafficTable) -> dict[str, tuple[str, ...]]:
    """Which specifications are satisfied by a policy that ignores its observations.

    Args:
        config: The environment.
        table: The scaled table of the split.

    Returns:
        Name of a specification (or :data:`~marl_stl_env.stl.specs.CONJUNCTION`) to those of
        the four constant policies and the random one that satisfy it in at least 99 % of 64
        episodes.
    """
    rng = np.random.default_rng(0)
    names = [*(f"always_{action.name.lower()}" for action in Action), "random"]
    engine = Engine(
        monitored(config),
        table,
        len(names) * _TRIVIAL_EPISODES,
        np.tile(FRESH_SEEDS + np.arange(_TRIVIAL_EPISODES), len(names)),
    )
    fixed: Int8Array = np.repeat(np.arange(len(names), dtype=np.int8), _TRIVIAL_EPISODES)[:, None]

    def choose() -> AnyArray:
        chance = rng.integers(0, ACTIONS, (engine.lanes, engine.agents), dtype=np.int8)
        return np.where(fixed < ACTIONS, fixed, chance)

    shares = {
        spec: truth.reshape(len(names), -1).mean(axis=1)
        for spec, (truth, _) in _whole_episodes(engine, choose).by_name().items()
    }
    return {
        spec: tuple(name for name, share in zip(names, kept, strict=True) if share >= _KEPT)
        for spec, kept in shares.items()
    }


def certified_episodes(
    env: EnvConfig, table: TrafficTable, act: Act, settings: EvaluateConfig
) -> Watched | None:
    """The episodes for the certificate; None where nothing is certified.

    Args:
        env: The environment, with honest sensors only.
        table: The scaled table of the evaluated split.
        act: The frozen policy.
        settings: How many episodes.

    Raises:
        ConfigError: If this environment cannot monitor specifications.
    """
    episodes = settings.certify
    if episodes is None:
        episodes = DEFAULT_EPISODES if env.stl.monitor else 0
    return watch(env, table, act, episodes) if episodes else None


def stl_metrics(
    env: EnvConfig, table: TrafficTable, watched: Watched | None, settings: EvaluateConfig
) -> dict[str, SpecResult]:
    """Satisfaction and certificate of every specification; empty where nothing is certified.

    The conjunction is certified by itself at ``delta``. The single specifications share ``delta``,
    so that their certificates hold jointly.

    Args:
        env: The environment, with honest sensors only.
        table: The scaled table of the evaluated split.
        watched: Result of :func:`certified_episodes`.
        settings: The certificate's epsilon and delta.

    Returns:
        Name of a specification (or of the conjunction) to its result.
    """
    if watched is None:
        return {}
    results = watched.by_name()
    trivial_policies = trivially_satisfied(env, table)
    level = {"epsilon": settings.epsilon, "delta": settings.delta}
    single = {name: values for name, values in results.items() if name != CONJUNCTION}
    certificates = certify_all(
        {name: kept for name, (kept, _) in single.items()},
        {name: robustness for name, (_, robustness) in single.items()},
        **level,
    )
    truth, value = results[CONJUNCTION]
    certificates[CONJUNCTION] = certify(truth, value, **level)
    return {
        name: _spec_result(robustness, certificates[name], trivial_policies[name])
        for name, (_, robustness) in results.items()
    }


def _spec_result(
    robustness: Float32Array, certificate: Certificate, trivial_policies: tuple[str, ...]
) -> SpecResult:
    return SpecResult(
        satisfied=1.0 - certificate.failures / certificate.episodes,
        episodes=certificate.episodes,
        robustness=Robustness(
            mean=_finite(float(robustness.mean())), min=_finite(float(robustness.min()))
        ),
        certified=certificate.certified,
        epsilon=certificate.epsilon,
        delta=certificate.delta,
        margin=_finite(certificate.margin),
        lower_bound=certificate.lower_bound,
        kept_by=trivial_policies,
    )


def _finite(value: float) -> float | None:
    """The value; None where JSON cannot hold it."""
    return value if math.isfinite(value) else None
