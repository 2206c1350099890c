"""The engine with attackers: the same dynamics, on events that may be disguised or late."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from marl_stl_env.adversary.observation import AttackerView
from marl_stl_env.adversary.rewards import AttackRewards
from marl_stl_env.adversary.schedule import Schedule
from marl_stl_env.adversary.state import AttackRecord, Coming, PlacedState
from marl_stl_env.adversary.table import DisguisedTable, disguised_table
from marl_stl_env.config import EnvConfig
from marl_stl_env.config.adversary import AdversaryConfig
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.dynamics import replay_order
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import LaneState, StepRecord
from marl_stl_env.engine.streams import random_words
from marl_stl_env.errors import ConfigError, InvalidActionError
from marl_stl_env.types import (
    AnyArray,
    BoolArray,
    Float32Array,
    Float64Array,
    Int8Array,
    IntArray,
    as_integers,
)

#: Chooses the actions of an engine's attackers.  # (lanes, attackers) int8
Attack: TypeAlias = Callable[["AdversarialEngine"], Int8Array]

# Above the draws of starts and faulty sensors, below those of label feedback.
_FIRST_DRAW = 2**61


class AdversarialEngine(Engine):
    """Replays events that attackers disguise one step ahead.

    Between two steps every attacker chooses an action for the event to come; it counts where that
    event is its own: 0 sends it as it is, 1 to K in a disguise, K + 1 lets it wait. The first event
    of an episode is sent as it is. An event that waits comes ``wait_events`` later, and at the
    episode's end at the latest; until then no other one of its lane can wait.

    The game is zero-sum but for costs: in every step the attackers' rewards and costs sum to minus
    the payoff of the team's decision. An attack's payoff is its owner's, a benign event's is shared
    by all attackers alike.

    Args:
        config: The environment.
        adversary: The attackers.
        disguised: The disguised events of the split.
        lanes: Independent copies of the stream, at least 1.
        seeds: One seed s (lane i gets s + i), or one per lane; None draws from the system.
        attacks_only: Replay attacks alone. In a replay every event stands by itself, so that this
            leaves out only what no attacker has to decide on.

    Attributes:
        adversary: The attackers.
        disguised: The disguised events.
        last_attack: What the last step did to the attackers, or None before the first.

    Raises:
        ConfigError: If there is no attack to replay, or ``attacks_only`` with other dynamics.
    """

    def __init__(
        self,
        config: EnvConfig,
        adversary: AdversaryConfig,
        disguised: DisguisedTable,
        lanes: int,
        seeds: int | ArrayLike | None = None,
        attacks_only: bool = False,
    ) -> None:
        if attacks_only and config.dynamics != "replay":
            raise ConfigError(
                "attacks_only=True: in a response benign events spend alerts and quarantines, and "
                "must be there; use attacks_only=False"
            )
        self.adversary, self.disguised = adversary, disguised
        self._attacks_only = attacks_only
        super().__init__(config, disguised.table, lanes, seeds)
        self.attackers, self._count = adversary.attackers, adversary.disguises
        self._attack_rewards = AttackRewards(adversary, disguised.disguises)
        self._schedule = Schedule(adversary, disguised, self._order, lanes)
        self._state = self._placed = PlacedState.of(self._state, self._schedule.state.places)
        sensors = self.agents if adversary.owns_faulty else 0
        isolation = self._memory.response is not None
        self._view = AttackerView(self.table.feature_names, self.attackers, sensors, isolation)
        self.last_attack: AttackRecord | None = None

    @classmethod
    def make(
        cls,
        config: EnvConfig,
        adversary: AdversaryConfig,
        lanes: int,
        seeds: int | ArrayLike | None = None,
        table: TrafficTable | PreparedData | None = None,
        attacks_only: bool = False,
    ) -> AdversarialEngine:
        """An engine over the prepared split that the configuration names.

        Args:
            config: The environment.
            adversary: The attackers.
            lanes: Independent copies of the stream.
            seeds: As for the constructor.
            table: Prepared data, or a raw table, in place of what ``config.data`` names.
            attacks_only: As for the constructor.

        Raises:
            ConfigError: If there are no constraints for this data.
            DataError: If the data cannot be read, split or scaled.
        """
        disguised = disguised_table(config, adversary, table)
        return cls(config, adversary, disguised, lanes, seeds, attacks_only)

    @property
    def attack_actions(self) -> int:
        """Actions of an attacker: none, the K disguises, waiting."""
        return self._count + 2

    @property
    def effectiveness(self) -> Float32Array:
        """What is left of an attack's worth, without and in each disguise.  # (K + 1,) float32."""
        return self._attack_rewards.effectiveness

    @property
    def attack_layout(self) -> tuple[str, ...]:
        """The name of each column of an attacker's observation."""
        return self._view.layout

    def reset(self, mask: BoolArray | None = None) -> None:
        """Begin the next episode in the masked lanes (in all without a mask).

        Args:
            mask: Lanes to reset.  # (lanes,) bool
        """
        super().reset(mask)
        self._begin(self._all if mask is None else mask)

    def place(self, starts: IntArray, ends: IntArray) -> None:
        """Put every lane on a segment of the replay; see :meth:`Engine.place`."""
        super().place(starts, ends)
        self._begin(self._all)

    def step(self, actions: AnyArray, attacks: AnyArray | None = None) -> StepRecord:
        """Let every lane evaluate its current event, and the attackers prepare the next.

        Args:
            actions: Action of each sensor.  # (lanes, agents) integer
            attacks: Action of each attacker, 0 to K + 1; None sends everything as it is.
                # (lanes, attackers) integer

        Returns:
            What happened in every lane; rows are those of the disguised table, and
            :attr:`last_attack` has the attackers' part.

        Raises:
            InvalidActionError: If actions or attacks have the wrong shape, type or values.
            ResetNeededError: If no lane has a running episode.
        """
        chosen, coming = self._checked_attacks(attacks), self._next
        schedule, current = self._schedule, self._schedule.current()
        record = super().step(actions)
        moved = record.live & record.voting
        schedule.state.hear(current, record.decisions, moved)
        waiting = schedule.advance(coming, chosen, moved, self._state)
        self._placed.stand_at(schedule.state.places)
        costs, rewards = self._attack_rewards.of_step(record.decision_rewards, current, waiting)
        waited = np.zeros(costs.shape, np.bool_)
        waited.reshape(-1)[waiting] = True
        self.last_attack = AttackRecord(
            current.events, current.owners, current.disguises, waited, costs, rewards
        )
        return record

    def observe_attackers(self) -> Float32Array:
        """What every attacker sees before it chooses for the event to come.

        Of that event it sees all features, without disguise, where it is its own, and 0 elsewhere.

        Returns:
            Observations, in a fresh array.  # (lanes, attackers, width) float32
        """
        coming, context = self._next, None
        if self._memory.response is not None:
            context = self._memory.response.context(self._at_next(coming.places))
        return self._view.write(
            self.table.features,
            coming,
            self._schedule.state.passed,
            self._state.faulty if self.adversary.owns_faulty else None,
            context,
        )

    def observe_next(self, disguise: int) -> Float32Array:
        """What every sensor would see of the event to come, in a disguise.

        Args:
            disguise: 0 for none, 1 to K.

        Returns:
            Observations before any proposal, in a fresh array.  # (lanes, agents, width) float32
        """
        coming = self._next
        rows = self._schedule.rows_of(coming, disguise)
        shared = self._memory.context(self._at_next(coming.places), self.action_mask)
        return self.observations.observe(rows, shared=shared)

    @property
    def attack_mask(self) -> BoolArray:
        """The attackers' actions that would change anything; sending as it is always may.

        # (lanes, attackers, K + 2) bool
        """
        mask = np.zeros((self.lanes, self.attackers, self.attack_actions), np.bool_)
        mask[:, :, 0] = True
        own, coming = mask.reshape(-1, self.attack_actions), self._next
        own[coming.slots] = True
        own[coming.slots, -1] = coming.may_wait
        return mask

    def uniforms(self, draw: int, per_episode: bool = False) -> Float64Array:
        """Random numbers of the lanes' own streams, for policies that draw their actions.

        Args:
            draw: Which of several numbers of one step, 0 to 63.
            per_episode: The same number in every step of an episode.

        Returns:
            Uniform on [0, 1).  # (lanes,) float64
        """
        state = self._state
        steps = 2 * (state.positions - state.starts) + state.voting + 1
        draws = _FIRST_DRAW + (0 if per_episode else 64) * steps + draw
        words = random_words(state.seeds, state.episodes - np.uint64(1), draws.astype(np.uint64))
        return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def get_state(self) -> dict[str, AnyArray]:
        """All that is needed to continue bit-identically, as plain arrays, lanes first."""
        return super().get_state() | self._schedule.state.to_arrays()

    def set_state(self, arrays: dict[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave.

        Raises:
            StateError: If the arrays do not fit this engine.
        """
        attack = self._schedule.state
        super().set_state(attack.taken_from(arrays, self.replayable))
        self._state = self._placed = PlacedState.of(self._state, attack.places)
        self._schedule.forget()

    def _replayed_rows(self, table: TrafficTable) -> IntArray:
        del table  # the disguised rows among them are never replayed by themselves
        order = replay_order(self.disguised.events, self.config.order)
        if not self._attacks_only:
            return order
        attacks = order[:-1][self.disguised.owners[order[:-1]] >= 0]
        if not len(attacks):
            raise ConfigError("attacks_only=True: the split has no attack; use another split")
        return np.append(attacks, attacks[-1])

    def _current_rows(self) -> IntArray:
        return self._schedule.current().rows

    def _begin(self, mask: BoolArray) -> None:
        self._schedule.begin(mask, self._state.positions)
        self._placed.stand_at(self._schedule.state.places)

    @property
    def _next(self) -> Coming:
        """What is known of the events to come."""
        return self._schedule.coming(self._state)

    def _at_next(self, place: IntArray) -> LaneState:
        """The lanes as they will stand on the event to come."""
        return PlacedState.of(self._state, place, self._state.positions + 1)

    def _checked_attacks(self, attacks: AnyArray | None) -> Int8Array:
        shape = (self.lanes, self.attackers)
        if attacks is None:
            return np.zeros(shape, np.int8)
        chosen = as_integers(attacks, shape)
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < self.attack_actions:
            raise InvalidActionError(
                f"an attacker's action is 0 (as it is), 1 to {self._count} (a disguise) or "
                f"{self._count + 1} (wait), not {chosen.min()} to {chosen.max()}"
            )
        return chosen.astype(np.int8)
