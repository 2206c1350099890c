"""How fast the engine is with attackers, compared with the same replay without.

``python -m benchmarks.speed.adversary`` steps both in turn, by processor time, on ``synthetic``,
seven sensors, two attackers with random actions, and looks at what everybody sees. Specifications
are not monitored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tyro

from benchmarks.common.measure import show, side_by_side
from marl_stl_env.adversary.engine import AdversarialEngine
from marl_stl_env.config import AdversaryConfig, EnvConfig, make_config
from marl_stl_env.engine.engine import Engine


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        lanes: Numbers of lanes.
        seconds: Seconds of one turn.
        repeats: Turns of each engine, of which the best counts.
    """

    lanes: tuple[int, ...] = (64, 256, 1024, 4096)
    seconds: float = 0.05
    repeats: int = 15


def steps(config: EnvConfig, lanes: int, attacked: bool) -> Callable[[], object]:
    """A function that makes one step and looks at all observations."""
    rng = np.random.default_rng(0)
    actions = rng.integers(0, 4, (lanes, config.agents)).astype(np.int8)
    if not attacked:
        plain = Engine.from_config(config, lanes, 0)

        def step() -> object:
            if plain.last is None or plain.last.truncated.all():
                plain.reset()
            plain.step(actions)
            return plain.observe()

        return step
    engine = AdversarialEngine.make(config, AdversaryConfig(attackers=2), lanes, 0)
    attacks = rng.integers(0, engine.attack_actions, (lanes, 2)).astype(np.int8)

    def attacked_step() -> object:
        if engine.last is None or engine.last.truncated.all():
            engine.reset()
        engine.step(actions, attacks)
        return engine.observe(), engine.observe_attackers()

    return attacked_step


def main(settings: Settings) -> None:
    """Print agent-steps of the sensors per second, and the ratio."""
    rows = []
    for dynamics in ("replay", "response"):
        given = {"dataset_options": {"rows": 20_000}, "stl": {"monitor": False}}
        config = make_config(None, {**given, "dynamics": dynamics})
        for lanes in settings.lanes:
            both = [steps(config, lanes, attacked) for attacked in (False, True)]
            took = side_by_side(both, settings.repeats, settings.seconds)
            rates = [lanes * config.agents / seconds for seconds in took]
            rows.append([dynamics, lanes, *rates, f"{rates[1] / rates[0]:.2f}"])
    show("agent-steps/s of the sensors", ["dynamics", "lanes", "plain", "attacked", "ratio"], rows)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
