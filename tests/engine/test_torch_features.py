"""Faults, weights, response, shield and monitors on torch against numpy, on the CPU."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from marl_stl_env.config import ConsensusConfig, EnvConfig, FaultConfig, RewardConfig, StlConfig
from marl_stl_env.consensus.faults import Fault, Scene, register_fault
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.spec_signals import StepContext, register_spec_signal
from marl_stl_env.engine.torch_arrays import TorchArrays
from marl_stl_env.engine.torch_engine import TorchEngine
from marl_stl_env.errors import FormulaError, PluginError, SignalError
from marl_stl_env.types import AnyArray
from tests.conftest import UNWATCHED, make_table, with_entities

TABLE = with_entities(make_table(400), 12)
OBSERVED = StlConfig(monitor=True, observe=True)
SHIELDED = replace(OBSERVED, shield=True)
FORMULAS = StlConfig(
    monitor=True,
    observe=True,
    specs=(
        "future=G (threat -> F[0,3] stopped)",
        "past=G[2,inf) (H[0,9] alerts_8 * 2 + 1 <= 9.5)",
        "until=(alerted S[0,12] threat) or F[0,20] reward > 0.1",
        "strict=G (once[1,4] (reward / 3 != 2) and alerts_4 >= 0.5 * misses_9)",
        "share=G (denied_7 < 0.35)",
        "since=G (stopped S alerted)",
        "constant=G (1 <= 2)",
    ),
)
CONFIGS = {
    "two faulty": EnvConfig(
        episode_length=12, faults=FaultConfig(faulty=2, fault="mixed"), stl=UNWATCHED
    ),
    "nine sensors, worst case": EnvConfig(
        agents=9, episode_length=12, faults=FaultConfig(2, "worst_case"), stl=UNWATCHED
    ),
    "reliability": EnvConfig(
        episode_length=30,
        faults=FaultConfig(2, "flip+silent"),
        consensus=ConsensusConfig(weights="reliability", feedback_share=0.5),
        stl=UNWATCHED,
    ),
    "response, shield": EnvConfig(episode_length=75, dynamics="response", stl=SHIELDED),
    "replay, shield": EnvConfig(episode_length=70, stl=SHIELDED),
    "all at once": EnvConfig(
        episode_length=70,
        deliberation=1,
        dynamics="response",
        faults=FaultConfig(2, "mixed"),
        reward=RewardConfig(team_share=0.5),
        stl=SHIELDED,
    ),
    "formulas": EnvConfig(episode_length=50, stl=FORMULAS),
    "formulas, deliberation": EnvConfig(episode_length=30, deliberation=1, stl=FORMULAS),
}


def both(config: EnvConfig, lanes: int = 5, seed: int = 3) -> tuple[TorchEngine, Engine]:
    engines = TorchEngine(config, TABLE, lanes, seed, "cpu"), Engine(config, TABLE, lanes, seed)
    for engine in engines:
        engine.reset()
    return engines


def assert_alike(mine: Any, other: AnyArray, name: str) -> None:
    array = np.asarray(mine)
    assert array.dtype == other.dtype, name
    if not np.array_equal(array, other):
        assert other.dtype.kind == "f", name
        np.testing.assert_allclose(array, other, rtol=1e-6, atol=1e-6, err_msg=name)


def step_both(torched: TorchEngine, plain: Engine, actions: AnyArray) -> AnyArray:
    """Compares all that both engines show and remember; returns which episodes are over."""
    assert_alike(torched.observe(), plain.observe(), "observations")
    assert_alike(torched.global_state(), plain.global_state(), "global state")
    assert_alike(torched.action_mask, plain.action_mask, "mask")
    mine, theirs = torched.step(torch.from_numpy(actions)), plain.step(actions)
    for name in theirs._fields:
        assert_alike(getattr(mine, name), getattr(theirs, name), name)
    if theirs.truncated.any():
        state = torched.get_state()
        for name, array in plain.get_state().items():
            assert_alike(state[name], array, name)
    return theirs.truncated


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_whole_episodes_equal_the_numpy_engine(config: EnvConfig) -> None:
    torched, plain = both(config)
    rng, ended = np.random.default_rng(0), 0
    violated, masked = np.zeros(0, np.bool_), np.zeros((5, 4), np.bool_)
    for step in range((1 + config.deliberation) * config.episode_length + 9):
        # Mostly Alert or mostly Quarantine, so that a shield has something to do.
        shares = (0.1, 0.0, 0.1, 0.8) if step // 20 % 2 == 0 else (0.1, 0.1, 0.6, 0.2)
        actions = rng.choice(4, (5, config.agents), p=shares)
        over = step_both(torched, plain, actions)
        assert plain.last is not None
        masked |= ~plain.last.action_mask
        violated = plain.last.violated | (violated if violated.size else False)
        torched.restart()
        if over.any():
            plain.reset(over)
            ended += 1
    assert ended >= 1
    assert not config.stl.monitor or violated.any()
    responds = config.dynamics == "response"
    assert masked.any(axis=0).tolist() == [
        False,
        False,
        config.stl.shield and responds,
        config.stl.shield,
    ]


def test_bits_are_counted_as_by_numpy() -> None:
    words = np.random.default_rng(0).integers(0, 2**64, 1000, dtype=np.uint64)
    words[:2] = 0, 2**64 - 1
    bits = torch.from_numpy(words.view(np.int64))
    counted = TorchArrays(torch.device("cpu")).count_bits(bits)
    np.testing.assert_array_equal(counted, np.bitwise_count(words))


@pytest.mark.parametrize("name", ["all at once", "formulas, deliberation"])
def test_lanes_out_of_step(name: str) -> None:
    config = replace(CONFIGS[name], episode_length=9)
    torched, plain = both(config)
    rng = np.random.default_rng(1)
    for step in range(30):
        over = step_both(torched, plain, rng.integers(0, 4, (5, config.agents)))
        torched.restart()
        plain.reset(over)
        if step % 5 == 2:
            some = rng.random(5) < 0.4
            torched.reset(torch.from_numpy(some))
            plain.reset(some)
    voting = plain.get_state()["voting"]
    assert 0 < voting.sum() < len(voting)


@pytest.mark.parametrize("name", ["all at once", "reliability", "formulas"])
def test_states_pass_between_the_engines(name: str) -> None:
    config, rng = CONFIGS[name], np.random.default_rng(2)
    torched, plain = both(config)
    for _ in range(15):
        torched.step(torch.from_numpy(rng.integers(0, 4, (5, config.agents))))
    plain.set_state(torched.get_state())
    other = TorchEngine(config, TABLE, 5, 99, "cpu")
    other.set_state(plain.get_state())
    for _ in range(20):
        actions = rng.integers(0, 4, (5, config.agents))
        torched.step(torch.from_numpy(actions))
        over = step_both(other, plain, actions)
        assert_alike(torched.observe(), np.asarray(other.observe()), "observations")
        torched.restart()
        other.restart()
        plain.reset(over)


@pytest.mark.parametrize("name", ["all at once", "reliability", "formulas"])
def test_no_step_needs_the_host(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors on the meta device have no values; nor is anything copied there in a later step."""
    config = replace(CONFIGS[name], episode_length=2, faults=FaultConfig(2, "worst_case+random"))
    engine = TorchEngine(config, TABLE, 2, 0, "meta")
    engine.reset()
    actions = torch.zeros(2, config.agents, dtype=torch.int64, device="meta")
    for step in range(10):
        engine.step(actions)
        engine.restart()
        engine.observe()
        engine.global_state()
        if step == 4:
            monkeypatch.setattr(TorchArrays, "asarray", None)
            monkeypatch.setattr(TorchArrays, "tonumpy", None)


