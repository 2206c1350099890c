"""Votes and decisions of a team on every event of a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy

from marl_stl_agents.evaluation.replay import replay
from marl_stl_agents.policies.arrays import array_logits
from marl_stl_env.config import EnvConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.errors import StateError
from marl_stl_env.types import (
    THREAT_VOTE,
    AnyArray,
    BoolArray,
    Float32Array,
    Float64Array,
    Int8Array,
    IntArray,
)

#: Maps observations (batch, width) to actions (batch,) and threat probabilities (batch,).
Act: TypeAlias = Callable[[Float32Array], tuple[Int8Array, Float64Array]]
#: Maps observations (batch, width) to the log-odds of a threat vote (batch,) float64.
LogOdds: TypeAlias = Callable[[Float32Array], Float64Array]
#: Chooses the actions of an engine's sensors on their current events.  # (lanes, agents) int8
Choose: TypeAlias = Callable[[Engine], Int8Array]
#: Takes the events of one step, as they are voted on: rows (events,), observations
#: (events, agents, width), actions (events, agents) and threat scores (events,).
Watch: TypeAlias = Callable[[IntArray, Float32Array, Int8Array, Float64Array], None]

#: Rows of a batch up to which numpy takes less time than torch.
_FEW = 64
#: Events of the steps that are written to a rollout together, about.
_HELD = 1 << 12
_THREATS = np.flatnonzero(THREAT_VOTE)
_FLAGS = ("isolated", "granted", "refused", "shielded")


@dataclass(frozen=True)
class Rollout:
    """Votes and decisions of a team on every event of a table, in the table's order.

    Attributes:
        actions: The action of every sensor.  # (rows, agents) int8
        decisions: The team's decision.  # (rows,) int8
        scores: The sensors' mean probability of a threat vote.  # (rows,) float64
        rewards: Reward of each decision.  # (rows,) float32
        isolated: Events contained because their entity was isolated.  # (rows,) bool
        granted: Events whose alert the analyst's budget covered.  # (rows,) bool
        refused: Events whose alert it did not cover.  # (rows,) bool
        shielded: Events on which the shield replaced the vote's decision.  # (rows,) bool
        robustness: The least robustness of each specification so far, after each event; None where
            none is monitored.  # (rows, specifications) float32
    """

    actions: Int8Array
    decisions: Int8Array
    scores: Float64Array
    rewards: Float32Array
    isolated: BoolArray
    granted: BoolArray
    refused: BoolArray
    shielded: BoolArray
    robustness: Float32Array | None = None

    @property
    def votes(self) -> BoolArray:
        """Whether each sensor voted "threat".  # (rows, agents) bool."""
        return THREAT_VOTE[self.actions]

    @property
    def decision_votes(self) -> BoolArray:
        """Whether the team decided "threat".  # (rows,) bool."""
        return THREAT_VOTE[self.decisions]


def collect_rollout(
    config: EnvConfig, table: TrafficTable, act: Act, watch: Watch | None = None
) -> Rollout:
    """Replay the whole table once, a segment of it in every lane.

    Args:
        config: The environment; episodes are replaced by the segments, so each segment has faulty
            sensors of its own.
        table: The scaled table of the split to evaluate on.
        act: The policy of every honest sensor. A policy with memory begins each segment without
            one.
        watch: Called with what the sensors saw and how they voted, step by step.
    """
    if isinstance(act, RecurrentGreedy):
        act.forget()
    return rollout_of(
        lambda choose: replay(config, table, choose), len(table), config.agents, act, watch
    )


def rollout_of(
    steps: Callable[[Choose], Iterator[StepRecord]],
    rows: int,
    agents: int,
    act: Act,
    watch: Watch | None = None,
) -> Rollout:
    """Let a policy take steps in which every event of a table is decided on once.

    Args:
        steps: Takes them with what chooses the sensors' actions.
        rows: Events of the table.
        agents: Sensors.
        act: The policy of every honest sensor.
        watch: Called with what the sensors saw and how they voted, step by step.
    """
    flags: dict[str, Any] = {name: np.empty(rows, np.bool_) for name in _FLAGS}
    votes, decisions = np.empty((rows, agents), np.int8), np.empty(rows, np.int8)
    rollout = Rollout(votes, decisions, np.empty(rows), np.empty(rows, np.float32), **flags)
    threat, seen = np.empty(0), np.empty((0, 0, 0), np.float32)
    held = list[tuple[StepRecord, Float64Array]]()

    def choose(engine: Engine) -> Int8Array:
        nonlocal threat, seen
        seen = engine.observe()
        chosen, threat = act(seen.reshape(engine.lanes * agents, -1))
        return chosen.reshape(-1, agents)

    for record in steps(choose):
        if watch is not None:
            live = record.live & record.voting
            scores = _scores(threat, agents)[live]
            watch(record.rows[live], seen[live], record.actions[live], scores)
        held.append((record, threat))
        if len(held) * len(threat) >= _HELD * agents:
            rollout, held = _written(rollout, held), []
    return _written(rollout, held) if held else rollout


def _written(rollout: Rollout, held: Sequence[tuple[StepRecord, Float64Array]]) -> Rollout:
    """The rollout with what many steps brought: to write each alone would cost as much as it."""

    def joined(name: str) -> AnyArray:
        return np.concatenate([getattr(record, name) for record, _ in held])

    live = joined("live") & joined("voting")
    rows = joined("rows")[live]
    threats = np.concatenate([threat for _, threat in held])
    rollout.scores[rows] = _scores(threats, rollout.actions.shape[1])[live]
    rollout.rewards[rows] = joined("decision_rewards")[live]
    for name in ("actions", "decisions", *_FLAGS):
        getattr(rollout, name)[rows] = joined(name)[live]
    robustness = joined("robustness")[live]
    if robustness.shape[1]:
        whole = rollout.robustness
        if whole is None:
            whole = np.empty((len(rollout.scores), robustness.shape[1]), np.float32)
        whole[rows] = robustness
        rollout = replace(rollout, robustness=whole)
    return rollout


