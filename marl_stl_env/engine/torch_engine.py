"""The engine on a torch device: the same dynamics, without a point at which the host waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from marl_stl_env.config import EnvConfig
from marl_stl_env.consensus.rules import TABLE_AGENTS, DecisionRule, from_support
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import LaneState, StepRecord
from marl_stl_env.engine.streams import shift_right
from marl_stl_env.errors import DeviceError, InvalidActionError
from marl_stl_env.types import Action, AnyArray, Float32Array

Precision = Literal["float32", "float16"]


class TorchArrays:
    """torch on a device; implements :class:`~marl_stl_env.engine.backend.Arrays`.

    Args:
        device: Where the arrays live.
        precision: In which the features of the table are kept; observations are float32.
    """

    def __init__(self, device: torch.device, precision: Precision = "float32") -> None:
        self.device, self._precision = device, getattr(torch, precision)

    def asarray(self, array: AnyArray) -> Tensor:
        """A copy on the device; uint64 becomes int64, since torch adds no uint64."""
        if array.dtype == np.uint64:
            array = array.view(np.int64)
        return torch.tensor(array, device=self.device)

    def table(self, features: Float32Array) -> Tensor:
        """A copy on the device, in the chosen precision."""
        return torch.tensor(features, dtype=self._precision, device=self.device)

    def zeros(self, *shape: int) -> Tensor:
        """Zeros.  # shape, float32."""
        return torch.zeros(shape, device=self.device)

    def take(self, values: Tensor, index: Tensor) -> Tensor:
        """The entries."""
        return values[index]

    def where(self, condition: Tensor, values: Any, others: Any) -> Tensor:
        """``torch.where``."""
        return torch.where(condition, values, others)

    def lanes_of(self, mask: Tensor) -> slice:
        """All lanes: to count those of the mask, the host would have to wait."""
        del mask
        return slice(None)

    def bits(self, words: Tensor) -> Tensor:
        """The words, which are int64 already."""
        return words

    def below(self, bits: Any, bound: int) -> Tensor:
        """Uniform integers, by the same float64 arithmetic as numpy's."""
        upper: Any = shift_right(bits, 11)
        integers: Tensor = (upper.double() * 2.0**-53 * bound).long()
        return integers

    def decision_rule(self, rule: DecisionRule) -> Callable[[Tensor], Tensor]:
        """The rule: by its table for small teams, by counting for larger ones.

        Raises:
            DeviceError: If an own rule would have to be computed step by step.
        """
        if rule.agents > TABLE_AGENTS and not rule.counts_votes:
            raise DeviceError(
                f"rule={rule.rule!r} with {rule.agents} sensors: an own rule is a numpy function. "
                f"The device looks it up in a table, and tables end at {TABLE_AGENTS} sensors; use "
                "--backend native"
            )
        if rule.agents > TABLE_AGENTS:

            def count(actions: Tensor) -> Tensor:
                support = [(actions == action).sum(dim=1) for action in Action]
                decisions: Tensor = from_support(support, rule.max_faulty, rule.threshold)
                return decisions.to(torch.int8)

            return count
        table, weights = self.asarray(rule.table), self.asarray(rule.weights)
        # A silent sensor (-1) can make the index negative, which counts from the table's end.
        return lambda actions: table[(actions * weights).sum(dim=1)]


class TorchEngine(Engine):
    """:class:`~marl_stl_env.engine.engine.Engine` with all arrays on a torch device.

    Seeded alike it does what the numpy engine does: the same rows, decisions and episode ends,
    rewards and observations equal to float32. Steps and :meth:`restart` never make the host wait
    for the device, so the values of actions are not checked and steps after an episode's end do
    nothing.

    Args:
        config: The environment; faulty sensors and reliability-weighted votes are not to be had
            here.
        table: The scaled table of one split; it is copied to the device.
        lanes: Independent copies of the stream, at least 1.
        seeds: One seed s (lane i gets s + i), or one per lane; None draws from the system.
        device: Where everything lives.
        precision: In which the features of the table are kept; observations are float32.

    Raises:
        ConfigError: If ``lanes`` or ``seeds`` are out of range.
        DeviceError: If the environment has faulty sensors, reliability-weighted votes, a response
            or specifications.
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
        if config.faults.faulty:
            raise DeviceError(
                f"faulty={config.faults.faulty}: faulty sensors are simulated by the numpy engine "
                "only; use --backend native, or no faulty sensors"
            )
        if config.stl.monitor:
            raise DeviceError(
                "monitor=True: specifications are monitored by the numpy engine only; use "
                "stl=StlConfig(monitor=False), which changes no observation"
            )
        for setting, wanted in {
            f"weights={config.consensus.weights!r}": config.consensus.weights != "equal",
            "dynamics='response'": config.dynamics == "response",
            "shield=True": config.stl.shield,
        }.items():
            if wanted:
                raise DeviceError(f"{setting}: the numpy engine alone has it; use --backend native")
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

    def global_state(self) -> Float32Array:
        """The unmasked features of every lane's current event.  # (lanes, features) float32."""
        state: Any = super().global_state()
        return state.float()  # type: ignore[no-any-return] # a tensor

    def get_state(self) -> dict[str, AnyArray]:
        """All that is needed to continue bit-identically, as numpy arrays: the host waits."""
        kinds = LaneState.empty(self.lanes, self.agents)
        state = self._state.map(_to_numpy).to_arrays()
        return {name: array.view(getattr(kinds, name).dtype) for name, array in state.items()}

    def set_state(self, arrays: dict[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave, here or on the numpy engine.

        Raises:
            StateError: If the arrays do not fit this engine.
        """
        super().set_state(arrays)
        left = np.unique(self._state.ends - self._state.positions)
        in_step = len(left) == 1 and not self.config.deliberation
        self._steps_left = int(left[0]) if in_step else None
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

    def _check_running(self, live: Any) -> None:
        """Nothing: to look, the host would have to wait."""


def _to_numpy(tensor: Any) -> AnyArray:
    array: AnyArray = tensor.cpu().numpy()
    return array
