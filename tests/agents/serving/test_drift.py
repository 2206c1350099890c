"""A server says when its traffic is no longer that of the training, also after a kill."""

from __future__ import annotations

import json
from pathlib import Path

from marl_stl_agents.evaluation.drift.watch import ALARMS
from marl_stl_agents.serving.metrics import metrics_page
from marl_stl_agents.serving.server import STATE
from marl_stl_agents.serving.snapshot import Snapshot
from marl_stl_agents.serving.status import summary

from tests.agents.serving.conftest import Served


def test_drift_of_a_served_log(served: Served, tmp_path: Path) -> None:
    frame = served.frame.assign(duration=served.frame["duration"] * 20)
    text = frame.to_csv(index=False, header=False)
    content = served.lines[0] + text.encode() * (ALARMS * 1100 // len(frame) + 1)
    path = tmp_path / "flows.csv"
    path.write_bytes(content[: len(content) // 2])
    large = {"block_bytes": 1 << 18, "snapshot_seconds": 60.0}
    half = served.server(tmp_path, **large)
    half.run(until_end=True)
    half.close()
    assert summary(half.status)["certificates_cover_traffic"] is True
    with path.open("ab") as log:
        log.write(content[len(content) // 2 :])
    one = served.server(tmp_path, **large)
    assert one.status.drift == half.status.drift
    one.run(until_end=True)
    one.close()
    found = summary(one.status)
    assert found["drift"]["windows"] == found["drift"]["alarms"] == ALARMS
    assert found["drift"]["moved"][0] == "duration"
    assert found["certificates_cover_traffic"] is False
    assert found["status"] == "ok"
    lines = metrics_page(one.status).splitlines()
    assert 'marl_stl_column_moved{column="duration"} 1.0' in lines
    assert "marl_stl_certificates_cover_traffic 0.0" in lines
    state = Snapshot.read(tmp_path / "out" / STATE)
    assert state is not None
    assert state.facts["drift"]["events"] == one.status.counts["events"]
    json.dumps(found)