def _scores(threat: Float64Array, agents: int) -> Float64Array:
    """The mean of the sensors of each team.  # (teams,) float64."""
    return np.asarray(np.add.reduce(threat.reshape(-1, agents), axis=1) / agents)


def greedy(policy: ActorCriticPolicy) -> Act:
    """The most probable action of a trained policy.

    Args:
        policy: The policy of every sensor.

    Returns:
        Maps observations (batch, width) float32, sensor after sensor, to actions (batch,) int8 and
        the probabilities of a threat vote (batch,) float64.
    """
    if isinstance(policy, RecurrentActorCriticPolicy):
        return RecurrentGreedy(policy)

    raw_logits, few = _raw_logits(policy), array_logits(policy)

    def act(observations: Float32Array) -> tuple[Int8Array, Float64Array]:
        if few is not None and len(observations) <= _FEW:
            return _most_probable(_shares(few(observations)))
        with torch.inference_mode():
            return _most_probable(_shares(raw_logits(observations).cpu().numpy()))

    return act


def _shares(logits: Float32Array) -> Float32Array:
    """The probabilities of logits: their softmax, an action a row in memory, which is faster."""
    shares: Float32Array = logits.T.copy()
    shares -= np.maximum.reduce(shares, axis=0)
    np.exp(shares, out=shares)
    shares /= np.add.reduce(shares, axis=0)
    return shares.T


def _raw_logits(policy: ActorCriticPolicy) -> Callable[[Float32Array], torch.Tensor]:
    """The logits of a policy without memory, before they are normalised.

    They are those of ``policy.get_distribution``, without SB3's checks of every batch: on a single
    event these take longer than the network.
    """
    encode, networks, head = policy.pi_features_extractor, policy.mlp_extractor, policy.action_net
    device = policy.device

    def logits(observations: Float32Array) -> torch.Tensor:
        batch = torch.from_numpy(observations).to(device)
        raw: torch.Tensor = head(networks.forward_actor(encode(batch)))
        return raw

    return logits


def threat_log_odds(policy: ActorCriticPolicy) -> LogOdds:
    """The log-odds of a threat vote of a trained policy without memory."""
    raw_logits, threat = _raw_logits(policy), torch.from_numpy(THREAT_VOTE).to(policy.device)

    def log_odds(observations: Float32Array) -> Float64Array:
        with torch.inference_mode():
            logits = raw_logits(observations).double()
            found = logits[:, threat].logsumexp(dim=1) - logits[:, ~threat].logsumexp(dim=1)
            return np.asarray(found.cpu().numpy(), np.float64)

    return log_odds


class RecurrentGreedy:
    """The most probable action of a policy with memory, which lasts from call to call.

    Args:
        policy: A trained policy.
    """

    def __init__(self, policy: RecurrentActorCriticPolicy) -> None:
        self._policy = policy
        self._memory: tuple[torch.Tensor, ...] | None = None

    def forget(self) -> None:
        """Begin without memory, with a batch of any size."""
        self._memory = None

    def get_state(self) -> dict[str, AnyArray]:
        """A copy of the memory, by name; nothing before the first event."""
        names = ("hidden", "cell")
        return {
            name: array.cpu().numpy().copy()
            for name, array in zip(names, self._memory or (), strict=False)
        }

    def set_state(self, arrays: Mapping[str, AnyArray]) -> None:
        """Go back to a memory that :meth:`get_state` gave.

        Raises:
            StateError: If it belongs to another network.
        """
        layers, _, units = self._policy.lstm_hidden_state_shape
        for name, array in arrays.items():
            if (array.ndim, *array.shape[::2], array.dtype) != (3, layers, units, np.float32):
                raise StateError(
                    f"the memory's {name} is {array.shape} {array.dtype}, not ({layers}, sensors, "
                    f"{units}) float32; it belongs to another network"
                )
        device = self._policy.device
        memory = [torch.tensor(arrays[name], device=device) for name in sorted(arrays)[::-1]]
        self._memory = tuple(memory) or None

    def __call__(self, observations: Float32Array) -> tuple[Int8Array, Float64Array]:
        """Actions and threat probabilities of the next event; see :data:`Act`."""
        policy, going_on = self._policy, torch.zeros(len(observations), device=self._policy.device)
        if self._memory is None:
            layers, _, units = policy.lstm_hidden_state_shape
            self._memory = (going_on.new_zeros(layers, len(observations), units),) * 2
        with torch.no_grad():
            batch = torch.from_numpy(observations).to(policy.device)
            hidden, cell = self._memory
            chosen, self._memory = policy.get_distribution(batch, (hidden, cell), going_on)
            return _most_probable(_probabilities(chosen).cpu().numpy())


def _probabilities(chosen: Distribution) -> torch.Tensor:
    if not isinstance(chosen.distribution, torch.distributions.Categorical):
        raise TypeError(f"a policy over actions is categorical, not {chosen.distribution!r}")
    probabilities: torch.Tensor = chosen.distribution.probs
    return probabilities


def _most_probable(probabilities: Float32Array) -> tuple[Int8Array, Float64Array]:
    threat = np.add.reduce(probabilities.T.take(_THREATS, axis=0), axis=0)
    return probabilities.argmax(axis=1).astype(np.int8), threat.astype(np.float64)
