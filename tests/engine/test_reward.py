import numpy as np
import pytest

from marl_stl_env.config import RewardConfig
from marl_stl_env.engine.reward import Payoffs, payoff_table, proposal_table
from marl_stl_env.types import Action


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
