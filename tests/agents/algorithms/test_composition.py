"""Every pair of settings trains and continues bit-identically: a pairwise covering array."""

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import torch
from marl_stl_agents.algorithms.ppo import make_trainer
from marl_stl_agents.checkpoints.trainer_state import capture, restore
from marl_stl_agents.config import ConstraintConfig, PPOConfig, TrainConfig
from marl_stl_agents.evaluation.rollouts import collect_rollout, greedy
from marl_stl_agents.evaluation.stl import watch
from marl_stl_agents.imitation.warm_start import warm_start
from marl_stl_agents.policies.team import TeamPolicy
from marl_stl_agents.training.callbacks import training_callbacks

from marl_stl_env.config import EnvConfig, FaultConfig, StlConfig
from marl_stl_env.data.prepare import prepare
from tests.conftest import make_table, with_entities

CPU, TABLE = torch.device("cpu"), with_entities(make_table(300), 8)
LANES, STEPS = 3, 16
SETTINGS: dict[str, tuple[Any, ...]] = {
    "stl": ("off", "monitor", "shape", "lagrangian"),
    "views": ("groups", "overlap", "full", "random"),
    "return_normalization": ("running", "batch", "none"),
    "credit": ("lane", "entity"),
    "deliberation": (0, 1),
    "sharing": ("shared", "independent"),
    "faulty": (0, 2),
    "backend": ("native", "supersuit", "torch"),
    "shield": (False, True),
    "warm_start": (0, 1),
}


def pairs_of(row: tuple[Any, ...]) -> set[tuple[tuple[int, Any], ...]]:
    return set(combinations(enumerate(row), 2))


def covering_rows() -> list[tuple[Any, ...]]:
    """Rows of settings in which every pair of two settings' values occurs, chosen greedily."""
    candidates = list(product(*SETTINGS.values()))
    bits: dict[Any, int] = {}
    # One integer a candidate, a bit a pair: sets of pairs take seconds.
    masks = [
        sum(1 << bits.setdefault(pair, len(bits)) for pair in pairs_of(row)) for row in candidates
    ]
    uncovered, rows = (1 << len(bits)) - 1, []
    while uncovered:
        best = max(range(len(masks)), key=lambda place: (masks[place] & uncovered).bit_count())
        rows.append(candidates[best])
        uncovered &= ~masks[best]
    return rows


ROWS = covering_rows()


def config_of(row: tuple[Any, ...]) -> TrainConfig:
    chosen = dict(zip(SETTINGS, row, strict=True))
    return TrainConfig(
        env=EnvConfig(
            dynamics="response",
            agents=5,
            episode_length=20,
            views=chosen["views"],
            deliberation=chosen["deliberation"],
            faults=FaultConfig(chosen["faulty"], "mixed"),
            stl=StlConfig(shield=chosen["shield"]),
        ),
        ppo=PPOConfig(
            n_steps=STEPS,
            batch_size=48,
            width=8,
            bins=2,
            n_epochs=1,
            discount=0.8,
            credit=chosen["credit"],
            sharing=chosen["sharing"],
            return_normalization=chosen["return_normalization"],
        ),
        constraints=ConstraintConfig(measure_episodes=4, measure_every=1),
        stl=chosen["stl"],
        backend=chosen["backend"],
        lanes=LANES,
        iterations=2,
        warm_start=chosen["warm_start"],
        seed=1,
    )


def begun(config: TrainConfig) -> Any:
    model = make_trainer(config, TABLE, CPU)
    if config.warm_start:
        assert isinstance(model.policy, TeamPolicy)
        warm_start(config, prepare(config.task, TABLE), model.policy)
    return model


def learn(model: Any, config: TrainConfig, iterations: int, *, again: bool) -> None:
    model.lr_schedule = lambda _: 1e-3
    model.learn(
        iterations * STEPS * model.n_envs,
        callback=training_callbacks(config, TABLE),
        reset_num_timesteps=not again,
    )


def test_the_rows_cover_every_pair() -> None:
    covered = set[Any]().union(*map(pairs_of, ROWS))
    sizes = [len(values) for values in SETTINGS.values()]
    assert len(covered) == sum(a * b for a, b in combinations(sizes, 2))
    assert len(ROWS) <= 24


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(map(str, row)))
def test_every_pair_of_settings_trains_and_continues(row: tuple[Any, ...]) -> None:
    config = config_of(row)
    whole = begun(config)
    learn(whole, config, 2, again=False)
    part = begun(config)
    learn(part, config, 1, again=False)
    saved, weights = capture(part), part.policy.state_dict()
    other = make_trainer(config, TABLE, CPU)
    other.policy.load_state_dict(weights)
    restore(other, saved)
    learn(other, config, 1, again=True)
    for name, value in whole.policy.state_dict().items():
        assert torch.equal(other.policy.state_dict()[name], value), name
    act = greedy(whole.policy)
    rollout = collect_rollout(config.task, TABLE, act)
    assert np.isfinite(rollout.rewards).all()
    if config.task.stl.monitor:
        assert watch(config.task, TABLE, act, 4).satisfied.shape[0] == 4
