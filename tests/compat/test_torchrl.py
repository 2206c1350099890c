from tests.compat.common import COMPAT, CONFIG, DOCS, SHIELDED, check_torchrl, run_snippet

pytestmark = COMPAT

#: What the page says of its snippet with a shield.
MASKED = {
    'in_keys=[("sensor", "logits")]': (
        'in_keys={"logits": ("sensor", "logits"), "mask": ("sensor", "action_mask")}'
    ),
    "distribution_class=torch.distributions.Categorical": (
        "distribution_class=torchrl.modules.MaskedCategorical"
    ),
}


def test_torchrl() -> None:
    names = run_snippet("TorchRL", "torchrl", "torchrl")
    optimizer = names["optimizer"]
    assert {int(state["step"]) for state in optimizer.state.values()} == {2 * 4}

    from torchrl.envs.utils import check_env_specs

    for config in (CONFIG, SHIELDED):
        env = names["PettingZooWrapper"](env=names["mse"].parallel_env(config), return_state=True)
        check_env_specs(env)
        check_torchrl(env, config)


def test_masks_reach_the_policy() -> None:
    assert all(change in DOCS.read_text(encoding="utf-8") for change in MASKED.values())
    settings = 'dynamics="response", stl={"shield": True}'
    more = {
        "import torch\n": "import torch\nimport torchrl.modules\n",
        "episode_length=100)": f"episode_length=100, {settings})",
    }
    batch = run_snippet("TorchRL", "torchrl", "torchrl", MASKED | more)["batch"]
    masks, actions = batch["sensor", "action_mask"], batch["sensor", "action"]
    assert masks.gather(-1, actions[..., None]).all()
    assert not masks.all()
