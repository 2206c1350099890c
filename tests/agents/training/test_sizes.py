"""No absurd size begins a training: it is refused by its range, or by the memory it needs."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from marl_stl_agents.config import (
    ClusterConfig,
    ConstraintConfig,
    DecideConfig,
    EvaluateConfig,
    PPOConfig,
    TrainConfig,
)
from marl_stl_agents.training import memory
from marl_stl_agents.training.memory import needed_bytes
from marl_stl_agents.training.run import train

from marl_stl_env.config import (
    ConsensusConfig,
    DataConfig,
    EnvConfig,
    FaultConfig,
    ResponseConfig,
    RewardConfig,
    StlConfig,
)
from marl_stl_env.data import load_dataset
from marl_stl_env.errors import ConfigError
from marl_stl_env.validation import check_memory, check_range, memory_bytes
from tests.agents.training.small_runs import small

ABSURD = (10**12, 10**19, 10**400, 1e30, float("inf"), float("nan"), -1, -(10**400))
CONFIGS = (
    *(ClusterConfig(), ConstraintConfig(), PPOConfig(), TrainConfig(), EvaluateConfig()),
    *(DecideConfig(Path("x")), EnvConfig(), FaultConfig(), ResponseConfig(), RewardConfig()),
    *(ConsensusConfig(), DataConfig(), StlConfig()),
)
NUMBERS = [
    pytest.param(config, item.name, id=f"{type(config).__name__}-{item.name}")
    for config in CONFIGS
    for item in fields(config)
    if str(item.type).split(" | ")[0] in ("int", "float")
]
#: Checked where the number of sensors is known.
BY_AGENTS = ("max_faulty", "threshold")
SIGNED = ("true_", "false_", "allow_cost", "block_cost", "quarantine_cost", "alert_cost")


def changed(config: Any, name: str, value: float) -> None:
    other = replace(config, **{name: value})
    if name in BY_AGENTS:
        EnvConfig(consensus=other)


@pytest.mark.parametrize(("config", "name"), NUMBERS)
def test_every_number_has_bounds(config: Any, name: str) -> None:
    for value in ABSURD:
        if value == -1 and name.startswith(SIGNED):
            continue
        with pytest.raises(ConfigError, match=name):
            changed(config, name, value)


def test_all_numbers_are_found() -> None:
    assert len(NUMBERS) > 50


def test_a_range_takes_integers_of_any_length() -> None:
    check_range("n", 10**400, 0)
    with pytest.raises(ConfigError, match="n="):
        check_range("n", 10**400, 0, 5)


def test_what_a_training_needs() -> None:
    config = TrainConfig(
        env=EnvConfig(agents=4),
        stl="off",
        ppo=PPOConfig(n_steps=100, batch_size=1000, width=10, depth=2, bins=0),
        lanes=25,
    )
    needs = needed_bytes(config, width=6)
    assert needs["n_steps and lanes"] == 4 * (100 * 25 * 4) * (6 + 10)
    assert needs["width, depth and bins"] == 4 * 4 * 2 * (6 * 10 + 10 * 10)
    assert needs["batch_size"] == 4 * 1000 * (6 + 2 * 2 * 10)
    assert needs["lanes, alert_window and posture_window"] == 0


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"n_steps": 2**20}, "n_steps and lanes"),
        ({"width": 2**14, "depth": 64}, "width, depth and bins"),
    ],
)
def test_a_training_that_cannot_fit_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: dict[str, Any], told: str
) -> None:
    monkeypatch.setattr(memory, "check_memory", lambda needs, _: check_memory(needs, 4e9))
    config = small(tmp_path / "run")
    config = replace(config, ppo=replace(config.ppo, **sizes), lanes=2**10)
    with pytest.raises(ConfigError, match=f"for {told}, and there are 4.0 GB; choose smaller"):
        train(config)
    assert not (tmp_path / "run").exists()


def test_this_machine_has_some_memory() -> None:
    assert 1e8 < memory_bytes() < 1e15
    with pytest.raises(ConfigError, match="rows=1000000000"):
        check_memory({"rows=1000000000": 2 * memory_bytes()})
    with pytest.raises(ConfigError, match="rows"):
        load_dataset("synthetic", rows=10**12)
