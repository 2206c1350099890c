"""The RLlib backend and the sweep, on a local Ray cluster of two runners."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from marl_stl_agents.checkpoints.store import list_checkpoints
from marl_stl_agents.commands.sweep import sweep
from marl_stl_agents.config import ClusterConfig, EvaluateConfig, PPOConfig, TrainConfig
from marl_stl_agents.evaluation.evaluate import evaluate
from marl_stl_agents.evaluation.result import as_json
from marl_stl_agents.rllib.training import ClusterTrainer
from marl_stl_agents.run_directory import CONFIG, read_config, read_json, write_json
from marl_stl_agents.training.resume import resume
from marl_stl_agents.training.run import train
from stable_baselines3.common.logger import Logger

from marl_stl_env.config import EnvConfig, RewardConfig
from marl_stl_env.data.prepare import prepare
from marl_stl_env.plugins import temporary_plugins
from tests.compat.common import COMPAT
from tests.conftest import UNWATCHED

pytestmark = COMPAT
TINY = TrainConfig(
    env=EnvConfig(agents=4, episode_length=40, views="groups", stl=UNWATCHED),
    ppo=PPOConfig(width=16, n_steps=32, batch_size=256, n_epochs=2),
    backend="rllib",
    cluster=ClusterConfig(runners=2),
    lanes=8,
    iterations=4,
    evaluate_every=2,
    progress=False,
    preflight=False,
    stl="off",
)


@pytest.fixture(scope="module", autouse=True)
def ray() -> Iterator[Any]:
    """A cluster that this module starts and stops."""
    ray = pytest.importorskip("ray", reason="ray is not here: pip install -e '.[rllib]'")
    os.environ |= {"RAY_worker_niceness": "0"}  # its 15 would starve on a busy machine
    ray.init(
        num_cpus=2,
        object_store_memory=300_000_000,
        include_dashboard=False,
        log_to_driver=False,
    )
    yield ray
    ray.shutdown()


def test_it_trains_is_evaluated_and_goes_on(tmp_path: Path) -> None:
    run = train(replace(TINY, run_dir=tmp_path / "run"))
    steps = 32 * 8 * 4
    assert [each.timesteps for each in list_checkpoints(run)] == [2 * steps, 4 * steps]
    result = as_json(evaluate(EvaluateConfig(run=run)).result)
    assert (result["split"], result["events"]) == ("test", 30_000)

    longer = read_json(run / CONFIG) | {"iterations": 6}
    write_json(run / CONFIG, longer)
    assert read_config(run).iterations == 6
    resume(run)
    assert list_checkpoints(run)[-1].timesteps == 6 * steps


def test_a_plugin_reaches_the_runners(tmp_path: Path) -> None:
    """Rewards of the user's own, which only a process that imported the plugin can look up."""
    plugin = tmp_path / "own_rewards.py"
    plugin.write_text(
        "import marl_stl_env as mse\n\n"
        "@mse.register_reward('sevenfold')\n"
        "def sevenfold(table, payoffs):\n"
        "    return 0.0 * payoffs + 7.0\n"
    )
    with temporary_plugins():
        env = replace(
            TINY.env, plugins=(str(plugin),), reward=RewardConfig(reward_function="sevenfold")
        )
        config = replace(TINY, env=env, run_dir=tmp_path / "run", iterations=1)
        trainer = ClusterTrainer(config, tmp_path, prepare(config.env))
        try:
            logger = Logger(None, [])
            trainer.train(logger)
        finally:
            trainer.algorithm.stop()
    assert logger.name_to_value["rollout/reward_per_event"] == pytest.approx(7.0)


def test_a_killed_runner_is_restarted(tmp_path: Path) -> None:
    config = replace(TINY, run_dir=tmp_path)
    trainer = ClusterTrainer(config, tmp_path, prepare(config.env))
    try:
        logger = Logger(None, [])
        runners = trainer.algorithm.env_runner_group
        trainer.train(logger)
        before = runners.foreach_env_runner(lambda _: os.getpid(), local_env_runner=False)
        os.kill(before[0], signal.SIGKILL)
        deadline = time.monotonic() + 150
        after: list[int] = []
        while time.monotonic() < deadline and (len(after) < 2 or before[0] in after):
            trainer.train(logger)
            after = runners.foreach_env_runner(lambda _: os.getpid(), local_env_runner=False)
        assert before[1] in after
        assert len(after) == 2
        assert before[0] not in after
        trainer.train(logger)
        trainer.save(trainer.evaluate(logger))
    finally:
        trainer.algorithm.stop()
    assert list_checkpoints(tmp_path)


def test_a_sweep_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    space = tmp_path / "space.json"
    ppo = {"learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}, "n_epochs": [1, 2]}
    space.write_text(json.dumps({"trials": 2, "ppo": ppo}))
    config = replace(TINY, backend="native", iterations=2, run_dir=tmp_path / "sweep")
    first = read_json(sweep(config, space))["trials"]
    assert len(first) == 2
    rewards = [trial["reward_per_event"] for trial in first]
    assert rewards == sorted(rewards, reverse=True)
    for trial in first:
        ppo_then = read_config(Path(trial["run"])).ppo
        assert ppo_then.learning_rate == trial["settings"]["learning_rate"]
        assert 1e-3 <= ppo_then.learning_rate <= 1e-2
    assert read_json(sweep(config, space))["trials"] == first  # nothing is trained twice


def test_sigterm_saves_and_stops(tmp_path: Path) -> None:
    run, root = tmp_path / "run", Path(__file__).parents[2]
    flags = "--backend rllib --lanes 8 --width 16 --iterations 100000 --no-preflight --run-dir"
    command = [sys.executable, str(root / "train.py"), *flags.split(" "), str(run)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and process.poll() is None:
            if (run / "progress.csv").exists() and (run / "progress.csv").read_text():
                break
            time.sleep(1)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=100)
    assert process.returncode == 0, output
    assert "continue with: marl-stl-train --resume" in output
    assert len(list_checkpoints(run)) == 1
