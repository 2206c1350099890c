"""Engine and training on one device, and whether anything synchronises with the host.

``python -m benchmarks.speed.cuda --out cuda.json`` takes a few minutes on a GPU. ``--quick
--device cpu`` runs the same code with small sizes, without the parts that need CUDA.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import tyro
from marl_stl_agents.algorithms.device.env import DeviceVecEnv
from marl_stl_agents.algorithms.device.ppo import DevicePPO
from marl_stl_agents.algorithms.ppo import make_trainer, resolve_device
from marl_stl_agents.config import Backend, Device, PPOConfig, TrainConfig

from benchmarks.common.learning_curve import Scores, best_constant, wait
from benchmarks.common.measure import generated_table, rate, show, write_result
from benchmarks.common.partial import PARTIAL
from benchmarks.speed.throughput import row
from marl_stl_env.data.prepare import prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.torch_engine import Precision, TorchEngine

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
        sb3_lanes: Lanes of SB3's own PPO beside it.
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
    config = train_config(backend, settings)
    model = make_trainer(config, table, device)
    steps = model.n_steps * model.n_envs
    model.learn(steps)
    wait(device)
    rollouts = 1 if settings.quick else 5
    start = time.perf_counter()
    model.learn(rollouts * steps)
    wait(device)
    seconds = time.perf_counter() - start
    return {"lanes": config.lanes, "agent_steps_per_s": rollouts * steps / seconds}


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


def synchronisation_free(
    table: TrafficTable, device: torch.device, settings: Settings
) -> dict[str, bool] | None:
    """Whether steps, rollouts and updates run without synchronising with the host."""
    if device.type != "cuda":
        return None
    config = replace(train_config("torch", settings), lanes=1024)
    env = replace(config.env, episode_length=7)  # episodes end on the way
    model = make_trainer(replace(config, env=env), table, device)
    model.learn(model.n_steps * model.n_envs)
    found = {}
    for name, call in parts(cast("DevicePPO", model)).items():
        torch.cuda.set_sync_debug_mode("error")
        try:
            call()
            found[name] = True
        except RuntimeError as error:
            print(f"{name} makes the host wait: {error}")
            found[name] = False
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return found


def parts(model: DevicePPO) -> dict[str, Callable[[], object]]:
    """The parts that must not synchronise: steps of the engine, a rollout, its minibatches."""
    venv = cast("DeviceVecEnv", model.get_env())
    engine = venv.engine
    actions = torch.zeros(engine.lanes, engine.agents, dtype=torch.int64, device=engine.device)
    callback = model._init_callback(None)
    model._log_episodes = lambda: None  # type: ignore[method-assign] # the one wait per rollout

    def episodes() -> None:
        for _ in range(20):
            engine.step(actions)
            engine.observe()
            engine.restart()

    def rollout() -> None:
        model.collect_rollouts(venv, callback, model.rollout_buffer, model.n_steps)

    def minibatches() -> None:
        for batch in model.rollout_buffer.get(model.batch_size):
            model.update(batch)

    return {"engine": episodes, "rollout": rollout, "minibatches": minibatches}


def main(settings: Settings) -> None:
    """Measure, print and write."""
    device = resolve_device(settings.device, threads=1)
    torch.set_float32_matmul_precision("high")
    table = generated_table(20_000) if settings.quick else generated_table()
    result: dict[str, Any] = {"device": device.type}
    if device.type == "cuda":
        result["device"] = torch.cuda.get_device_name(device)
    result["synchronisation_free"] = synchronisation_free(table, device, settings)
    result["engine"] = engine_rows(table, device, settings)
    vecs: tuple[Backend, ...] = ("torch", "native")
    result["training"] = {
        backend: training_rate(backend, table, device, settings) for backend in vecs
    }
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
