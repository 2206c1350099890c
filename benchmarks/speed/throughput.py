"""Agent-steps per second of every layer and of its peers.

``python -m benchmarks.speed.throughput --out throughput.json``
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
import tyro
from stable_baselines3.common.vec_env import VecEnv

from benchmarks.common.measure import generated_table, rate, show, write_result
from benchmarks.common.partial import PARTIAL
from benchmarks.common.peers import NothingParallelEnv, OrdinaryParallelEnv, gymnasium_vector
from benchmarks.speed.training.trainer import bare_trainer, make_trainer, ppo_profile, ppo_rates
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.parallel import TrafficParallelEnv
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.envs.supersuit import SuperSuitVecEnv, supersuit_vec_env
from marl_stl_env.envs.vector import TrafficVectorEnv
from marl_stl_env.types import AnyArray

AGENTS = 4


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        quick: A few short measurements, to see that it works.
        seconds: Time for each measurement.
        repeats: The best of this many measurements counts.
        lanes: Lanes of the engine, one row each.
        train_lanes: Lanes of the peers and of PPO.
        ppo: Also train, which takes two minutes.
        out: JSON file to write.
    """

    quick: bool = False
    seconds: float = 0.5
    repeats: int = 5
    lanes: tuple[int, ...] = (1, 16, 256, 4096)
    train_lanes: int = 64
    ppo: bool = True
    out: Path | None = None

    def __post_init__(self) -> None:
        if self.quick:
            small = {"seconds": 0.02, "repeats": 1, "lanes": (1, 16), "train_lanes": 4}
            for name, value in small.items():
                object.__setattr__(self, name, value)


def take_rate(engine: Engine, settings: Settings) -> float:
    """Only ``np.take`` of prepared observation rows: the limit of memory bandwidth."""
    count = len(engine.table)
    ready = np.concatenate(
        [engine.observations.observe(part) for part in np.array_split(np.arange(count), 20)]
    ).reshape(count, -1)
    out = np.empty((engine.lanes, ready.shape[1]), dtype=np.float32)
    places = np.random.default_rng(0).integers(0, count - 2000, engine.lanes)
    offset = 0

    def step() -> None:
        nonlocal offset
        offset = (offset + 1) % 1000
        np.take(ready, places + offset, axis=0, out=out, mode="clip")

    return rate(step, engine.lanes * engine.agents, settings.seconds, settings.repeats)


def engine_rate(engine: Engine, seconds: float, repeats: int, *, fresh: bool = False) -> float:
    """Steps with observations, in ``fresh`` arrays or always in the same, resets included."""
    actions = np.random.default_rng(0).integers(0, 4, (engine.lanes, engine.agents)).astype(np.int8)
    engine.reset()
    buffer = None if fresh else engine.observe()

    def step() -> None:
        record = engine.step(actions)
        if record.truncated.any():
            engine.reset(record.truncated)
        engine.observe(buffer)

    return rate(step, engine.lanes * engine.agents, seconds, repeats)


def parallel_rate(env: TrafficParallelEnv | OrdinaryParallelEnv, settings: Settings) -> float:
    """A PettingZoo environment of one lane."""
    env.reset(seed=0)
    actions = dict.fromkeys(env.possible_agents, 0)

    def step() -> None:
        if not env.agents:
            env.reset()
        env.step(actions)

    return rate(step, len(env.possible_agents), settings.seconds, settings.repeats)


def vec_rate(
    venv: VecEnv | gymnasium.vector.VectorEnv[AnyArray, AnyArray, AnyArray], settings: Settings
) -> float:
    """A vector environment with random actions; it is closed afterwards."""
    venv.reset()
    actions = np.random.default_rng(0).integers(0, 4, venv.num_envs)
    found = rate(lambda: venv.step(actions), venv.num_envs, settings.seconds, settings.repeats)
    venv.close()
    return found


