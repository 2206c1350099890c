"""Engine and training on one device, and whether anything synchronises with the host.

``python -m benchmarks.speed.cuda --out cuda.json`` takes a few minutes on a GPU. ``--quick
--device cpu`` runs the same code with small sizes, without the parts that need CUDA.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import tyro
from marl_stl_agents.algorithms.ppo import make_trainer, resolve_device
from marl_stl_agents.config import Backend, Device, PPOConfig, TrainConfig

from benchmarks.common.learning_curve import Scores, best_constant, wait
from benchmarks.common.measure import generated_table, rate, show, write_result
from benchmarks.common.partial import PARTIAL
from benchmarks.speed.cuda_parts import (
    synchronisation_free,
    team_row,
    trained,
    whole_team,
)
from benchmarks.speed.throughput import row
from marl_stl_env.data.prepare import prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.torch_arrays import Precision
from marl_stl_env.engine.torch_engine import TorchEngine

AGENTS = 4
COLUMNS = ("what", "lanes", "agent-steps/s", "of copying")


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        device: "auto" takes CUDA where it is.
        quick: Small sizes, in seconds, to see that it works.
        lanes: Lanes of the engine, one group of rows each.
        train_lanes: Lanes of the training on the device.
        team_lanes: Lanes of the training on the device of a team with all that a team can have.
        sb3_lanes: Lanes of SB3's own PPO beside both.
        score_lanes: Lanes of the training on ``synthetic``.
        iterations: Iterations of the training on ``synthetic``.
        seconds: Time for each measurement of the engine.
        compile: Also measure ``torch.compile``, which takes a minute to compile.
        out: JSON file to write.
    """

    device: Device = "auto"
    quick: bool = False
    lanes: tuple[int, ...] = (4096, 16_384, 65_536, 262_144)
    train_lanes: int = 65_536
    team_lanes: int = 4096
    sb3_lanes: int = 1024
    score_lanes: int = 1024
    iterations: int = 60
    seconds: float = 0.5
    compile: bool = True
    out: Path | None = None

    def __post_init__(self) -> None:
        small = {
            "lanes": (16,),
            "train_lanes": 8,
            "team_lanes": 8,
            "sb3_lanes": 8,
            "score_lanes": 16,
            "iterations": 3,
            "seconds": 0.05,
            "compile": False,
        }
        for name, value in small.items() if self.quick else ():
            object.__setattr__(self, name, value)


def copy_rate(engine: TorchEngine, settings: Settings) -> float:
    """Rate of copying a batch of observations to another."""
    source = cast("torch.Tensor", engine.observe())
    target = torch.empty_like(source)
    return repeated(lambda: target.copy_(source), engine, settings)


def repeated(step: Callable[[], object], engine: TorchEngine, settings: Settings) -> float:
    """Agent-steps per second of ``step``: an episode's worth of calls between two waits."""
    calls = 10 if settings.quick else engine.config.episode_length - 1

    def run() -> None:
        engine.reset()
        for _ in range(calls):
            step()
        wait(engine.device)

    return rate(run, calls * engine.lanes * engine.agents, settings.seconds, repeats=3)


def eager(engine: TorchEngine, actions: torch.Tensor) -> Callable[[], object]:
    """A step with its observations, kernel by kernel."""
    buffer = engine.observe()

    def step() -> None:
        engine.step(actions)
        engine.observe(buffer)

    return step


def compiled(engine: TorchEngine, actions: torch.Tensor) -> Callable[[], object]:
    """The same through ``torch.compile``."""
    every = torch.ones(engine.lanes, dtype=torch.bool, device=engine.device)
    engine.reset(every)  # with a mask the engine counts no steps, which would make dynamo recompile
    return torch.compile(eager(engine, actions))


def graphed(engine: TorchEngine, actions: torch.Tensor) -> Callable[[], object]:
    """The same as one CUDA graph; episodes are reset between its replays."""
    step = eager(engine, actions)
    stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call] # torch has no types here
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return partial(_replay, graph, step)


def _replay(graph: torch.cuda.CUDAGraph, step: Callable[[], object]) -> None:
    del step  # the graph writes into its buffer: it has to live as long as the graph
    graph.replay()


