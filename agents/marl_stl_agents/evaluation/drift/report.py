"""What is said of drift beside decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from marl_stl_agents.evaluation.drift.compare import Comparer
from marl_stl_agents.evaluation.drift.reference import Reference
from marl_stl_agents.evaluation.drift.watch import DriftWatch
from marl_stl_agents.printable import command_line
from marl_stl_agents.run_directory import DRIFT


def reference_of(run: Path) -> Reference | None:
    """The reference that the training of a run kept; None where there is none.

    Raises:
        RunError: If it is damaged.
    """
    return Reference.read(run / DRIFT)


def without_reference(run: Path) -> str:
    """How a run without a reference gets one."""
    written_by = command_line("evaluate", run, "--split", "validation")
    return (
        f"no drift is looked for: {run} has no {DRIFT}; `{written_by}` writes it where there are "
        "events enough (128 of training and validation)"
    )


def drift_summary(watch: DriftWatch) -> dict[str, Any]:
    """All events that a watch has seen as one window, and window after window, in JSON types."""
    reference = watch.reference
    whole = Comparer(reference, watch.events, watch.false_alarms).compare(*watch.totals)
    enough = watch.events >= reference.columns.length
    windows, alarms = reference.checked
    return {
        "events": watch.events,
        "enough_events": enough,
        "moved": list(whole.moved) if enough else [],
        "certificates_cover": not whole.moved if enough else None,
        "false_alarm_rate": watch.false_alarms,
        "validation": {"windows": windows, "alarms": alarms},
        "windows": {
            "events": watch.window,
            "count": watch.windows,
            "alarms": watch.alarms,
            "drifted_after": watch.first_drift,
        },
        "score_changes_after": list(watch.changes),
        "columns": [shift.as_dict() for shift in whole.shifts],
    }
