"""What is computed of the counts and the outcome of a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from marl_stl_env.arrays import Arrays
from marl_stl_env.engine.spec_signals.counts import Key
from marl_stl_env.engine.spec_signals.names import PRESENT, REPEATED
from marl_stl_env.engine.spec_signals.rows import SignalRows
from marl_stl_env.engine.spec_signals.step import StepContext
from marl_stl_env.stl.specs import Allowances
from marl_stl_env.types import BoolArray, Float32Array, Int32Array, IntArray

#: Writes rows of the values, once the step was counted.
Update: TypeAlias = Callable[[StepContext], None]


def updates(
    plan: SignalRows,
    signals: Mapping[str, Key],
    episode_length: int,
    values: Float32Array,
    arrays: Arrays,
) -> Iterator[Update]:
    """All that has to be done in a step.

    Args:
        plan: The rows.
        signals: Name of every signal to its kind and window.
        episode_length: Steps of an episode.
        values: Counts and signals, changed in place.  # (rows, lanes) float32
        arrays: The array library and device.
    """
    if plan.margins.names:
        chosen = [signals[name] for name in plan.margins.names]
        yield _margins(plan, [_allowed(*one, episode_length) for one in chosen], values, arrays)
    if plan.shares.names:
        yield _shares(plan, values, arrays)
    for name, (kind, window) in signals.items():
        if kind == "age":
            yield _age(values[plan.rows[name]])
        elif kind == REPEATED:
            yield _repeated(window, values[plan.rows[name]], arrays)


def _margins(
    plan: SignalRows, allowed: list[IntArray], values: Float32Array, arrays: Arrays
) -> Update:
    """Errors that the specified rates would still allow in a window."""
    pairs = plan.margins
    parts, wholes, margins = values[pairs.parts], values[pairs.wholes], values[pairs.values]
    table = arrays.asarray(np.concatenate(allowed).astype(np.float32))
    firsts = np.cumsum([0, *(len(one) for one in allowed[:-1])], dtype=np.float32)
    # Of full shape: over few lanes, numpy's broadcasting takes longer than the operation.
    first = arrays.asarray(np.repeat(firsts[:, None], values.shape[1], axis=1))
    places: IntArray = arrays.asarray(np.zeros(first.shape, np.int64))

    def update(_: StepContext) -> None:
        places[:] = wholes + first
        margins[:] = arrays.take(table, places) - parts

    return update


def _shares(plan: SignalRows, values: Float32Array, arrays: Arrays) -> Update:
    """Parts of their wholes, 0 of nothing."""
    pairs = plan.shares
    parts, wholes, shares = values[pairs.parts], values[pairs.wholes], values[pairs.values]
    present = values[plan.keys.index(PRESENT)] if PRESENT in plan.keys else None
    one = arrays.asarray(np.array(1, np.float32))

    def update(step: StepContext) -> None:
        if present is not None:  # no entity is, before a lane's first vote
            present[:] = step.outcome.present
        shares[:] = parts / arrays.maximum(wholes, one)

    return update


def _age(ages: Float32Array) -> Update:
    def update(step: StepContext) -> None:
        ages[:] = step.outcome.age

    return update


def _repeated(window: int, repeated: Float32Array, arrays: Arrays) -> Update:
    """Whether a benign event's entity went back into quarantine within the window."""
    never, wide = (arrays.asarray(np.array(number, np.int32)) for number in (-1, window))

    def update(step: StepContext) -> None:
        since: Int32Array = step.outcome.requarantined
        again: BoolArray = since > never
        if not arrays.surely_none(again):
            again = again & (since < wide)
        repeated[:] = again

    return update


def _allowed(kind: str, window: int, episode_length: int) -> IntArray:
    """Errors that a window may hold, by its threats or benign events.  # (window + 1,) int64."""
    found = _allowances(window, max(episode_length, window))
    return found.missed if kind == "missed_margin" else found.false_alarms


@lru_cache(maxsize=8)
def _allowances(window: int, episode_length: int) -> Allowances:
    return Allowances.for_rates(window, episode_length)
