from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from marl_stl_env.config import EnvConfig, RewardConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.reward import Payoffs, payoff_table, proposal_table, register_reward
from marl_stl_env.errors import PluginError
from marl_stl_env.types import Action, Float32Array
from tests.conftest import make_table


def test_published_payoffs() -> None:
    #                        Allow  Block  Quarantine  Alert
    assert payoff_table(RewardConfig()).tolist() == [[1, -8, -8, 1], [-10, 10, 10, -10]]


def test_action_costs_are_subtracted() -> None:
    costs = RewardConfig(allow_cost=0.5, block_cost=1.5, quarantine_cost=2.5, alert_cost=0.25)
    assert payoff_table(costs).tolist() == [[0.5, -9.5, -10.5, 0.75], [-10.5, 8.5, 7.5, -10.25]]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, [1, -8]), (1.0, [-8, -8]), (0.25, [-1.25, -8])]
)
def test_team_share_mixes(share: float, expected: list[float]) -> None:
    payoffs = Payoffs(RewardConfig(team_share=share))
    labels, actions = np.array([False]), np.array([[0, 1]], np.int8)
    team = np.array([-8], np.float32)
    assert payoffs.of_sensors(labels, actions, team, np.array([False])).tolist() == [expected]


def test_threshold_is_where_both_votes_earn_the_same() -> None:
    reward = RewardConfig()
    p = reward.threshold
    assert p == pytest.approx(9 / 29)
    assert p * 10 + (1 - p) * -8 == pytest.approx(p * -10 + (1 - p) * 1)


@pytest.mark.parametrize("reward", [RewardConfig(), RewardConfig(5.0, 2.0, -1.0, -30.0)])
def test_proposals_do_best_to_say_how_likely_a_threat_is(reward: RewardConfig) -> None:
    table, cost_odds = (
        proposal_table(reward).astype(float),
        reward.threshold / (1 - reward.threshold),
    )
    levels = [Action.ALLOW, Action.ALERT, Action.BLOCK, Action.QUARANTINE]
    for probability in np.linspace(0.001, 0.999, 501):
        earned = (1 - probability) * table[0] + probability * table[1]
        odds = probability / (1 - probability)
        level = sum(odds >= cost_odds * factor for factor in (0.25, 1.0, 4.0))
        assert earned.argmax() == levels[level]


def test_proposals_are_paid_on_the_scale_of_votes() -> None:
    # Thresholds 9/89, 9/29 and 9/14, a third of 29 at stake at each.
    benign, threat = proposal_table(RewardConfig())
    assert benign.tolist() == pytest.approx(
        [0, -29 / 3 * (9 / 89 + 9 / 29), -29 / 3 * (9 / 89 + 9 / 29 + 9 / 14), -29 / 3 * 9 / 89]
    )
    assert (threat - benign).tolist() == pytest.approx([0, 29 * 2 / 3, 29, 29 / 3])
    assert not proposal_table(RewardConfig(proposal_weight=0.0)).any()


def triple(table: TrafficTable, payoffs: Float32Array) -> Float32Array:
    """Three times as much for family 2."""
    payoffs[table.families == 2] *= 3.0
    return payoffs


OWN = RewardConfig(reward_function="triple", team_share=0.25, quarantine_cost=0.5, alert_cost=0.0)


@pytest.mark.parametrize("dynamics", ["replay", "response"])
def test_an_own_reward_pays_event_by_event(own_registrations: None, dynamics: Any) -> None:
    """Against a loop over lanes and sensors that goes by the table alone."""
    register_reward("triple", triple)
    entities = (np.arange(400) % 7).astype(np.int32)
    table = replace(make_table(400), entities=entities)
    config = EnvConfig(agents=4, views="groups", reward=OWN, dynamics=dynamics, episode_length=50)
    engine, rng = Engine(config, table, 8, seeds=3), np.random.default_rng(0)
    engine.reset()
    isolated = 0
    for _ in range(50):
        record = engine.step(rng.integers(0, 4, (8, 4)))
        for lane, row in enumerate(record.rows):
            times = 3.0 if table.families[row] == 2 else 1.0
            usual = payoff_table(OWN, dynamics)[int(table.labels[row])] * times
            if record.isolated[lane]:
                isolated += 1
                cost = OWN.action_costs(dynamics)[Action.QUARANTINE]
                team = usual[Action.QUARANTINE] + cost
                assert record.decision_rewards[lane] == pytest.approx(team)
                continue
            team = usual[record.decisions[lane]]
            assert record.decision_rewards[lane] == pytest.approx(team)
            for sensor, action in enumerate(record.actions[lane]):
                expected = 0.75 * usual[action] + 0.25 * team
                assert record.rewards[lane, sensor] == pytest.approx(expected, rel=1e-5)
    assert (isolated > 0) == (dynamics == "response")


def test_an_own_reward_needs_its_events(own_registrations: None) -> None:
    register_reward("triple", triple)
    with pytest.raises(PluginError, match="their table is needed"):
        Payoffs(OWN)
    table = make_table(100)
    decisions = np.full(100, Action.BLOCK, np.int8)
    wanted = np.where(table.labels, 10.0, -8.0)
    wanted[table.families == 2] *= 3.0
    paid = Payoffs(OWN, table=table).of_table(table, decisions)
    np.testing.assert_allclose(paid, wanted)
