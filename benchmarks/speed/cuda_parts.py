"""Parts of the measurements on a device: a whole team, and what must not make the host wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import torch
from marl_stl_agents.algorithms.device.env import DeviceVecEnv
from marl_stl_agents.algorithms.device.ppo import DevicePPO
from marl_stl_agents.algorithms.ppo import make_trainer
from marl_stl_agents.config import PPOConfig, TrainConfig
from marl_stl_agents.training.callbacks import training_callbacks

from benchmarks.common.learning_curve import wait
from benchmarks.speed.throughput import row
from marl_stl_env.config import EnvConfig, FaultConfig, StlConfig
from marl_stl_env.data.prepare import prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.torch_engine import TorchEngine


def whole_team(*, quick: bool = False) -> TrainConfig:
    """All that a team can have at once: faults, a response, a shield, prices, entity credit."""
    env = EnvConfig(
        dynamics="response",
        faults=FaultConfig(2, "mixed"),
        stl=StlConfig(monitor=True, shield=True),
    )
    ppo = PPOConfig(bins=0, width=64, n_steps=32, batch_size=16_384, discount=0.8, credit="entity")
    config = TrainConfig(env, ppo, stl="lagrangian", backend="torch", progress=False)
    if not quick:
        return config
    measured = replace(config.constraints, measure_episodes=1)
    return replace(config, env=replace(env, episode_length=33), constraints=measured)


def team_row(
    config: TrainConfig,
    lanes: int,
    device: torch.device,
    measure: Callable[[Callable[[], object], TorchEngine], float],
) -> dict[str, Any]:
    """The engine of a whole team, its observations included."""
    train = prepare(config.task).tables["train"]
    engine = TorchEngine(config.task, train, lanes, 0, device)
    engine.reset()
    source = cast("torch.Tensor", engine.observe())
    target = torch.empty_like(source)
    copied = measure(lambda: target.copy_(source), engine)
    shape = (lanes, engine.agents)
    actions = torch.randint(0, 4, shape, dtype=torch.int8, device=device)
    buffer = engine.observe()

    def step() -> None:
        engine.step(actions)
        engine.observe(buffer)

    found = measure(step, engine)
    return row("engine of a whole team", lanes, found, found / copied)


def trained(
    config: TrainConfig, table: TrafficTable | None, device: torch.device, rollouts: int
) -> dict[str, Any]:
    """Agent-steps per second of a training end to end, on this table or on the run's own data."""
    prepared = prepare(config.task, table)
    train = prepared.tables["train"]
    model = make_trainer(config, prepared, device)
    steps = model.n_steps * model.n_envs
    model.learn(steps, callback=training_callbacks(config, train))
    wait(device)
    start = time.perf_counter()
    model.learn(rollouts * steps, callback=training_callbacks(config, train))
    wait(device)
    seconds = time.perf_counter() - start
    return {"lanes": config.lanes, "agent_steps_per_s": rollouts * steps / seconds}


def synchronisation_free(
    config: TrainConfig, table: TrafficTable | None, device: torch.device
) -> dict[str, bool] | None:
    """Whether steps, rollouts and updates run without synchronising with the host."""
    if device.type != "cuda":
        return None
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
