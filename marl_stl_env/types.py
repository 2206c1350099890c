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
