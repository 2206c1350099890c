from pathlib import Path
from typing import Any

import pytest
from marl_stl_agents.config import EvaluateConfig, PPOConfig, TrainConfig

from marl_stl_env.config import (
    ConsensusConfig,
    DataConfig,
    EnvConfig,
    FaultConfig,
    RewardConfig,
    StlConfig,
    make_config,
)
from marl_stl_env.errors import ConfigError, UnknownNameError


@pytest.mark.parametrize(
    ("agents", "faulty", "threshold"),
    [(1, 0, 1), (2, 0, 1), (3, 0, 2), (4, 1, 2), (7, 2, 4), (10, 3, 5)],
)
def test_default_quorums(agents: int, faulty: int, threshold: int) -> None:
    consensus = ConsensusConfig()
    assert consensus.faulty_for(agents) == faulty
    assert consensus.threshold_for(agents) == threshold


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EnvConfig(agents=0), "agents=0"),
        (lambda: EnvConfig(agents=65), "agents=65"),
        (lambda: EnvConfig(agents="4"), "wrong type"),  # type: ignore[arg-type]
        (lambda: EnvConfig(episode_length=0), "episode_length=0"),
        (lambda: EnvConfig(data=DataConfig(threat_rate=1.0)), "threat_rate=1.0"),
        (lambda: EnvConfig(data=DataConfig(threat_rate=0.0)), "threat_rate=0.0"),
        (lambda: EnvConfig(data=DataConfig(split_seed=-1)), "split_seed=-1"),
        (lambda: EnvConfig(consensus=ConsensusConfig(threshold=0)), r"outside \[3, 5\]"),
        (lambda: EnvConfig(consensus=ConsensusConfig(threshold=6)), r"outside \[3, 5\]"),
        (
            lambda: EnvConfig(agents=3, consensus=ConsensusConfig(max_faulty=1)),
            "at least 4 sensors",
        ),
        (lambda: EnvConfig(consensus=ConsensusConfig(max_faulty=-1)), "max_faulty=-1"),
        (lambda: EnvConfig(faults=FaultConfig(8)), r"faulty=8 is outside \[0, 7\]"),
        (lambda: FaultConfig(-1), "faulty=-1"),
        (lambda: FaultConfig(sleeper_start=-1), "sleeper_start=-1"),
        (lambda: EnvConfig(agents=1, deliberation=1), "at least 2 agents"),
        (lambda: RewardConfig(team_share=1.5), "team_share=1.5"),
        (lambda: RewardConfig(true_positive=-20.0), "right vote"),
        (lambda: RewardConfig(block_cost=float("nan")), "block_cost=nan"),
        (lambda: PPOConfig(learning_rate=0.0), "learning_rate=0.0"),
        (lambda: PPOConfig(discount=1.1), "discount=1.1"),
        (lambda: PPOConfig(batch_size=1), "batch_size=1"),
        (lambda: TrainConfig(lanes=0), "lanes=0"),
        (lambda: TrainConfig(iterations=0), "iterations=0"),
        (lambda: TrainConfig(seed=-1), "seed=-1"),
        (lambda: TrainConfig(threads=0), "threads=0"),
        (lambda: EvaluateConfig(threads=0), "threads=0"),
    ],
)
def test_values_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "known"),
    [
        (lambda: EnvConfig(split="tset"), "train, validation, test"),  # type: ignore[arg-type]
        (lambda: EnvConfig(data=DataConfig(split_method="random")), "stratified"),  # type: ignore[arg-type]
        (lambda: EnvConfig(views="partial"), "groups, overlap, full"),  # type: ignore[arg-type]
        (lambda: EnvConfig(order="sorted"), "sequential"),  # type: ignore[arg-type]
        (lambda: TrainConfig(backend="async"), "supersuit, native"),  # type: ignore[arg-type]
        (lambda: TrainConfig(device="tpu"), "auto, cpu, cuda"),  # type: ignore[arg-type]
        (lambda: PPOConfig(schedule="cosine"), "linear, constant"),  # type: ignore[arg-type]
        (lambda: make_config(None, {"agnets": 3}), "agents"),
    ],
)
def test_unknown_names_list_the_known_ones(make: Any, known: str) -> None:
    with pytest.raises(UnknownNameError, match=known):
        make()


@pytest.mark.parametrize(
    "text",
    ["G (false_alarms_64 <= 8)", "alerts_16 == 0", "x != 2", "=G stopped", "G stopped"],
)
def test_a_specification_has_a_name(text: str) -> None:
    """The first "=" of a formula without one may be that of a comparison."""
    with pytest.raises(ConfigError, match=r"name=formula, such as 'calm=G"):
        StlConfig(specs=(text,))


def test_the_default_team_tolerates_two_and_is_watched() -> None:
    env = EnvConfig()
    assert (env.agents, env.views, env.seen_by) == (7, "overlap", 6)
    assert env.consensus.faulty_for(env.agents) == 2
    assert (env.stl.monitor, env.stl.observe, env.stl.shield) == (True, False, False)
    assert TrainConfig().task == env


def test_overrides_replace_single_fields() -> None:
    config = make_config(EnvConfig(agents=7), {"split": "test"})
    assert (config.agents, config.split) == (7, "test")
    with pytest.raises(ConfigError, match="EnvConfig"):
        make_config("agents", {})  # type: ignore[arg-type]


def test_paths_may_be_given_as_text() -> None:
    assert EnvConfig(data=DataConfig(data_dir="data")).data.data_dir == Path("data").absolute()  # type: ignore[arg-type]
    assert TrainConfig(run_dir="here").run_dir == Path("here")  # type: ignore[arg-type]


def test_nested_configurations_may_be_plain_mappings() -> None:
    """As JSON has them: mappings, lists and text in place of configurations, tuples and paths."""
    plain: Any = {"shield": True, "specs": ["a=always x <= 1"]}
    folder: Any = "here"
    one: Any = ["one"]
    given = EnvConfig(stl=plain, plugins=one)
    specs = ("a=always x <= 1",)
    assert given == EnvConfig(stl=StlConfig(shield=True, specs=specs), plugins=("one",))
    assert hash(given)
    assert DataConfig(data_dir=folder).data_dir == DataConfig(data_dir=Path("here")).data_dir
    plain = {"shild": True}
    with pytest.raises(UnknownNameError, match="unknown setting 'shild'; known: monitor"):
        EnvConfig(stl=plain)
