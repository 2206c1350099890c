"""The actions, and names for the arrays that pass between modules.

Shapes are written with these symbols: ``lanes`` (independent copies of the stream),
``agents`` (sensors), ``features`` (columns of the table), ``width`` (columns of one
observation: features and context), ``rows`` (events of a table).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from marl_stl_env.errors import InvalidActionError


class Action(IntEnum):
    """What a sensor says about an event, and what the team decides."""

    ALLOW = 0
    BLOCK = 1
    QUARANTINE = 2
    ALERT = 3


ACTIONS = len(Action)
#: ``THREAT_VOTE[action]`` is True where the action is a vote for "threat".
THREAT_VOTE: NDArray[np.bool_] = np.array(
    [action in (Action.BLOCK, Action.QUARANTINE) for action in Action]
)

BoolArray: TypeAlias = NDArray[np.bool_]
Float32Array: TypeAlias = NDArray[np.float32]
Float64Array: TypeAlias = NDArray[np.float64]
Int8Array: TypeAlias = NDArray[np.int8]
Int32Array: TypeAlias = NDArray[np.int32]
IntArray: TypeAlias = NDArray[np.int64]
AnyArray: TypeAlias = NDArray[Any]

_ACTION_BITS = 2
_BOOLS = frozenset({bool, np.bool_})
_KNOWN = ", ".join(f"{int(action)} {action.name}" for action in Action)


def unchanging(array: AnyArray) -> AnyArray:
    """The array itself, made read-only: it is handed out again and again."""
    array.setflags(write=False)
    return array


def as_integers(given: Any, shape: tuple[int, ...]) -> AnyArray:
    """Actions as a caller gives them, checked but for their range.

    Args:
        given: Integers of this shape, or with one more axis of length 1; a number, a sequence or
            an array of any library on the host.
        shape: The shape wanted; ``()`` is one action.

    Returns:
        An array that may be the caller's.  # shape, integer

    Raises:
        InvalidActionError: If there are too many or too few, or if any is not an integer (True
            and 1.0 are none).
    """
    try:
        actions = np.asarray(given)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise InvalidActionError(f"{_wanted(shape)}, not {given!r:.80}: {error}") from None
    # In a list numpy takes True for the integer 1.
    hidden = isinstance(given, list | tuple) and not _BOOLS.isdisjoint(map(type, given))
    if actions.shape not in (shape, (*shape, 1)) or actions.dtype.kind not in "iu" or hidden:
        kind = "bool among integers" if hidden else actions.dtype
        raise InvalidActionError(f"{_wanted(shape)}, not {kind} of shape {actions.shape}")
    return actions if actions.shape == shape else actions.reshape(shape)


def as_actions(given: Any, shape: tuple[int, ...]) -> Int8Array:
    """Actions as a caller gives them, checked.

    Args:
        given: As for :func:`as_integers`.
        shape: The shape wanted; ``()`` is one action.

    Returns:
        A fresh array.  # shape, int8

    Raises:
        InvalidActionError: As :func:`as_integers`, and if one is no member of :class:`Action`.
    """
    actions = as_integers(given, shape)
    if np.bitwise_or.reduce(actions, axis=None) >> _ACTION_BITS:
        wrong = np.unique(actions[(actions < 0) | (actions >= ACTIONS)])[:10]
        raise InvalidActionError(
            f"actions must lie in 0..{ACTIONS - 1} ({_KNOWN}); got {wrong.tolist()}"
        )
    return actions.astype(np.int8)


def _wanted(shape: tuple[int, ...]) -> str:
    return f"actions must be integers of shape {shape}"
