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
from marl_stl_env.data.table import ROW_ARRAYS, TrafficTable
from marl_stl_env.types import Float32Array, Float64Array

#: Events that are scored at most; a team that remembers decides on one after the other.
_MOST, _MOST_IN_ORDER = 1 << 16, 1 << 13
#: Neighbouring events that are scored together.
_STRETCH = 1 << 10


class KnownTraffic:
    """The training and validation splits as one stream, in the order of the data.

    Equal events stand in the same split, so that a split alone lacks some of them altogether.

    Args:
        prepared: The data of a run.
    """

    def __init__(self, prepared: PreparedData) -> None:
        self._tables = [prepared.tables[name] for name in ("train", "validation")]
        rows = [prepared.rows[name] for name in ("train", "validation")]
        self._order = np.argsort(np.concatenate(rows), kind="stable")

    def __len__(self) -> int:
        return len(self._order)

    def table(self, start: int, stop: int) -> TrafficTable:
        """Scaled events, from one place to before another."""
        part, first = self._order[start:stop], len(self._tables[0])
        places = [np.flatnonzero(part < first), np.flatnonzero(part >= first)]
        states = [
            table.take(part[at] - before).state()
            for table, at, before in zip(self._tables, places, (0, first), strict=True)
            if len(at)
        ]
        back = np.argsort(np.concatenate(places))
        joined = {
            name: np.concatenate([state[name] for state in states])[back]
            for name in ROW_ARRAYS
            if states[0][name] is not None
        }
        return TrafficTable.of_checked(states[0] | joined)

    def features(self, start: int, stop: int) -> Float32Array:
        """Their scaled features.  # (stop - start, features) float32."""
        return self.table(start, stop).features

    def stretches(self, most: int) -> list[tuple[int, int]]:
        """Where stretches of neighbouring events begin and end, spread evenly."""
        count = min(most, len(self)) // _STRETCH
        if count < 2 or len(self) <= most:
            return [(0, min(most, len(self)))]
        starts = np.linspace(0, len(self) - _STRETCH, count).astype(int).tolist()
        return [(start, start + _STRETCH) for start in starts]


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
    team, known = load_team(run, device=device, threads=threads), KnownTraffic(prepared)
    most = _MOST_IN_ORDER if team.remembers else _MOST
    parts = [known.table(*ends) for ends in known.stretches(most)]
    scores = np.concatenate([threat_scores(team, part) for part in parts])
    columns = prepared.preprocessor.columns
    reference = Reference.of(columns, len(known), known.features, scores)
    if reference is None:
        return None
    held_out = prepared.tables["validation"]
    held_out = held_out.take(np.arange(min(len(held_out), most)))
    watch = DriftWatch(reference)
    watch.add(held_out.features, threat_scores(team, held_out))
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
