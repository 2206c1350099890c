import numpy as np

from tests.compat.common import COMPAT, CONFIG, SHIELDED, check_vec_env, run_snippet

pytestmark = COMPAT


def test_stable_baselines3() -> None:
    names = run_snippet("Stable-Baselines3", "stable_baselines3", "dev")
    model = names["model"]
    assert model.num_timesteps == 2 * 64 * 16 * CONFIG.agents
    assert model._n_updates == 2 * model.n_epochs
    check_vec_env(model.get_env())
    check_vec_env(names["mse"].envs.sb3.TrafficVecEnv(SHIELDED, lanes=2, seed=0), SHIELDED)


def test_sb3_contrib() -> None:
    model = run_snippet("sb3-contrib", "sb3_contrib", "dev")["model"]
    assert model.num_timesteps == 32 * 4 * CONFIG.agents
    assert model._n_updates == 2
    check_vec_env(model.get_env())


def test_masks_reach_the_policy() -> None:
    model = run_snippet("sb3-contrib with a shield", "sb3_contrib", "dev")["model"]
    buffer = model.rollout_buffer
    masks = buffer.action_masks.reshape(-1, 4)
    assert masks[np.arange(len(masks)), buffer.actions.reshape(-1).astype(int)].all()
    assert not masks.all()


def test_sbx() -> None:
    model = run_snippet("sbx", "sbx", "sbx")["model"]
    assert model.num_timesteps == 64 * 16 * CONFIG.agents
    assert model._n_updates > 0
    check_vec_env(model.get_env())
