import numpy as np
import pytest

from marl_stl_env.config import RewardConfig
from marl_stl_env.engine.reward import Payoffs, payoff_table


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