def test_what_users_register_runs_on_the_host(own_registrations: None) -> None:
    """Faults and signals are numpy functions; on a device the host hands them numpy arrays."""

    @register_fault("copycat")
    class Copycat(Fault):
        def claims(self, scene: Scene) -> Any:
            assert scene.words.dtype == np.uint64
            worst = scene.decide(np.where(scene.faulty, 0, scene.actions).astype(np.int8))
            return np.maximum(scene.actions[:, :1], worst[:, None])

    @register_spec_signal("disputed")
    def disputed(step: StepContext) -> Any:
        votes = np.isin(step.actions, (1, 2)).sum(axis=1)
        return (votes > 1) & (step.outcome.age <= 0) & ~step.faulty[:, 0]

    stl = StlConfig(monitor=True, observe=True, specs=("calm=G[3,inf) once[0,4] disputed",))
    config = EnvConfig(
        episode_length=20, dynamics="response", faults=FaultConfig(2, "copycat+random"), stl=stl
    )
    torched, plain = both(config)
    rng = np.random.default_rng(0)
    for _ in range(30):
        over = step_both(torched, plain, rng.integers(0, 4, (5, 7)))
        torched.restart()
        plain.reset(over)


def one_step(name: str, signal: Any, formula: str) -> None:
    register_spec_signal(name, signal, replace=True)
    stl = StlConfig(monitor=True, specs=(f"it={formula}",))
    engine = TorchEngine(EnvConfig(episode_length=5, stl=stl), TABLE, 2, 0, "cpu")
    engine.reset()
    engine.step(torch.zeros(2, 7, dtype=torch.int64))


def test_what_a_device_cannot_compute_exactly_is_refused(own_registrations: None) -> None:
    def huge(step: StepContext) -> AnyArray:
        return step.steps + 2**30

    def number(step: StepContext) -> AnyArray:
        return step.steps

    def wrong(step: StepContext) -> AnyArray:
        return step.steps[:1].astype(np.complex64)

    with pytest.raises(SignalError, match=r"huge.*beyond 16777216.*--backend native"):
        one_step("huge", huge, "G (huge > 0)")
    with pytest.raises(SignalError, match=r"number.*condition"):
        one_step("number", number, "G number")
    with pytest.raises(FormulaError, match=r"beyond 2\*\*53"):
        one_step("number", number, "G (number * 4000000000 > 7)")
    with pytest.raises(PluginError, match=r"\(.*wrong\) returns complex64 of shape \(1,\)"):
        one_step("wrong", wrong, "G (wrong > 0)")
