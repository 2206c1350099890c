"""nfdump's ``-o csv`` and ``-o json`` (or ``ndjson``) of NetFlow and IPFIX."""

from marl_stl_env.data.ingest.sources.source import Source

#: Names of the versions 1.6, 1.7 and of the fast CSV format of 1.7.
_TIMES = ("ts", "te", "first", "last", "t_first", "t_last")

SOURCE = Source(
    name="nfdump",
    summary="nfdump -o csv or -o json; -B joins both directions of a flow",
    footer=b"Summary",
    times=dict.fromkeys(_TIMES, ()),
)
