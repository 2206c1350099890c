from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from marl_stl_agents.config import PPOConfig, TrainConfig
from marl_stl_agents.evaluation import rollouts
from marl_stl_agents.evaluation.rollouts import collect_rollout, greedy
from marl_stl_agents.policies.build import make_policy

from marl_stl_env.config import EnvConfig
from marl_stl_env.types import Float32Array, Float64Array, Int8Array
from tests.conftest import FOUR, make_table
from tests.oracles import decide


def act(observations: Float32Array) -> tuple[Int8Array, Float64Array]:
    """An action that depends on the event and on the sensor, so that nothing can be mixed up."""
    sums = observations.sum(axis=1)
    return (np.floor(np.abs(sums) * 100) % 4).astype(np.int8), sums.astype(np.float64)


@pytest.mark.parametrize("rows", [7, 256, 1000])
@pytest.mark.parametrize("order", ["sequential", "shuffled"])
def test_every_event_is_evaluated_once_and_stays_in_its_place(rows: int, order: Any) -> None:
    table = make_table(rows)
    config = EnvConfig(order=order, **FOUR)
    rollout = collect_rollout(config, table, act)
    for row in range(rows):
        actions, scores = [], []
        for sensor, columns in enumerate(table.views.values()):
            observation = np.zeros((1, 14), dtype=np.float32)
            observation[0, list(columns)] = table.features[row, list(columns)]
            observation[0, 10 + sensor] = 1.0
            action, value = act(observation)
            actions.append(int(action[0]))
            scores.append(float(value[0]))
        assert rollout.actions[row].tolist() == actions
        assert rollout.decisions[row] == decide(actions, faulty=1, threshold=2)
        assert rollout.scores[row] == pytest.approx(np.mean(scores), rel=1e-5, abs=1e-6)
    np.testing.assert_array_equal(rollout.votes, np.isin(rollout.actions, (1, 2)))
    np.testing.assert_array_equal(rollout.decision_votes, np.isin(rollout.decisions, (1, 2)))


def test_memory_lasts_through_a_stretch_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against SB3's ``predict``, one sensor and one segment at a time."""
    table = make_table(600)
    config = EnvConfig(**FOUR)
    space = spaces.Box(-5, 5, (14,), dtype=np.float32)
    settings = PPOConfig(policy="lstm", width=8, depth=0)
    torch.manual_seed(0)
    policy = make_policy(TrainConfig(ppo=settings), space, table, torch.device("cpu"))
    for weights in policy.parameters():  # so that what is remembered decides
        torch.nn.init.normal_(weights)
    act = greedy(policy)
    rollout = collect_rollout(config, table, act)
    segment, forgetful = 3, 0
    for sensor, columns in enumerate(table.views.values()):
        observations = np.zeros((600, 14), dtype=np.float32)
        observations[:, list(columns)] = table.features[:, list(columns)]
        observations[:, 10 + sensor] = 1.0
        fresh, _ = policy.predict(observations, deterministic=True)
        for begin in range(0, 600, segment):
            memory = None
            for row in range(begin, begin + segment):
                action, memory = policy.predict(observations[row], memory, deterministic=True)
                assert rollout.actions[row, sensor] == action
                forgetful += int(fresh[row] != action)
    assert forgetful > 20
    monkeypatch.setattr(rollouts, "_HELD", 250)  # written after every other step, and at the end
    again = collect_rollout(config, table, act)
    np.testing.assert_array_equal(again.scores, rollout.scores)
    np.testing.assert_array_equal(again.decisions, rollout.decisions)
