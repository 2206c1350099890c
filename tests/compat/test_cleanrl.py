import gymnasium
import numpy as np

from tests.compat.common import COMPAT, run_snippet

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
