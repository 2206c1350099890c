"""A policy's layers as numpy beside torch's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint
from marl_stl_agents.config import PPOConfig
from marl_stl_agents.policies.arrays import array_logits

from marl_stl_env.config import DataConfig, EnvConfig, StlConfig
from marl_stl_env.data import prepare
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from tests.agents.evaluation.random_runs import CPU, make_run
from tests.conftest import FOUR

PLAIN = EnvConfig(data=DataConfig(dataset_options=("rows=1600",)), **FOUR)
WATCHED = StlConfig(monitor=True, observe=True, shield=True)
SHIELDED = replace(PLAIN, dynamics="response", stl=WATCHED)


@pytest.mark.parametrize(
    ("env", "bins", "trunk"),
    [(PLAIN, 0, False), (PLAIN, 4, True), (SHIELDED, 4, False), (SHIELDED, 0, True)],
)
def test_logits_are_those_of_torch(env: EnvConfig, bins: int, trunk: bool, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", env, PPOConfig(width=16, bins=bins, shared_trunk=trunk))
    space = observation_space(Engine(env, prepare(env).tables["train"], lanes=1))
    policy, rng = saved_policy(best_checkpoint(run), space, CPU), np.random.default_rng(0)
    seen = rng.normal(size=(40, *space.shape)).astype(np.float32)
    if env.stl.shield:
        seen[:, -4:] = rng.random((40, 4)) < 0.6
        seen[:, -4:-2] = 1.0  # Allow and Block are never masked
    before, logits = seen.copy(), array_logits(policy)
    assert logits is not None

    def expected() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        with torch.no_grad():
            one: Any = policy.get_distribution(torch.from_numpy(seen)).distribution
            found = one.logits
        return np.asarray(found)

    def normalised() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        found = logits(seen)
        return found - np.logaddexp.reduce(found, axis=1, keepdims=True)

    np.testing.assert_allclose(normalised(), expected(), rtol=1e-5, atol=2e-5)
    np.testing.assert_array_equal(seen, before)
    with torch.no_grad():  # a view of the weights, which may be trained on
        for weights in policy.parameters():
            weights.mul_(0.5)
    np.testing.assert_allclose(normalised(), expected(), rtol=1e-5, atol=2e-5)


def test_layers_that_are_not_known(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", PLAIN, PPOConfig(width=8, sharing="independent"))
    space = observation_space(Engine(PLAIN, prepare(PLAIN).tables["train"], lanes=1))
    assert array_logits(saved_policy(best_checkpoint(run), space, CPU)) is None
