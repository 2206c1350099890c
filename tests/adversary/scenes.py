"""Tables and attackers that the tests of the adversary share."""

from typing import Any

from marl_stl_env.adversary.engine import AdversarialEngine
from marl_stl_env.config import AdversaryConfig, make_config
from tests.conftest import FOUR, make_table, with_entities

TABLE = with_entities(make_table(600), 30)
#: The toy table knows no meaning: three of its columns may be shifted.
MUTABLE = {
    "x0": {"change": "shift", "low": -1.5},
    "x3": {"change": "shift", "low": -1.0, "high": 0.5, "cost": 0.2},
    "x7": {"change": "shift", "low": -2.0, "least": -4.0, "most": 4.0},
}
TOY = AdversaryConfig(attackers=2, disguises=3, mutable=MUTABLE, wait_events=3)  # type: ignore[arg-type]


def toy_engine(
    lanes: int, seed: int | None = 0, adversary: AdversaryConfig = TOY, **settings: Any
) -> AdversarialEngine:
    """An engine of four sensors over the toy table."""
    config = make_config(None, {**FOUR, "episode_length": 40, **settings})
    return AdversarialEngine.make(config, adversary, lanes, seed, TABLE)
