"""What lanes remember beside their places: the response, the specifications and the shield."""

from __future__ import annotations

import numpy as np

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.config import EnvConfig
from marl_stl_env.data.entities import EntitySlots
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.response import CONTEXT, Outcome, ResponseDynamics
from marl_stl_env.engine.spec_monitor import SpecMonitor, specifications
from marl_stl_env.engine.state import LaneState
from marl_stl_env.stl.enforcement import classify
from marl_stl_env.stl.shield import Shield, Situation
from marl_stl_env.stl.shield_rules import Effects
from marl_stl_env.types import (
    Action,
    AnyArray,
    BoolArray,
    Float32Array,
    Int8Array,
    IntArray,
    unchanging,
)

#: The shared columns of the action mask, the last ones of an observation: 1 where the shield
#: allows the action.
MASK_COLUMNS = tuple(f"action_mask_{action.name.lower()}" for action in Action)


class LaneMemory:
    """The parts of an engine that remember something; each is None where it is switched off.

    Args:
        config: The environment.
        table: The scaled table of one split.
        order: Table row at each place of the replay.  # (rows + 1,) int64
        lanes: Independent copies of the stream.
        arrays: The array library and device.

    Attributes:
        response: What lasts of past decisions.
        monitor: The monitored specifications.
        shield: The enforced ones.

    Raises:
        TableError: If the dynamics need entities and the table names none.
        FormulaError: If a specification is not a formula that can be monitored.
        UnknownNameError: If a specification names a signal that these dynamics do not give.
        ConfigError: If a shield is to bound isolations in a replay.
    """

    def __init__(
        self,
        config: EnvConfig,
        table: TrafficTable,
        order: IntArray,
        lanes: int,
        arrays: Arrays = NUMPY,
    ) -> None:
        self._arrays, self._deliberates = arrays, config.deliberation == 1
        self.response: ResponseDynamics | None = None
        self.monitor: SpecMonitor | None = None
        self.shield: Shield | None = None
        lasting = None
        if config.dynamics == "response":
            self.response = ResponseDynamics(config, table, order, lanes, arrays)
            lasting = config.response.quarantine_length
        if config.stl.monitor:
            self.monitor = SpecMonitor(config, lanes, arrays)
        if config.stl.shield:
            bounds = classify(specifications(config)).bounds
            self.shield = Shield(bounds, lanes, lasting, arrays)
        self._shown = self.monitor if config.stl.observe else None
        self._every: BoolArray = arrays.asarray(np.ones(lanes, np.bool_))
        everything = unchanging(np.ones((lanes, len(Action)), np.bool_))
        self._all_allowed: BoolArray = arrays.asarray(everything)
        self._unrelated = Situation.unrelated(lanes, arrays)
        self._nothing = Outcome.nothing(lanes, arrays)

    def reset(self, mask: BoolArray) -> None:
        """Begin a new episode in the masked lanes.  # (lanes,) bool."""
        for part in self._parts().values():
            part.reset(mask)

    def place(self, longest: int) -> None:
        """Begin a new segment in every lane, of at most this length."""
        self.reset(self._every)
        if self.response is not None:
            self.response.place(longest)

    def follow(self, slots: EntitySlots, new: IntArray) -> None:
        """Go on with other events; see :meth:`ResponseDynamics.follow`."""
        if self.response is not None:
            self.response.follow(slots, new)

    def learn(self, step: int, slot: int, threat: bool) -> None:
        """Learn a late verdict; see :meth:`ResponseDynamics.learn`."""
        if self.response is not None:
            self.response.learn(step, slot, threat)

    def columns(self) -> dict[str, float]:
        """The observed columns that all sensors share, and the smallest value of each."""
        columns = dict.fromkeys(CONTEXT, 0.0) if self.response is not None else {}
        if self._shown is not None:
            columns |= {f"specification: {one.name}": -1.0 for one in self._shown.specifications}
        return columns | (dict.fromkeys(MASK_COLUMNS, 0.0) if self.shield is not None else {})

    def context(self, state: LaneState, mask: BoolArray) -> list[Float32Array]:
        """The values of these columns.

        Args:
            state: Where every lane stands.
            mask: The actions that are allowed there.  # (lanes, 4) bool

        Returns:
            Values of neighbouring columns.  # (lanes, columns) float32 each
        """
        values = [] if self.response is None else [self.response.context(state)]
        if self._shown is not None:
            values.append(self._shown.observation())
        if self.shield is not None:
            values.append(self._arrays.cast(mask, np.float32))
        return values

    def allowed(self, state: LaneState) -> BoolArray:
        """The actions that the shield allows on the current events, all in a proposal round.

        Returns:
            False for masked actions; not to be changed.  # (lanes, 4) bool
        """
        proposes = self._deliberates and self._arrays.surely_none(state.voting)
        if self.shield is None or proposes:
            return self._all_allowed
        allowed = self.shield.allowed(self._situation(state))
        if self._deliberates and not self._arrays.surely_all(state.voting):
            allowed = allowed | ~state.voting[:, None]
        return allowed

    def step(
        self,
        state: LaneState,
        labels: BoolArray,
        decisions: Int8Array,
        acting: BoolArray,
        known: BoolArray | None = None,
    ) -> Outcome:
        """Carry out the decisions on the events that :meth:`allowed` was asked about.

        Args:
            state: Where every lane stands, before it moves on.
            labels: True labels of the current events.  # (lanes,) bool
            decisions: What the teams decided.  # (lanes,) int8
            acting: Lanes that vote on a running episode.  # (lanes,) bool
            known: Events of which an analyst finds out the label; None for all.  # (lanes,) bool
        """
        if self.response is None and self.shield is None:
            return self._nothing
        if self._deliberates and self._arrays.surely_none(acting):  # all propose
            return self._nothing if self.response is None else self.response.stand_still(state)
        now = self._situation(state)
        effects = Effects.of(decisions, now.isolated, acting, self._arrays)
        if self.shield is not None:
            self.shield.step(now, effects)
        if self.response is None:
            return self._nothing
        return self.response.step(state, labels, decisions, effects, known)

    def _situation(self, state: LaneState) -> Situation:
        if self.response is None:
            return self._unrelated._replace(steps=state.positions - state.starts)
        return self.response.situation(state)

    def get_state(self) -> dict[str, AnyArray]:
        """Copies of all arrays, by name, lanes first."""
        return {
            f"{prefix}{name}": array
            for prefix, part in self._parts().items()
            for name, array in part.get_state().items()
        }

    def set_state(self, arrays: dict[str, AnyArray]) -> dict[str, AnyArray]:
        """Go back to a state that :meth:`get_state` gave.

        Returns:
            The arrays that belong to others.

        Raises:
            StateError: If the arrays do not fit.
        """
        others = dict(arrays)
        for prefix, part in self._parts().items():
            names = [name for name in others if name.startswith(prefix)]
            part.set_state({name.removeprefix(prefix): others.pop(name) for name in names})
        return others

    def _parts(self) -> dict[str, ResponseDynamics | SpecMonitor | Shield]:
        parts = {
            "response.": self.response,
            "specifications.": self.monitor,
            "shield.": self.shield,
        }
        return {prefix: part for prefix, part in parts.items() if part is not None}
