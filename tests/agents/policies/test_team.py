"""Cost heads, hidden columns and masks, in every combination with the kinds of networks."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint, save_checkpoint
from marl_stl_agents.checkpoints.trainer_state import TrainerState
from marl_stl_agents.config import PPOConfig, Sharing, TrainConfig
from marl_stl_agents.policies.architecture import architecture_of
from marl_stl_agents.policies.build import make_blueprint
from marl_stl_agents.policies.team import TeamPolicy

from marl_stl_env.config import EnvConfig, StlConfig
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.errors import ConfigError
from tests.conftest import make_table, with_entities

TABLE, CPU = with_entities(make_table(), 8), torch.device("cpu")
CONFIG = TrainConfig(
    env=EnvConfig(
        dynamics="response", episode_length=30, stl=StlConfig(shield=True), agents=4, views="groups"
    ),
    ppo=PPOConfig(width=8, bins=3, discount=0.8),
    stl="lagrangian",
)
ENGINE = Engine(CONFIG.task, TABLE, lanes=6, seeds=0)
SPACE = observation_space(ENGINE)
LAYOUT = ENGINE.observations.layout
#: Of the six default specifications, those that count labels, and those that a shield leaves.
LABELLED = ("responsive", "no flapping", "posture", "availability")
PRICED = ("responsive", "posture", "availability")


#: One network for all sensors, one for each, and one whose hidden layers the critic shares.
Networks = Literal["shared", "independent", "trunk"]
NETWORKS: tuple[Networks, ...] = ("shared", "independent", "trunk")


def team(networks: Networks, bins: int = 3) -> TeamPolicy:
    torch.manual_seed(0)
    sharing: Sharing = "independent" if networks == "independent" else "shared"
    trunk = networks == "trunk"
    config = replace(
        CONFIG, ppo=replace(CONFIG.ppo, sharing=sharing, shared_trunk=trunk, bins=bins)
    )
    made = make_blueprint(config, SPACE, TABLE).build(SPACE, CPU)
    assert isinstance(made, TeamPolicy)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made


def observations() -> torch.Tensor:
    """After eight alerts in three of the lanes, where the budget of alerts is used up."""
    ENGINE.seed(0)
    ENGINE.reset()
    for _ in range(8):
        ENGINE.step(np.repeat([3, 3, 3, 0, 0, 0], 4).reshape(6, 4))
    return torch.from_numpy(ENGINE.observe().reshape(24, -1))


def column(name: str) -> int:
    return LAYOUT.index(name)


@pytest.mark.parametrize("bins", [0, 3])
@pytest.mark.parametrize("networks", NETWORKS)
def test_masked_actions_have_no_probability(networks: Networks, bins: int) -> None:
    policy, seen = team(networks, bins), observations()
    mask = seen[:, [column(f"action_mask_{a}") for a in ("allow", "block", "quarantine", "alert")]]
    assert mask[:, 3].tolist() == [0.0] * 12 + [1.0] * 12
    distribution: Any = policy.get_distribution(seen).distribution
    assert (distribution.probs[mask == 0] == 0).all()
    assert (distribution.probs[mask == 1] > 0).all()
    head = policy.action_net
    latent = policy.mlp_extractor.forward_actor(torch.as_tensor(policy.extract_features(seen)))
    unmasked = head(torch.cat([latent[:, :-4], torch.ones(24, 4)], dim=1)).softmax(dim=1)
    moved = torch.stack(
        [unmasked[:, 0] + unmasked[:, 3] * (1 - mask[:, 3]), unmasked[:, 1], unmasked[:, 2]], dim=1
    )  # what Alert would have had goes to Allow
    torch.testing.assert_close(distribution.probs[:, :3], moved)
    _, _, entropy = policy.evaluate_actions(seen, torch.zeros(24))
    assert entropy is not None
    assert torch.isfinite(entropy).all()


@pytest.mark.parametrize("bins", [0, 3])
@pytest.mark.parametrize("networks", NETWORKS)
def test_the_actor_does_not_see_what_takes_labels(networks: Networks, bins: int) -> None:
    policy, seen = team(networks, bins), observations()
    for name in ("responsive", "collateral", "alert budget", "no flapping", "posture"):
        other = seen.clone()
        other[:, column(f"specification: {name}")] = 0.3
        logits: list[Any] = [policy.get_distribution(o).distribution for o in (seen, other)]
        same = torch.equal(logits[0].logits, logits[1].logits)
        assert same is (name in LABELLED), name
        costs = [policy.predict_costs(o) for o in (seen, other)]
        assert not torch.equal(costs[0], costs[1])


@pytest.mark.parametrize("networks", NETWORKS)
def test_what_is_enforced_has_no_price(networks: Networks) -> None:
    policy = team(networks)
    assert policy.costs == len(PRICED)
    assert policy.predict_costs(observations()).shape == (24, 3)
    assert policy.predict_values(observations()).shape == (24, 1)


@pytest.mark.parametrize("networks", NETWORKS)
def test_a_saved_policy_knows_its_columns(tmp_path: Path, networks: Networks) -> None:
    policy, seen = team(networks), observations()
    state = TrainerState({}, {})
    save_checkpoint(tmp_path, policy, 7, {"reward_per_event": 0.0}, state)
    loaded = saved_policy(best_checkpoint(tmp_path), SPACE, CPU)
    assert architecture_of(loaded) == architecture_of(policy)
    found: list[Any] = [one.get_distribution(seen).distribution for one in (policy, loaded)]
    assert torch.equal(found[0].logits, found[1].logits)


@pytest.mark.parametrize("shield", [False, True])
def test_a_shared_trunk_has_a_head_for_each(shield: bool) -> None:
    env = replace(CONFIG.env, stl=StlConfig(shield=shield))
    config = replace(CONFIG, env=env, stl="monitor", ppo=PPOConfig(width=8, shared_trunk=True))
    engine = Engine(config.task, TABLE, lanes=6, seeds=0)
    engine.reset()
    space, seen = observation_space(engine), torch.from_numpy(engine.observe().reshape(24, -1))
    policy = make_blueprint(config, space, TABLE).build(space, CPU)
    codes = policy.features_dim
    # Two hidden layers, four logits and one value, each with its bias.
    expected = (codes + 1) * 8 + (8 + 1) * 8 + (8 + 1) * (4 + 1)
    assert sum(weights.numel() for weights in policy.parameters()) == expected
    trunk: Any = policy.mlp_extractor.networks if shield else policy.mlp_extractor
    hidden = trunk.layers(policy.extract_features(seen))
    values, log_probs, _ = policy.evaluate_actions(seen, torch.ones(24))
    assert torch.equal(values, policy.value_net(hidden))
    assert torch.equal(values, policy.predict_values(seen))
    distribution: Any = policy.get_distribution(seen).distribution
    assert torch.equal(log_probs, distribution.logits[:, 1])
    if not shield:
        torch.testing.assert_close(distribution.probs, policy.action_net(hidden).softmax(dim=1))


def test_a_shared_trunk_is_one_network_for_all() -> None:
    for other in ({"sharing": "independent"}, {"policy": "lstm"}):
        with pytest.raises(ConfigError, match="shared_trunk=True, as in the preset 'fast', is"):
            PPOConfig(shared_trunk=True, **other)  # type: ignore[arg-type]
