from typing import Any

import gymnasium
import numpy as np

from tests.compat.common import COMPAT, SHIELDED, run_snippet

pytestmark = COMPAT
LANE, SEED = 3, 7


def test_cleanrl_style_script() -> None:
    names = run_snippet("CleanRL-style script", "torch", "dev")
    envs, curve = names["envs"], names["curve"]
    assert len(curve) == names["iterations"]
    assert curve[-1] > curve[0] + 1.0, f"reward per event did not rise: {curve}"

    alone = gymnasium.make("marl_stl_env/Traffic-v0", episode_length=100)
    assert envs.single_observation_space == alone.observation_space
    observed, expected = envs.reset(seed=SEED)[0], alone.reset(seed=SEED + LANE)[0]
    actions = np.random.default_rng(SEED).integers(0, 4, (100, envs.num_envs))
    for number, row in enumerate(actions):
        np.testing.assert_array_equal(observed[LANE], expected)
        observed, rewards, terminated, truncated, infos = envs.step(row)
        expected, reward, *_ = alone.step(row[LANE])
        assert rewards[LANE] == reward
        assert not terminated.any()
        assert truncated.tolist() == [number == 99] * envs.num_envs
    np.testing.assert_array_equal(infos["final_obs"][LANE], expected)


def test_masks_and_costs_are_beside() -> None:
    settings: dict[str, Any] = {"max_episode_steps": 100, "stl": SHIELDED.stl}
    name = "marl_stl_env/TrafficResponse-v0"
    envs = gymnasium.make_vec(name, num_envs=4, autoreset_mode="SameStep", **settings)
    alone = gymnasium.make(name, **settings)
    infos, expected = envs.reset(seed=SEED)[1], alone.reset(seed=SEED + LANE)[1]
    masked, costs = 0, 0.0
    for row in np.random.default_rng(SEED).integers(0, 4, (99, 4)):
        np.testing.assert_array_equal(infos["action_mask"][LANE], expected["action_mask"])
        masked += int((expected["action_mask"] == 0).sum())
        *_, infos = envs.step(row)
        *_, expected = alone.step(row[LANE])
        assert infos["cost_sum"][LANE] == expected["cost_sum"]
        costs += expected["cost_sum"]
    assert masked
    assert costs
