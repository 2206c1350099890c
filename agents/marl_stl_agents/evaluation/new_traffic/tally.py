"""What was decided on new traffic, in numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from marl_stl_agents.evaluation.baselines import simple_baselines
from marl_stl_agents.evaluation.metrics import score
from marl_stl_agents.evaluation.rollouts import Rollout
from marl_stl_env.config import EnvConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.reward import Payoffs, event_payoffs
from marl_stl_env.types import Action, AnyArray, BoolArray, Float32Array, Int8Array

_FLAGS = ("isolated", "granted", "refused")


class Tally:
    """What was decided so far.

    Args:
        env: The environment of the team.
        labelled: Whether the events have labels, by which decisions are scored.
    """

    def __init__(self, env: EnvConfig, labelled: bool) -> None:
        self._env, self._labelled = env, labelled
        self._counts = np.zeros(len(Action), np.int64)
        self._flags = dict.fromkeys(_FLAGS, 0)
        self._labels: list[BoolArray] = []
        self._payoffs: list[Float32Array] = []
        self._rewards: list[Float32Array] = []
        self._rollouts: list[Rollout] = []

    def add(self, table: TrafficTable, rollout: Rollout) -> None:
        """Count some events.

        Args:
            table: The scaled events.
            rollout: What was decided on them.
        """
        self._counts += np.bincount(rollout.decisions, minlength=len(Action))
        for name in _FLAGS:
            self._flags[name] += int(getattr(rollout, name).sum())
        if self._labelled:  # else nothing is kept: a file may be larger than memory
            self._rollouts.append(rollout)
            self._labels.append(table.labels)
            self._payoffs.append(event_payoffs(self._env.reward, table))
            self._rewards.append(self._earned(table, rollout))

    def metrics(self) -> dict[str, Any]:
        """Counts, and where the events are labelled how good the decisions were."""
        found: dict[str, Any] = {
            "events": int(self._counts.sum()),
            "decisions": {action.name: int(self._counts[action]) for action in Action},
        }
        if self._env.dynamics == "response":
            found["response"] = dict(self._flags)
        return found | self._scored() if self._labelled else found

    def _scored(self) -> dict[str, Any]:
        labels, reward = np.concatenate(self._labels), self._env.reward
        payoffs, rows = np.concatenate(self._payoffs), np.arange(len(labels))
        rewards = np.concatenate(self._rewards)

        def scored(chosen: Int8Array) -> dict[str, Any]:
            return score(labels, chosen, reward, rewards=payoffs[rows, chosen]).as_dict()

        # In a response, what a reference policy earns depends on what it did before.
        replayed = self._env.dynamics == "replay"
        references = simple_baselines(self._env, labels) if replayed else {}
        actions = self._joined("actions")
        team = score(labels, self._joined("decisions"), reward, self._joined("scores"), rewards)
        return {
            "threat_rate": float(labels.mean()),
            "decision": team.as_dict(),
            "agents": {f"sensor_{i}": scored(one) for i, one in enumerate(actions.T)},
            "baselines": {name: scored(one.decisions) for name, one in references.items()},
        }

    def _earned(self, table: TrafficTable, rollout: Rollout) -> Float32Array:
        """What the decisions earned, by the labels of the events.  # (rows,) float32."""
        payoffs = Payoffs(self._env.reward, dynamics=self._env.dynamics, table=table)
        alone = payoffs.of_table(table, rollout.decisions)
        if self._env.dynamics == "replay":
            return alone
        events = payoffs.events(np.arange(len(table)), table.labels)
        return payoffs.of_response(events, alone, rollout.isolated, rollout.refused)

    def _joined(self, name: str) -> AnyArray:
        return np.concatenate([getattr(one, name) for one in self._rollouts])
