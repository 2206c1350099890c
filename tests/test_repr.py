"""What an object shows of itself: one readable line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from marl_stl_agents.commands.options import TrainCommand
from marl_stl_agents.config import (
    ClusterConfig,
    ConstraintConfig,
    DecideConfig,
    EvaluateConfig,
    PPOConfig,
    TrainConfig,
)

import marl_stl_env as mse
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.stl.parser import parse
from tests.agents.evaluation.results import make_result
from tests.conftest import make_table
from tests.stl.random_formulas import random_formula

CONFIGS = {
    "EnvConfig()": mse.EnvConfig(),
    "EnvConfig(data=DataConfig(split_seed=1), agents=5)": mse.EnvConfig(
        agents=5, data=mse.DataConfig(split_seed=1)
    ),
    "DataConfig(data_dir='/data', dataset_options=('rows=9',))": mse.DataConfig(
        data_dir=Path("/data"), dataset_options=("rows=9",)
    ),
    "FaultConfig(faulty=1, fault='flip')": mse.FaultConfig(1, "flip"),
    "StlConfig(monitor=False, specs=('quiet=G (alerts_16 <= 6)',))": mse.StlConfig(
        monitor=False, specs=("quiet=G (alerts_16 <= 6)",)
    ),
    "RewardConfig(true_negative=2.0)": mse.RewardConfig(true_negative=2.0),
    "ConsensusConfig(max_faulty=0)": mse.ConsensusConfig(max_faulty=0),
    "ResponseConfig(alert_budget=0)": mse.ResponseConfig(alert_budget=0),
    "TrainConfig(ppo=PPOConfig(width=16), lanes=8, run_dir='x')": TrainConfig(
        ppo=PPOConfig(width=16), lanes=8, run_dir=Path("x")
    ),
    "ConstraintConfig(budget=0.1)": ConstraintConfig(budget=0.1),
    "ClusterConfig(runners=3)": ClusterConfig(runners=3),
    "EvaluateConfig(certify=5)": EvaluateConfig(certify=5),
    "TrainCommand(seeds=(0, 1))": TrainCommand(seeds=(0, 1)),
}


@pytest.mark.parametrize(("line", "config"), CONFIGS.items(), ids=CONFIGS)
def test_configurations_show_what_is_not_the_default(line: str, config: Any) -> None:
    assert repr(config) == line
    assert eval(line, vars(mse) | globals()) == config  # noqa: S307


def test_what_has_no_default_is_shown() -> None:
    assert repr(DecideConfig(Path("in.csv"))) == "DecideConfig(input='in.csv')"


@pytest.mark.parametrize("seed", range(10))
def test_a_formula_shows_the_call_that_makes_it(seed: int) -> None:
    formula = random_formula(Random(seed), 4)
    line = repr(formula)
    assert line == f"parse({str(formula)!r})"
    assert eval(line, {"parse": parse}) == formula  # noqa: S307


def test_steps_show_counts() -> None:
    stl = mse.StlConfig(monitor=False)
    config = mse.EnvConfig(agents=4, views="groups", episode_length=3, stl=stl)
    engine = Engine(config, make_table(), lanes=5, seeds=0)
    assert repr(engine).startswith("Engine(toy/train, agents=4, views='groups', lanes=5, ")
    engine.reset()
    for _ in range(3):
        record = engine.step(np.ones((5, 4), int))
    threats, reward = int(record.labels.sum()), record.decision_rewards.mean()
    assert repr(record) == (
        f"StepRecord(5 lanes, 4 sensors: {threats} threats, 5 stopped, mean reward {reward:+.3f}, "
        "0 new violations, 5 episodes over)"
    )
    assert repr(record.spec_status) == "SpecStatus(5 lanes, 0 specifications: 0 violated, 0 newly)"
    venv = TrafficVecEnv(replace(config, faults=mse.FaultConfig(1)), 2, 0, make_table())
    venv.reset()
    venv.step(np.zeros(8, int))
    assert repr(venv.last_step) == (
        "LastStep(8 sensors in 2 lanes: 6 honest, 8 voting, 0 new violations, 0 lanes shielded)"
    )


def test_results_show_what_counts() -> None:
    assert repr(make_result()) == (
        "EvaluationResult(toy/test, 4 events: reward +0.000, F1 0.500, no_reference)"
    )
