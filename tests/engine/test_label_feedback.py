from dataclasses import replace

import numpy as np
import pytest

from marl_stl_env.config import ConsensusConfig, EnvConfig, FaultConfig
from marl_stl_env.consensus.reliability import CAP, vote_weights
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.errors import ConfigError, StateError

CONFIG = EnvConfig(
    agents=7,
    episode_length=400,
    consensus=ConsensusConfig(weights="reliability", feedback_share=0.25),
)


def oracle(engine: Engine) -> np.ndarray:
    """Sensors that know the labels."""
    return np.repeat(engine.table.labels[engine.rows][:, None].astype(int), engine.agents, axis=1)


def test_the_share_asked_for_is_checked(table: TrafficTable) -> None:
    engine = Engine(CONFIG, table, 100, 0)
    engine.reset()
    for _ in range(200):
        engine.step(oracle(engine))
    counts = engine.get_state()["reliability_votes"]
    checked = counts[:, 0].sum(axis=(1, 2))
    assert (counts.sum(axis=(2, 3)) == checked[:, None]).all()
    assert checked.mean() == pytest.approx(50, abs=3)  # standard error 0.6
    assert checked.std() == pytest.approx(np.sqrt(200 * 0.25 * 0.75), rel=0.3)
    engine.reset(np.arange(100) < 50)
    counts = engine.get_state()["reliability_votes"]
    assert not counts[:50].any()
    assert counts[50:].any(axis=(1, 2, 3)).all()


def test_label_feedback_do_not_depend_on_what_is_said(table: TrafficTable) -> None:
    engines = [Engine(CONFIG, table, 8, 3) for _ in range(2)]
    for engine in engines:
        engine.reset()
        for _ in range(50):
            engine.step(oracle(engine) * (engine is engines[0]))
    known = [engine.get_state()["reliability_votes"].sum(axis=(1, 3)) for engine in engines]
    assert (known[0] == known[1]).all()


def test_one_good_team_outvotes_steady_faulty_sensors(table: TrafficTable) -> None:
    """Beyond the bound: four of seven flip, and after some feedback nobody listens to them."""
    faults = FaultConfig(4, "flip")
    late = {}
    for weights in ("equal", "reliability"):
        consensus = replace(CONFIG.consensus, weights=weights)
        engine = Engine(replace(CONFIG, consensus=consensus, faults=faults), table, 64, 0)
        engine.reset()
        right = []
        for _ in range(200):
            record = engine.step(oracle(engine))
            right.append((record.decision_votes == record.labels).mean())
        late[weights] = np.mean(right[100:])
    assert late["equal"] == 0.0
    assert late["reliability"] > 0.99
    counts, faulty_sensors = engine.get_state()["reliability_votes"], engine.get_state()["faulty"]
    weighed = vote_weights(counts)
    assert not weighed[faulty_sensors].any()
    assert weighed[~faulty_sensors][:, 2].min() > 0.5 * CAP


def test_a_state_of_the_equal_vote_is_refused(table: TrafficTable) -> None:
    engine = Engine(CONFIG, table, 4, 0)
    equal = Engine(replace(CONFIG, consensus=ConsensusConfig()), table, 4, 0)
    with pytest.raises(StateError, match="reliability_votes"):
        engine.set_state(equal.get_state())
    with pytest.raises(StateError, match="reliability_votes"):
        equal.set_state(engine.get_state())
    state = engine.get_state()
    for wrong in (state["reliability_votes"][:2], -np.ones_like(state["reliability_votes"])):
        with pytest.raises(StateError, match="reliability_votes"):
            engine.set_state(state | {"reliability_votes": wrong})
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(ConfigError, match="feedback_share"):
            ConsensusConfig(feedback_share=share)
