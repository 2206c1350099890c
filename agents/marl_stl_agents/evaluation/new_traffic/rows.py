"""Decisions as rows: one for each event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from marl_stl_agents.evaluation.rollouts import Rollout
from marl_stl_env.data.ingest.incoming import Chunk
from marl_stl_env.data.preprocess import Preprocessor
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import DecidingError
from marl_stl_env.types import Action, AnyArray, Int8Array

_Made = TypeVar("_Made")
EVENT, _DECISION, _SCORE, _REASON = "event", "decision", "threat_score", "reason"


def blank_table(preprocessor: Preprocessor) -> TrafficTable:
    """One event with the scaled columns of a preprocessor, and nothing in them."""
    width = len(preprocessor.feature_names)
    return TrafficTable(
        name="blank",
        labels=np.zeros(1, np.bool_),
        families=np.zeros(1, np.int16),
        family_names=("unlabelled",),
        entities=np.zeros(1, np.int32),
        **preprocessor.described(np.zeros((1, width), np.float32)),
    )


def check_kept(keep: Sequence[str], agents: int) -> None:
    """Refuse columns to keep that have the name of a column of the decisions.

    Raises:
        DecidingError: If there is one.
    """
    own = {EVENT, _DECISION, _SCORE, _REASON, *(f"sensor_{i}" for i in range(agents))}
    for name in keep:
        if name in own:
            raise DecidingError(
                f"--keep {name}: the decisions have a column of this name of their own; rename it "
                "in the input"
            )


def as_rows(chunk: Chunk, rollout: Rollout, reasons: Sequence[str]) -> Any:
    """The rows of some events, as an arrow record batch."""
    agents = rollout.actions.shape[1]
    columns = {
        EVENT: pa.array(chunk.events),
        **chunk.carried,
        _DECISION: _named(rollout.decisions),
        _SCORE: pa.array(rollout.scores.astype(np.float32)),
        **{f"sensor_{i}": _named(rollout.actions[:, i]) for i in range(agents)},
        _REASON: pa.array(reasons, pa.string()),
    }
    return pa.record_batch(list(columns.values()), names=list(columns))


def _named(actions: Int8Array) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(actions), _action_names())


@cache
def _action_names() -> Any:
    """Made when it is needed: the first array that pyarrow makes imports pandas."""
    return pa.array([action.name for action in Action])


def by_row(rows: AnyArray, make: Callable[[AnyArray], _Made]) -> list[_Made]:
    """What is made of each row, once for rows that are equal: of votes there are few.

    Args:
        rows: Any rows of numbers.  # (rows, columns)
        make: Makes something of one of them.
    """
    whole = np.ascontiguousarray(rows)
    keys = whole.view(f"V{whole.itemsize * whole.shape[1]}").ravel().tolist()
    made = {key: make(np.frombuffer(key, whole.dtype)) for key in set(keys)}
    return [*map(made.__getitem__, keys)]
