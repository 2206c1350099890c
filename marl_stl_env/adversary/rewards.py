"""What an attack costs its attacker, and what it brings."""

from __future__ import annotations

import numpy as np

from marl_stl_env.adversary.disguise import Disguises
from marl_stl_env.adversary.state import Current
from marl_stl_env.config.adversary import AdversaryConfig
from marl_stl_env.types import Float32Array, IntArray


class AttackRewards:
    """Costs and rewards of all attackers.

    The payoff of the team's decision on an attack is its owner's with the sign turned, that on a
    benign event is shared by all. A disguise takes ``1 - effectiveness`` of what an attack gains
    where it passes. So rewards and costs of all attackers sum to minus the payoff.

    Args:
        adversary: The attackers.
        disguises: The disguises.

    Attributes:
        effectiveness: What is left of an attack's worth, without and in each disguise.
            # (K + 1,) float32
    """

    def __init__(self, adversary: AdversaryConfig, disguises: Disguises) -> None:
        self.effectiveness: Float32Array = disguises.effectiveness(adversary.disguise_cost).astype(
            np.float32
        )
        self._lost, self._attackers = np.float32(1.0) - self.effectiveness, adversary.attackers
        self._share = np.float32(-1.0 / adversary.attackers)
        self._wait_cost = np.float32(adversary.wait_cost)

    def of_step(
        self, payoff: Float32Array, current: Current, waiting: IntArray
    ) -> tuple[Float32Array, Float32Array]:
        """What one step costs and brings the attackers.

        Args:
            payoff: Payoff of the team's decision.  # (lanes,) float32
            current: The events that were decided on.
            waiting: Where an attacker made its next event wait: ``lane * attackers + attacker``.

        Returns:
            Costs and rewards.  # (lanes, attackers) float32 each
        """
        shape = (len(payoff), self._attackers)
        costs, rewards = np.zeros(shape, np.float32), np.empty(shape, np.float32)
        lanes, slots = current.lanes, current.slots
        gains = -payoff.take(lanes)
        np.multiply(payoff[:, None], self._share, out=rewards)
        rewards[lanes] = 0.0
        each, rewarded = costs.reshape(-1), rewards.reshape(-1)
        rewarded[slots] = gains
        lost = self._lost.take(current.disguises.take(lanes))
        each[slots] = lost * np.maximum(gains, np.float32(0.0))
        if len(waiting):
            each[waiting] += self._wait_cost
        rewards -= costs
        return costs, rewards