def engine_rows(
    table: TrafficTable, device: torch.device, settings: Settings
) -> list[dict[str, Any]]:
    """The engine beside the device's copy bandwidth."""
    variants: list[tuple[str, Precision, Any]] = [
        ("engine", "float32", eager),
        ("engine, float16 table", "float16", eager),
    ]
    if device.type == "cuda":
        variants.append(("engine, CUDA graph", "float32", graphed))
        variants.append(("engine, CUDA graph, float16 table", "float16", graphed))
    if settings.compile:
        variants.append(("engine, torch.compile", "float32", compiled))
    rows = []
    for lanes in settings.lanes:
        config = replace(PARTIAL, agents=AGENTS)
        engine = TorchEngine(config, table, lanes, 0, device)
        limit = copy_rate(engine, settings)
        rows.append(row("copy of the observations", lanes, limit, 1.0))
        actions = torch.randint(0, 4, (lanes, AGENTS), dtype=torch.int8, device=device)
        for what, precision, make in variants:
            engine = TorchEngine(config, table, lanes, 0, device, precision)
            engine.reset()
            found = repeated(make(engine, actions), engine, settings)
            rows.append(row(what, lanes, found, found / limit))
    return rows


def train_config(backend: Backend, settings: Settings) -> TrainConfig:
    """The default trainer on raw features, with batches that fill the device."""
    lanes = settings.train_lanes if backend == "torch" else settings.sb3_lanes
    steps, batch = (16, 65_536) if backend == "torch" else (64, 16_384)
    ppo = PPOConfig(bins=0, n_steps=steps, batch_size=batch)
    return TrainConfig(PARTIAL, ppo, stl="off", backend=backend, lanes=lanes, progress=False)


def training_rate(
    backend: Backend, table: TrafficTable, device: torch.device, settings: Settings
) -> dict[str, Any]:
    """Agent-steps per second of a training end to end."""
    return trained(train_config(backend, settings), table, device, 1 if settings.quick else 5)


def seconds_to_score(device: torch.device, settings: Settings) -> dict[str, Any]:
    """Training time to 95 % of the final score on ``synthetic``.

    The score is the mean decision reward minus that of the best constant policy. If the final
    score is negative, the time is undefined.
    """
    env = PARTIAL
    prepared = prepare(env)
    ppo = PPOConfig(n_steps=16, batch_size=8192)
    config = TrainConfig(
        env, ppo, stl="off", backend="torch", lanes=settings.score_lanes, progress=False
    )
    train = prepared.tables["train"]
    model = make_trainer(config, train, device)
    model.learn(model.n_steps * model.n_envs)  # warms up
    model = make_trainer(config, train, device)
    scores = Scores(env, prepared.tables["validation"], device)
    model.learn(settings.iterations * model.n_steps * model.n_envs, callback=scores)
    constant = best_constant(env, prepared.tables["validation"])
    final = scores.curve[-1][1]
    wanted = constant + 0.95 * (final - constant)
    reached = [seconds for seconds, reward in scores.curve if reward >= wanted > constant]
    return {
        "lanes": config.lanes,
        "iterations": settings.iterations,
        "seconds_to_95_percent": reached[0] if reached else None,
        "seconds": scores.curve[-1][0],
        "reward_of_best_constant": constant,
        "reward_per_event": final,
    }


def main(settings: Settings) -> None:
    """Measure, print and write."""
    device = resolve_device(settings.device, threads=1)
    torch.set_float32_matmul_precision("high")
    table = generated_table(20_000) if settings.quick else generated_table()
    result: dict[str, Any] = {"device": device.type}
    if device.type == "cuda":
        result["device"] = torch.cuda.get_device_name(device)
    everything = whole_team(quick=settings.quick)
    configs = {
        "plain": (replace(train_config("torch", settings), lanes=1024), table),
        "whole team": (replace(everything, lanes=1024), None),
    }
    result["synchronisation_free"] = {
        name: synchronisation_free(config, data, device) for name, (config, data) in configs.items()
    }
    result["engine"] = engine_rows(table, device, settings)
    rows, engine = settings.lanes[:2], partial(repeated, settings=settings)
    result["engine"] += [team_row(everything, lanes, device, engine) for lanes in rows]
    vecs: tuple[Backend, ...] = ("torch", "native")
    result["training"] = {
        backend: training_rate(backend, table, device, settings) for backend in vecs
    }
    for backend in vecs:
        lanes = settings.team_lanes if backend == "torch" else settings.sb3_lanes
        config = replace(everything, backend=backend, lanes=lanes)
        rollouts = 1 if settings.quick else 3
        result["training"][f"whole team, {backend}"] = trained(config, None, device, rollouts)
    result["synthetic"] = seconds_to_score(device, settings)
    if device.type == "cuda":
        result["peak_memory_bytes"] = torch.cuda.max_memory_allocated(device)
    show(f"engine on {result['device']}", COLUMNS, [list(e.values()) for e in result["engine"]])
    rest = {name: value for name, value in result.items() if name != "engine"}
    for name, value in rest.items():
        print(f"{name}: {value}")
    write_result(settings.out, result)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
