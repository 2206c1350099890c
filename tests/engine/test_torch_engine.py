"""The engine on torch against the engine on numpy, on the CPU."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from marl_stl_env.config import (
    ConsensusConfig,
    Deliberation,
    EnvConfig,
    StlConfig,
)
from marl_stl_env.config.vote import Dynamics
from marl_stl_env.consensus.rules import register_rule
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.engine.streams import random_bits, random_words
from marl_stl_env.engine.torch_arrays import TorchArrays
from marl_stl_env.engine.torch_engine import TorchEngine
from marl_stl_env.errors import ConfigError, InvalidActionError, StateError
from marl_stl_env.types import Int8Array
from tests.conftest import FOUR, UNWATCHED, make_table, with_entities
from tests.engine.test_engine_oracle import CONFIGS as SCALAR

TABLE = make_table(300)
CONFIGS = {
    name: SCALAR[name]
    for name in (
        "default",
        "own rewards, costs",
        "one analyst",
        "seven sensors, five votes",
        "nine sensors",
        "longer than the table",
        "deliberation",
    )
} | {
    "three sensors, shuffled": replace(SCALAR["three sensors"], order="shuffled"),
    "thirteen sensors": replace(SCALAR["nine sensors"], agents=13, episode_length=20),
}
EXACT = ("rows", "labels", "actions", "decisions", "truncated", "live", "voting", "faulty")


def assert_same(ours: StepRecord, theirs: StepRecord) -> None:
    for name in EXACT:
        mine, other = getattr(ours, name).numpy(), getattr(theirs, name)
        np.testing.assert_array_equal(mine, other, err_msg=name)
        assert mine.dtype == other.dtype, name
    np.testing.assert_array_equal(ours.votes.numpy(), theirs.votes)  # type: ignore[attr-defined]
    for name in ("rewards", "decision_rewards"):
        mine, other = getattr(ours, name).numpy(), getattr(theirs, name)
        np.testing.assert_allclose(mine, other, rtol=1e-6)
        assert mine.dtype == other.dtype == np.float32


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("seed", [3, 2**62 + 5])
def test_whole_episodes_equal_the_numpy_engine(config: EnvConfig, seed: int) -> None:
    lanes, rng = 6, np.random.default_rng(0)
    torched, plain = (
        TorchEngine(config, TABLE, lanes, seed, "cpu"),
        Engine(config, TABLE, lanes, seed),
    )
    torched.reset()
    plain.reset()
    ended = 0
    for _ in range(2 * (min(config.episode_length, len(TABLE)) + 1) * (1 + config.deliberation)):
        np.testing.assert_array_equal(torched.observe(), plain.observe())
        np.testing.assert_array_equal(torched.global_state(), plain.global_state())
        actions = rng.integers(0, 4, (lanes, config.agents))
        mine, theirs = torched.step(torch.from_numpy(actions)), plain.step(actions)
        assert_same(mine, theirs)
        assert torched.may_have_ended == theirs.truncated.any()
        if torched.may_have_ended:
            torched.restart()
            plain.reset(theirs.truncated)
            ended += 1
        state = torched.get_state()
        for name, array in plain.get_state().items():
            np.testing.assert_array_equal(state[name], array)
            assert state[name].dtype == array.dtype
    assert ended >= 2


@pytest.mark.parametrize("agents", [4, 9])
def test_lanes_out_of_step_restart_one_by_one(agents: int) -> None:
    config, rng = (
        EnvConfig(agents=agents, episode_length=9, views="groups", stl=UNWATCHED),
        np.random.default_rng(1),
    )
    torched, plain = TorchEngine(config, TABLE, 5, 0, "cpu"), Engine(config, TABLE, 5, 0)
    for engine in (torched, plain):
        engine.reset()
    for step in range(60):
        actions = rng.integers(0, 4, (5, agents))
        mine, theirs = torched.step(torch.from_numpy(actions)), plain.step(actions)
        assert_same(mine, theirs)
        over = theirs.truncated
        torched.restart()
        plain.reset(over)
        if step % 7 == 3:
            some = rng.random(5) < 0.4
            torched.reset(torch.from_numpy(some))
            plain.reset(some)
        np.testing.assert_array_equal(torched.observe(), plain.observe())
    assert len(set(plain.get_state()["ends"] - plain.get_state()["positions"])) > 1


def test_bits_are_bit_identical() -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**64, (3, 1000), dtype=np.uint64)
    wanted = random_words(*words)
    bits = random_bits(*torch.from_numpy(words.view(np.int64)))
    np.testing.assert_array_equal(bits.numpy().view(np.uint64), wanted)  # type: ignore[attr-defined]


def test_silence_and_every_vector_decide_alike() -> None:
    for agents in (4, 7, 8):
        config = EnvConfig(agents=agents, views="groups", stl=UNWATCHED)
        rule = Engine(config, TABLE, 1, 0).rule
        vectors = np.random.default_rng(0).integers(-1, 4, (20_000, agents)).astype(np.int8)
        decided = rule.on(TorchArrays(torch.device("cpu")))(torch.from_numpy(vectors))
        np.testing.assert_array_equal(decided, rule(vectors))


def test_states_pass_between_the_engines() -> None:
    config, rng = EnvConfig(episode_length=12, **FOUR), np.random.default_rng(2)
    torched, plain = TorchEngine(config, TABLE, 4, 7, "cpu"), Engine(config, TABLE, 4, 1)
    torched.reset()
    for _ in range(5):
        torched.step(torch.from_numpy(rng.integers(0, 4, (4, 4))))
    plain.set_state(torched.get_state())
    other = TorchEngine(config, TABLE, 4, 99, "cpu")
    other.set_state(plain.get_state())
    for _ in range(30):
        actions = rng.integers(0, 4, (4, 4))
        records = [one.step(torch.from_numpy(actions)) for one in (torched, other)]
        theirs = plain.step(actions)
        for engine, record in zip((torched, other), records, strict=True):
            assert_same(record, theirs)
            engine.restart()
        if theirs.truncated.any():
            plain.reset(theirs.truncated)


def test_half_precision_rounds_the_features_only() -> None:
    config = EnvConfig(episode_length=20, **FOUR)
    half = TorchEngine(config, TABLE, 3, 0, "cpu", precision="float16")
    plain = Engine(config, TABLE, 3, 0)
    for engine in (half, plain):
        engine.reset()
    observed = half.observe()
    assert observed.dtype == torch.float32
    rounded = plain.observe().astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(observed, rounded)
    np.testing.assert_array_equal(
        half.global_state(), plain.global_state().astype(np.float16).astype(np.float32)
    )


def test_observations_go_into_a_given_tensor() -> None:
    engine = TorchEngine(EnvConfig(**FOUR), TABLE, 3, 0, "cpu")
    engine.reset()
    buffer = engine.observe()
    engine.step(torch.zeros(3, 4, dtype=torch.int64))
    assert engine.observe(buffer) is buffer
    np.testing.assert_array_equal(buffer, engine.observe())


@pytest.mark.parametrize(
    "actions", [torch.zeros(3, 3, dtype=torch.int64), torch.zeros(2, 4), np.zeros((2, 4), int)]
)
def test_wrong_actions_are_refused(actions: object) -> None:
    engine = TorchEngine(EnvConfig(**FOUR), TABLE, 2, 0, "cpu")
    engine.reset()
    with pytest.raises(InvalidActionError, match=r"integer tensor of shape \(2, 4\)"):
        engine.step(actions)


def test_no_lanes_are_refused() -> None:
    with pytest.raises(ConfigError):
        TorchEngine(EnvConfig(**FOUR), TABLE, 0, 0, "cpu")
    engine = TorchEngine(EnvConfig(**FOUR), TABLE, 2, 0, "cpu")
    with pytest.raises(StateError):
        engine.set_state({})


@pytest.mark.parametrize("agents", [4, 9])
@pytest.mark.parametrize("deliberation", [0, 1])
def test_no_step_needs_a_value_on_the_host(agents: int, deliberation: Deliberation) -> None:
    """Tensors on the meta device have no values: whatever asks for one raises."""
    config = EnvConfig(
        agents=agents, deliberation=deliberation, episode_length=3, views="groups", stl=UNWATCHED
    )
    engine = TorchEngine(config, TABLE, 5, 0, "meta")
    engine.reset()
    some, actions = (
        torch.zeros(2, 5, dtype=torch.bool, device="meta")[0],
        torch.zeros(5, agents, dtype=torch.int64, device="meta"),
    )
    for masked in (False, True):
        if masked:
            engine.reset(some)
        for _ in range(8):
            engine.step(actions)
            engine.restart()
            assert engine.observe().device.type == "meta"  # type: ignore[attr-defined]
            engine.global_state()
    record = engine.step(actions)
    with pytest.raises(RuntimeError, match="meta"):
        bool(record.truncated.any())


@pytest.mark.parametrize("dynamics", ["replay", "response"])
def test_the_state_stays_where_it_is(dynamics: Dynamics) -> None:
    """A CUDA graph of a step reads and writes the same memory at every replay."""
    stl = StlConfig(shield=dynamics == "response")
    config = EnvConfig(agents=4, views="groups", episode_length=3, dynamics=dynamics, stl=stl)
    engine = TorchEngine(config, with_entities(TABLE, 30), 4, 0, "cpu")
    engine.reset()

    def memory() -> list[object]:
        assert engine.spec_monitor is not None
        response, shield = engine._memory.response, engine._memory.shield
        parts: list[object] = [engine.spec_monitor._book._counts]
        if response is not None and shield is not None:
            parts += [response, response._memory, shield, shield._counts, *shield._counts._rules]
        kept = [one for part in parts for one in vars(part).values()]
        state = [getattr(engine._state, item.name) for item in fields(engine._state)]
        # A number of Python's would be that of the recorded step at every replay.
        return [*state, *(one for one in kept if isinstance(one, torch.Tensor | int))]

    before = memory()
    for _ in range(7):
        engine.step(torch.zeros(4, 4, dtype=torch.int64))
        engine.restart()
    assert all(one is other for one, other in zip(before, memory(), strict=True))


def test_own_rules_are_looked_up_on_the_device(own_registrations: None) -> None:
    """By a table that the numpy function fills; for larger teams the host computes them."""

    @register_rule("last")
    def last(actions: Int8Array, max_faulty: int, threshold: int) -> Int8Array:
        return np.maximum(actions[:, -1], 0)

    own = ConsensusConfig(rule="last")
    config = EnvConfig(agents=4, episode_length=3, views="groups", stl=UNWATCHED, consensus=own)
    engine = TorchEngine(config, TABLE, 6, 0, "cpu")
    engine.reset()
    actions = torch.randint(0, 4, (6, 4), generator=torch.Generator().manual_seed(0))
    assert engine.step(actions).decisions.tolist() == actions[:, -1].tolist()
    larger = TorchEngine(replace(config, agents=9), TABLE, 6, 0, "cpu")
    larger.reset()
    actions = torch.randint(0, 4, (6, 9), generator=torch.Generator().manual_seed(0))
    assert larger.step(actions).decisions.tolist() == actions[:, -1].tolist()
