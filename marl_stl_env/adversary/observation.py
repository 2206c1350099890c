"""How an attacker's observation is laid out."""

from __future__ import annotations

import numpy as np

from marl_stl_env.adversary.state import Coming
from marl_stl_env.engine.response import CONTEXT
from marl_stl_env.types import BoolArray, Float32Array, Int8Array

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
        coming: Coming,
        passed: Int8Array,
        faulty: BoolArray | None,
        context: Float32Array | None,
    ) -> Float32Array:
        """Observations.

        Args:
            features: Features of all events.  # (rows, features) float32
            coming: The events to come.
            passed: Whether each attacker's last event passed, -1 before one.
                # (lanes, attackers) int8
            faulty: The sensors that are the attackers', where some are.  # (lanes, agents) bool
            context: The response's context of these events, where there is one.
                # (lanes, context) float32

        Returns:
            # (lanes, attackers, width) float32
        """
        seen = np.zeros((*passed.shape, len(self.layout)), np.float32)
        each, at = seen.reshape(-1, len(self.layout)), self._features
        lanes, slots = coming.lanes, coming.slots
        each[slots, :at] = features.take(coming.events[lanes], axis=0)
        seen[:, :, at : at + len(self._selves)] = self._selves
        at += len(self._selves)
        each[slots, at], each[slots, at + 1] = 1.0, coming.may_wait
        seen[:, :, at + 2], seen[:, :, at + 3] = passed == 1, passed == 0
        at += len(STANDING)
        if faulty is not None:
            seen[:, :, at : at + faulty.shape[1]] = faulty[:, None]
        if context is not None:
            each[slots, -len(ISOLATION) :] = context[lanes][:, _ISOLATION_AT]
        return seen
