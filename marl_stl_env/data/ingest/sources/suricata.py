"""Suricata's ``eve.json``; of its records, those of flows."""

from marl_stl_env.data.ingest.sources.source import Source

SOURCE = Source(
    name="suricata",
    summary="Suricata eve.json; records of event_type flow, others are passed over",
    json=True,
    only=("event_type", "flow"),
    times={"timestamp": (), "flow.start": (), "flow.end": ()},
)
