"""Evaluates a submission again, and refuses one whose claims are not confirmed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint, list_checkpoints
from marl_stl_agents.config import TrainConfig
from marl_stl_agents.evaluation.baselines import bayes_baselines, simple_baselines
from marl_stl_agents.evaluation.byzantine import byzantine_metrics
from marl_stl_agents.evaluation.metrics import reward_per_event
from marl_stl_agents.evaluation.result import as_json, read_result
from marl_stl_agents.evaluation.rollout_metrics import result_of_rollout
from marl_stl_agents.evaluation.rollouts import Act, collect_rollout, greedy
from marl_stl_agents.printable import command_line
from marl_stl_agents.run_data import check_data
from marl_stl_agents.run_directory import EVALUATION, find_run, read_config

from benchmarks.leaderboard.track import Result, Track, of_decisions, worst_with_one
from marl_stl_env.config import EnvConfig, FaultConfig, Split
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.errors import RunError, SubmissionError

#: Processors round differently; one decision in ten thousand may differ between machines.
_EVENTS, _RATE = 1e-4, 2e-3
_COUNTS = ("tp", "tn", "fp", "fn")
_COMPARED = (
    "schema",
    "dataset",
    "split",
    "events",
    "threat_rate",
    "decision",
    "agents",
    "baselines",
    "normalized_score",
    "byzantine",
)


def check_run(run: Path, track: Track) -> tuple[TrainConfig, Result]:
    """Evaluate a run from its checkpoint and compare the result with its ``evaluation.json``.

    Args:
        run: The run directory.
        track: The track of the submission.

    Returns:
        Configuration and measured result of the run.

    Raises:
        RunError: If the directory is incomplete or damaged, or its data differs from the data here.
        SubmissionError: If it was trained for another track, or its claims are not confirmed.
    """
    run = find_run(run)
    config = read_config(run)
    track.check_config(run, config.env)
    claimed = _claim(run)
    prepared = prepare(
        replace(config.env, data=replace(config.env.data, data_dir=track.env.data.data_dir))
    )
    check_data(run, prepared)
    _check_choice(run, config, prepared)
    env = replace(config.env, faults=FaultConfig())
    table, act = prepared.tables["test"], _best(run, config, prepared)
    rollout = collect_rollout(env, table, act)
    references = simple_baselines(env, table.labels) | bayes_baselines(env, prepared, "test")
    byzantine = byzantine_metrics(env, table, act, rollout)
    result = result_of_rollout(env, prepared, "test", rollout, references)
    measured = as_json(replace(result, byzantine=byzantine))
    for name in _COMPARED:
        for place, claim, found in differences(claimed.get(name), measured[name], len(table), name):
            raise SubmissionError(
                f"{run / EVALUATION} claims {place}={claim!r}, but its checkpoint gives {found!r} "
                f"on the test split; evaluate it again: {command_line('evaluate', run)}"
            )
    steps = max(checkpoint.timesteps for checkpoint in list_checkpoints(run))
    worst = worst_with_one(byzantine)
    return config, of_decisions(
        env, table, rollout.decisions, seed=config.seed, one_byzantine=worst, agent_steps=steps
    )


def _claim(run: Path) -> dict[str, Any]:
    if not (run / EVALUATION).exists():
        raise SubmissionError(f"{run} is not evaluated yet: {command_line('evaluate', run)}")
    try:
        return as_json(read_result(run / EVALUATION))
    except RunError as error:
        raise SubmissionError(str(error)) from None


def _check_choice(run: Path, config: TrainConfig, prepared: PreparedData) -> None:
    """Refuse checkpoints whose validation reward, by which the best is chosen, is not confirmed."""
    table = prepared.tables["validation"]
    for checkpoint in list_checkpoints(run):
        act = greedy(_policy(checkpoint, config, prepared, "validation"))
        decisions = collect_rollout(config.env, table, act).decisions
        found = reward_per_event(table.labels, decisions, config.env.reward)
        if abs(found - checkpoint.reward) > _RATE:
            raise SubmissionError(
                f"{checkpoint.path} claims a reward of {checkpoint.reward:.4f} per validation "
                f"event, but reaches {found:.4f}; train the run again: "
                f"{command_line('train', '--restart', run)}"
            )


def _best(run: Path, config: TrainConfig, prepared: PreparedData) -> Act:
    return greedy(_policy(best_checkpoint(run), config, prepared, "test"))


def _policy(checkpoint: Any, config: TrainConfig, prepared: PreparedData, split: Split) -> Any:
    space = observation_space(Engine(config.env, prepared.tables[split], lanes=1))
    return saved_policy(checkpoint, space, torch.device("cpu"))


def differences(
    claim: Any, found: Any, events: int, place: str
) -> Iterator[tuple[str, object, object]]:
    """Differences between a claim and a measurement that exceed rounding.

    Args:
        claim: The claim.
        found: The measurement; keys that only the claim has are ignored.
        events: Events of the split.
        place: Place of both in the evaluation, as a dotted name.

    Yields:
        The place, the claim and the measurement.
    """
    if isinstance(found, dict) and isinstance(claim, dict):
        for name, value in found.items():
            yield from differences(claim.get(name), value, events, f"{place}.{name}")
    elif isinstance(found, list) and isinstance(claim, list) and len(claim) == len(found):
        for i, value in enumerate(found):
            yield from differences(claim[i], value, events, f"{place}[{i}]")
    elif isinstance(found, int | float) and isinstance(claim, int | float):
        allowed = _EVENTS * events if place.rsplit(".", 1)[-1] in _COUNTS else _RATE
        if not abs(claim - found) <= allowed:  # a claim may be NaN
            yield place, claim, found
    elif claim != found:
        yield place, claim, found


def team_of(env: EnvConfig) -> str:
    """A short description of a team."""
    views = f"random views of {env.random_share:g}" if env.random_share else env.views
    words = [f"{env.agents} sensor{'s' if env.agents > 1 else ''}, {views}"]
    if env.second_opinions:
        words.append(f"{env.second_opinions} with second opinions")
    if env.deliberation:
        words.append("deliberation")
    if env.faults.faulty:
        words.append(f"trained with {env.faults.faulty} faulty ({env.faults.fault})")
    return ", ".join(words)
