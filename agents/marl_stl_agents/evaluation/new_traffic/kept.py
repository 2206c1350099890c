"""What a finished training keeps beside its weights, for the traffic to come."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from marl_stl_agents.config import Device
from marl_stl_agents.evaluation.drift.reference import Reference
from marl_stl_agents.evaluation.drift.watch import DriftWatch
from marl_stl_agents.evaluation.new_traffic.team import Team, load_team
from marl_stl_agents.evaluation.result import read_result
from marl_stl_agents.run_directory import DRIFT, EVALUATION, VALIDATION
from marl_stl_env.data.ingest.incoming import Chunk
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.types import Float64Array

#: Validation events whose scores are kept; a team that remembers decides on one after the other.
_MOST = 1 << 14


def keep_reference(
    run: Path, prepared: PreparedData, device: Device = "auto", threads: int = 1
) -> Reference | None:
    """Write what new traffic is compared with into a run directory.

    Args:
        run: The run directory, with the best checkpoint of the team.
        prepared: Its data.
        device: Where torch computes.
        threads: Threads of torch.

    Returns:
        What was written; None, and no file, where there are too few events.
    """
    (run / DRIFT).unlink(missing_ok=True)  # that of an earlier checkpoint
    team = load_team(run, device=device, threads=threads)
    held_out = prepared.tables["validation"]
    held_out = held_out.take(np.arange(min(len(held_out), _MOST)))
    scores = threat_scores(team, held_out)
    training = prepared.tables["train"].features
    reference = Reference.of(prepared.preprocessor.columns, training, scores)
    if reference is None:
        return None
    watch = DriftWatch(reference)
    watch.add(held_out.features, scores)
    reference = replace(reference, checked=(watch.windows, watch.alarms))
    reference.write(run / DRIFT)
    return reference


def threat_scores(team: Team, table: TrafficTable) -> Float64Array:
    """The threat scores of a team that meets scaled events as a stream.  # (rows,) float64."""
    rows = len(table)
    entities = None if table.entities is None else list(map(str, table.entities.tolist()))
    unknown = np.full(rows, -1, np.int8)
    chunk = Chunk(np.arange(rows), table, {}, unknown, entities)
    rollout, _ = team.stream(reason_columns=0).decide_chunk(chunk)
    return rollout.scores


def own_metrics(run: Path) -> dict[str, object] | None:
    """How good the team was on its run's own events; None where no evaluation is there.

    Returns:
        The ``split`` (test where it was evaluated, else validation), ``threat_rate``, and the
        metrics of its decisions.

    Raises:
        RunError: If the evaluation is damaged.
    """
    for name in (EVALUATION, VALIDATION):
        if (run / name).is_file():
            result = read_result(run / name)
            facts = {"split": result.split, "threat_rate": result.threat_rate}
            return {**facts, **result.decision.as_dict()}
    return None
