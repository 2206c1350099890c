"""PettingZoo, Gymnasium and Stable-Baselines3 see what the engine does."""

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test
from stable_baselines3 import PPO

import marl_stl_env as mse
from marl_stl_env import adversarial_v0
from marl_stl_env.adversary.engine import AdversarialEngine
from marl_stl_env.adversary.policies import TeamMixture, linear_team, random_disguise
from marl_stl_env.envs.adversarial.sb3 import AttackedVecEnv, AttackerVecEnv
from marl_stl_env.errors import ConfigError, InvalidActionError, ResetNeededError, UnknownNameError
from tests.adversary.scenes import MUTABLE, TABLE, TOY, toy_engine
from tests.conftest import FOUR

ID = "marl_stl_env/TrafficAdversarial-v0"
ALONE = {"mutable": MUTABLE, "disguises": 3}


def team(**settings: Any) -> Any:
    return adversarial_v0.parallel_env(
        table=TABLE, adversary=TOY, **{**FOUR, "episode_length": 40, **settings}
    )


def test_pettingzoo_parallel_api() -> None:
    parallel_api_test(team(), num_cycles=90)
    parallel_api_test(team(dynamics="response", faults={"faulty": 1}), num_cycles=90)


def test_pettingzoo_seeds() -> None:
    parallel_seed_test(team)


def test_pettingzoo_turns() -> None:
    for make in (adversarial_v0.env, adversarial_v0.raw_env):
        turns: Any = make(table=TABLE, adversary=TOY, episode_length=20, **FOUR)
        assert turns.metadata["name"] == "adversarial_v0"
        with warnings.catch_warnings():  # sensors and attackers see different things
            for message in ("Observations are different shapes", "Agents have different"):
                warnings.filterwarnings("ignore", message)
            api_test(turns, num_cycles=50)
    assert adversarial_v0.__all__ == ["env", "parallel_env", "raw_env"]


def test_the_parallel_environment_is_a_lane_of_the_engine() -> None:
    env, engine = team(), toy_engine(1, 4)
    observations, infos = env.reset(seed=4)
    engine.reset()
    names = env.agents
    assert names[-2:] == ["attacker_0", "attacker_1"]
    rng = np.random.default_rng(0)
    for _ in range(40):
        seen = [*engine.observe()[0], *engine.observe_attackers()[0]]
        for name, row in zip(names, seen, strict=True):
            np.testing.assert_array_equal(observations[name], row)
            assert env.observation_space(name).contains(observations[name])
        for j in range(2):
            mask = infos[f"attacker_{j}"]["action_mask"]
            np.testing.assert_array_equal(mask, engine.attack_mask[0, j])
        sensors, attackers = rng.integers(0, 4, 4), rng.integers(0, 5, 2)
        chosen = dict(zip(names, [*sensors.tolist(), *attackers.tolist()], strict=True))
        observations, rewards, _, over, infos = env.step(chosen)
        record = engine.step(sensors[None], attackers[None])
        attack = engine.last_attack
        assert attack is not None
        wanted = [*record.rewards[0], *attack.rewards[0]]
        np.testing.assert_allclose([rewards[name] for name in names], wanted)
        for j in range(2):
            info = infos[f"attacker_{j}"]
            assert info["own_event"] == (attack.owners[0] == j)
            assert info["disguise"] == (attack.disguises[0] if info["own_event"] else -1)
            assert info["waited"] == attack.waited[0, j]
            assert info["cost"] == pytest.approx(float(attack.costs[0, j]))
    assert all(over.values())


def test_states_of_the_parallel_environment() -> None:
    env, other = team(), team()
    env.reset(seed=0)
    for step in range(10):
        env.step(dict.fromkeys(env.agents, step % 4))
    other.set_state(env.get_state())
    one, two = (e.step(dict.fromkeys(e.agents, 1)) for e in (env, other))
    for name in env.possible_agents:
        np.testing.assert_array_equal(one[0][name], two[0][name])
        assert one[1][name] == two[1][name]


def test_wrong_actions_are_refused() -> None:
    env = team()
    env.reset(seed=0)
    with pytest.raises(InvalidActionError):
        env.step({**dict.fromkeys(env.agents, 0), "attacker_1": 5})
    turns: Any = adversarial_v0.env(table=TABLE, adversary=TOY, **FOUR)
    turns.reset(seed=0)
    for _ in range(4):
        turns.step(3)
    with pytest.raises(InvalidActionError, match="0 to 4"):
        turns.step(5)


@pytest.mark.parametrize("side", ["defender", "attacker"])
def test_gymnasium(side: str) -> None:
    env: Any = gymnasium.make(ID, table=TABLE, side=side, adversary=ALONE, max_episode_steps=30)
    check_env(env.unwrapped, skip_render_check=True)
    env.reset(seed=0)
    steps, over = 0, False
    while not over:
        _, reward, ended, over, info = env.step(env.action_space.sample())
        assert isinstance(reward, float)
        assert not ended
        steps += 1
    assert steps == 30
    key = "own_event" if side == "attacker" else "label"
    assert key in info
    assert len(env.unwrapped.action_masks()) == env.action_space.n


