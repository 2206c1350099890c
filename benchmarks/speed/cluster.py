"""Agent-steps per second of the backend "rllib" by number of runners, beside "native".

``python -m benchmarks.speed.cluster [--runners 1 2] [--address auto] [--out FILE]``
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from marl_stl_agents.algorithms.ppo import make_trainer, resolve_device
from marl_stl_agents.config import ClusterConfig, TrainConfig
from marl_stl_agents.rllib.cluster import cluster
from marl_stl_agents.rllib.training import ClusterTrainer
from stable_baselines3.common.logger import Logger

from benchmarks.common.measure import show, versions
from benchmarks.common.partial import PARTIAL
from marl_stl_env.data.prepare import prepare
from marl_stl_env.files import write_text


def cluster_rate(config: TrainConfig, iterations: int) -> dict[str, float]:
    """Agent-steps per second of whole iterations after the first, and the share of sampling."""
    with cluster(config), tempfile.TemporaryDirectory() as folder:
        trainer = ClusterTrainer(config, Path(folder), prepare(config.env))
        trainer.train(Logger(None, []))
        begun, start, sampling = trainer.timesteps, time.perf_counter(), 0.0
        for _ in range(iterations):
            result = trainer.algorithm.train()
            trainer.timesteps += int(result["env_runners"]["num_env_steps_sampled"])
            sampling += float(result["timers"]["env_runner_sampling_timer"])
        elapsed = time.perf_counter() - start
        trainer.algorithm.stop()
    return {
        "rate": (trainer.timesteps - begun) / elapsed,
        "sampling": sampling / elapsed,
    }


def single_rate(config: TrainConfig, iterations: int) -> float:
    """Agent-steps per second of the backend "native"."""
    train = prepare(config.env).tables["train"]
    model = make_trainer(config, train, resolve_device("cpu", 1))
    steps = model.n_steps * model.n_envs
    model.learn(steps)
    start = time.perf_counter()
    model.learn(iterations * steps)
    return iterations * steps / (time.perf_counter() - start)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runners", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--address", default=None)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    base = TrainConfig(PARTIAL, stl="off", progress=False, backend="native")
    single = single_rate(base, arguments.iterations)
    rows: list[dict[str, Any]] = [{"engine": "sb3", "runners": None, "rate": single}]
    for runners in arguments.runners:
        settings = ClusterConfig(runners=runners, address=arguments.address)
        config = replace(base, backend="rllib", cluster=settings)
        measured = cluster_rate(config, arguments.iterations)
        rows.append({"engine": "rllib", "runners": runners, **measured})
    show(
        f"agent-steps per second, {os.cpu_count()} cores",
        ("engine", "runners", "agent-steps/s", "of engine sb3", "share of sampling"),
        [
            (r["engine"], r["runners"], r["rate"], r["rate"] / single, r.get("sampling"))
            for r in rows
        ],
    )
    if arguments.out:
        result = {"rows": rows, "load": os.getloadavg()[0], "versions": versions()}
        write_text(arguments.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
