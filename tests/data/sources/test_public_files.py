"""Public logs, read line by line, hold what the readers of the data sets find in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marl_stl_env.data.datasets import ctu_13, zeek
from marl_stl_env.data.ingest.build import Format
from marl_stl_env.data.ingest.clock import seconds
from marl_stl_env.data.ingest.sources.apply import Columns
from marl_stl_env.data.ingest.sources.catalogue import built_in_mapping, source_named
from marl_stl_env.data.ingest.sources.files import MalformedLines, line_batches
from marl_stl_env.data.ingest.sources.lines import LineReader

pytestmark = pytest.mark.data


def compare(path: Path, name: str, schema: str, form: Format, numeric: set[str]) -> int:
    """Compare every column, and return the number of rows."""
    kind, clock = source_named(name), str(form.clock)
    columns = Columns(built_in_mapping(name, schema), {*numeric, clock}, kind.times, [clock])
    malformed = MalformedLines()
    new = line_batches(path, LineReader(str(path), kind, columns), malformed)
    old = form.open(path)
    assert set(new.names) <= set(old.names)
    pairs: list[tuple[Any, Any]] = list(zip(new.read(new.names), old.read(new.names), strict=True))
    for found, wanted in pairs:
        np.testing.assert_array_equal(found.rows, wanted.rows)
        for column in new.names:
            if column == clock:
                expected = seconds(wanted, column, form.times)
            elif column in numeric:
                expected = wanted.numbers(column, missing=True)
            else:
                assert found.columns[column].to_pylist() == wanted.columns[column].to_pylist()
                continue
            np.testing.assert_array_equal(found.columns[column], expected, err_msg=column)
    assert malformed.count == 0
    return sum(len(found) for found, _ in pairs)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("stratosphere_008.conn.log.labeled", 5663),
        ("stratosphere_010.conn.log.labeled", 5347),
        ("iot23_34_1.conn.log.labeled", 23145),
    ],
)
def test_zeek(data_dir: Path, name: str, rows: int) -> None:
    numeric = {n for view in zeek.VIEWS.values() for n in view} - {*zeek.CATEGORICAL}
    path = data_dir / "zeek" / name
    assert compare(path, "zeek", "zeek", zeek.written(), numeric) == rows


def test_argus(data_dir: Path) -> None:
    numeric = {n for view in ctu_13.VIEWS.values() for n in view} - {*ctu_13.CATEGORICAL}
    path = data_dir / "ctu_13" / "scenario12_nobackground.binetflow"
    assert compare(path, "argus", "ctu-13", ctu_13.written(), numeric) == 9796
