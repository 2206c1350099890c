"""Every default specification asks something, and nothing that cannot be kept."""

import numpy as np
import pytest

from marl_stl_env.config import EnvConfig, StlConfig
from marl_stl_env.data.prepare import prepare
from marl_stl_env.engine.engine import Engine
from marl_stl_env.types import Action, AnyArray

LANES = 100
CONFIG = EnvConfig(dynamics="response", agents=1, views="full", stl=StlConfig(monitor=True))


@pytest.fixture(scope="module")
def kept() -> dict[str, dict[str, float]]:
    """Share of episodes in which a policy keeps each specification, and all of them."""
    table = prepare(CONFIG).tables["train"]
    rng = np.random.default_rng(0)

    def always(action: Action) -> AnyArray:
        return np.full(len(table), action, np.int8)

    policies = {
        **{f"always {action.name}": always(action) for action in Action},
        "oracle blocks": np.where(table.labels, Action.BLOCK, Action.ALLOW),
        "oracle quarantines": np.where(table.labels, Action.QUARANTINE, Action.ALLOW),
    }
    shares = {}
    for name, answers in {**policies, "random": None}.items():
        engine = Engine(CONFIG, table, LANES, seeds=0)
        assert engine.spec_monitor is not None
        engine.reset()
        places = engine.get_state()["positions"]
        for _ in range(CONFIG.episode_length):
            chosen = rng.integers(0, 4, LANES) if answers is None else answers[places]
            engine.step(chosen[:, None])
            places += 1
        truth = ~engine.spec_monitor.violated
        names = [one.name for one in engine.spec_monitor.specifications]
        shares[name] = dict(zip(names, truth.mean(axis=0).tolist(), strict=True))
        shares[name]["all"] = float(truth.all(axis=1).mean())
    return shares


def test_an_oracle_keeps_all_specs(kept: dict[str, dict[str, float]]) -> None:
    for name in ("oracle blocks", "oracle quarantines"):
        assert kept[name]["all"] >= 0.98


def test_trivial_policies_do_not(kept: dict[str, dict[str, float]]) -> None:
    for name in (*(f"always {action.name}" for action in Action), "random"):
        assert kept[name]["all"] <= 0.01


def test_every_spec_is_broken_by_a_constant(kept: dict[str, dict[str, float]]) -> None:
    constants = [kept[f"always {action.name}"] for action in Action]
    for spec in kept["random"]:
        assert min(shares[spec] for shares in constants) <= 0.01, spec
