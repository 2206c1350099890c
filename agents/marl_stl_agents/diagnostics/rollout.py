"""Statistics of a rollout, gathered while it is collected: rewards, labels, actions, information.

Works on numpy arrays and on torch tensors alike: everything is reduced to a few numbers on the
device where it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from marl_stl_agents.algorithms.device.ppo import DevicePPO
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import is_threat_vote
from marl_stl_env.envs.base import team_env
from marl_stl_env.types import Action, BoolArray, Float32Array, IntArray

#: Events of a rollout, and distinct ones among them, that the probe looks at; its forest.
_PROBED, _LARGEST = 16_384, 4096
_TREES, _LEAF, _SEED = 30, 5, 0
#: Threats and benign events that each half needs.
_FEWEST = 10


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
        self._records: list[list[Any]] = []
        self._rewards: list[Any] = []

    def begin(self) -> None:
        """Forget the last rollout."""
        self._records.clear()
        self._rewards.clear()

    def step(self) -> None:
        """Record the step that the environment has just done."""
        self._records.append([engine.last for engine in self._engines])
        self._rewards.append(self._unscaled())

    def rewards(self) -> Any:
        """Unscaled rewards as the trainer got them.  # (steps, lanes, agents) float32."""
        parts = self._rewards
        joined = torch.stack(parts) if isinstance(parts[0], torch.Tensor) else np.stack(parts)
        return joined.reshape(len(parts), -1, self.agents)

    def reduce(self) -> dict[str, float | None]:
        """Mean reward, threat share, action shares, and the reward gained by right votes."""
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
        """The honest votes, and those where sensor and team were right or wrong together.

        On events of isolated entities votes change nothing; the latter leave them out.
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
        """:func:`label_signal` of this rollout."""
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
        if isinstance(self._model, DevicePPO):
            return self._model.last_rewards
        normalizer = self._model.get_vec_normalize_env()
        if normalizer is None:
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


def label_signal(
    observations: Float32Array, labels: BoolArray, rows: IntArray
) -> tuple[float, float] | tuple[None, None]:
    """How well a small forest predicts the labels from the observations.

    Every event is scored by a forest fitted on the other half of the events (even and odd ones),
    so that neither a repeated event nor its neighbours are memorised.

    Args:
        observations: What all sensors saw of each event.  # (events, columns) float32
        labels: Whether it was a threat.  # (events,) bool
        rows: Its row of the table.  # (events,) int64

    Returns:
        Area under the ROC curve, and the standard error of the Mann-Whitney statistic under the
        hypothesis that the observations hold no information; None twice where a class is too rare.
    """
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.metrics import roc_auc_score

    distinct = np.unique(rows, return_index=True)[1]
    distinct = distinct[:: max(1, -(-len(distinct) // _LARGEST))]
    observations, labels = observations[distinct], labels[distinct]
    half = np.arange(len(labels)) % 2 == 0
    rarest = min(np.bincount(labels[part], minlength=2).min() for part in (half, ~half))
    if rarest < _FEWEST:
        return None, None
    areas = []
    for part in (half, ~half):
        forest = ExtraTreesClassifier(_TREES, min_samples_leaf=_LEAF, random_state=_SEED, n_jobs=1)
        forest.fit(observations[~part], labels[~part])
        areas.append(roc_auc_score(labels[part], forest.predict_proba(observations[part])[:, 1]))
    threats, benign = int(labels.sum()), int((~labels).sum())
    return float(np.mean(areas)), math.sqrt((threats + benign + 1) / (12.0 * threats * benign))
