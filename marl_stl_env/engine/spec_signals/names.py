"""The names of the built-in signals."""

from __future__ import annotations

import re

import numpy as np

#: Counted events, each a bit of the history.
COUNTED = (
    "alerts", "quarantines", "threats", "misses", "benign", "false_alarms", "_denied", "_offered",
)  # fmt: skip
BIT = {name: np.uint8(1 << i) for i, name in enumerate(COUNTED)}
DERIVED = {
    "denied": ("_denied", "_offered"),
    "missed_margin": ("misses", "threats"),
    "false_alarm_margin": ("false_alarms", "benign"),
}
#: The number of entities met lately, beside the counts as the whole of a share.
PRESENT = ("_present", 0)
PLAIN = ("threat", "stopped", "isolated", "alerted", "reward")
RESPONSE = ("age", "quarantined", "quarantined_fraction")
REPEATED = "requarantined_benign"
WINDOWED = tuple(name for name in COUNTED if name[0] != "_") + tuple(DERIVED)


def kind_of(name: str) -> str:
    """A signal's name without its window."""
    return re.sub(r"_\d+$", "", name)
