"""Learning curves whose evaluations are not part of the measured time."""

from __future__ import annotations

import time
from typing import Any, cast

import torch
from marl_stl_agents.evaluation.baselines import simple_baselines
from marl_stl_agents.evaluation.metrics import score
from marl_stl_agents.evaluation.rollouts import collect_rollout, greedy
from stable_baselines3.common.callbacks import BaseCallback

from marl_stl_env.config import EnvConfig
from marl_stl_env.data.table import TrafficTable


def wait(device: torch.device) -> None:
    """Block until the device is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Scores(BaseCallback):
    """Evaluates the greedy team after every iteration; this time is not counted.

    Attributes:
        curve: Seconds of training and mean decision reward on the validation split.
    """

    def __init__(self, config: EnvConfig, table: TrafficTable, device: torch.device) -> None:
        super().__init__()
        self._config, self._table, self._device = config, table, device
        self.curve: list[tuple[float, float]] = []
        self._seconds = self._since = 0.0

    def _on_step(self) -> bool:
        return True

    def _on_training_start(self) -> None:
        wait(self._device)
        self._since = time.perf_counter()

    def _on_rollout_start(self) -> None:
        wait(self._device)
        self._seconds += time.perf_counter() - self._since
        rollout = collect_rollout(self._config, self._table, greedy(cast("Any", self.model.policy)))
        metrics = score(self._table.labels, rollout.decisions, self._config.reward)
        self.curve.append((self._seconds, metrics.reward_per_event))
        self._since = time.perf_counter()

    def _on_training_end(self) -> None:
        self._on_rollout_start()


def best_constant(env: EnvConfig, table: TrafficTable) -> float:
    """Mean decision reward of the better of always allowing and always blocking."""
    return max(
        score(table.labels, baseline.decisions, env.reward).reward_per_event
        for name, baseline in simple_baselines(env, table.labels).items()
        if name.startswith("always")
    )
