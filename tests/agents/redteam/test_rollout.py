"""Rollouts against attackers, and their metrics, against plain counting."""

from typing import Any

import numpy as np
import pytest
import torch
from marl_stl_agents.redteam.attacker import (
    NextStepRewards,
    attack_of,
    load_attacker,
    save_attacker,
    train_attacker,
)
from marl_stl_agents.redteam.exploit import (
    AttackMetrics,
    evaluate_attacks,
    exploitability,
    simple_attacks,
)
from marl_stl_agents.redteam.replay import sent_and_arrived
from marl_stl_agents.redteam.rollout import attacked_rollout, normalized

from marl_stl_env.adversary.policies import GreedyEvasion, linear_team, no_attack
from marl_stl_env.adversary.table import disguised_table
from marl_stl_env.config import make_config
from marl_stl_env.data.prepare import prepare
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.adversarial.attackers import attacker_actions, attacker_space
from marl_stl_env.errors import RunError
from tests.adversary.scenes import TABLE, TOY, toy_engine
from tests.conftest import FOUR

PREPARED = prepare(make_config(None, FOUR), TABLE)
TEST = make_config(None, {**FOUR, "split": "test"})
TEAM = linear_team(toy_engine(1))


@pytest.mark.parametrize("dynamics", ["replay", "response"])
def test_without_an_attack_it_is_the_usual_rollout(dynamics: Any) -> None:
    from marl_stl_agents.evaluation.rollouts import collect_rollout

    config = make_config(None, {**FOUR, "split": "test", "dynamics": dynamics})
    disguised = disguised_table(config, TOY, PREPARED)
    found = attacked_rollout(config, TOY, disguised, TEAM, no_attack)
    usual = collect_rollout(
        config, PREPARED.tables["test"], lambda seen: (TEAM(seen), np.zeros(len(seen)))
    )
    if dynamics == "replay":
        np.testing.assert_array_equal(found.decisions, usual.decisions)
        np.testing.assert_array_equal(found.rewards, usual.rewards)
    assert found.waited == 0
    assert (found.costs == 0).all()
    np.testing.assert_allclose(found.gains[found.labels], -found.rewards[found.labels])


def test_greedy_evasion_event_by_event() -> None:
    """Each attack is encoded in each disguise and voted on; the best that passes is sent."""
    disguised = disguised_table(TEST, TOY, PREPARED)
    found = attacked_rollout(TEST, TOY, disguised, TEAM, GreedyEvasion(TEAM))
    engine = Engine(TEST, disguised.table, 1, 0)
    worth = disguised.disguises.effectiveness()
    for event in np.flatnonzero(found.labels)[1:]:  # the first event of all is never disguised
        passes = []
        for disguise in range(4):
            row = disguised.rows(np.array([event]), np.array([disguise]))
            seen = engine.observations.observe(row)[0]
            passes.append(engine.rule(TEAM(seen)[None])[0] == 0)
        best = int((worth * passes).argmax())
        assert found.disguises[event] == best
        assert found.decisions[event] == (0 if passes[best] else 1)
    metrics = evaluate_attacks(TEST, TOY, PREPARED, TEAM, simple_attacks(TEAM))
    threats = found.labels
    assert metrics["greedy"].recall == pytest.approx(float(found.stopped[threats].mean()))
    assert metrics["greedy"].recall < metrics["undisguised"].recall
    assert metrics["greedy"].kept == pytest.approx(
        metrics["greedy"].normalized_score / metrics["undisguised"].normalized_score
    )
    assert metrics["greedy"].gain_per_attack >= metrics["random"].gain_per_attack
    assert metrics["undisguised"].disguises == {"0": 1.0, "1": 0.0, "2": 0.0, "3": 0.0}


def test_the_normalised_score_by_hand() -> None:
    """Two benign events and two threats: Block earns (20 - 16) / 4 and is the best constant."""
    labels = np.array([False, True, False, True])
    assert normalized(TEST, labels, 22 / 4) == pytest.approx(1.0)
    assert normalized(TEST, labels, 1.0) == pytest.approx(0.0)


