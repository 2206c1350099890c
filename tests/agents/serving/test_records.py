"""Lines of decisions beside Python's own JSON of the decisions one by one."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
from marl_stl_agents.evaluation.new_traffic.decision import Decision, as_decisions
from marl_stl_agents.evaluation.rollouts import Rollout
from marl_stl_agents.serving.records import Decided
from marl_stl_agents.serving.status import Status

from marl_stl_env.data.ingest.incoming import Chunk
from tests.conftest import make_table

NAMES = ("posture", 'odd "name"')
ROWS = 60


def decided() -> Decided:
    rng = np.random.default_rng(0)
    flags = {n: rng.random(ROWS) < 0.3 for n in ("isolated", "granted", "refused", "shielded")}
    flags["refused"] &= ~flags["granted"]
    robustness = rng.normal(size=(ROWS, 2)).astype(np.float32)
    robustness[:5, 0] = np.inf
    rollout = Rollout(
        rng.integers(-1, 4, (ROWS, 5)).astype(np.int8), rng.integers(0, 4, ROWS).astype(np.int8),
        rng.random(ROWS), np.zeros(ROWS, np.float32), **flags, robustness=robustness,
    )  # fmt: skip
    times = 1.7e9 + rng.integers(-5, 50, ROWS).cumsum() / 3
    times[[3, 20]] = np.nan
    times[21:24] = [1700000000000.029, -0.1234565, 8.6e9]
    entities: list[Any] = [f"10.0.0.{n}" for n in rng.integers(0, 9, ROWS)]
    entities[:4] = [None, "\u00fc\\", 'a "host"', "\x00\n"]
    chunk = Chunk(
        np.arange(7, 7 + ROWS), make_table(ROWS), {}, np.full(ROWS, -1, np.int8), entities, times
    )
    reasons = [f"{n} of 5 for a threat; by \u00b5" for n in rng.integers(0, 5, ROWS)]
    keys = [f"C{n}" for n in range(ROWS - 2)] + ["\ud83d\ude00", '"']
    return Decided(chunk, rollout, reasons, keys, NAMES)


def one_by_one(found: Decided) -> list[Decision]:
    return as_decisions(found.chunk, found.rollout, found.reasons, found.specifications)


def finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(value, 6)


def test_lines_are_the_json_of_the_decisions() -> None:
    found = decided()
    lines = found.lines().decode().splitlines()
    assert len(lines) == ROWS
    for line, key, one in zip(lines, found.keys, one_by_one(found), strict=True):
        expected = {
            "event": one.event, "key": key, "time": finite(one.time), "entity": one.entity,
            "decision": one.action.name, "threat_score": round(one.threat_score, 6),
            "votes": [None if vote is None else vote.name for vote in one.votes],
            "reason": one.reason, "isolated": one.isolated,
            "alert": "granted" if one.granted else "refused" if one.refused else None,
            "specifications": {
                name: {"robustness": finite(left), "satisfied": left >= 0}
                for name, left in one.specifications.items()
            },
        }  # fmt: skip
        assert line == json.dumps(expected, separators=(",", ":"), allow_nan=False)


def test_counts_are_those_of_the_decisions() -> None:
    found, status = decided(), Status()
    status.add_decisions(found)
    status.add_decisions(found)
    ones = one_by_one(found) * 2
    times = [one.time for one in ones if one.time is not None and np.isfinite(one.time)]
    assert status.counts["events"] == 2 * ROWS
    back = sum(later < earlier for earlier, later in itertools.pairwise(times))
    assert status.counts["clock_backwards"] == back > 1
    assert status.event_time == times[-1]
    for name, count in status.decisions.items():
        assert count == sum(one.action.name == name for one in ones)
    assert status.specifications == ones[-1].specifications
