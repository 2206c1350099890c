"""Numbers of foreign tables: other notations, and digits that single precision would lose."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from marl_stl_env.data import load_dataset
from marl_stl_env.data.ingest.texts import is_other_number
from marl_stl_env.errors import DataFormatError
from tests.data.tables import of_text

OTHER_NOTATIONS = [
    *("1.234,5", "1,5", "12 %", "12.5%", "0x1F", "1 234", "1'234.5"),
    *(
        "1.2 M",
        "0.5K",
        "512 B",
        "3KiB",
        "7 ms",
        "$5",
        "-€ 3.50",
        "4 €",
        "(12.5)",
        "\u22123",
        "1.0D+02",
    ),
]
WORDS = [
    *("10.0.0.1", "192.168.100.200", "tcp", "1.2.3", "a,b", "12:30:00"),
    *("5G", "B", "M", "3com", "h2", "(a)", "$HOME", "802.11b", "10base", "1d", "2 hosts"),
]


@pytest.mark.parametrize("text", OTHER_NOTATIONS)
def test_numbers_in_another_notation_are_refused(text: str, tmp_path: Path) -> None:
    rows = "".join(f"{value};{i % 2}\n" for i, value in enumerate(["abc", "-", text, "b"]))
    with pytest.raises(DataFormatError, match="looks like a number in another notation") as caught:
        of_text(tmp_path / "a.csv", "x;y\n" + rows, sep=";")
    assert (caught.value.row, caught.value.column) == (4, "x")
    table = of_text(tmp_path / "a.csv", "x;y\n" + rows, sep=";", categorical="x")
    assert table.categories["x"] == ("abc", "", text, "b")


@pytest.mark.parametrize("text", WORDS)
def test_texts_that_are_no_numbers(text: str) -> None:
    assert not is_other_number(text)


def test_a_number_that_comes_late_in_a_column_of_text(tmp_path: Path) -> None:
    rows = 100_000  # of 90 bytes: more than one block of 8 MB
    lines = [f"w{i % 7}{'o' * 85}d,{i % 2}" for i in range(rows)]
    lines[rows - 2] = "12,1"
    with pytest.raises(DataFormatError, match="'12' is a number, though") as caught:
        of_text(tmp_path / "a.csv", "x,y\n" + "\n".join(lines) + "\n")
    assert caught.value.row == rows


@pytest.mark.parametrize(
    "values",
    [
        [16777216, 16777217] * 20,
        [2**53 + i for i in range(40)],
        [1_500_000_000_000 + 1000 * i for i in range(40)],
        [1.5e9 + i for i in range(40)],
    ],
)
@pytest.mark.parametrize("text", [False, True])
def test_numbers_that_single_precision_merges(
    values: list[float], text: bool, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"x": values, "z": np.arange(40) ** 2, "y": np.arange(40) % 2})
    frame.to_csv(tmp_path / "a.csv", index=False)
    table = {"path": tmp_path / "a.csv"} if text else {"frame": frame}
    with pytest.raises(DataFormatError, match="single precision") as caught:
        load_dataset("custom", label="y", **table)
    assert caught.value.column == "x"


@pytest.mark.parametrize(
    "values",
    [
        pa.array([None if i == 3 else 2**60 + i % 7 for i in range(40)], pa.int64()),
        pa.array([None if i == 3 else 2**63 + i % 7 for i in range(40)], pa.uint64()),
        pa.array(["-" if i == 3 else str(2**60 + i % 7) for i in range(40)]),
        pa.array([str(10**30 + i % 7) for i in range(40)]),
        pa.array([Decimal(10**25 + i % 7) for i in range(40)], pa.decimal128(38, 0)),
    ],
    ids=str,
)
def test_missing_values_do_not_hide_that_others_are_merged(
    values: pa.Array, tmp_path: Path
) -> None:
    table = pa.table({"x": values, "z": np.arange(40) ** 2, "y": np.arange(40) % 2})
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataFormatError, match="single precision") as caught:
        load_dataset("custom", path=tmp_path / "a.parquet", label="y")
    assert (caught.value.row, caught.value.column) == (2, "x")


def test_large_counters_are_kept() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.integers(0, 2**32, 5000), "y": np.arange(5000) % 2})
    table = load_dataset("custom", frame=frame, label="y")
    np.testing.assert_allclose(table.features[:, 0], frame["x"], rtol=2**-24)
