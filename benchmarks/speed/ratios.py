"""What the layers cost beside what they stand on, each pair measured side by side.

    python -m benchmarks.speed.ratios --out ratios.json

Four groups: ``TrafficVecEnv`` beside the engine, the engine beside a random ``np.take`` of
ready-made observation rows, one PettingZoo step with more and more watched, and the import beside
Gymnasium's. Calls take turns and the best of them counts, in seconds of the processor.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from marl_stl_agents.command_line import run_command

from benchmarks.common.measure import generated_table, show, side_by_side, write_result
from benchmarks.common.partial import PARTIAL
from marl_stl_env.config import EnvConfig, StlConfig
from marl_stl_env.data.prepare import prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.parallel import TrafficParallelEnv
from marl_stl_env.envs.sb3 import TrafficVecEnv

UNWATCHED = StlConfig(monitor=False)
TEAMS = {"no specifications": EnvConfig(stl=UNWATCHED), "monitors": EnvConfig()}
STEPS = {
    "replay": EnvConfig(stl=UNWATCHED),
    "replay, monitors": EnvConfig(),
    "response": EnvConfig(dynamics="response", stl=UNWATCHED),
    "response, monitors": EnvConfig(dynamics="response"),
    "response, monitors, shield": EnvConfig(dynamics="response", stl=StlConfig(shield=True)),
}
_IMPORT = """
import sys, time
began = time.process_time()
__import__(sys.argv[1])
took = time.process_time() - began
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(took, int(status["VmHWM"].split()[0]) / 1024)
"""


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        quick: Few lanes and turns, to see that it works.
        repeats: Turns of each measurement, of which the best counts.
        lanes: Lanes of ``TrafficVecEnv``.
        few: Lanes of the engine beside ``np.take``.
        out: JSON file to write.
    """

    quick: bool = False
    repeats: int = 15
    lanes: tuple[int, ...] = (16, 64, 256, 1024, 4096, 16384)
    few: tuple[int, ...] = (16, 64)
    out: Path | None = None

    def __post_init__(self) -> None:
        if self.quick:
            for name, value in {"repeats": 1, "lanes": (4,), "few": (4,)}.items():
                object.__setattr__(self, name, value)


def engine_step(engine: Engine) -> Callable[[], None]:
    """One step with observations in a reused buffer, resets included."""
    actions = np.random.default_rng(0).integers(0, 4, (engine.lanes, engine.agents))
    engine.reset()
    buffer = engine.observe()

    def step() -> None:
        record = engine.step(actions)
        if record.truncated.any():
            engine.reset(record.truncated)
        engine.observe(buffer)

    return step


def vector_step(venv: TrafficVecEnv) -> Callable[[], object]:
    """One step with random actions."""
    actions = np.random.default_rng(0).integers(0, 4, venv.num_envs)
    venv.reset()
    return partial(venv.step, actions)


def vector_rows(settings: Settings) -> list[list[Any]]:
    """``TrafficVecEnv`` as a share of the engine behind it."""
    rows = []
    for name, config in TEAMS.items():
        table = prepare(config)
        for lanes in settings.lanes:
            engine = engine_step(Engine.from_config(config, lanes, 0, table))
            fresh, reused = (
                vector_step(TrafficVecEnv(config, lanes, 0, table, copy=copy))
                for copy in (True, False)
            )
            own, first, second = side_by_side([engine, fresh, reused], settings.repeats)
            rate = lanes * config.agents / own
            rows.append([name, lanes, rate, own / first, own / second])
    return rows


def take_step(engine: Engine) -> Callable[[], None]:
    """``np.take`` of the observation rows of random events into a buffer."""
    count = len(engine.table)
    parts = np.array_split(np.arange(count), 20)
    ready = np.concatenate([engine.observations.observe(part) for part in parts])
    ready = ready.reshape(count, -1)
    out = np.empty((engine.lanes, ready.shape[1]), np.float32)
    places = np.random.default_rng(0).integers(0, count - 2000, engine.lanes)
    offset = 0

    def step() -> None:
        nonlocal offset
        offset = (offset + 1) % 1000
        np.take(ready, places + offset, axis=0, out=out, mode="clip")

    return step


def take_rows(settings: Settings) -> list[list[Any]]:
    """The engine as a share of fetching ready-made rows."""
    four, seven = replace(PARTIAL, agents=4), TEAMS["no specifications"]
    cases: dict[str, tuple[EnvConfig, TrafficTable]] = {
        "synthetic, 4 sensors": (four, prepare(four).tables["train"]),
        "synthetic, 7 sensors": (seven, prepare(seven).tables["train"]),
        "NSL-KDD's columns, 4 sensors": (four, generated_table()),
    }
    rows = []
    for name, (config, table) in cases.items():
        for lanes in settings.few:
            engine = Engine(config, table, lanes, seeds=0)
            steps = [take_step(engine), engine_step(engine)]
            take, own = side_by_side(steps, settings.repeats)
            rows.append([name, lanes, 1e6 * take, 1e6 * own, take / own])
    return rows


def one_lane_step(config: EnvConfig) -> Callable[[], None]:
    """One step of the PettingZoo view, resets included."""
    env = TrafficParallelEnv(config, table=prepare(config))
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    chosen = [
        dict(zip(env.possible_agents, actions, strict=True))
        for actions in rng.integers(0, 4, (64, config.agents)).tolist()
    ]
    number = 0

    def step() -> None:
        nonlocal number
        number += 1
        if not env.agents:
            env.reset()
        env.step(chosen[number % 64])

    return step


def step_rows(settings: Settings) -> list[list[Any]]:
    """Microseconds of one PettingZoo step, and their ratio to a plain replay."""
    found = side_by_side([one_lane_step(config) for config in STEPS.values()], settings.repeats)
    return [[name, 1e6 * one, one / found[0]] for name, one in zip(STEPS, found, strict=True)]


def import_rows(settings: Settings) -> list[list[Any]]:
    """Seconds and megabytes of an import in a new process, the best of several."""
    names = ("gymnasium", "marl_stl_env")
    found = dict.fromkeys(names, (np.inf, np.inf))
    for _ in range(settings.repeats):
        for name in names:
            line = [sys.executable, "-c", _IMPORT, name]
            done = subprocess.run(line, capture_output=True, text=True, check=True)  # noqa: S603
            seconds, memory = map(float, done.stdout.split())
            found[name] = min(found[name][0], seconds), min(found[name][1], memory)
    first = found["gymnasium"]
    return [[n, s, m, s / first[0], m / first[1]] for n, (s, m) in found.items()]


GROUPS: dict[str, tuple[Callable[[Settings], list[list[Any]]], tuple[str, ...]]] = {
    "TrafficVecEnv beside its engine": (
        vector_rows,
        ("team", "lanes", "engine, agent-steps/s", "of it", "of it with copy=False"),
    ),
    "engine beside np.take": (
        take_rows,
        ("data", "lanes", "np.take, us", "engine, us", "of np.take"),
    ),
    "one PettingZoo step, seven sensors": (step_rows, ("what", "us", "of the first")),
    "import": (import_rows, ("package", "s", "MB", "of its time", "of its memory")),
}


def main(settings: Settings) -> None:
    """Measure, print and write."""
    result: dict[str, Any] = {}
    for title, (measure, columns) in GROUPS.items():
        rows = measure(settings)
        show(title, columns, rows)
        result[title] = [dict(zip(columns, row, strict=True)) for row in rows]
    write_result(settings.out, result)


if __name__ == "__main__":
    sys.exit(run_command(Settings, main, __doc__))
