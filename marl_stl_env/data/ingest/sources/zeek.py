"""Zeek's ``conn.log``, tab-separated or JSON, labelled or not."""

from marl_stl_env.data.ingest.sources.source import Source

SOURCE = Source(
    name="zeek",
    summary="Zeek conn.log, tab-separated or JSON lines",
    sep="\t",
    names_after=b"#fields\t",
    comment=b"#",
    joined=True,  # IoT-23 joins its label columns with three spaces
    times={"ts": ()},
)
