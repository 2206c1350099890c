"""Every step of the engine equals that of a slow oracle."""

import numpy as np
import pytest

from marl_stl_env.config import ConsensusConfig, EnvConfig, FaultConfig, RewardConfig
from marl_stl_env.engine.engine import Engine
from marl_stl_env.types import Action
from tests.conftest import FOUR, UNWATCHED, make_table
from tests.engine.choices import guesses
from tests.oracles import FAULT_NAMES, ScalarEnv

CONFIGS = {
    "default": EnvConfig(episode_length=40, **FOUR),
    "own rewards, costs": EnvConfig(
        episode_length=25,
        reward=RewardConfig(team_share=0.3, block_cost=0.5, quarantine_cost=2.0, alert_cost=0.25),
        **FOUR,
    ),
    "one analyst": EnvConfig(agents=1, views="full", episode_length=30, stl=UNWATCHED),
    "three sensors": EnvConfig(agents=3, episode_length=30, views="groups", stl=UNWATCHED),
    "seven sensors, five votes": EnvConfig(
        agents=7,
        episode_length=30,
        consensus=ConsensusConfig(threshold=5),
        views="groups",
        stl=UNWATCHED,
    ),
    "nine sensors": EnvConfig(agents=9, episode_length=30, views="groups", stl=UNWATCHED),
    "longer than the table": EnvConfig(episode_length=10_000, **FOUR),
    "deliberation": EnvConfig(episode_length=20, deliberation=1, **FOUR),
    "deliberation, unpaid proposals": EnvConfig(
        episode_length=20, deliberation=1, reward=RewardConfig(proposal_weight=0.0), **FOUR
    ),
    "mixed faults": EnvConfig(
        agents=7,
        episode_length=20,
        faults=FaultConfig(2, "mixed", 8),
        views="groups",
        stl=UNWATCHED,
    ),
    "mixed faults, deliberation": EnvConfig(
        agents=5,
        episode_length=20,
        faults=FaultConfig(2, "mixed", 8),
        deliberation=1,
        views="groups",
        stl=UNWATCHED,
    ),
    "reliability-weighted votes": EnvConfig(
        agents=7,
        episode_length=40,
        consensus=ConsensusConfig(weights="reliability", feedback_share=0.5),
        views="groups",
        stl=UNWATCHED,
    ),
    "reliability-weighted votes, mixed faults, deliberation": EnvConfig(
        agents=4,
        episode_length=30,
        consensus=ConsensusConfig(weights="reliability", feedback_share=1.0),
        faults=FaultConfig(1, "mixed", 8),
        deliberation=1,
        views="groups",
        stl=UNWATCHED,
    ),
    **{
        f"reliability-weighted votes, two {fault}": EnvConfig(
            agents=7,
            episode_length=40,
            consensus=ConsensusConfig(weights="reliability", feedback_share=0.6),
            faults=FaultConfig(2, fault, 15),
            views="groups",
            stl=UNWATCHED,
        )
        for fault in FAULT_NAMES
    },
    "all faulty": EnvConfig(episode_length=20, faults=FaultConfig(4, "random"), **FOUR),
    **{
        f"one {fault}": EnvConfig(
            episode_length=12,
            reward=RewardConfig(team_share=0.5),
            faults=FaultConfig(1, fault, 5),
            **FOUR,
        )
        for fault in FAULT_NAMES
    },
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_every_step_equals_the_scalar_oracle(config: EnvConfig) -> None:
    table = make_table(200)
    engine, rng = Engine(config, table, lanes=5, seeds=3), np.random.default_rng(0)
    for episode in range(2):
        engine.reset()
        starts = engine.get_state()["positions"]
        oracles = [
            ScalarEnv(config, table, int(start), 3 + lane, episode)
            for lane, start in enumerate(starts)
        ]
        for _ in range(min(config.episode_length, len(table)) * (1 + config.deliberation)):
            actions = guesses(rng, engine)
            record = engine.step(actions)
            for lane, oracle in enumerate(oracles):
                wanted = oracle.step(actions[lane].tolist())
                assert record.labels[lane] == wanted.label
                assert np.flatnonzero(record.faulty[lane]).tolist() == oracle.faults.faulty
                assert record.actions[lane].tolist() == wanted.agreed
                assert_context(engine, lane, oracle.proposals)
                assert record.decisions[lane] == wanted.decision
                assert record.decision_rewards[lane] == pytest.approx(wanted.decision_reward)
                np.testing.assert_allclose(record.rewards[lane], wanted.rewards, rtol=2e-6)
                assert record.truncated[lane] == wanted.truncated
        assert record.truncated.all()


def assert_context(engine: Engine, lane: int, proposals: list[int] | None) -> None:
    """What is observed next shows the proposals, if there are any."""
    if not engine.config.deliberation:
        return
    model, agents = engine.observations, engine.agents
    shown = dict(zip(model.layout, engine.observe()[lane].T, strict=True))
    for sensor in range(agents):
        wanted = np.eye(agents)[sensor]
        np.testing.assert_array_equal(shown[f"sensor_{sensor}"], wanted)
        for action in Action:
            proposed = proposals is not None and proposals[sensor] == action
            assert (shown[f"sensor_{sensor}_{action.name.lower()}"] == proposed).all()
    assert (shown["voting"] == (proposals is not None)).all()
