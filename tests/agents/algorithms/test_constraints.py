"""Shaping and PPO-Lagrangian against scalar recursions over one sensor's steps."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from marl_stl_agents.algorithms.constraints import LagrangianPPO
from marl_stl_agents.algorithms.ppo import make_trainer, make_vec_env
from marl_stl_agents.algorithms.shaping import SpecShaping
from marl_stl_agents.buffers.rollout import TeamRolloutBuffer
from marl_stl_agents.config import Backend, ConstraintConfig, PPOConfig, TrainConfig
from marl_stl_agents.policies.team import TeamPolicy
from marl_stl_agents.training.callbacks import ViolationRatesCallback
from stable_baselines3 import PPO

from marl_stl_env.config import EnvConfig, FaultConfig, StlConfig
from marl_stl_env.envs.base import team_env
from tests.conftest import make_table

CPU, TABLE = torch.device("cpu"), make_table()
SPECS = StlConfig(specs=("quiet=G (alerts_4 <= 2)", "late=G[5,inf) (quarantines_3 <= 1)"))
CONFIG = TrainConfig(
    env=EnvConfig(episode_length=9, stl=SPECS, agents=4, views="groups"),
    ppo=PPOConfig(n_steps=24, batch_size=72, width=16, discount=0.9, schedule="constant"),
    constraints=ConstraintConfig(
        budget=0.2,
        proportional=0.0,
        integral=0.5,
        derivative=0.0,
        max_multiplier=0.6,
        rates="sampled",
        cost_discount=0.9,
    ),
    stl="lagrangian",
    backend="native",
    lanes=3,
    seed=3,
)


def collected(config: TrainConfig) -> Any:
    """A trainer that has learned from a rollout and collected a second one."""
    model: Any = make_trainer(config, TABLE, CPU)
    rates = ViolationRatesCallback(config, TABLE)
    model.learn(24 * 12, callback=rates)
    buffer: Any = model.rollout_buffer
    callback = model._init_callback(rates)
    model.collect_rollouts(model.env, callback, buffer, 24)
    return model


def gae(rewards: Any, values: Any, ends: Any, discount: float, decay: float) -> list[float]:
    """Advantages by their definition: a sum of discounted errors up to the episode's end."""
    advantages = []
    for step in range(len(rewards)):
        total, weight = 0.0, 1.0
        for later in range(step, len(rewards)):
            following = 0.0 if ends[later] else values[later + 1]
            total += weight * (rewards[later] + discount * following - values[later])
            if ends[later]:
                break
            weight *= discount * decay
        advantages.append(total)
    return advantages


@pytest.mark.parametrize("backend", ["native", "supersuit"])
def test_advantages_weigh_rewards_against_violations(backend: Backend) -> None:
    model = collected(replace(CONFIG, backend=backend))
    buffer: TeamRolloutBuffer = model.rollout_buffer
    observations = np.concatenate([buffer.observations, model._last_obs[None]])
    with torch.no_grad():
        each = [model.policy.predict_costs(torch.as_tensor(o)).numpy() for o in observations]
    values = np.stack(each)
    mine = np.empty((24, 12))
    unpriced, prices = earned(model), model.multipliers.values
    assert prices.max() > 0
    for sensor in range(12):
        ends = [step % 9 == 8 for step in range(24, 48)]
        costs = []
        for i in range(2):
            broken = buffer.costs[:, sensor, i].astype(float)
            costs.append(gae(broken, values[:, sensor, i], ends, 0.9, 0.95))
            expected = np.array(costs[i]) + values[:-1, sensor, i]
            assert buffer.cost_returns[:, sensor, i] == pytest.approx(expected, abs=1e-5)
        weighed = sum(price * np.array(c) for price, c in zip(prices, costs, strict=True))
        mine[:, sensor] = (unpriced[:, sensor] - weighed) / (1 + prices.sum())
    assert buffer.advantages == pytest.approx(mine, abs=1e-5)
    assert buffer.costs.sum() > 3


