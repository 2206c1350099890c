"""Specifications in the logs and in evaluations, against a scalar recount."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from marl_stl_agents.algorithms.ppo import make_trainer, make_vec_env
from marl_stl_agents.checkpoints.store import Checkpoint
from marl_stl_agents.config import Backend, EvaluateConfig, PPOConfig, Stl, TrainConfig
from marl_stl_agents.evaluation.spec_faults import specs_under_faults
from marl_stl_agents.evaluation.stl import (
    FRESH_SEEDS,
    Watched,
    certified_episodes,
    stl_metrics,
    trivially_satisfied,
    watch,
)
from marl_stl_agents.training.callbacks import SpecsCallback
from scipy.stats import binom
from stable_baselines3.common.logger import Logger

from marl_stl_env.config import EnvConfig, FaultConfig, StlConfig
from marl_stl_env.consensus.faults import FAULTS
from marl_stl_env.engine.engine import Engine
from marl_stl_env.errors import ConfigError
from marl_stl_env.stl.specs import CONJUNCTION
from marl_stl_env.types import Action, Float32Array, Float64Array, Int8Array
from tests.conftest import make_table

TABLE = make_table()
QUIET = StlConfig(
    monitor=True, specs=("quiet=G (alerts_4 <= 2)", "late=G[5,inf) (quarantines_3 <= 1)")
)
CONFIG = TrainConfig(
    env=EnvConfig(episode_length=7, stl=QUIET, agents=4, views="groups"),
    ppo=PPOConfig(n_steps=16, batch_size=64, width=16),
    lanes=3,
    seed=3,
    backend="native",
)


def recount(decisions: list[int]) -> tuple[list[float], list[bool]]:
    """Robustness and truth of both specifications after these decisions of an episode."""
    quiet, late = np.inf, np.inf
    for step in range(len(decisions)):
        quiet = min(quiet, 2 - decisions[max(0, step - 3) : step + 1].count(Action.ALERT))
        if step >= 5:
            late = min(late, 1 - decisions[step - 2 : step + 1].count(Action.QUARANTINE))
    return [quiet, late], [quiet < 0, late < 0]


@pytest.mark.parametrize("backend", ["native", "supersuit"])
def test_standing_is_that_of_the_running_episodes(backend: Backend) -> None:
    venv = make_vec_env(replace(CONFIG, backend=backend), TABLE)
    lanes: Any = venv.unwrapped
    venv.reset()
    rng = np.random.default_rng(0)
    episodes: list[list[int]] = [[] for _ in range(3)]
    broken_before = np.zeros((3, 2), np.bool_)
    seen = 0
    for _ in range(40):
        choices = rng.choice([0, 2, 3], 3, p=[0.4, 0.3, 0.3])
        _, _, dones, _ = venv.step(np.repeat(choices, 4))  # a sensor's word is the team's
        for lane in range(3):
            episodes[lane].append(int(choices[lane]))
            robustness, violated = recount(episodes[lane])
            assert lanes.last_step.robustness[lane].tolist() == robustness
            assert lanes.last_step.violated[lane].tolist() == violated
            newly = [
                now and not old for now, old in zip(violated, broken_before[lane], strict=True)
            ]
            assert lanes.last_step.newly_violated[lane].tolist() == newly
            seen += sum(newly)
            broken_before[lane] = violated
            if dones[lane * 4]:
                episodes[lane], broken_before[lane] = [], False
    assert seen >= 10


@pytest.mark.parametrize(("stl", "watched"), [("off", 0), (TrainConfig().stl, 2)])
def test_the_specifications_of_a_replay_are_watched_by_default(stl: Stl, watched: int) -> None:
    venv = make_vec_env(replace(CONFIG, stl=stl, env=EnvConfig(episode_length=7)), TABLE)
    venv.reset()
    venv.step(np.zeros(venv.num_envs, np.int8))
    lanes: Any = venv.unwrapped
    assert lanes.last_step.violated.shape == (3, watched)


def test_logs_are_those_of_the_finished_episodes() -> None:
    model: Any = make_trainer(CONFIG, TABLE, torch.device("cpu"))
    logger = Logger(None, [])
    model.set_logger(logger)
    decisions: list[Int8Array] = []

    class Recorder(SpecsCallback):
        def _on_step(self) -> bool:
            record = model.env.unwrapped.engine.last
            decisions.append(record.decisions.copy())
            return super()._on_step()

        def _on_rollout_end(self) -> None:
            super()._on_rollout_end()
            figures.append(dict(logger.name_to_value))

    figures: list[dict[str, float]] = []
    model.learn(2 * 16 * 12, callback=Recorder())
    ends = [step for step in range(32) if step % 7 == 6]
    for rollout, logged in enumerate(figures):
        mine = [end for end in ends if end // 16 == rollout]
        counts = [
            recount([int(decisions[step][lane]) for step in range(end - 6, end + 1)])
            for end in mine
            for lane in range(3)
        ]
        truth = ~np.array([violated for _, violated in counts])
        assert logged["stl/satisfied/quiet"] == pytest.approx(truth[:, 0].mean())
        assert logged["stl/satisfied/late"] == pytest.approx(truth[:, 1].mean())
        assert logged[f"stl/satisfied/{CONJUNCTION}"] == pytest.approx(truth.all(axis=1).mean())
        robustness = np.array([values for values, _ in counts])
        assert logged["stl/robustness/quiet"] == pytest.approx(robustness[:, 0].mean())
    assert len(figures) == 2


def alternate(observations: Float32Array) -> tuple[Int8Array, Float64Array]:
    """Alerts exactly where the first feature is positive."""
    alert = np.repeat(observations.reshape(-1, 4, observations.shape[1])[:, 0, 0] > 0, 4)
    return np.where(alert, np.int8(3), np.int8(0)), np.zeros(len(observations))


def test_watching_a_frozen_policy() -> None:
    """Episodes one by one, on engines of one lane, equal those of the batch."""
    watched = watch(CONFIG.env, TABLE, alternate, 25)
    for episode in range(25):
        engine = Engine(CONFIG.env, TABLE, 1, FRESH_SEEDS + episode)
        engine.reset()
        decisions, rewards = [], []
        for _ in range(7):
            alert = engine.observe()[0, 0, 0] > 0
            record = engine.step(np.full((1, 4), 3 if alert else 0))
            decisions.append(int(record.decisions[0]))
            rewards.append(float(record.decision_rewards[0]))
        robustness, violated = recount(decisions)
        assert watched.robustness[episode].tolist() == robustness
        assert watched.satisfied[episode].tolist() == [not one for one in violated]
        assert watched.rewards[episode] == pytest.approx(np.mean(rewards))
    assert 0 < watched.satisfied[:, 0].mean() < 1


def test_proposal_rounds_are_no_events_of_a_certificate() -> None:
    """A policy that does not look is the same with proposals: per event, not per step."""

    def act(observations: Float32Array) -> tuple[Int8Array, Float64Array]:
        alerts = np.full(len(observations), Action.ALERT, np.int8)
        return alerts, np.zeros(len(observations))

    plain, deliberating = (
        watch(replace(CONFIG.env, deliberation=rounds), TABLE, act, 20) for rounds in (0, 1)
    )
    np.testing.assert_array_equal(plain.satisfied, deliberating.satisfied)
    np.testing.assert_array_equal(plain.robustness, deliberating.robustness)
    np.testing.assert_allclose(plain.rewards, deliberating.rewards)


def test_seeds_of_evaluation_are_not_those_of_training() -> None:
    largest = TrainConfig(seed=2**32 - 1, lanes=2**20)
    assert largest.seed + largest.lanes < FRESH_SEEDS


def test_figures_and_certificates() -> None:
    settings = EvaluateConfig(certify=150, epsilon=0.3, delta=0.1)
    watched = certified_episodes(CONFIG.env, TABLE, alternate, settings)
    figures = stl_metrics(CONFIG.env, TABLE, watched, settings)
    watched = watch(CONFIG.env, TABLE, alternate, 150)
    assert list(figures) == ["quiet", "late", CONJUNCTION]
    truths = [*watched.satisfied.T, watched.satisfied.all(axis=1)]
    values = [*watched.robustness.T, watched.robustness.min(axis=1)]
    deltas = [0.05, 0.05, 0.1]  # two specifications share delta, the conjunction has its own
    for one, truth, value, delta in zip(figures.values(), truths, values, deltas, strict=True):
        failures = int((~truth).sum())
        assert one.satisfied == pytest.approx(truth.mean())
        assert one.episodes == 150
        assert one.epsilon == 0.3
        assert one.delta == pytest.approx(delta)
        assert one.certified == (binom.cdf(failures, 150, 0.3) <= delta)
        finite = np.isfinite(value).all()
        assert one.robustness.min == (value.min() if finite else None)
        allowed = int((binom.cdf(np.arange(150), 150, 0.3) <= delta).sum()) - 1
        margin = np.sort(value)[allowed]
        assert one.margin == (margin if np.isfinite(margin) else None)
    assert figures["late"].certified


@pytest.mark.parametrize(
    ("monitor", "certify", "episodes"),
    [(True, None, 200), (True, 0, None), (False, None, None), (False, 60, 60)],
)
def test_how_many_episodes(monitor: bool, certify: int | None, episodes: int | None) -> None:
    config = replace(CONFIG, stl="monitor" if monitor else "off", env=EnvConfig(episode_length=7))
    settings = EvaluateConfig(certify=certify)
    watched = certified_episodes(config.task, TABLE, alternate, settings)
    figures = stl_metrics(config.task, TABLE, watched, settings)
    assert {one.episodes for one in figures.values()} == ({episodes} if episodes else set())


def test_specs_that_ask_nothing() -> None:
    trivial_policies = trivially_satisfied(CONFIG.env, TABLE)
    assert trivial_policies["quiet"] == ("always_allow", "always_block", "always_quarantine")
    assert trivial_policies["late"] == ("always_allow", "always_block", "always_alert")
    assert trivial_policies[CONJUNCTION] == ("always_allow", "always_block")


def test_the_flag_sets_what_the_environment_watches_and_shows() -> None:
    ppo = PPOConfig(discount=0.9)
    shown = {
        stl: (config.task.stl.monitor, config.task.stl.observe, config.stl)
        for stl in ("off", "monitor", "shape", "lagrangian")
        for config in [TrainConfig(stl=stl, ppo=ppo)]
    }
    assert shown == {
        "off": (False, False, "off"),
        "monitor": (True, False, "monitor"),
        "shape": (True, True, "shape"),
        "lagrangian": (True, True, "lagrangian"),
    }
    unwatched = EnvConfig(stl=StlConfig(monitor=False))
    assert TrainConfig(env=unwatched).task == EnvConfig() == TrainConfig().task


@pytest.mark.parametrize("backend", ["supersuit", "native", "torch", "rllib"])
def test_rollouts_are_watched_but_on_a_cluster(backend: Backend) -> None:
    config = TrainConfig(backend=backend)
    assert config.task.stl.monitor
    assert config.rollouts.stl.monitor == (backend != "rllib")
    assert replace(config.rollouts, stl=config.task.stl) == config.task


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"stl": "shape", "ppo": PPOConfig()}, "--discount"),
        ({"stl": "lagrangian", "backend": "rllib"}, "--backend native"),
        ({"stl": "off", "env": EnvConfig(stl=StlConfig(observe=True))}, "--stl monitor"),
        ({"stl": "lagrangian", "ppo": PPOConfig(discount=0.9, policy="lstm")}, "--policy mlp"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], advice: str) -> None:
    with pytest.raises(ConfigError, match=advice):
        TrainConfig(**settings)


def test_checkpoints_are_chosen_by_their_specs_first() -> None:
    def checkpoint(reward: float, **more: float) -> Checkpoint:
        return Checkpoint(Path(), 0, {"reward_per_event": reward, **more})

    assert checkpoint(1.0).merit > checkpoint(0.5).merit
    kept, broken = checkpoint(0.5, violation_excess=0.0), checkpoint(1.0, violation_excess=0.2)
    assert kept.merit > broken.merit
    satisfied = np.array([[True, True], [True, False], [True, False], [True, True]])
    watched = Watched(("a", "b"), satisfied, satisfied - np.float32(0.5), np.zeros(4))
    assert watched.excess(0.2) == pytest.approx(0.3)
    assert watched.excess(0.6) == 0.0


def divided(observations: Float32Array) -> tuple[Int8Array, Float64Array]:
    """Every sensor blocks what it sees as above the mean, on columns of its own."""
    block = observations[:, :10].sum(axis=1) > 0
    return block.astype(np.int8), block.astype(np.float64)


def test_certificates_under_each_kind_of_fault() -> None:
    """One sensor of four is faulty: each kind as one would run it by hand."""
    settings = EvaluateConfig(certify=40, epsilon=0.3, delta=0.1)
    entries = specs_under_faults(CONFIG.env, TABLE, divided, settings)
    assert [one.fault for one in entries] == list(FAULTS)
    assert {one.faulty for one in entries} == {1}
    for one in entries:
        task = replace(CONFIG.env, faults=FaultConfig(1, one.fault))
        watched = watch(task, TABLE, divided, 40)
        together = watched.satisfied.all(axis=1)
        assert one.conjunction == together.mean()
        assert one.satisfied == dict(
            zip(watched.names, watched.satisfied.mean(axis=0).tolist(), strict=True)
        )
        assert one.certified == (binom.cdf(int((~together).sum()), 40, 0.3) <= 0.1)
        assert one.reward_per_event == pytest.approx(watched.rewards.mean())
    assert len({one.reward_per_event for one in entries}) > 4  # the sensors disagree
    assert specs_under_faults(CONFIG.env, TABLE, divided, EvaluateConfig()) == ()
