"""Variants of published files: clocks, headers, Zeek logs."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from marl_stl_env.data import Preprocessor, load_dataset
from marl_stl_env.data.datasets import cic_ids2017, unsw_nb15_raw, zeek
from marl_stl_env.data.ingest.incoming import IncomingTraffic
from marl_stl_env.data.registry import file_format
from marl_stl_env.errors import DataFormatError, LabelError

from .samples import (
    CIC_COLUMNS,
    SAMPLES,
    ZEEK_COLUMNS,
    cic_rows,
    unsw_raw_rows,
    write_csv,
    zeek_rows,
    zeek_text,
)


def hours(folder: Path, stamps: list[str]) -> list[int]:
    rows = cic_rows()[: len(stamps)]
    for row, stamp in zip(rows, stamps, strict=True):
        row["Timestamp"] = stamp
    path = write_csv(folder / "flows.csv", rows, ("Source IP", "Timestamp", *CIC_COLUMNS))
    path.write_bytes(path.read_text().encode("latin-1"))
    table = load_dataset("cic-ids2017", data_dir=folder)
    assert table.times is not None
    return [dt.datetime.fromtimestamp(time, dt.UTC).hour for time in table.times]


@pytest.mark.parametrize(
    ("stamps", "want"),
    [
        (["03/07/2017 02:00:00 AM", "03/07/2017 02:00:00 PM"], [2, 14]),
        (["3/7/2017 02:00", "3/7/2017 14:00"], [2, 14]),
        (["03/07/2017 08:55:58", "03/07/2017 12:01:00", "03/07/2017 01:00:00"], [8, 12, 13]),
        (["2017-07-03 02:00:00.5", "2017-07-03 03:00:00.5"], [2, 3]),
    ],
)
def test_the_clock_is_mended_only_where_it_is_broken(
    tmp_path: Path, stamps: list[str], want: list[int]
) -> None:
    assert hours(tmp_path, stamps) == want


def test_the_corrected_release_is_known_by_its_header(tmp_path: Path) -> None:
    rows = cic_rows()
    for i, row in enumerate(rows):
        row["Timestamp"] = f"2017-07-03 11:{i // 60:02d}:{i % 60:02d}.5"
        row["Label"] = ("BENIGN", "Bot", "Bot - Attempted")[i % 3]
    columns = ("Source IP", "Timestamp", *CIC_COLUMNS)
    original = write_csv(tmp_path / "a" / "flows.csv", rows, columns)
    text = original.read_text()
    names = {new: old for old, new in cic_ids2017._CORRECTED.items()}
    header, *lines = text.splitlines()
    header = ",".join(names.get(name, name) for name in header.split(","))
    (tmp_path / "b.csv").write_text("\n".join([header, *lines]) + "\n")
    want = load_dataset("cic-ids2017", data_dir=tmp_path / "a")
    table = load_dataset("cic-ids2017", path=tmp_path / "b.csv")
    np.testing.assert_array_equal(table.features, want.features)
    assert table.feature_names == cic_ids2017_features()
    assert dict(table.benign) == {"BENIGN": 80, "Bot - Attempted": 80}
    assert table.threat_rate == pytest.approx(1 / 3)


def cic_ids2017_features() -> tuple[str, ...]:
    return tuple(name for names in cic_ids2017._views().values() for name in names)


def test_the_header_of_the_unsw_feature_list(tmp_path: Path) -> None:
    names = [n if n != "ct_src_ltm" else "ct_src_ ltm" for n in unsw_nb15_raw.COLUMNS]
    path = write_csv(tmp_path / "raw.csv", unsw_raw_rows(), unsw_nb15_raw.COLUMNS)
    _, *lines = path.read_text().splitlines()
    path.write_text("\n".join([",".join(names), *lines]) + "\n")
    table = load_dataset("unsw-nb15-raw", path=path)
    assert "ct_src_ltm" in table.feature_names


def test_zeek_logs(tmp_path: Path) -> None:
    rows = zeek_rows()
    plain = zeek_text(rows, ZEEK_COLUMNS) + "#close\t2019-03-15-14-50-49\n"
    joined = zeek_text(rows, ZEEK_COLUMNS, joined="   ")
    (tmp_path / "a.log").write_text(plain)
    (tmp_path / "b.log").write_text(joined)
    (tmp_path / "c.log.gz").write_bytes(gzip.compress(plain.encode()))
    table = load_dataset("zeek", path=tmp_path / "a.log")
    assert table.labels.tolist() == [row["label"] == "Malicious" for row in rows]
    assert [table.family_names[code] for code in table.families[:6]] == [
        "benign", "DDoS", "benign", "background", "benign", "C&C",
    ]  # fmt: skip
    assert dict(table.benign) == {"benign": 120, "background": 60}
    assert table.times is not None
    assert table.times[0] == pytest.approx(1545403816.9)
    assert table.entities is not None
    assert set(table.entities.tolist()) == set(range(6))
    assert table.categories["service"] == ("", "dns", "http")
    column = table.features[:, table.feature_names.index("orig_bytes")]
    np.testing.assert_array_equal(column, [float(row["orig_bytes"]) for row in rows])
    for name in ("b.log", "c.log.gz"):
        other = load_dataset("zeek", path=tmp_path / name)
        np.testing.assert_array_equal(other.features, table.features)
        np.testing.assert_array_equal(other.families, table.families)


def test_zeek_json_lines(tmp_path: Path) -> None:
    numbers = {n for v in zeek.VIEWS.values() for n in v} - set(zeek.CATEGORICAL) | {"ts"}
    rows = zeek_rows()
    kept = [
        {n: float(v) if n in numbers else v for n, v in row.items() if v != "-"} for row in rows
    ]
    (tmp_path / "a.log").write_text("".join(json.dumps(row) + "\n" for row in kept))
    (tmp_path / "b.log").write_text(zeek_text(rows, ZEEK_COLUMNS))
    one, two = (load_dataset("zeek", path=tmp_path / name) for name in ("a.log", "b.log"))
    np.testing.assert_array_equal(one.features, two.features)
    np.testing.assert_array_equal(one.families, two.families)


def test_zeek_logs_without_labels(tmp_path: Path) -> None:
    text = zeek_text(zeek_rows(), ZEEK_COLUMNS)
    (tmp_path / "a.log").write_text(text)
    table = load_dataset("zeek", path=tmp_path / "a.log")
    (tmp_path / "b.log").write_text(zeek_text(zeek_rows(), ZEEK_COLUMNS[:-2]))
    with pytest.raises(DataFormatError, match="no labels"):
        load_dataset("zeek", path=tmp_path / "b.log")
    new = IncomingTraffic(
        tmp_path / "b.log", "zeek", file_format("zeek", {}), Preprocessor.fit(table)
    )
    assert not new.labelled
    assert sum(len(chunk.events) for chunk in new.chunks()) == len(table)


def test_malformed_zeek_logs(tmp_path: Path) -> None:
    path, text = tmp_path / "a.log", zeek_text(zeek_rows(), ZEEK_COLUMNS)
    path.write_text("ts,uid\n1,2\n")
    with pytest.raises(DataFormatError, match="no Zeek log"):
        load_dataset("zeek", path=path)
    path.write_text(text.replace("Malicious", "Odd", 1))
    with pytest.raises(LabelError, match="'Odd' is no label") as caught:
        load_dataset("zeek", path=path)
    assert caught.value.row == 7
    path.write_text('{"ts": 1\n')
    with pytest.raises(DataFormatError, match="no JSON lines"):
        load_dataset("zeek", path=path)


def resaved(path: Path) -> None:
    """Write a file anew as a German spreadsheet would."""
    plain = path.read_bytes()
    text = (gzip.decompress(plain) if path.suffix == ".gz" else plain).decode("cp1252")
    written = text.replace(",", ";").encode("utf-16")
    path.write_bytes(gzip.compress(written) if path.suffix == ".gz" else written)


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in ("synthetic", "zeek")])
def test_files_saved_anew(name: str, tmp_path: Path) -> None:
    options = SAMPLES[name](tmp_path)
    want = load_dataset(name, data_dir=tmp_path, **options)
    for path in filter(Path.is_file, tmp_path.rglob("*")):
        resaved(path)
    with pytest.raises(DataFormatError, match="give encoding=utf-16"):
        load_dataset(name, data_dir=tmp_path, **options)
    options |= {"encoding": "utf-16"}
    with pytest.raises(DataFormatError, match="give sep=semicolon"):
        load_dataset(name, data_dir=tmp_path, **options)
    options |= {"sep": "semicolon"}
    table = load_dataset(name, data_dir=tmp_path, **options)
    np.testing.assert_array_equal(table.features, want.features)
    np.testing.assert_array_equal(table.labels, want.labels)
    assert (table.feature_names, table.categories) == (want.feature_names, want.categories)
    form = file_format(name, options).dialect  # as the input of new traffic is read
    assert form is not None
    assert (form.sep, form.encoding) == (";", "utf-16")
