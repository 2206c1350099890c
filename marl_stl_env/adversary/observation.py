"""How an attacker's observation is laid out, and what an attack is worth."""

from __future__ import annotations

import numpy as np

from marl_stl_env.engine.response import CONTEXT
from marl_stl_env.types import BoolArray, Float32Array, Int8Array, IntArray

#: The columns behind the features of an attacker's next event.
STANDING = ("own_event_next", "may_wait", "last_passed", "last_stopped")
#: Of the response's context, what an attacker notices: whether its host is cut off.
ISOLATION = ("isolated", "isolation_left")
_ISOLATION_AT = [CONTEXT.index(name) for name in ISOLATION]


class AttackerView:
    """Writes the observations of all attackers of all lanes.

    Args:
        features: Names of the features.
        attackers: Attackers; an indicator tells each which one it is.
        sensors: Sensors, where some may be the attackers'; 0 where none is.
        isolation: Whether entities can be isolated.

    Attributes:
        layout: Name of each column of an observation.
    """

    def __init__(
        self, features: tuple[str, ...], attackers: int, sensors: int, isolation: bool
    ) -> None:
        owned = (f"owns_sensor_{i}" for i in range(sensors))
        selves = (f"attacker_{j}" for j in range(attackers))
        noticed = ISOLATION if isolation else ()
        self.layout = (*features, *selves, *STANDING, *owned, *noticed)
        self._features, self._selves = len(features), np.eye(attackers, dtype=np.float32)

    def write(
        self,
        features: Float32Array,
        events: IntArray,
        own: BoolArray,
        may_wait: BoolArray,
        passed: Int8Array,
        faulty: BoolArray | None,
        context: Float32Array | None,
    ) -> Float32Array:
        """Observations.

        Args:
            features: Features of all events.  # (rows, features) float32
            events: Rows of the events to come, without disguise.  # (lanes,) int64
            own: Whose they are.  # (lanes, attackers) bool
            may_wait: Whether they may wait.  # (lanes,) bool
            passed: Whether each attacker's last event passed, -1 before one.
                # (lanes, attackers) int8
            faulty: The sensors that are the attackers', where some are.  # (lanes, agents) bool
            context: The response's context of these events, where there is one.
                # (lanes, context) float32

        Returns:
            # (lanes, attackers, width) float32
        """
        seen = np.zeros((*own.shape, len(self.layout)), np.float32)
        at = self._features
        lanes, attackers = own.nonzero()  # few: most events are benign
        seen[lanes, attackers, :at] = features.take(events[lanes], axis=0)
        seen[:, :, at : at + len(self._selves)] = self._selves
        at += len(self._selves)
        seen[:, :, at], seen[:, :, at + 1] = own, own & may_wait[:, None]
        seen[:, :, at + 2], seen[:, :, at + 3] = passed == 1, passed == 0
        at += len(STANDING)
        if faulty is not None:
            seen[:, :, at : at + faulty.shape[1]] = faulty[:, None]
        if context is not None:
            noticed = context[lanes][:, _ISOLATION_AT]
            seen[lanes, attackers, -len(ISOLATION) :] = noticed
        return seen


def attack_rewards(
    payoff: Float32Array,
    own: BoolArray,
    effectiveness: Float32Array,
    waiting: Float32Array,
) -> tuple[Float32Array, Float32Array]:
    """What one step costs and brings the attackers.

    The payoff of the team's decision on an attack is its owner's with the sign turned, that on a
    benign event is shared by all. A disguise takes ``1 - effectiveness`` of what an attack gains
    where it passes. So rewards and costs of all attackers sum to minus the payoff.

    Args:
        payoff: Payoff of the team's decision.  # (lanes,) float32
        own: Whose event it was on; nobody's where it was benign.  # (lanes, attackers) bool
        effectiveness: What its disguise left of its worth, in [0, 1].  # (lanes,) float32
        waiting: What waiting cost each attacker.  # (lanes, attackers) float32

    Returns:
        Costs and rewards.  # (lanes, attackers) float32 each
    """
    attacked = own.any(axis=1)
    shared = np.where(attacked, np.float32(0.0), payoff * np.float32(1.0 / own.shape[1]))
    lost = (1.0 - effectiveness) * np.maximum(-payoff, np.float32(0.0))
    costs = own * lost[:, None] + waiting
    return costs, -(own * payoff[:, None] + shared[:, None]) - costs
