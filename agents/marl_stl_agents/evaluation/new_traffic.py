"""A trained team at work: decisions on new traffic, streamed from file to file."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from marl_stl_agents.algorithms.ppo import resolve_device
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint
from marl_stl_agents.config import DecideConfig, TrainConfig
from marl_stl_agents.evaluation.baselines import simple_baselines
from marl_stl_agents.evaluation.metrics import score
from marl_stl_agents.evaluation.rollouts import Act, Rollout, collect_rollout, greedy
from marl_stl_agents.run_directory import find_run, read_config, saved_preprocessor, write_json
from marl_stl_env.config import EnvConfig, FaultConfig, StlConfig
from marl_stl_env.data.ingest.incoming import Chunk, IncomingTraffic
from marl_stl_env.data.registry import parse_options
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.errors import DecidingError
from marl_stl_env.files import atomic_path
from marl_stl_env.types import Action, BoolArray, Int8Array

DECISIONS = "decisions.parquet"
_NAMES = pa.array([action.name for action in Action])
_NAMED = pa.dictionary(pa.int8(), pa.string())


def decide(settings: DecideConfig) -> tuple[Path, dict[str, Any]]:
    """Let a run's best checkpoint decide on every event of ``settings.input``.

    The scaling is the run's own (``data.json``), so the training data is not needed. Sensors are
    honest. The file of decisions has a row for every event: its place in the input, the decision,
    what each sensor said, and the sensors' mean probability of a threat vote.

    Returns:
        The file written, and the summary that stands beside it as JSON.

    Raises:
        RunError: If there is no such run, or it is damaged.
        DecidingError: If the run cannot decide on events one by one, or the input is empty.
        DataError: If the input cannot be read.
    """
    run = find_run(settings.run)
    config = read_config(run)
    _check_stands_alone(config)
    target = settings.decisions or run / DECISIONS
    source = settings.input
    if target.resolve() == source.resolve():
        raise DecidingError(f"the decisions cannot be written to their input {source}")
    env = replace(config.task, faults=FaultConfig(), stl=StlConfig())
    preprocessor = saved_preprocessor(run)
    incoming = IncomingTraffic(
        source, env.data.dataset, parse_options(env.data.dataset_options), preprocessor
    )
    device = resolve_device(settings.device, settings.threads)
    act: Act | None = None
    tally = Tally(env)
    with atomic_path(target) as draft, parquet.ParquetWriter(draft, _schema(env.agents)) as out:
        for chunk in ahead(incoming.chunks()):
            if act is None:
                space = observation_space(Engine(env, chunk.table, lanes=1))
                act = greedy(saved_policy(best_checkpoint(run), space, device))
            rollout = collect_rollout(env, chunk.table, act)
            out.write_batch(_as_rows(chunk, rollout))
            tally.add(chunk.table, rollout)
        if act is None:
            raise DecidingError(f"{source} has no event to decide on")
    summary = {
        "input": str(source), "run": str(run), **tally.figures(incoming.labelled),
        "not_as_in_training": asdict(incoming.filled),
    }  # fmt: skip
    write_json(target.with_suffix(".json"), summary)
    return target, summary


def _check_stands_alone(config: TrainConfig) -> None:
    """Refuse runs whose decision on an event depends on more than the event."""
    env = config.task
    reasons = {
        "its policy remembers the events of an episode (policy='lstm'), and new traffic has no "
        "episodes": config.ppo.policy == "lstm",
        "its actions change what comes next (dynamics='response')": env.dynamics == "response",
        "its sensors watch specifications about true labels (stl.observe)": env.stl.observe,
        "its votes are weighed by label feedback (weights='reliability'), which new traffic "
        "lacks": env.consensus.weights == "reliability",
    }
    for reason, holds in reasons.items():
        if holds:
            raise DecidingError(f"this run cannot decide on new traffic: {reason}")


class Tally:
    """What was decided so far.

    Args:
        env: The environment of the run.
    """

    def __init__(self, env: EnvConfig) -> None:
        self._env = env
        self._labels: list[BoolArray] = []
        self._rollouts: list[Rollout] = []

    def add(self, table: TrafficTable, rollout: Rollout) -> None:
        """Count a chunk."""
        self._labels.append(table.labels)
        self._rollouts.append(rollout)

    def figures(self, labelled: bool) -> dict[str, Any]:
        """Counts, and where the input was labelled how good the decisions were."""
        decisions = np.concatenate([one.decisions for one in self._rollouts])
        counts = np.bincount(decisions, minlength=len(Action))
        found: dict[str, Any] = {
            "events": len(decisions),
            "decisions": {action.name: int(counts[action]) for action in Action},
        }
        if not labelled:
            return found
        labels, reward = np.concatenate(self._labels), self._env.reward
        actions = np.concatenate([one.actions for one in self._rollouts])
        scores = np.concatenate([one.scores for one in self._rollouts])
        references = simple_baselines(self._env, labels)
        return found | {
            "threat_rate": float(labels.mean()),
            "decision": score(labels, decisions, reward, scores).as_dict(),
            "agents": {
                f"sensor_{i}": score(labels, actions[:, i], reward).as_dict()
                for i in range(self._env.agents)
            },
            "baselines": {
                name: score(labels, one.decisions, reward).as_dict()
                for name, one in references.items()
            },
        }


def ahead(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The chunks, each read and scaled by a thread while the one before is decided on."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = reader.submit(next, chunks, None)
            yield chunk


def _schema(agents: int) -> Any:
    sensors = [(f"sensor_{i}", _NAMED) for i in range(agents)]
    return pa.schema(
        [("event", pa.int64()), ("decision", _NAMED), *sensors, ("threat_score", pa.float32())]
    )


def _as_rows(chunk: Chunk, rollout: Rollout) -> Any:
    agents = rollout.actions.shape[1]
    columns = [
        pa.array(chunk.events),
        _named(rollout.decisions),
        *(_named(rollout.actions[:, sensor]) for sensor in range(agents)),
        pa.array(rollout.scores.astype(np.float32)),
    ]
    return pa.record_batch(columns, schema=_schema(agents))


def _named(actions: Int8Array) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(actions), _NAMES)
