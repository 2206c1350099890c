"""Agent-steps per second of every layer, side by side in one run.

``python -m benchmarks.throughput --out throughput.json``
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from stable_baselines3.common.vec_env import VecEnv

from agents.config import PPOConfig, TrainConfig, Vec
from agents.ppo import make_model, make_vec_env
from agents.runs import write_json
from marl_stl_env.config import EnvConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.parallel import TrafficParallelEnv
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.envs.supersuit import supersuit_vec_env

AGENTS = 4
#: The scaled columns of NSL-KDD's four views, and its training rows.
VIEW_SIZES = (87, 13, 9, 10)
ROWS = 106_518


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        seconds: Time for each measurement.
        repeats: Best of so many.
        lanes: Lanes of the engine, one row each.
        train_lanes: Lanes of the SuperSuit path and of PPO.
        ppo: Also train, which takes a minute.
        out: JSON file to write.
    """

    seconds: float = 0.5
    repeats: int = 5
    lanes: tuple[int, ...] = (1, 16, 256, 4096)
    train_lanes: int = 64
    ppo: bool = True
    out: Path | None = None


def generated_table() -> TrafficTable:
    """A scaled table of NSL-KDD's size, of noise: speed does not depend on the values."""
    rng = np.random.default_rng(0)
    ends = np.cumsum(VIEW_SIZES)
    labels = rng.random(ROWS) < 0.46
    return TrafficTable(
        name="generated",
        features=rng.random((ROWS, ends[-1]), dtype=np.float32),
        labels=labels,
        families=labels.astype(np.int16),
        family_names=("benign", "threat"),
        feature_names=tuple(f"x{i}" for i in range(ends[-1])),
        views={
            f"view_{i}": tuple(range(end - size, end))
            for i, (end, size) in enumerate(zip(ends.tolist(), VIEW_SIZES, strict=True))
        },
    )


def rate(step: Callable[[], object], agent_steps: int, settings: Settings) -> float:
    """Agent-steps per second of ``step``, the best of several runs."""
    step()
    best = 0.0
    for _ in range(settings.repeats):
        count, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < settings.seconds:
            step()
            count += 1
        best = max(best, count * agent_steps / elapsed)
    return best


def take_limit(engine: Engine, lanes: int, settings: Settings) -> float:
    """The bare ``np.take`` of ready-made observation rows: what memory allows."""
    rows = np.arange(ROWS)
    ready = np.concatenate(
        [engine.observations.observe(part) for part in np.array_split(rows, 20)]
    ).reshape(ROWS, -1)
    out = np.empty((lanes, ready.shape[1]), dtype=np.float32)
    places = np.random.default_rng(0).integers(0, ROWS - 2000, lanes)
    offset = 0

    def step() -> None:
        nonlocal offset
        offset = (offset + 1) % 1000
        np.take(ready, places + offset, axis=0, out=out, mode="clip")

    return rate(step, lanes * AGENTS, settings)


def engine_rate(engine: Engine, settings: Settings) -> float:
    """Steps with observations, episodes restarted as they end."""
    actions = np.random.default_rng(0).integers(0, 4, (engine.lanes, AGENTS)).astype(np.int8)
    engine.reset()

    def step() -> None:
        record = engine.step(actions)
        if record.truncated.any():
            engine.reset(record.truncated)
        engine.observe()

    return rate(step, engine.lanes * AGENTS, settings)


def parallel_rate(env: TrafficParallelEnv, settings: Settings) -> float:
    """The PettingZoo view of one lane."""
    env.reset(seed=0)
    actions = dict.fromkeys(env.possible_agents, 0)

    def step() -> None:
        if not env.agents:
            env.reset()
        env.step(actions)

    return rate(step, AGENTS, settings)


def vec_env_rate(venv: VecEnv, settings: Settings) -> float:
    """A vector environment under random actions."""
    venv.reset()
    actions = np.random.default_rng(0).integers(0, 4, venv.num_envs)
    return rate(lambda: venv.step(actions), venv.num_envs, settings)


def ppo_rate(vec: Vec, table: TrafficTable, settings: Settings) -> float:
    """SB3 PPO end to end: rollouts, updates, wrappers."""
    torch.set_num_threads(1)
    ppo = PPOConfig(bins=0)
    config = TrainConfig(vec=vec, lanes=settings.train_lanes, ppo=ppo, progress=False)
    venv = make_vec_env(config, table)
    model = make_model(config, venv, table.features, torch.device("cpu"))
    steps = ppo.n_steps * venv.num_envs
    model.learn(steps)
    start = time.perf_counter()
    model.learn(4 * steps)
    return 4 * steps / (time.perf_counter() - start)


def measure(settings: Settings) -> list[dict[str, Any]]:
    """All rows of the table."""
    table, config = generated_table(), EnvConfig(agents=AGENTS)
    rows: list[dict[str, Any]] = []

    def add(what: str, lanes: int, value: float, limit: float | None = None) -> None:
        rows.append(
            {
                "what": what,
                "lanes": lanes,
                "agent_steps_per_s": value,
                "of_take_limit": value / limit if limit else None,
            }
        )

    for lanes in settings.lanes:
        engine = Engine(config, table, lanes, seeds=0)
        limit = take_limit(engine, lanes, settings)
        add("np.take of the same rows", lanes, limit, limit)
        add("engine", lanes, engine_rate(engine, settings), limit)
    lanes = settings.train_lanes
    one = TrafficParallelEnv(config, table=table)
    add("PettingZoo, one lane", 1, parallel_rate(one, settings))
    add("SuperSuit", lanes, vec_env_rate(supersuit_vec_env(config, lanes, 0, table), settings))
    add("TrafficVecEnv", lanes, vec_env_rate(TrafficVecEnv(config, lanes, 0, table), settings))
    if settings.ppo:
        add("SB3 PPO through SuperSuit", lanes, ppo_rate("supersuit", table, settings))
        add("SB3 PPO on TrafficVecEnv", lanes, ppo_rate("native", table, settings))
    return rows


def main(settings: Settings) -> None:
    """Measure, print and write."""
    rows = measure(settings)
    table = Table(title=f"agent-steps per second, {platform.machine()}")
    for column in ("what", "lanes", "agent-steps/s", "of np.take"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in rows:
        share = f"{row['of_take_limit']:.2f}" if row["of_take_limit"] else ""
        table.add_row(row["what"], f"{row['lanes']:,}", f"{row['agent_steps_per_s']:,.0f}", share)
    Console().print(table)
    if settings.out is not None:
        write_json(settings.out, {"numpy": np.__version__, "rows": rows})


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
