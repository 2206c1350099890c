"""The engine with attackers: the same dynamics, on events that may be disguised or late."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from marl_stl_env.adversary.observation import AttackerView, attack_rewards
from marl_stl_env.adversary.state import NOBODY, AttackRecord, AttackState, Coming, PlacedState
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
        kept = disguised.disguises.effectiveness(adversary.disguise_cost)
        self._effectiveness = kept.astype(np.float32)
        self._wait_cost = np.float32(adversary.wait_cost)
        self._attack = AttackState.empty(lanes, self.attackers)
        self._placed = PlacedState.of(self._state, self._attack.places)
        self._state = self._placed
        self._everyone = np.arange(self.attackers)
        self._first = np.arange(lanes) * self.attackers
        self._here: tuple[IntArray, IntArray] | None = None
        self._coming: Coming | None = None
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
        return self._effectiveness

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
        attack, events = self._attack, self._current()[0]
        owners, disguises = self.disguised.owners.take(events), attack.disguises
        record = super().step(actions)
        moved = record.live & record.voting
        own = self._is_of(owners)
        passed = (~record.decision_votes)[:, None].astype(np.int8)
        attack.passed = np.where(moved[:, None] & own, passed, attack.passed)
        waited = self._prepare(moved, coming, chosen)
        costs, rewards = attack_rewards(
            record.decision_rewards,
            own,
            self._effectiveness[disguises],
            self._wait_cost * waited,
        )
        self.last_attack = AttackRecord(events, owners, disguises, waited, costs, rewards)
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
            coming.events,
            coming.own,
            coming.may_wait,
            self._attack.passed,
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
        chosen = np.full(self.lanes, disguise, np.int8)
        attacked = np.where(coming.owners >= 0, chosen, np.int8(0))
        rows = self.disguised.rows(coming.events, attacked)
        observed = self.observations.observe(rows)
        if shared := self._memory.context(self._at_next(coming.places), self.action_mask):
            self.observations.write_shared(observed, shared)
        return observed

    @property
    def attack_mask(self) -> BoolArray:
        """The attackers' actions that would change anything; sending as it is always may.

        # (lanes, attackers, K + 2) bool
        """
        coming = self._next
        mask = np.repeat(coming.own[:, :, None], self.attack_actions, axis=2)
        mask[:, :, 0] = True
        mask[:, :, -1] &= coming.may_wait[:, None]
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
        return super().get_state() | self._attack.to_arrays()

    def set_state(self, arrays: dict[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave.

        Raises:
            StateError: If the arrays do not fit this engine.
        """
        super().set_state(self._attack.taken_from(arrays, self.replayable))
        self._placed = PlacedState.of(self._state, self._attack.places)
        self._state = self._placed
        self._moved()

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
        return self._current()[1]

    def _current(self) -> tuple[IntArray, IntArray]:
        """Rows of the current events: without and in their disguises."""
        if self._here is None:
            events = self._events_at(self._attack.places)
            self._here = events, self.disguised.rows(events, self._attack.disguises)
        return self._here

    def _events_at(self, places: IntArray) -> IntArray:
        """Rows of the events, without disguise, at these places."""
        rows: IntArray = self._order.take(places, mode="clip")
        return rows

    def _begin(self, mask: BoolArray) -> None:
        self._attack.begin(mask, self._state.positions)
        self._moved()

    def _moved(self) -> None:
        """The lanes stand elsewhere: nothing that was worked out for the old places holds."""
        self._placed.stand_at(self._attack.places)
        self._here = self._coming = None

    @property
    def _next(self) -> Coming:
        """What is known of the events to come."""
        if self._coming is None:
            state, attack = self._state, self._attack
            following = state.positions + 1
            places, released = attack.upcoming(following)
            events = self._events_at(places)
            owners = self.disguised.owners.take(events)
            attacked = owners >= 0
            there = attacked & (following < state.ends) & state.voting
            own = self._is_of(owners) & there[:, None]
            may_wait = following < state.ends - 1
            if attack.waiting:
                may_wait &= (attack.held == NOBODY) | released
            self._coming = Coming(places, events, owners, attacked, own, may_wait, released)
        return self._coming

    def _prepare(self, moved: BoolArray, coming: Coming, chosen: Int8Array) -> BoolArray:
        """Let the lanes that moved on show their next event; who waits is returned.

        # (lanes, attackers) bool
        """
        attack, positions, ends = self._attack, self._state.positions, self._state.ends
        running = moved & (positions < ends)
        wanted = self._of_owner(chosen, coming.owners) * (coming.attacked & running)
        waits = coming.may_wait & (wanted == self._count + 1)
        places = np.where(running, coming.places, positions)
        if attack.waiting:
            attack.held = np.where(moved & coming.released, NOBODY, attack.held)
        if waits.any():
            until = np.minimum(positions + self.adversary.wait_events, ends - 1)
            attack.held = np.where(waits, coming.places, attack.held)
            attack.releases = np.where(waits, until, attack.releases)
            places = np.where(waits, positions + 1, places)
            # Another attacker may own the event that comes instead; the same one has not seen it.
            owners = self.disguised.owners.take(self._events_at(places))
            known = (owners >= 0) & (owners != coming.owners)
            wanted = np.where(waits, self._of_owner(chosen, owners) * known, wanted)
        disguises = wanted * (wanted <= self._count)  # nobody waits twice
        if not moved.all():
            places = np.where(moved, places, attack.places)
            disguises = np.where(moved, disguises, attack.disguises)
        attack.places, attack.disguises = places, disguises
        self._moved()
        waited: BoolArray = waits[:, None] & coming.own
        return waited

    def _of_owner(self, chosen: Int8Array, owners: Int8Array) -> Int8Array:
        """What an event's owner chose; anything where nobody owns it.  # (lanes,) int8."""
        return chosen.take(self._first + owners, mode="clip")

    def _is_of(self, owners: Int8Array) -> BoolArray:
        """Which attacker owns the event of each lane.  # (lanes, attackers) bool."""
        return np.asarray(owners[:, None] == self._everyone)

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
