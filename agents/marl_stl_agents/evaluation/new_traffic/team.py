"""A trained team at work: decisions on new traffic, streamed from file to file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from marl_stl_agents.algorithms.ppo import resolve_device
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint
from marl_stl_agents.config import DecideConfig, TrainConfig
from marl_stl_agents.evaluation.baselines import simple_baselines
from marl_stl_agents.evaluation.metrics import score
from marl_stl_agents.evaluation.new_traffic.decision_file import (
    DECISIONS,
    DecisionWriter,
    check_target,
    decision_writer,
    new_file,
)
from marl_stl_agents.evaluation.new_traffic.reasons import ColumnEffects, reason_texts
from marl_stl_agents.evaluation.operating_point import decisions_at
from marl_stl_agents.evaluation.rollouts import Rollout, collect_rollout, greedy, threat_log_odds
from marl_stl_agents.run_data import config_at
from marl_stl_agents.run_directory import find_run, saved_preprocessor, write_json
from marl_stl_env.config import EnvConfig, FaultConfig, StlConfig
from marl_stl_env.data.ingest.incoming import Chunk, IncomingTraffic
from marl_stl_env.data.registry import parse_options, text_options
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.reward import event_payoffs
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.errors import DecidingError
from marl_stl_env.types import Action, BoolArray, Float32Array, Float64Array, Int8Array

_NAMES = pa.array([action.name for action in Action])
_NAMED = pa.dictionary(pa.int8(), pa.string())
_EVENT, _DECISION, _SCORE, _REASON = "event", "decision", "threat_score", "reason"


def decide(settings: DecideConfig) -> tuple[Path, dict[str, Any]]:
    """Let a run's best checkpoint decide on every event of ``settings.input``.

    The scaling is the run's own (``data.json``), so the training data is not needed. Sensors are
    honest. The file of decisions has a row for every event: its place in the input, its time and
    host where the data set has them, the columns to keep, the decision, the threat score (the
    sensors' mean probability of a threat vote), each sensor's vote, and the reason.

    Returns:
        The file written, and the summary that stands beside it as JSON.

    Raises:
        RunError: If there is no such run, or it is damaged.
        DecidingError: If the run cannot decide on events one by one, the input is empty, or the
            decisions cannot be written where they should be.
        DataError: If the input cannot be read.
        OutputError: If the decisions cannot be written.
    """
    run = find_run(settings.run)
    config = config_at(run, None, settings.plugins)
    check_stands_alone(config)
    _check_kept(settings.keep, config.task.agents)
    target = settings.decisions or run / f"{DECISIONS}.parquet"
    summary_file = check_target(target, settings.input, run)
    team = Team(run, config, settings)
    data = config.env.data
    written = text_options(data.dataset, settings.input_options)
    incoming = IncomingTraffic(
        settings.input,
        data.dataset,
        parse_options(data.dataset_options) | written,
        team.preprocessor,
        settings.keep,
    )
    tally = Tally(team.env)
    with ExitStack() as stack:
        draft = stack.enter_context(new_file(target))
        out: DecisionWriter | None = None
        for chunk in ahead(incoming.chunks()):
            rollout, reasons = team.decide(chunk)
            batch = _as_rows(chunk, rollout, reasons)
            if out is None:
                out = stack.enter_context(decision_writer(draft, batch.schema, target.suffix))
            out.write_batch(batch)
            tally.add(chunk.table, rollout)
        if out is None:
            raise DecidingError(f"{settings.input} has no event to decide on")
    summary = {
        "input": str(settings.input), "run": str(run), **tally.metrics(incoming.labelled),
        "threshold": settings.threshold, "not_as_in_training": asdict(incoming.filled),
    }  # fmt: skip
    with new_file(summary_file) as draft:
        write_json(draft, summary)
    return target, summary


class Team:
    """A run's best checkpoint, ready to decide.

    Args:
        run: The run directory.
        config: The run.
        settings: How to decide.

    Attributes:
        env: The environment of the run with honest sensors, without specifications.
        preprocessor: The scaling of the training.
    """

    def __init__(self, run: Path, config: TrainConfig, settings: DecideConfig) -> None:
        self.env: EnvConfig = replace(
            config.task, faults=FaultConfig(), stl=StlConfig(monitor=False)
        )
        self.preprocessor = saved_preprocessor(run)
        self._run, self._settings = run, settings
        self._device = resolve_device(settings.device, settings.threads)
        self._policy: Any = None

    def decide(self, chunk: Chunk) -> tuple[Rollout, list[str]]:
        """Votes and decisions on some events, and the reason of each."""
        table, threshold = chunk.table, self._settings.threshold
        if self._policy is None:
            space = observation_space(Engine(self.env, table, lanes=1))
            self._policy = saved_policy(best_checkpoint(self._run), space, self._device)
        columns = self.preprocessor.columns
        effects = ColumnEffects(
            len(table),
            [len(column.outputs) for column in columns],
            threat_log_odds(self._policy),
            self._settings.reason_columns,
            threshold,
        )
        watch = effects if self._settings.reason_columns else None
        rollout = collect_rollout(self.env, table, greedy(self._policy), watch)
        reached = None
        if threshold is not None:
            reached = rollout.scores >= threshold
            decisions = decisions_at(threshold, rollout.scores, rollout.decisions)
            rollout = replace(rollout, decisions=decisions)
        names = [column.name for column in columns]
        reasons = reason_texts(rollout.votes, effects.columns, names, reached, threshold)
        return rollout, reasons


def _check_kept(keep: Sequence[str], agents: int) -> None:
    """Refuse columns to keep that have the name of a column of the decisions."""
    own = {_EVENT, _DECISION, _SCORE, _REASON, *(f"sensor_{i}" for i in range(agents))}
    for name in keep:
        if name in own:
            raise DecidingError(
                f"--keep {name}: the decisions have a column of this name of their own; rename it "
                "in the input"
            )


def check_stands_alone(config: TrainConfig) -> None:
    """Refuse runs whose decision on an event depends on more than the event."""
    env = config.task
    reasons = {
        "its policy remembers the events of an episode (policy='lstm'), and new traffic has no "
        "episodes": config.ppo.policy == "lstm",
        "its actions change what comes next (dynamics='response')": env.dynamics == "response",
        "its sensors watch specifications about true labels (stl.observe)": env.stl.observe,
        "its shield masks actions by the decisions before (stl.shield)": env.stl.shield,
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
        self._payoffs: list[Float32Array] = []

    def add(self, table: TrafficTable, rollout: Rollout) -> None:
        """Count a chunk."""
        self._labels.append(table.labels)
        self._payoffs.append(event_payoffs(self._env.reward, table))
        self._rollouts.append(rollout)

    def metrics(self, labelled: bool) -> dict[str, Any]:
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
        payoffs, rows = np.concatenate(self._payoffs), np.arange(len(labels))

        def scored(chosen: Int8Array, ranks: Float64Array | None = None) -> dict[str, Any]:
            return score(labels, chosen, reward, ranks, payoffs[rows, chosen]).as_dict()

        references = simple_baselines(self._env, labels)
        return found | {
            "threat_rate": float(labels.mean()),
            "decision": scored(decisions, scores),
            "agents": {f"sensor_{i}": scored(one) for i, one in enumerate(actions.T)},
            "baselines": {name: scored(one.decisions) for name, one in references.items()},
        }


def ahead(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The chunks, each read and scaled by a thread while the one before is decided on."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = reader.submit(next, chunks, None)
            yield chunk


def _as_rows(chunk: Chunk, rollout: Rollout, reasons: Sequence[str]) -> Any:
    """The rows of some events, as an arrow record batch."""
    agents = rollout.actions.shape[1]
    columns = {
        _EVENT: pa.array(chunk.events),
        **chunk.carried,
        _DECISION: _named(rollout.decisions),
        _SCORE: pa.array(rollout.scores.astype(np.float32)),
        **{f"sensor_{i}": _named(rollout.actions[:, i]) for i in range(agents)},
        _REASON: pa.array(reasons, pa.string()),
    }
    return pa.record_batch(list(columns.values()), names=list(columns))


def _named(actions: Int8Array) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(actions), _NAMES)
