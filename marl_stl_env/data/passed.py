"""Tables that are passed in Python, in place of a data set's files."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from marl_stl_env.config import DataConfig
from marl_stl_env.data.registry import load_dataset, parse_options
from marl_stl_env.data.table import ROW_ARRAYS, TrafficTable
from marl_stl_env.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

#: What stands in place of a file among the sources of a table that was passed.
FRAME, TABLE = "DataFrame passed in Python", "TrafficTable passed in Python"


def passed_table(config: DataConfig, table: TrafficTable | pd.DataFrame) -> TrafficTable:
    """A raw table with the digest of its content as its source.

    Args:
        config: For a data frame its options say which column is what, as for a CSV file:
            ``DataConfig(dataset="custom", dataset_options={"label": "is_attack"})``.
        table: A pandas DataFrame, or a raw table.

    Raises:
        ConfigError: If the options are not those of a data frame.
        DataError: If the frame cannot be read.
    """
    if isinstance(table, TrafficTable):
        return replace(table, source={TABLE: table_digest(table)})
    options = parse_options(config.dataset_options)
    if config.dataset != "custom" or "path" in options:
        given = f"path={options['path']!r}" if "path" in options else f"dataset={config.dataset!r}"
        raise ConfigError(
            f"{given} with a table in table=: name its columns with dataset='custom' and "
            "dataset_options={'label': COLUMN, ...}, without path"
        )
    read = load_dataset("custom", frame=table, **options)
    return replace(read, source={FRAME: table_digest(read)})


def table_digest(table: TrafficTable) -> str:
    """The sha256 of all that a raw table holds but its name, notes and sources."""
    state, digest = table.state(), hashlib.sha256()
    for name in ROW_ARRAYS:
        array = state[name]
        digest.update(name.encode())
        if array is not None:
            digest.update(f"{array.shape} {array.dtype.str}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    for name in ("family_names", "feature_names", "views", "categories"):
        digest.update(f"{name} {state[name]!r}".encode())
    return digest.hexdigest()
