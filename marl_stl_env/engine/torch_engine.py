"""The engine on a torch device: the same dynamics, without a point at which the host waits."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from marl_stl_env.config import EnvConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import LaneState, StepRecord
from marl_stl_env.engine.torch_arrays import Precision, TorchArrays
from marl_stl_env.errors import InvalidActionError
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, IntArray


class TorchEngine(Engine):
    """:class:`~marl_stl_env.engine.engine.Engine` with all arrays on a torch device.

    Seeded alike it does what the numpy engine does: the same rows, decisions, verdicts and episode
    ends, rewards and observations equal to float32. Steps and :meth:`restart` never make the host
    wait for the device, so the values of actions are not checked and steps after an episode's end
    do nothing.

    Two things are exceptions. Faults, signals and rules of users are numpy functions, for which
    the host waits (not for a rule of up to seven sensors, which is looked up). And it waits where
    specifications are monitored under deliberation in lanes that were not reset together.

    Args:
        config: The environment.
        table: The scaled table of one split; it is copied to the device.
        lanes: Independent copies of the stream, at least 1.
        seeds: One seed s (lane i gets s + i), or one per lane; None draws from the system.
        device: Where everything lives.
        precision: In which the features of the table are kept; observations are float32.

    Raises:
        ConfigError: If ``lanes`` or ``seeds`` are out of range.
        FormulaError: If a specification is not a formula that can be monitored, or its whole
            numbers are not exact on a device.
    """

    def __init__(
        self,
        config: EnvConfig,
        table: TrafficTable,
        lanes: int,
        seeds: int | ArrayLike | None = None,
        device: torch.device | str = "cuda",
        precision: Precision = "float32",
    ) -> None:
        self.device = torch.device(device)
        self._steps_left: int | None = None
        super().__init__(config, table, lanes, seeds, TorchArrays(self.device, precision))

    @property
    def may_have_ended(self) -> bool:
        """False where the host knows that no episode ended with the last step."""
        return self._steps_left is None or self._steps_left <= 0

    def reset(self, mask: Any = None) -> None:
        """Begin the next episode in the masked lanes (in all without a mask).

        Args:
            mask: Lanes to reset, a tensor on the device.  # (lanes,) bool
        """
        super().reset(mask)
        # All episodes are equally long: begun together, they end together.
        events = min(self.config.episode_length, len(self.table))
        self._steps_left = events * (1 + self.config.deliberation) if mask is None else None

    def restart(self) -> None:
        """Begin the next episode in every lane whose episode the last step ended."""
        if self._steps_left is None and self.last is not None:
            self.reset(self.last.truncated)
        elif self.may_have_ended:
            self.reset()

    def step(self, actions: Any) -> StepRecord:
        """Let every lane evaluate its current event and move on to the next.

        Args:
            actions: Action of each sensor, a tensor on the device; 0 to 3, which is not checked.
                # (lanes, agents) integer

        Returns:
            The record, of tensors on the device.

        Raises:
            InvalidActionError: If the actions have the wrong shape or type.
        """
        if self._steps_left is not None:
            self._steps_left -= 1
        return super().step(actions)

    def place(self, starts: IntArray, ends: IntArray) -> None:
        """See :meth:`Engine.place`; the segments may be of different lengths."""
        super().place(starts, ends)
        self._steps_left = None

    def global_state(self) -> Float32Array:
        """The unmasked features of every lane's current event.  # (lanes, features) float32."""
        state: Any = super().global_state()
        return state.float()  # type: ignore[no-any-return] # a tensor

    def get_state(self) -> dict[str, AnyArray]:
        """All that is needed to continue bit-identically, as numpy arrays: the host waits."""
        tonumpy, kinds = self._arrays.tonumpy, LaneState.empty(self.lanes, self.agents)
        state = {
            item.name: tonumpy(getattr(self._state, item.name), getattr(kinds, item.name).dtype)
            for item in fields(LaneState)
        }
        return state | self._vote.to_arrays() | self._memory.get_state()

    def set_state(self, arrays: dict[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave, here or on the numpy engine.

        Raises:
            StateError: If the arrays do not fit this engine.
        """
        super().set_state(arrays)
        state = self._state
        rounds = 1 + self.config.deliberation
        left = np.unique((state.ends - state.positions) * rounds - (rounds - 1) * state.voting)
        self._steps_left = int(left[0]) if len(left) == 1 else None
        self._state = self._state.map(self._arrays.asarray)

    def _checked(self, actions: Any) -> Any:
        shape = (self.lanes, self.agents)
        if not isinstance(actions, Tensor) or actions.shape != shape or actions.is_floating_point():
            raise InvalidActionError(
                f"actions must be an integer tensor of shape {shape} on {self.device}, not "
                f"{type(actions).__name__} {getattr(actions, 'dtype', '')} of shape "
                f"{tuple(getattr(actions, 'shape', ()))}"
            )
        return actions.to(torch.int8)

    def _voters(self) -> BoolArray | bool:
        if self._steps_left is None or not self.config.deliberation:
            return self._state.voting if self.config.deliberation else True
        return self._steps_left % 2 == 0  # an event's second round is the vote

    def _check_running(self, live: Any) -> None:
        """Nothing: to look, the host would have to wait."""