def engine_rows(table: TrafficTable, settings: Settings) -> list[dict[str, Any]]:
    """The engine beside the limit of memory bandwidth."""
    rows = []
    for lanes in settings.lanes:
        engine = Engine(replace(PARTIAL, agents=AGENTS), table, lanes, seeds=0)
        limit = take_rate(engine, settings)
        rows.append(row("np.take of the same rows, into a buffer", lanes, limit, 1.0))
        for name, fresh in (("engine, into a buffer", False), ("engine, fresh arrays", True)):
            found = engine_rate(engine, settings.seconds, settings.repeats, fresh=fresh)
            rows.append(row(name, lanes, found, found / limit))
    return rows


def adapter_rows(table: TrafficTable, settings: Settings) -> list[dict[str, Any]]:
    """The environment's views and their peers; ``relative`` is the ratio to the peer."""
    config, lanes = replace(PARTIAL, agents=AGENTS), settings.train_lanes
    one = parallel_rate(OrdinaryParallelEnv(table, AGENTS), settings)
    ours = parallel_rate(TrafficParallelEnv(config, table=table), settings)
    suit = vec_rate(SuperSuitVecEnv(lambda: OrdinaryParallelEnv(table, AGENTS), lanes), settings)
    idle = vec_rate(SuperSuitVecEnv(lambda: NothingParallelEnv(table, AGENTS), lanes), settings)
    ours_suit = vec_rate(supersuit_vec_env(config, lanes, 0, table), settings)
    native = vec_rate(TrafficVecEnv(config, lanes, 0, table), settings)
    sync = vec_rate(gymnasium_vector("sync", table, lanes), settings)
    processes = vec_rate(gymnasium_vector("async", table, lanes), settings)
    vector = vec_rate(TrafficVectorEnv(lanes, table=table), settings)
    return [
        row("ordinary PettingZoo env", 1, one, 1.0),
        row("PettingZoo view", 1, ours, ours / one),
        row("ordinary PettingZoo env through SuperSuit", lanes, suit, 1.0),
        row("nothing through SuperSuit (its own time)", lanes, idle, idle / suit),
        row("PettingZoo view through SuperSuit", lanes, ours_suit, ours_suit / suit),
        row("TrafficVecEnv", lanes, native, native / suit),
        row("ordinary Gymnasium env, SyncVectorEnv", lanes, sync, 1.0),
        row("ordinary Gymnasium env, AsyncVectorEnv", lanes, processes, processes / sync),
        row("Gymnasium vector view", lanes, vector, vector / sync),
    ]


def trainer_rows(table: TrafficTable, settings: Settings) -> list[dict[str, Any]]:
    """SB3's PPO end to end, relative to PPO on an environment that takes no time."""
    lanes = settings.train_lanes
    native, suit = (make_trainer(backend, table, lanes) for backend in ("native", "supersuit"))
    bare = bare_trainer(table, lanes, native)
    rates = ppo_rates([bare, native, suit], settings.repeats)
    names = ("on a no-op VecEnv, no wrappers", "on TrafficVecEnv", "through SuperSuit")
    return [
        row(f"SB3 PPO {name}", lanes, found, found / rates[0])
        for name, found in zip(names, rates, strict=True)
    ]


def row(what: str, lanes: int, agent_steps_per_s: float, relative: float) -> dict[str, Any]:
    """One measurement; ``relative`` is its ratio to the first row of its group."""
    return {
        "what": what,
        "lanes": lanes,
        "agent_steps_per_s": agent_steps_per_s,
        "relative": relative,
    }


def main(settings: Settings) -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    table = generated_table()
    result: dict[str, Any] = {
        "engine": engine_rows(table, settings),
        "adapters": adapter_rows(table, settings),
    }
    if settings.ppo:
        result["trainer"] = trainer_rows(table, settings)
        model = make_trainer("native", table, settings.train_lanes)
        result["trainer_profile"] = ppo_profile(model, settings.repeats)
    for group in ("engine", "adapters", "trainer"):
        rows = [list(entry.values()) for entry in result.get(group, [])]
        if rows:
            show(group, ("what", "lanes", "agent-steps/s", "relative"), rows)
    if "trainer_profile" in result:
        shares = sorted(result["trainer_profile"].items(), key=lambda item: -item[1])
        show("SB3 PPO on TrafficVecEnv", ("part", "share of the time"), shares)
    write_result(settings.out, result)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
