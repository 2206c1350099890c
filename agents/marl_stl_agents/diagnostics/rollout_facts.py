"""What a rollout says about the environment and the policy, gathered while it is collected.

Works on numpy arrays and on tensors of the path "device" alike: everything is reduced to a few
numbers where it lies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from marl_stl_agents.algorithms.device.ppo import DevicePPO
from marl_stl_agents.diagnostics.probe import label_signal
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import is_threat_vote
from marl_stl_env.envs.base import team_env
from marl_stl_env.types import Action

_PROBED = 16_384


def engines_of(model: OnPolicyAlgorithm) -> list[Engine]:
    """The engines behind the trainer's environment: one, or one per copy on SuperSuit's path."""
    return list(team_env(model.get_env()).engines)


class RolloutFacts:
    """Gathers the steps of a rollout and reduces them at its end.

    Args:
        model: The trainer.
    """

    def __init__(self, model: OnPolicyAlgorithm) -> None:
        self._model, self._engines = model, engines_of(model)
        self.layout = self._engines[0].observations.layout
        self.agents = self._engines[0].agents
        self._on_device = isinstance(model, DevicePPO)
        self._records: list[list[Any]] = []
        self._rewards: list[Any] = []

    def begin(self) -> None:
        """Forget the last rollout."""
        self._records.clear()
        self._rewards.clear()

    def step(self) -> None:
        """Take in the step that the environment has just done."""
        self._records.append([engine.last for engine in self._engines])
        self._rewards.append(self._unscaled())

    def rewards(self) -> Any:
        """Unscaled rewards as the trainer got them.  # (steps, lanes, agents) float32."""
        parts = self._rewards
        joined = torch.stack(parts) if isinstance(parts[0], torch.Tensor) else np.stack(parts)
        return joined.reshape(len(parts), -1, self.agents)

    def reduce(self) -> dict[str, float | None]:
        """The rollout in numbers: reward, threat share, actions, and what right votes gained."""
        buffer: Any = self._model.rollout_buffer
        masks, rewards = self._masks(), self.rewards()
        shares = (self._field("labels") * 1.0).mean(0)  # of each lane
        returns, values = buffer.returns, buffer.values
        numbers = _floats(
            [
                *((rewards * mask).sum() for mask in masks.values()),
                *(mask.sum() for mask in masks.values()),
                shares.mean(),
                ((shares - shares.mean()) ** 2).mean(),
                (returns * returns).mean(),
                ((values - values.mean()) ** 2).mean(),
                *((buffer.actions == int(action)).sum() for action in Action),
            ]
        )
        size, lanes = len(masks), len(shares)
        means = dict(zip(masks, map(_ratio, numbers[:size], numbers[size:]), strict=False))
        share, variance, power, spread, *chosen = numbers[2 * size :]
        return {
            "reward": means["all"],
            "threat_share": share,
            "threat_share_error": math.sqrt(variance / (lanes - 1)) if lanes > 7 else None,
            "gain_benign": _difference(means["right on benign"], means["wrong on benign"]),
            "gain_threat": _difference(means["right on threat"], means["wrong on threat"]),
            "return_power": power,
            "value_spread": math.sqrt(spread / power) if power else None,
            **{a.name: count / sum(chosen) for a, count in zip(Action, chosen, strict=True)},
        }

    def _masks(self) -> dict[str, Any]:
        """The honest votes, and those of which sensor and team were right or wrong together.

        Where isolation contains the event, votes change nothing and are left out of the latter.
        """
        threat = self._field("labels")[..., None]
        votes = is_threat_vote(self._field("actions"))
        honest = self._field("voting")[..., None] & ~self._field("faulty")
        agreeing = votes == is_threat_vote(self._field("decisions"))[..., None]
        free = honest & agreeing & ~self._field("isolated")[..., None]
        right = votes == threat
        return {
            "all": honest,
            "right on benign": free & right & ~threat,
            "wrong on benign": free & ~right & ~threat,
            "right on threat": free & right & threat,
            "wrong on threat": free & ~right & threat,
        }

    def signal(self) -> dict[str, float | None]:
        """What :func:`marl_stl_agents.diagnostics.probe.label_signal` finds in this rollout."""
        rows, labels = self._field("rows"), self._field("labels")
        observations: Any = self._model.rollout_buffer.observations
        steps, lanes = rows.shape
        seen = observations.reshape(steps, lanes, -1)
        every = max(1, steps * lanes // _PROBED)
        voting = self._field("voting")[:, ::every]
        area, error = label_signal(
            _numpy(seen[:, ::every][voting]),
            _numpy(labels[:, ::every][voting]).astype(np.bool_),
            _numpy(rows[:, ::every][voting]),
        )
        return {"signal": area, "signal_error": error}

    def _unscaled(self) -> Any:
        normalizer = self._model.get_vec_normalize_env()
        if self._on_device or normalizer is None:
            return self._engines[0].last.rewards  # type: ignore[union-attr]
        return normalizer.get_original_reward()

    def _field(self, name: str) -> Any:
        """One field of all steps' records.  # (steps, lanes, ...)."""
        parts = [getattr(record, name) for records in self._records for record in records]
        joined = torch.cat(parts) if isinstance(parts[0], torch.Tensor) else np.concatenate(parts)
        return joined.reshape(len(self._records), -1, *parts[0].shape[1:])


def _floats(numbers: Sequence[Any]) -> list[float]:
    """Numbers of one library, brought to the host at once."""
    if isinstance(numbers[0], torch.Tensor):
        listed: list[float] = torch.stack([number.double() for number in numbers]).tolist()
        return listed
    return [float(number) for number in numbers]


def _numpy(array: Any) -> Any:
    return array.cpu().numpy() if isinstance(array, torch.Tensor) else np.asarray(array)


def _ratio(total: float, count: float) -> float | None:
    return total / count if count else None


def _difference(right: float | None, wrong: float | None) -> float | None:
    return None if right is None or wrong is None else right - wrong