@pytest.mark.parametrize("side", ["defender", "attacker"])
def test_gymnasium_is_a_lane_of_the_engine(side: str) -> None:
    env: Any = gymnasium.make(ID, table=TABLE, side=side, adversary=ALONE, episode_length=40)
    config = env.unwrapped.config
    engine = AdversarialEngine.make(config, env.unwrapped.adversary, 1, 3, TABLE)
    team, attack = TeamMixture([linear_team(engine)]), random_disguise
    seen, _ = env.reset(seed=3)
    engine.reset()
    earned = 0.0
    for step in range(40):
        looks = engine.observe if side == "defender" else engine.observe_attackers
        np.testing.assert_array_equal(seen, looks()[0, 0])
        action = np.array([[step % 4]])
        seen, reward, _, _, info = env.step(action[0, 0])
        if side == "defender":
            wanted = float(engine.step(action, attack(engine)).rewards[0, 0])
        else:
            engine.step(team(engine), action)
            assert engine.last_attack is not None
            wanted = float(engine.last_attack.rewards[0, 0])
            assert info["cost"] == float(engine.last_attack.costs[0, 0])
        assert reward == wanted
        earned += reward
    assert earned != 0.0


def test_gymnasium_rebuilds_from_json() -> None:
    options: dict[str, Any] = {"dataset_options": {"rows": 2000}, "adversary": {"disguises": 2}}
    env: Any = gymnasium.make(ID, **options)
    again: Any = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.adversary == env.unwrapped.adversary
    np.testing.assert_array_equal(again.reset(seed=3)[0], env.reset(seed=3)[0])


def test_what_one_side_cannot_have() -> None:
    with pytest.raises(UnknownNameError, match="side"):
        gymnasium.make(ID, table=TABLE, side="both", adversary=ALONE)
    with pytest.raises(UnknownNameError, match="attack"):
        gymnasium.make(ID, table=TABLE, attack="clever", adversary=ALONE)
    with pytest.raises(ConfigError, match="attackers=2"):
        gymnasium.make(ID, table=TABLE, side="attacker", adversary=TOY)


def test_the_view_of_the_sensors_is_the_engine() -> None:
    config = toy_engine(1).config
    venv = AttackedVecEnv(config, 3, 7, TABLE, adversary=TOY, attack="random")
    engine = toy_engine(3, 7)
    seen: Any = venv.reset()
    engine.reset()
    for step in range(45):
        np.testing.assert_array_equal(seen, engine.observe().reshape(12, -1))
        chosen = np.random.default_rng(step).integers(0, 4, (3, 4))
        seen, rewards, dones, _ = venv.step(chosen.ravel())
        record = engine.step(chosen, random_disguise(engine))
        np.testing.assert_array_equal(rewards, record.rewards.ravel())
        np.testing.assert_array_equal(dones, np.repeat(record.truncated, 4))
        if record.truncated.any():
            engine.reset(record.truncated)


def test_the_view_of_the_attackers_is_the_engine() -> None:
    engine = toy_engine(3, 7)
    fixed = TeamMixture([linear_team(engine)])
    venv = AttackerVecEnv(fixed, engine.config, 3, 7, TABLE, adversary=TOY)
    seen: Any = venv.reset()
    engine.reset()
    for step in range(45):
        np.testing.assert_array_equal(seen, engine.observe_attackers().reshape(6, -1))
        chosen = np.random.default_rng(step).integers(0, 5, (3, 2))
        seen, rewards, dones, infos = venv.step(chosen.ravel())
        record = engine.step(fixed(engine), chosen)
        assert engine.last_attack is not None
        np.testing.assert_array_equal(rewards, engine.last_attack.rewards.ravel())
        if record.truncated.any():
            assert dones.all()
            assert infos[0]["TimeLimit.truncated"] is True
            assert infos[5]["terminal_observation"].shape == seen[0].shape
            engine.reset(record.truncated)
    venv.seed(7)
    first: Any = venv.reset()
    venv.seed(7)
    np.testing.assert_array_equal(venv.reset(), first)
    state = venv.get_state()
    venv.step_async(np.ones(6, int))
    venv.set_state(state)
    with pytest.raises(ResetNeededError):
        venv.step_wait()
    assert venv.get_attr("lanes") == [3] * 6
    assert "attackers=2" in repr(venv)


def test_sb3_learns_on_both_sides() -> None:
    engine = toy_engine(1)
    attacked = AttackedVecEnv(engine.config, 2, 0, TABLE, adversary=TOY)
    fixed = TeamMixture([linear_team(engine)])
    attackers = AttackerVecEnv(fixed, engine.config, 2, 0, TABLE, adversary=TOY, attacks_only=True)
    for venv in (attacked, attackers):
        model = PPO("MlpPolicy", venv, n_steps=8, batch_size=16, n_epochs=1, device="cpu")
        model.learn(2 * 8 * venv.num_envs)


def test_the_module_is_there() -> None:
    assert mse.adversarial_v0 is adversarial_v0