def test_exploitability_by_hand() -> None:
    def one(kept: float) -> AttackMetrics:
        return AttackMetrics(0, 0.9 * kept, kept, 0, 0, 0, 0, 0, 0, {}, {})

    found = exploitability(
        {"undisguised": one(1.0), "response_0": one(0.5), "response_1": one(0.7)}
    )
    assert found["lost"] == pytest.approx(0.4)
    # Student's t with one degree of freedom: 12.706 times .1 / sqrt(2) * sqrt(2)
    assert found["lost_high"] - found["lost"] == pytest.approx(12.706 * 0.1, rel=1e-3)
    assert "lost_low" not in exploitability({"undisguised": one(1.0), "response_0": one(0.5)})


def test_an_action_has_the_reward_of_the_step_after_it() -> None:
    engine = toy_engine(1)
    space, actions = attacker_space(engine), attacker_actions(engine)
    buffer = NextStepRewards(3, space, actions, gamma=0.0, gae_lambda=1.0, n_envs=1)
    for reward, begins in ((5.0, 1.0), (10.0, 0.0), (20.0, 1.0)):
        buffer.add(
            np.zeros((1, *space.shape)),
            np.zeros(1),
            np.array([reward]),
            np.array([begins]),
            torch.tensor([2.0]),
            torch.tensor([0.0]),
        )
    buffer.compute_returns_and_advantage(torch.tensor([2.0]), np.array([False]))
    # 10 comes after the first action; the second one ended an episode, the last is not known.
    np.testing.assert_allclose(buffer.returns[:, 0], [1.0, 0.0, 2.0])
    np.testing.assert_allclose(buffer.advantages[:, 0], [-1.0, -2.0, 0.0])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        policy = train_attacker(make_config(None, FOUR), TOY, PREPARED, [TEAM], 2, seed=0)
    assert list(folder.glob("SB3-*")) == [], "a training leaves nothing where nobody looks"
    return policy


def test_an_attacker_learns(trained: Any) -> None:
    metrics = evaluate_attacks(
        TEST, TOY, PREPARED, TEAM, {**simple_attacks(TEAM), "response_0": attack_of(trained)}
    )
    assert metrics["response_0"].gain_per_attack > metrics["undisguised"].gain_per_attack + 1.0
    assert metrics["response_0"].gain_per_attack <= metrics["greedy"].gain_per_attack + 1e-6
    assert metrics["response_0"].waited < 0.5


def test_an_attacker_is_kept_as_plain_arrays(trained: Any, tmp_path: Any) -> None:
    path, engine = tmp_path / "one.safetensors", toy_engine(64)
    save_attacker(trained, path)
    again = load_attacker(path, attacker_space(engine), attacker_actions(engine))
    engine.reset()
    np.testing.assert_array_equal(attack_of(trained)(engine), attack_of(again)(engine))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(RunError, match="does not hold this attacker's weights"):
        load_attacker(path, attacker_space(engine), attacker_actions(engine))


def test_the_replay_shows_what_was_sent() -> None:
    disguised = disguised_table(TEST, TOY, PREPARED)
    plain = attacked_rollout(TEST, TOY, disguised, TEAM, no_attack)
    attacked = attacked_rollout(TEST, TOY, disguised, TEAM, GreedyEvasion(TEAM))
    shown = sent_and_arrived(PREPARED, "test", disguised.disguises, plain, attacked, most=5)
    assert len(shown) == 5
    for one in shown:
        assert one["decision_as_sent"] == "BLOCK"
        assert one["decision_as_arrived"] == "ALLOW"
        assert one["disguise"] == attacked.disguises[one["event"]] > 0
        row = PREPARED.rows["test"][one["event"]]
        raw = np.array(PREPARED.raw.features[row : row + 1])
        arrived = disguised.disguises.apply(TABLE.feature_names, raw, one["disguise"] - 1)
        for column, (before, after) in one["columns"].items():
            at = TABLE.feature_names.index(column)
            assert before == pytest.approx(float(TABLE.features[row, at]))
            assert after == pytest.approx(float(arrived[0, at])) != before
