"""Files of decisions that other programs made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from marl_stl_agents.evaluation.baselines import decision_rule

from benchmarks.leaderboard.track import Result, Track, of_decisions, of_votes
from marl_stl_env.errors import SubmissionError
from marl_stl_env.types import Action, Int8Array


def check_decisions(path: Path, track: Track, seed: int | None, **more: Any) -> Result:
    """The result of decisions that another program made on the test events of a track.

    Args:
        path: A Parquet file with a row for every test event: ``event`` (0 for the first one),
            ``decision`` and, where a team voted, ``sensor_0`` … ``sensor_{n-1}``; actions by name
            or value.
        track: The track of the submission.
        seed: Seed of the training.
        **more: Further fields of :class:`Result`.

    Raises:
        SubmissionError: If events are missing or repeated, an action is unknown, or the decisions
            are not the vote of the sensors.
    """
    table = track.prepare().tables["test"]
    frame = read_decisions(path, len(table))
    decisions = actions_of(path, frame["decision"])
    sensors = [name for name in frame if str(name).startswith("sensor_")]
    if not sensors:
        return of_decisions(track.env, table, decisions, seed=seed, **more)
    wanted = [f"sensor_{i}" for i in range(len(sensors))]
    if sorted(sensors) != sorted(wanted):
        raise SubmissionError(f"{path} has columns {sensors}; sensors are {wanted}")
    actions = np.stack([actions_of(path, frame[name]) for name in wanted], axis=1)
    env = replace(track.env, agents=len(wanted))
    wrong = np.flatnonzero(decision_rule(env)(actions) != decisions)
    if len(wrong):
        raise SubmissionError(
            f"{path}: on event {wrong[0]} (and {len(wrong) - 1} more) the decision is not the vote "
            f"of the {len(wanted)} sensors; leave their columns out if another rule decides"
        )
    return of_votes(env, table, actions, seed=seed, **more)


def read_decisions(path: Path, events: int) -> Any:
    """The rows of a file of decisions, by event.

    Raises:
        SubmissionError: If it cannot be read, or events are missing or repeated.
    """
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise SubmissionError(f"{path} cannot be read as Parquet: {error}") from None
    for name in ("event", "decision"):
        if name not in frame:
            raise SubmissionError(
                f"{path} has no column {name!r}; it has {', '.join(map(str, frame.columns))}"
            )
    frame = frame.sort_values("event")
    if not np.array_equal(frame["event"].to_numpy(), np.arange(events)):
        raise SubmissionError(
            f"{path}: column 'event' must hold every test event from 0 to {events - 1} once; it "
            f"has {len(frame)} rows, {frame['event'].nunique()} of them different"
        )
    return frame


def actions_of(path: Path, column: Any) -> Int8Array:
    """A column of actions, by name or value.  # (rows,) int8.

    Raises:
        SubmissionError: If an action is unknown.
    """
    known = {name: int(action) for action in Action for name in (action.name, int(action))}
    values = column.astype(object).map(known)
    if values.isna().any():
        raise SubmissionError(
            f"{path}: column {column.name!r} holds {column[values.isna()].iloc[0]}; actions are "
            f"{', '.join(f'{action.name} ({int(action)})' for action in Action)}"
        )
    actions: Int8Array = values.to_numpy(np.int8)
    return actions
