"""Argus flows as ``ra -c ,`` writes them, such as the ``*.binetflow`` files of CTU-13."""

from marl_stl_env.data.ingest.sources.source import Source

SOURCE = Source(
    name="argus",
    summary="Argus flows with commas (ra -c ,), such as *.binetflow",
    times=dict.fromkeys(
        ("StartTime", "LastTime"), ("%Y/%m/%d %H:%M:%S.%f", "%Y/%m/%d %H:%M:%S", "ISO8601")
    ),
)
