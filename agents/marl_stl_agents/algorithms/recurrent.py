"""What PPO on a recurrent policy needs besides sb3-contrib."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, cast

import numpy as np
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.buffers import RecurrentRolloutBuffer

from marl_stl_agents.buffers.credit import CreditRule
from marl_stl_agents.buffers.rollout import TeamRolloutBuffer
from marl_stl_env.types import AnyArray


class RecurrentTeamRolloutBuffer(TeamRolloutBuffer, RecurrentRolloutBuffer):
    """:class:`TeamRolloutBuffer` for a policy with memory.

    Sequences stay whole, since the memory runs through them; losses and the normalisation of
    advantages leave the faulty sensors out. The logged explained variance does not.
    """

    def get(self, batch_size: int | None = None) -> Generator[Any, None, None]:
        """Minibatches of sequences; those without two honest transitions are left out."""
        for batch in RecurrentRolloutBuffer.get(self, batch_size):
            if batch.mask.sum() > 1:
                yield batch

    def _get_samples(self, batch_inds: AnyArray, *args: Any, **settings: Any) -> Any:
        batch = RecurrentRolloutBuffer._get_samples(self, batch_inds, *args, **settings)
        honest = self.swap_and_flatten(self.honest)[batch_inds].astype(np.float32)
        return batch._replace(mask=self.pad_and_flatten(honest))


class TeamRecurrentPPO(RecurrentPPO):
    """sb3-contrib's PPO for teams with faulty sensors or with deliberation.

    Args:
        args: Of sb3-contrib's PPO.
        credit: Which later rewards an action answers for.
        settings: Of sb3-contrib's PPO.
    """

    def __init__(self, *args: Any, credit: CreditRule, **settings: Any) -> None:
        self._credit = credit
        super().__init__(*args, **settings)

    def _setup_model(self) -> None:
        super()._setup_model()
        buffer = cast("RecurrentRolloutBuffer", self.rollout_buffer)
        self.rollout_buffer = RecurrentTeamRolloutBuffer(
            buffer.buffer_size,
            buffer.observation_space,
            buffer.action_space,
            buffer.hidden_state_shape,
            self.device,
            gamma=self.gamma,
            gae_lambda=self.gae_lambda,
            n_envs=self.n_envs,
            credit=self._credit,
        )
