"""What is gathered from a rollout, against a slow count of the same events."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from marl_stl_agents.algorithms.ppo import make_trainer
from marl_stl_agents.config import Backend, PPOConfig, TrainConfig
from marl_stl_agents.diagnostics.rollout import RolloutFacts, engines_of
from stable_baselines3.common.callbacks import BaseCallback

from marl_stl_env.config import DataConfig, EnvConfig, FaultConfig, RewardConfig
from marl_stl_env.types import THREAT_VOTE, Action
from tests.conftest import FOUR, UNWATCHED, make_table

TABLE, CPU = make_table(), torch.device("cpu")
CONFIG = TrainConfig(
    env=EnvConfig(episode_length=21, reward=RewardConfig(team_share=0.3, block_cost=0.5), **FOUR),
    ppo=PPOConfig(n_steps=32, batch_size=64, width=8, n_epochs=1, discount=0.5),
    lanes=9,
    seed=3,
    stl="off",
)
RESPONSE = EnvConfig(
    data=DataConfig(dataset_options=("rows=5000",), threat_rate=0.3),
    dynamics="response",
    episode_length=21,
    **FOUR,
)
FAULTY = EnvConfig(
    agents=4,
    episode_length=21,
    faults=FaultConfig(faulty=1, fault="flip"),
    views="groups",
    stl=UNWATCHED,
)


class Count(BaseCallback):
    """Counts the same things sensor by sensor, in Python."""

    def __init__(self) -> None:
        super().__init__()
        self.earned: dict[str, list[float]] = defaultdict(list)
        self.labels: list[list[bool]] = []
        self.isolated: list[list[bool]] = []
        self.facts: dict[str, Any] = {}

    def _on_rollout_start(self) -> None:
        if not self.facts:
            self.gathered = RolloutFacts(self.model)  # type: ignore[arg-type]

    def _on_step(self) -> bool:
        self.gathered.step()
        self.labels.append([])
        for engine in engines_of(self.model):  # type: ignore[arg-type]
            record = engine.last
            assert record is not None
            self.isolated.append(record.isolated.tolist())
            for lane in range(engine.lanes):
                self._count(record, lane)
        return True

    def _count(self, record: Any, lane: int) -> None:
        label = bool(record.labels[lane])
        self.labels[-1].append(label)
        team = bool(THREAT_VOTE[int(record.decisions[lane])])
        for agent in range(record.actions.shape[1]):
            if record.faulty[lane, agent] or not record.voting[lane]:
                continue
            reward, action = float(record.rewards[lane, agent]), int(record.actions[lane, agent])
            self.earned["all"].append(reward)
            if THREAT_VOTE[action] == team and not record.isolated[lane]:
                word = "right" if team == label else "wrong"
                self.earned[f"{word} {'threat' if label else 'benign'}"].append(reward)

    def _on_rollout_end(self) -> None:
        if not self.facts:
            self.facts = self.gathered.reduce()
            buffer = self.model.rollout_buffer  # type: ignore[attr-defined]
            self.power = float((np.asarray(buffer.returns, dtype=np.float64) ** 2).mean())
            self.values = np.asarray(buffer.values, dtype=np.float64)
            self.actions = np.asarray(buffer.actions).ravel().astype(int).tolist()
            self.signal = self.gathered.signal()


def counted(config: TrainConfig) -> Count:
    hosts = config.env.dynamics == "response"
    model = make_trainer(config, None if hosts else TABLE, CPU)
    callback = Count()
    model.learn(config.ppo.n_steps * model.n_envs, callback=callback)
    return callback


@pytest.mark.parametrize(
    "backend", ["native", "supersuit", "torch", "faulty", "deliberation", "response"]
)
def test_the_figures_are_those_of_a_slow_count(backend: str) -> None:
    config = CONFIG
    if backend == "faulty":
        config = replace(config, backend="native", env=FAULTY)
    elif backend == "response":
        config = replace(config, backend="native", env=RESPONSE)
    elif backend == "deliberation":
        config = replace(config, backend="native", env=replace(config.env, deliberation=1))
    else:
        config = replace(config, backend=backend)  # type: ignore[arg-type]
    found = counted(config)
    assert any(map(any, found.isolated)) == (backend == "response")
    mean = {name: float(np.mean(rewards)) for name, rewards in found.earned.items()}
    assert found.facts["reward"] == pytest.approx(mean["all"], rel=1e-5)
    for kind in ("benign", "threat"):
        gain = mean[f"right {kind}"] - mean[f"wrong {kind}"]
        assert found.facts[f"gain_{kind}"] == pytest.approx(gain, rel=1e-5)
    lanes = np.mean(found.labels, axis=0)
    assert found.facts["threat_share"] == pytest.approx(float(lanes.mean()))
    error = float(lanes.std(ddof=0) / np.sqrt(len(lanes) - 1))
    assert found.facts["threat_share_error"] == pytest.approx(error)
    for action in Action:
        share = found.actions.count(int(action)) / len(found.actions)
        assert found.facts[action.name] == pytest.approx(share)
    assert found.facts["return_power"] == pytest.approx(found.power, rel=1e-4)
    spread = float(found.values.std()) / found.power**0.5
    assert found.facts["value_spread"] == pytest.approx(spread, rel=1e-4)
    assert found.signal["signal"] is not None


def test_the_paths_agree() -> None:
    paths: tuple[Backend, ...] = ("native", "supersuit", "torch")
    native, *others = (counted(replace(CONFIG, backend=backend)) for backend in paths)
    for other in others:
        assert other.facts == pytest.approx(native.facts, rel=1e-5)
        assert other.signal == pytest.approx(native.signal)


def test_few_lanes_say_nothing_about_their_spread() -> None:
    config = replace(CONFIG, backend="native", lanes=2)
    assert counted(config).facts["threat_share_error"] is None
