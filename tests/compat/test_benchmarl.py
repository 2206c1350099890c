from pathlib import Path

import pytest

from tests.compat.common import COMPAT, CONFIG, SHIELDED, check_torchrl, run_snippet

pytestmark = COMPAT


def test_benchmarl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # it writes a folder of its own
    names = run_snippet("BenchMARL", "benchmarl", "benchmarl")
    experiment = names["experiment"]
    assert (experiment.n_iters_performed, experiment.total_frames) == (1, 400)
    assert experiment.group_map == {"sensor": [f"sensor_{i}" for i in range(CONFIG.agents)]}
    check_torchrl(experiment.task.get_env_fun(1, False, 0, "cpu")())


def test_masks_reach_the_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shield = '{"episode_length": 100, "dynamics": "response", "stl": {"shield": True}}'
    changes = {'{"episode_length": 100}': shield}
    names = run_snippet("BenchMARL", "benchmarl", "benchmarl", changes)
    experiment = names["experiment"]
    batch = experiment.test_env.rollout(200, experiment.policy, break_when_any_done=False)
    masks, actions = batch["sensor", "action_mask"], batch["sensor", "action"]
    assert masks.gather(-1, actions[..., None]).all()
    assert not masks.all()
    env = names["PettingZooWrapper"](env=names["mse"].parallel_env(SHIELDED), return_state=True)
    check_torchrl(env, SHIELDED)
