"""Action masks and costs, in every view."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest

import marl_stl_env as mse
from marl_stl_env.config import EnvConfig, FaultConfig, StlConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.spec_monitor import SpecMonitor
from marl_stl_env.envs.parallel import TrafficParallelEnv
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.envs.single import TrafficEnv
from marl_stl_env.envs.supersuit import SuperSuitVecEnv, supersuit_vec_env
from marl_stl_env.envs.vector import TrafficVectorEnv
from marl_stl_env.errors import ConfigError
from marl_stl_env.types import Action
from tests.conftest import UNWATCHED, make_table, with_entities

TABLE = with_entities(make_table(), 6)
SPECS = (
    "two alerts=G (alerts_5 <= 2)",
    "few=G[20,inf) (quarantined_fraction <= 0.4)",
    "no flapping=G (requarantined_benign_20 <= 0.5)",
    "detects=G (misses_9 <= 1)",
)
COSTS = ("cost_two_alerts", "cost_few", "cost_no_flapping", "cost_detects")
SHIELDED = EnvConfig(
    dynamics="response",
    episode_length=60,
    stl=StlConfig(monitor=True, observe=True, shield=True, specs=SPECS),
    agents=4,
    views="groups",
)
CONFIGS = {
    "shield": SHIELDED,
    "no shield": replace(SHIELDED, stl=StlConfig(monitor=True, specs=SPECS)),
    "deliberation": replace(SHIELDED, deliberation=1),
    "faults": replace(SHIELDED, faults=FaultConfig(2, "worst_case")),
}


def agreeing(rng: np.random.Generator, lanes: int, agents: int) -> Any:
    """All sensors of a lane alike, so that every decision comes up.  # (lanes * agents,)."""
    return np.repeat(rng.choice(4, lanes, p=[0.3, 0.1, 0.3, 0.3]), agents)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_masks_and_costs_are_the_same_in_all_views(config: EnvConfig) -> None:
    lanes, agents = 3, config.agents
    native, suit = (
        TrafficVecEnv(config, lanes, 4, TABLE),
        supersuit_vec_env(config, lanes, 4, TABLE),
    )
    one = TrafficParallelEnv(config, table=TABLE)
    rng, shielded = np.random.default_rng(0), config.stl.shield
    native.reset()
    suit.reset()
    _, infos = one.reset(seed=4)
    paid, masked = 0.0, 0
    for _ in range(150):
        masks = native.action_masks()
        np.testing.assert_array_equal(masks, suit.action_masks())
        np.testing.assert_array_equal(masks, np.stack(suit.env_method("action_masks")))
        np.testing.assert_array_equal(masks, np.stack(native.env_method("action_masks")))
        np.testing.assert_array_equal(masks[0], one.action_masks())
        for info in infos.values():
            assert ("action_mask" in info) == shielded
            mask = info.get("action_mask", np.ones(4, np.int8))
            assert mask.dtype == np.int8
            np.testing.assert_array_equal(mask, masks[0])
        masked += int((~masks).sum())
        actions = agreeing(rng, lanes, agents)
        _, _, dones, mine = native.step(actions)
        _, _, _, theirs = suit.step(actions)
        np.testing.assert_array_equal(native.last_step.action_mask, masks)
        np.testing.assert_array_equal(suit.last_step.action_mask, masks)
        *_, infos = one.step(dict(zip(one.agents, actions[:agents].tolist(), strict=True)))
        for index, (short, full) in enumerate(zip(mine, theirs, strict=True)):
            newly = native.last_step.newly_violated[index // agents]
            assert [full[name] for name in COSTS] == newly.tolist()
            assert full["cost_sum"] == newly.sum()
            assert type(full["cost_sum"]) is type(full["cost_few"]) is float
            assert ("cost_sum" in short) == (newly.any() or dones[index])
            assert ("action_mask" in short) == ("action_mask" in full) == shielded
            for name in short.keys() - {"terminal_observation"}:
                np.testing.assert_array_equal(short[name], full[name], name)
            paid += full["cost_sum"]
        assert {name: infos["sensor_0"][name] for name in COSTS} == {
            name: theirs[0][name] for name in COSTS
        }
        if not one.agents:
            _, infos = one.reset()
    assert paid > 0
    assert (masked > 0) == shielded


def test_every_sensor_has_a_mask_of_its_own() -> None:
    env = TrafficParallelEnv(SHIELDED, table=TABLE)
    _, infos = env.reset(seed=1)
    for _ in range(2):
        first, *others = (info["action_mask"] for info in infos.values())
        first[:] = 7
        assert all(mask.max() == 1 for mask in (*others, env.action_masks().astype(int)))
        *_, infos = env.step(dict.fromkeys(env.agents, 3))


def test_in_a_proposal_round_all_is_allowed() -> None:
    venv = TrafficVecEnv(CONFIGS["deliberation"], 8, 0, TABLE)
    rng, masked = np.random.default_rng(0), 0
    venv.reset()
    for step in range(100):
        masks = venv.action_masks()
        assert step % 2 or masks.all()
        masked += int((~masks).sum())
        venv.step(agreeing(rng, 8, 4))
    assert masked


def test_an_analyst_has_them_too() -> None:
    stl = SHIELDED.stl
    env = TrafficEnv(table=TABLE, dynamics="response", episode_length=60, stl=stl)
    vector = TrafficVectorEnv(2, table=TABLE, dynamics="response", episode_length=60, stl=stl)
    _, info = env.reset(seed=3)
    _, infos = vector.reset(seed=3)
    rng, paid = np.random.default_rng(0), 0.0
    for _ in range(60):
        np.testing.assert_array_equal(info["action_mask"], env.action_masks())
        np.testing.assert_array_equal(infos["action_mask"][0], info["action_mask"])
        np.testing.assert_array_equal(vector.action_masks()[0], env.action_masks())
        assert env.action_space.contains(env.action_space.sample(mask=info["action_mask"]))
        actions = rng.integers(0, 4, 2)
        *_, info = env.step(actions[0])
        *_, infos = vector.step(actions)
        for name in (*COSTS, "cost_sum"):
            assert infos[name][0] == info[name]
        paid += info["cost_sum"]
    assert paid > 0


def test_without_specifications_nothing_costs_and_nothing_is_masked() -> None:
    """Nor is there a key that a library would take for a mask."""
    settings: dict[str, Any] = {"table": TABLE, "episode_length": 5, "stl": UNWATCHED}
    env, alone = mse.parallel_env(**settings), TrafficEnv(**settings)
    vector = TrafficVectorEnv(2, **settings)
    seen = [*env.reset(seed=0)[1].values(), alone.reset(seed=0)[1], vector.reset(seed=0)[1]]
    for _ in range(5):
        assert env.action_masks().all()
        assert alone.action_masks().all()
        assert vector.action_masks().all()
        seen += env.step(dict.fromkeys(env.agents, 2))[-1].values()
        seen += [alone.step(np.int64(2))[-1], vector.step(np.array([2, 2]))[-1]]
    assert not [key for one in seen for key in one if key.startswith(("cost", "action_mask"))]


@pytest.mark.parametrize("names", [("a b", "a-b"), ("sum",)])
def test_costs_with_the_same_name_are_refused(names: tuple[str, ...]) -> None:
    specs = tuple(f"{name}=G (alerts_5 <= 2)" for name in names)
    with pytest.raises(ConfigError, match="rename one"):
        SpecMonitor(EnvConfig(stl=StlConfig(monitor=True, specs=specs)), 1)


def masked_env(view: str) -> Any:
    if view == "analyst":
        return TrafficEnv(replace(SHIELDED, agents=1, views="full"), table=TABLE)
    make: Any = {"native": TrafficVecEnv, "supersuit": supersuit_vec_env}[view]
    return make(SHIELDED, 4, 0, TABLE)


@pytest.mark.parametrize("view", ["native", "supersuit", "analyst"])
def test_maskable_ppo_never_chooses_what_is_masked(view: str) -> None:
    contrib = pytest.importorskip("sb3_contrib", reason="sb3-contrib is not installed")
    from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported

    env = masked_env(view)
    model = contrib.MaskablePPO("MlpPolicy", env, n_steps=32, n_epochs=1, seed=0, device="cpu")
    assert is_masking_supported(model.get_env())
    model.learn(32 * model.n_envs)
    venv = model.get_env()
    observations, masked = venv.reset(), 0
    for _ in range(60):
        masks = get_action_masks(venv)
        assert masks.shape == (venv.num_envs, 4)
        actions, _ = model.predict(observations, action_masks=masks)
        assert masks[np.arange(venv.num_envs), actions].all()
        np.testing.assert_array_equal(masks, observations[:, -4:])
        masked += int((~masks).sum())
        # Two of four sensors quarantine, so that something is masked.
        observations, *_ = venv.step(np.where(masks[:, Action.QUARANTINE], 2, actions))
    assert masked


def test_masks_pass_through_pettingzoo_wrappers() -> None:
    from pettingzoo.utils.wrappers import BaseParallelWrapper

    wrapped = SuperSuitVecEnv(
        lambda: BaseParallelWrapper(TrafficParallelEnv(SHIELDED, table=TABLE)), 2, 0
    )
    wrapped.reset()
    assert np.stack(wrapped.env_method("action_masks")).shape == (8, 4)


def test_registered_environments_take_a_shield() -> None:
    table: TrafficTable = TABLE
    env = gymnasium.make("marl_stl_env/TrafficResponse-v0", table=table, stl=SHIELDED.stl)
    _, info = env.reset(seed=0)
    assert info["action_mask"].tolist() == [1, 1, 1, 1]