def earned(model: Any) -> Any:
    """Standardised advantages of the rewards alone."""
    buffer = model.rollout_buffer
    with torch.no_grad():
        last = model.policy.predict_values(torch.as_tensor(model._last_obs)).numpy().ravel()
    values = np.vstack([buffer.values, last[None]])
    ends = [step % 9 == 8 for step in range(24, 48)]
    own = np.array([gae(buffer.rewards[:, s], values[:, s], ends, 0.9, 0.95) for s in range(12)]).T
    honest = own[buffer.honest]
    return (own - honest.mean()) / honest.std()


def test_multipliers_follow_the_violations() -> None:
    model: Any = make_trainer(CONFIG, TABLE, CPU)
    history, wanted = [], np.zeros(2)
    moves = ViolationRatesCallback(CONFIG, TABLE)
    for _ in range(4):
        model.learn(24 * 12, callback=moves, reset_num_timesteps=False)
        history.append(model.multipliers.values.copy())
        buffer: Any = model.rollout_buffer
        last = [step for step in range(24) if (24 * len(history) - 24 + step) % 9 == 8]
        rates = buffer.violated[last].mean(axis=(0, 1))
        wanted = np.clip(wanted + 0.5 * (rates - 0.1), 0.0, 0.6)
        assert history[-1] == pytest.approx(wanted)
    assert history[-1].max() == 0.6
    assert buffer.costs.sum(axis=0).max() <= 4  # at most one first violation per episode


def test_without_a_price_it_is_ppo() -> None:
    """With multipliers held at 0 the policy's gradient is PPO's, though more heads learn."""
    free = ConstraintConfig(proportional=0.0, integral=0.0, derivative=0.0)
    model = collected(replace(CONFIG, constraints=free))
    buffer: Any = model.rollout_buffer
    assert model.multipliers.values.tolist() == [0.0, 0.0]
    assert buffer.advantages == pytest.approx(earned(model), abs=1e-5)
    assert isinstance(model, PPO)


def test_where_a_shield_enforces_everything_nothing_is_priced() -> None:
    quiet = StlConfig(specs=("quiet=G (alerts_4 <= 2)",), shield=True)
    model: Any = collected(replace(CONFIG, env=replace(CONFIG.env, stl=quiet)))
    assert not isinstance(model, LagrangianPPO)
    assert model.policy.costs == 0
    assert not team_env(model.env).last_step.violated.any()


def test_every_head_learns_its_own_returns() -> None:
    """Minibatches pair every head with its target, and the loss is the sum over the heads."""
    model = collected(CONFIG)
    buffer: Any = model.rollout_buffer
    flat = {n: buffer.swap_and_flatten(getattr(buffer, n)) for n in ("returns", "cost_returns")}
    wanted = np.concatenate([flat["returns"], flat["cost_returns"]], axis=1)
    wanted = wanted[np.lexsort(wanted.T)]
    batches = [one.returns.numpy().reshape(-1, 3) for one in buffer.get(50)]
    given = np.concatenate(batches)
    np.testing.assert_array_equal(given[np.lexsort(given.T)], wanted)
    assert model.vf_coef == pytest.approx(3 * CONFIG.ppo.value_coefficient)
    seen = torch.as_tensor(np.asarray(model._last_obs))
    policy: TeamPolicy = model.policy
    values, _, _ = policy.evaluate_actions(seen, torch.zeros(12))
    assert torch.equal(values[:, :1], policy.predict_values(seen))
    assert torch.equal(values[:, 1:], policy.predict_costs(seen))
    assert torch.equal(policy(seen)[1], values[:, :1])


