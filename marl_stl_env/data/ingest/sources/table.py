"""A table with columns of one's own: CSV, Parquet or JSON lines."""

from marl_stl_env.data.ingest.sources.source import Source

SOURCE = Source(name="table", summary="CSV, Parquet or JSON lines with columns of your own")
