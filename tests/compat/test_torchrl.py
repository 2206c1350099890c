from tests.compat.common import COMPAT, CONFIG, check_torchrl, run_snippet

pytestmark = COMPAT


def test_torchrl() -> None:
    names = run_snippet("TorchRL", "torchrl", "torchrl")
    optimizer = names["optimizer"]
    assert {int(state["step"]) for state in optimizer.state.values()} == {2 * 4}

    from torchrl.envs.utils import check_env_specs

    env = names["PettingZooWrapper"](env=names["mse"].parallel_env(CONFIG), return_state=True)
    check_env_specs(env)
    check_torchrl(env)