def test_cost_heads_learn_the_probability_of_a_violation() -> None:
    """All sensors alert for ever: the specification is broken at the third step, surely."""
    config = replace(
        CONFIG,
        ppo=replace(CONFIG.ppo, discount=1.0, gae_lambda=1.0, n_epochs=20, learning_rate=3e-3),
        env=replace(CONFIG.env, stl=StlConfig(specs=("quiet=G (alerts_4 <= 2)",))),
        constraints=ConstraintConfig(cost_discount=1.0),
    )
    model: Any = make_trainer(config, TABLE, CPU)
    with torch.no_grad():
        model.policy.action_net.weight.zero_()
        model.policy.action_net.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 50.0]))
    model.learn(6 * 24 * 12)
    venv = make_vec_env(config, TABLE)
    seen: Any = venv.reset()
    costs = []
    for _ in range(6):
        with torch.no_grad():
            costs.append(float(model.policy.predict_costs(torch.as_tensor(seen)).mean()))
        seen = venv.step(np.full(12, 3))[0]
    assert costs[:2] == pytest.approx([1.0] * 2, abs=0.3)
    assert costs[3:] == pytest.approx([0.0] * 3, abs=0.3)


def test_faulty_sensors_do_not_count() -> None:
    faulty = replace(CONFIG.env, faults=FaultConfig(2, "flip"))
    model = collected(replace(CONFIG, env=faulty))
    buffer: Any = model.rollout_buffer
    assert isinstance(model, LagrangianPPO)
    honest = int(buffer.honest.sum())
    assert honest == 24 * 12 // 2
    assert sum(len(one.advantages) for one in buffer.get(64)) == honest


def test_the_logged_value_loss_is_that_of_the_rewards() -> None:
    model = collected(CONFIG)
    logged: dict[str, float] = {}
    model.logger.record = lambda key, value, *_, **__: logged.update({key: value})
    model.train()
    buffer = model.rollout_buffer
    with torch.no_grad():
        values = model.policy.predict_values(torch.as_tensor(buffer.observations)).numpy()
    assert logged["train/value_loss"] == pytest.approx(((values - buffer.returns) ** 2).mean())
    assert logged["stl/lambda/quiet"] == model.multipliers.values[0]


@pytest.mark.parametrize("backend", ["native", "supersuit"])
def test_shaping_adds_bonus_and_potential(backend: Backend) -> None:
    specs = ConstraintConfig(bonus=7.0, potential=3.0)
    config = replace(CONFIG, stl="shape", constraints=specs, backend=backend)
    venv = make_vec_env(config, TABLE)
    shaping: Any = venv.venv
    assert isinstance(shaping, SpecShaping)
    bare_venv: Any = make_vec_env(replace(config, stl="monitor"), TABLE).venv
    lanes: Any = shaping.unwrapped
    shaping.reset()
    bare_venv.reset()
    rng = np.random.default_rng(0)
    before, sums, kept = np.full(3, 0.5), np.zeros(3), 0
    for _ in range(45):
        actions = np.repeat(rng.choice([0, 2, 3], 3, p=[0.6, 0.2, 0.2]), 4)
        rewards, dones = shaping.step(actions)[1:3]
        bare, _, infos = bare_venv.step(actions)[1:]
        status = lanes.last_step
        for lane in range(3):
            over = bool(dones[lane * 4])
            now = 0.0 if over else max(-1.0, min(0.5, *status.robustness[lane].tolist()))
            wanted = 3.0 * (0.9 * now - before[lane])
            if over and not status.violated[lane].any():
                wanted += 7.0
                kept += 1
            assert rewards[lane * 4 : lane * 4 + 4] - bare[lane * 4 : lane * 4 + 4] == (
                pytest.approx([wanted] * 4, abs=1e-5)
            )
            before[lane] = 0.5 if over else now
            sums[lane] += bare[lane * 4]
            if over:
                assert infos[lane * 4]["episode"]["r"] == pytest.approx(sums[lane], abs=1e-4)
                sums[lane] = 0.0
        np.testing.assert_array_equal(shaping.bare_rewards, bare)
    assert 0 < kept < 15
