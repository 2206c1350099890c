"""Drift in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from marl_stl_agents.console.output import say, warn

_NAMED = 5


def show_drift(found: Mapping[str, Any] | None, without: str) -> None:
    """Print whether new traffic is that of the training, and what it is not.

    Args:
        found: What ``drift_summary`` gave; None without a reference.
        without: What is said then.
    """
    if found is None:
        say(without)
        return
    if not found["enough_events"]:
        say(f"drift: {found['events']:,} events are too few to tell")
        return
    told = _windows(found)
    if found["certificates_cover"]:
        say(f"drift: none, no column has moved; {told}")
        return
    shifts = {one["name"]: one for one in found["columns"]}
    warn(
        f"drift: {_named(found['moved'], shifts)}; {told}. Metrics and certificates of the run do "
        "not cover this traffic: evaluate the team on labelled events of it, or train anew"
    )


def _windows(found: Mapping[str, Any]) -> str:
    """How many windows have an alarm, in new traffic and in the validation split."""
    windows, before = found["windows"], found["validation"]
    if not windows["count"]:
        return f"compared as a whole, since a window has {windows['events']:,} events"
    return (
        f"{windows['alarms']:,} of {windows['count']:,} windows of {windows['events']:,} events "
        f"have an alarm (false alarms: {found['false_alarm_rate']:.0%}; on the validation split "
        f"{before['alarms']:,} of {before['windows']:,})"
    )


def _named(moved: Sequence[str], shifts: Mapping[str, Mapping[str, Any]]) -> str:
    """The columns that moved, each with its index; the threat score counts as one."""
    first = ", ".join(f"{name} (PSI {shifts[name]['psi']:.2f})" for name in moved[:_NAMED])
    more = f" and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
    return f"{len(moved)} of {len(shifts)} columns have moved: {first}{more}"
