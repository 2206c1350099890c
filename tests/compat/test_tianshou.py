from typing import Any

import gymnasium
import numpy as np

from tests.compat.common import COMPAT, SHIELDED, run_snippet

pytestmark = COMPAT

LANE, SEED = 3, 7


def test_tianshou() -> None:
    names = run_snippet("Tianshou", "tianshou", "tianshou")
    assert names["result"].train_step == 1600
    alone = gymnasium.make("marl_stl_env/Traffic-v0", episode_length=100)
    check_tianshou(names["envs"], alone)


def test_masks_reach_the_policy() -> None:
    names = run_snippet("Tianshou with a shield", "tianshou", "tianshou")
    learned = names["buffer"].sample(0)[0]  # all of it
    allowed = learned.obs.mask[np.arange(len(learned)), learned.act]
    assert (len(learned), allowed.all(), learned.obs.mask.all()) == (1600, True, False)

    def make() -> Any:
        return gymnasium.make(
            "marl_stl_env/TrafficResponse-v0", episode_length=100, stl=SHIELDED.stl
        )

    masked = names["Masked"]
    envs = names["DummyVectorEnv"]([lambda: masked(make()) for _ in range(LANE + 1)])
    masks, costs = check_tianshou(envs, make())
    assert masks
    assert costs == 2.0  # two specifications were violated


def check_tianshou(envs: Any, alone: Any) -> tuple[int, float]:
    """One of the environments replays what the same environment alone does.

    Returns:
        How many actions were masked, and the costs.
    """
    envs.seed(SEED)  # resets environment i with this plus i; the training resets once more
    alone.reset(seed=SEED + LANE)
    observed, expected = envs.reset()[0], alone.reset()[0]
    actions = np.random.default_rng(SEED).integers(0, 4, (100, len(envs)))
    masked, costs = 0, 0.0
    for number, row in enumerate(actions):
        seen = observed[LANE]
        if isinstance(seen, dict):
            mask = alone.unwrapped.action_masks()
            np.testing.assert_array_equal(seen["mask"], mask)
            masked += int((~mask).sum())
            seen = seen["obs"]
        np.testing.assert_array_equal(seen, expected)
        observed, rewards, terminated, truncated, infos = envs.step(row)
        expected, reward, *_, info = alone.step(row[LANE])
        assert rewards[LANE] == reward
        assert infos[LANE]["cost_sum"] == info["cost_sum"]
        costs += info["cost_sum"]
        assert not terminated.any()
        assert truncated.tolist() == [number == 99] * len(envs)
    seen = observed[LANE]
    np.testing.assert_array_equal(seen["obs"] if isinstance(seen, dict) else seen, expected)
    return masked, costs


def test_its_multi_agent_view_pays_the_last_sensor_only() -> None:
    """Why the guide trains the single analyst: the others' rewards stand in its row."""
    names = run_snippet("Tianshou", "tianshou", "tianshou")
    from tianshou.env import PettingZooEnv

    env = PettingZooEnv(names["marl_stl_env"].aec_env(agents=4, views="groups", episode_length=100))
    env.reset(seed=SEED)
    paid = [list(env.step(0)[1]) for _ in range(8)]
    assert [any(rewards) for rewards in paid] == [False, False, False, True] * 2
