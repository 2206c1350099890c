"""Distances to prototypes, against a slow Gower distance column by column."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from marl_stl_agents.algorithms.ppo import make_trainer
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint, save_checkpoint
from marl_stl_agents.checkpoints.trainer_state import TrainerState
from marl_stl_agents.config import PPOConfig, Sharing, TrainConfig
from marl_stl_agents.policies.encoding import IDENTITY, PiecewiseLinearEncoding
from marl_stl_agents.policies.prototypes import PrototypeEncoding, Prototypes, draw_prototypes

from marl_stl_env.config import EnvConfig
from marl_stl_env.errors import ConfigError, DataError
from marl_stl_env.types import Float32Array
from tests.conftest import FOUR, make_table

TABLE, CPU = make_table(), torch.device("cpu")
#: Two numbers, then a category of two columns; the context: three sensors and a flag.
EDGES = [(-1.0, 0.0, 1.0, 4.0), (-2.0, 2.0), *[IDENTITY] * 6]
FEATURES, SENSORS = 4, 3
VISIBLE = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [0, 1, 0, 0]], dtype=bool)
SPACE = spaces.Box(-5, 5, (8,), dtype=np.float32)
CONFIG = TrainConfig(
    env=EnvConfig(episode_length=10, **FOUR),
    ppo=PPOConfig(n_steps=16, batch_size=64, width=8, prototypes=20),
    lanes=4,
    seed=3,
    backend="native",
    stl="off",
)


def events(count: int, seed: int) -> Float32Array:
    rng = np.random.default_rng(seed)
    numbers, category = rng.uniform(-5, 5, (count, 2)), np.eye(2)[rng.integers(0, 2, count)]
    return np.concatenate([numbers, category], axis=1).astype(np.float32)


def observed(rows: Float32Array, sensor: int) -> torch.Tensor:
    context = np.tile([*np.eye(SENSORS)[sensor], 1.0], (len(rows), 1))
    return torch.from_numpy(np.concatenate([rows * VISIBLE[sensor], context], axis=1)).float()


def share_of_bin(value: float, low: float, high: float) -> float:
    return min(max((value - low) / (high - low), 0.0), 1.0)


def gower(event: Float32Array, prototype: Float32Array, sensor: int) -> float:
    total = 0.0
    for column in range(2):
        bins = list(pairwise(EDGES[column]))
        for low, high in bins if VISIBLE[sensor, column] else ():
            apart = share_of_bin(event[column], low, high) - share_of_bin(
                prototype[column], low, high
            )
            total += apart**2 / len(bins)
    differs = event[2:].argmax() != prototype[2:].argmax()
    return total + float(differs and VISIBLE[sensor, 2])


BENIGN, THREATS = events(7, 1), events(9, 2)
BENIGN[:, 2:] = [1.0, 0.0]  # events of the other category cannot but differ


def encoding() -> PrototypeEncoding:
    return PrototypeEncoding(SPACE, EDGES, Prototypes(BENIGN, THREATS, VISIBLE))


@pytest.mark.parametrize("exported", [False, True])
def test_every_second_sensor_is_told_distances_only(
    exported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: exported)
    seen = events(30, 3)
    for sensor in range(SENSORS):
        codes = PiecewiseLinearEncoding(SPACE, EDGES)(observed(seen, sensor))
        told = encoding()(observed(seen, sensor))
        assert told.shape == (30, 2 + 10)
        torch.testing.assert_close(told[:, 8:], codes[:, 6:])  # the context
        if sensor != 1:
            torch.testing.assert_close(told[:, 2:8], codes[:, :6])
            assert (told[:, :2] == 0).all()
            continue
        assert (told[:, 2:8] == 0).all()
        for kind, prototypes in enumerate((BENIGN, THREATS)):
            wanted = [min(gower(one, other, 1) for other in prototypes) for one in seen]
            found = told[:, kind].exp().numpy() - 0.01
            np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_sensors_in_any_order_are_told_the_same() -> None:
    rows = torch.cat([observed(events(5, 3), sensor) for sensor in range(SENSORS)])
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(rows)))
    torch.testing.assert_close(encoding()(rows[order]), encoding()(rows)[order])


def test_prototypes_are_training_events_of_both_kinds() -> None:
    rare = np.flatnonzero(TABLE.families == 1)[:3]
    table = TABLE.take(np.sort(np.concatenate([rare, np.flatnonzero(TABLE.families != 1)])))
    drawn = draw_prototypes(CONFIG, table)
    assert drawn is not None
    family = {row.tobytes(): code for row, code in zip(table.features, table.families, strict=True)}
    assert [family[row.tobytes()] for row in drawn.benign] == [0] * 20
    threats = np.array([family[row.tobytes()] for row in drawn.threats])
    assert (threats > 0).all()
    assert (threats == 1).sum() == 3  # all of a family of 3 among 80 threats
    assert 10 < len({row.tobytes() for row in drawn.threats}) == len(threats) < 20
    assert drawn.visible.sum(axis=1).tolist() == [3, 2, 2, 3]
    assert draw_prototypes(replace(CONFIG, ppo=PPOConfig()), table) is None


def test_there_are_no_more_prototypes_than_events() -> None:
    many = replace(CONFIG, ppo=replace(CONFIG.ppo, prototypes=10_000))
    drawn = draw_prototypes(many, TABLE)
    assert drawn is not None
    assert len(drawn.benign) == (~TABLE.labels).sum()
    known = {row.tobytes() for row in TABLE.features[TABLE.labels]}
    found = {row.tobytes() for row in drawn.threats}
    assert 100 < len(found) == len(drawn.threats) <= len(known)
    assert found <= known


@pytest.mark.parametrize("sharing", ["shared", "independent"])
def test_a_saved_policy_brings_its_prototypes(sharing: Sharing, tmp_path: Path) -> None:
    config = replace(CONFIG, ppo=replace(CONFIG.ppo, sharing=sharing))
    model = make_trainer(config, TABLE, CPU)
    model.learn(64 * 4)
    state = TrainerState({}, {})
    save_checkpoint(tmp_path, model.policy, 1, {"reward_per_event": 0.0}, state)
    space = model.observation_space
    assert isinstance(space, spaces.Box)
    loaded = saved_policy(best_checkpoint(tmp_path), space, CPU)
    rows = torch.from_numpy(model.get_env().reset())  # type: ignore[union-attr]
    wanted, found = (one.get_distribution(rows).distribution for one in (model.policy, loaded))
    torch.testing.assert_close(found.probs, wanted.probs, rtol=0, atol=0)  # type: ignore[union-attr]


def test_prototypes_need_bins() -> None:
    with pytest.raises(ConfigError, match=r"prototypes=5 with bins=0.*--bins 8"):
        PPOConfig(bins=0, prototypes=5)
    with pytest.raises(ConfigError, match=r"backend='rllib' is not compatible with prototypes=5"):
        TrainConfig(ppo=PPOConfig(prototypes=5), backend="rllib")
    with pytest.raises(ConfigError, match=r"every second sensor, not agents=1; add sensors"):
        TrainConfig(env=EnvConfig(agents=1), ppo=PPOConfig(prototypes=5))


def test_prototypes_need_both_kinds() -> None:
    benign = TABLE.take(np.flatnonzero(~TABLE.labels))
    with pytest.raises(DataError, match=r"has 0 threats among .* both kinds"):
        draw_prototypes(CONFIG, benign)
