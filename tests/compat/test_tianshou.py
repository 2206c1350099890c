import gymnasium
import numpy as np

from tests.compat.common import COMPAT, run_snippet

pytestmark = COMPAT
LANE, SEED = 3, 7


def test_tianshou() -> None:
    names = run_snippet("Tianshou", "tianshou", "tianshou")
    assert names["result"].train_step == 1600
    envs, alone = names["envs"], gymnasium.make("marl_stl_env/Traffic-v0", episode_length=100)
    envs.seed(SEED)  # resets environment i with this plus i; the training resets once more
    alone.reset(seed=SEED + LANE)
    observed, expected = envs.reset()[0], alone.reset()[0]
    actions = np.random.default_rng(SEED).integers(0, 4, (100, len(envs)))
    for number, row in enumerate(actions):
        np.testing.assert_array_equal(observed[LANE], expected)
        observed, rewards, terminated, truncated, _ = envs.step(row)
        expected, reward, *_ = alone.step(row[LANE])
        assert rewards[LANE] == reward
        assert not terminated.any()
        assert truncated.tolist() == [number == 99] * len(envs)
    np.testing.assert_array_equal(observed[LANE], expected)


def test_its_multi_agent_view_pays_the_last_sensor_only() -> None:
    """Why the guide trains the single analyst: the others' rewards stand in its row."""
    names = run_snippet("Tianshou", "tianshou", "tianshou")
    from tianshou.env import PettingZooEnv

    env = PettingZooEnv(names["marl_stl_env"].aec_env(agents=4, views="groups", episode_length=100))
    env.reset(seed=SEED)
    paid = [list(env.step(0)[1]) for _ in range(8)]
    assert [any(rewards) for rewards in paid] == [False, False, False, True] * 2
