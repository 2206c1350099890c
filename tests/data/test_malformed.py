"""Damaged and contradictory input: a typed error with file, row and column, and no trace left."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data import load_dataset, prepare
from marl_stl_env.data.ingest.cache import cache_dir
from marl_stl_env.errors import (
    ConfigError,
    DataFileNotFoundError,
    DataFormatError,
    DuplicateColumnError,
    LabelError,
    MarlStlError,
    MissingColumnError,
    SplitError,
    UnknownNameError,
)

from .samples import (
    CIC_COLUMNS,
    CTU_COLUMNS,
    CUSTOM_COLUMNS,
    CUSTOM_OPTIONS,
    SAMPLES,
    UNSW_COLUMNS,
    cic_rows,
    custom_rows,
    unsw_rows,
    write_csv,
)

Edit = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """One way in which a file can be wrong, and what must be said about it."""

    name: str
    edit: Edit  # damages the file
    error: type[MarlStlError]
    problem: str  # part of the message
    row: int | None = None
    column: str | None = None
    options: dict[str, Any] | None = None


def field(row: int, column: str, value: str, columns: tuple[str, ...]) -> Edit:
    """Overwrite one field; ``row`` is the line number, the header being line 1."""

    def edit(path: Path) -> None:
        lines = path.read_bytes().split(b"\n")
        fields = lines[row - 1].split(b",")
        fields[columns.index(column)] = value.encode("latin-1")
        lines[row - 1] = b",".join(fields)
        path.write_bytes(b"\n".join(lines))

    return edit


def line(row: int, text: str) -> Edit:
    """Insert a line, so that it becomes line ``row``."""

    def edit(path: Path) -> None:
        lines = path.read_text().split("\n")
        path.write_text("\n".join([*lines[: row - 1], text, *lines[row - 1 :]]))

    return edit


def content(data: bytes) -> Edit:
    return lambda path: path.write_bytes(data)


def changed(change: Callable[[bytes], bytes]) -> Edit:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def untouched(path: Path) -> None:
    assert path.exists()


def cell(row: int, column: str, value: str) -> Edit:
    return field(row, column, value, CUSTOM_COLUMNS)


def opts(**options: Any) -> dict[str, Any]:
    return options


HEADER = ",".join(CUSTOM_COLUMNS)
CUSTOM = [
    Case("empty file", content(b""), DataFormatError, "empty", 1),
    Case("blank first line", content(b"\n\n"), DataFormatError, "empty", 1),
    Case("header alone", content(HEADER.encode() + b"\n"), DataFormatError, "no rows"),
    Case("zip archive", content(b"PK\x03\x04abc"), DataFormatError, "zip archive; unpack"),
    Case("web page", content(b"<!DOCTYPE html><html>"), DataFormatError, "web page"),
    Case("utf-16", changed(lambda b: b.decode().encode("utf-16")), DataFormatError, "UTF-16"),
    Case("binary", content(bytes(range(256)) * 9), DataFormatError, "no text", 1),
    Case("parquet named csv", content(b"PAR1abc"), DataFormatError, r"\*\.parquet"),
    Case("no label column", cell(1, "is_attack", "truth"), MissingColumnError, "no such column",
         None, "is_attack"),
    Case("no entity column", cell(1, "host", "ip"), MissingColumnError, "it has bytes", None,
         "host"),
    Case("duplicate column", cell(1, "rate", "bytes"), DuplicateColumnError, "rename one", 1,
         "bytes"),
    Case("nameless column", cell(1, "rate", ""), DataFormatError, "name of column 3 is empty", 1),
    Case("field missing", line(5, "1,2,3"), DataFormatError, "3 fields instead of 8", 5),
    Case("field too many", line(9, "1,2,3,tcp,h1,5,none,0,9"), DataFormatError, "9 fields", 9),
    Case("cut off", changed(lambda b: b[:-20]), DataFormatError, "cut off", 241),
    Case("row of empty fields", line(7, "," * 7), LabelError, "'' is no label", 7, "is_attack"),
    Case("text in a number", cell(30, "bytes", "many"), DataFormatError,
         "'many' is not a number, though other rows hold numbers", 30, "bytes"),
    Case("number too large", cell(4, "rate", "1e300"), DataFormatError, "exceeds", 4, "rate"),
    Case("empty label", cell(6, "is_attack", ""), LabelError, "no label", 6, "is_attack"),
    Case("nan label", cell(6, "is_attack", "nan"), LabelError, "'nan' is no label", 6,
         "is_attack"),
    Case("inf label", cell(8, "is_attack", "inf"), LabelError, "'inf' is no label", 8,
         "is_attack"),
    Case("empty family", cell(9, "kind", " "), LabelError, "no family", 9, "kind"),
    Case("no time", cell(5, "when", ""), DataFormatError, "'' is not a finite", 5, "when"),
    Case("infinite time", cell(5, "when", "inf"), DataFormatError, "'inf' is not a finite", 5,
         "when"),
    Case("text for a time", cell(5, "when", "noon"), DataFormatError, "'noon' is not a number", 5,
         "when"),
    Case("text first", cell(2, "when", "noon"), DataFormatError, "no time", 2, "when"),
    Case("no utf-8", cell(2, "proto", "t\xe9p"), DataFormatError, "not UTF-8", 2, "proto"),
    Case("line break in a field", cell(3, "proto", '"t\np"'), DataFormatError, "line break", 3,
         "proto"),
    Case("open quote", cell(4, "proto", '"tcp'), DataFormatError, "fields instead"),
    Case("repeated header", line(50, HEADER), DataFormatError, "'bytes' is not a number", 50,
         "bytes"),
    Case("unknown benign value", untouched, LabelError, "do not occur; the labels are 0, 1",
         None, "is_attack", opts(benign_values="quiet")),
    Case("one benign value too many", untouched, LabelError, "quiet do not occur", None,
         "is_attack", opts(benign_values=["0", "quiet"])),
    Case("label unknown", untouched, MissingColumnError, "no such column", None, "klass",
         opts(label="klass")),
    Case("drop unknown", untouched, MissingColumnError, "no such column", None, "id",
         opts(drop="id")),
    Case("view unknown", untouched, MissingColumnError, "no such column", None, "zz",
         opts(views={"a": ["zz"]})),
    Case("label as a feature", untouched, ConfigError, "is no feature", None, None,
         opts(views={"a": ["is_attack"]})),
    Case("empty view", untouched, ConfigError, "no column", None, None, opts(views={"a": []})),
    Case("unseen columns", untouched, ConfigError, "no view shows packets", None, None,
         opts(views={"a": ["bytes"]})),
    Case("no label named", untouched, ConfigError, "needs label=", None, None,
         opts(label=None)),
    Case("nothing left", untouched, DataFormatError, "no column is left", None, None,
         opts(drop="bytes,packets,rate,proto")),
]  # fmt: skip


def check(case: Case, name: str, path: Path, folder: Path, options: dict[str, Any]) -> None:
    case.edit(path)
    tables = cache_dir() / "tables"
    before = set(tables.glob("*")) if tables.exists() else set()
    with pytest.raises(case.error, match=case.problem) as caught:
        load_dataset(name, data_dir=folder, **options | (case.options or {}))
    assert type(caught.value) is case.error
    if isinstance(caught.value, DataFormatError):
        assert path.name in str(caught.value)
        if case.row is not None:
            assert caught.value.row == case.row
        if case.column is not None:
            assert caught.value.column == case.column
    assert (set(tables.glob("*")) if tables.exists() else set()) == before


@pytest.mark.parametrize("case", CUSTOM, ids=lambda case: case.name)
def test_custom_csv(case: Case, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "flows.csv", custom_rows(), CUSTOM_COLUMNS)
    check(case, "custom", path, tmp_path, {"path": str(path), **CUSTOM_OPTIONS})


UNSW = [
    Case("label 2", field(5, "label", "2", UNSW_COLUMNS), LabelError, "neither 0 nor 1", 5,
         "label"),
    Case("label at odds", field(2, "label", "1", UNSW_COLUMNS), LabelError, "contradicts", 2,
         "label"),
    Case("nan", field(9, "dur", "nan", UNSW_COLUMNS), DataFormatError, "not a finite", 9, "dur"),
    Case("text", field(9, "sjit", "x", UNSW_COLUMNS), DataFormatError, "'x' is not a number", 9,
         "sjit"),
    Case("column gone", field(1, "sjit", "jit", UNSW_COLUMNS), MissingColumnError, "no such", None,
         "sjit"),
    Case("truncated", changed(lambda b: b[: len(b) // 2]), DataFormatError, "fields instead"),
]  # fmt: skip
CIC = [
    Case("no label", field(7, "Label", "", CIC_COLUMNS), LabelError, "no label", 7, "Label"),
    Case("number as label", field(7, "Label", "3", CIC_COLUMNS), LabelError, "no label", 7,
         "Label"),
    Case("text", field(4, "Idle Min", "idle", CIC_COLUMNS), DataFormatError, "'idle'", 4,
         "Idle Min"),
    Case("cut off", changed(lambda b: b[:-30]), DataFormatError, "fields instead of", 241),
    Case("column gone", field(1, "Idle Min", "Idle", CIC_COLUMNS), MissingColumnError, "no such",
         None, "Idle Min"),
]  # fmt: skip
CTU = [
    Case("unknown label", field(3, "Label", "flow=Odd", CTU_COLUMNS), LabelError, "no CTU-13", 3,
         "Label"),
    Case("no time", field(3, "StartTime", "late", CTU_COLUMNS), DataFormatError, "no time", 3,
         "StartTime"),
    Case("text", field(4, "TotPkts", "0x3", CTU_COLUMNS), DataFormatError, "not a number", 4,
         "TotPkts"),
]  # fmt: skip


@pytest.mark.parametrize("case", UNSW, ids=lambda case: case.name)
def test_unsw(case: Case, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "UNSW_NB15_training-set.csv", unsw_rows(0), UNSW_COLUMNS)
    check(case, "unsw-nb15", path, tmp_path, {})


@pytest.mark.parametrize("case", CIC, ids=lambda case: case.name)
def test_cic(case: Case, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "Monday.csv", cic_rows(), CIC_COLUMNS)
    check(case, "cic-ids2017", path, tmp_path, {})


@pytest.mark.parametrize("case", CTU, ids=lambda case: case.name)
def test_ctu(case: Case, tmp_path: Path) -> None:
    SAMPLES["ctu-13"](tmp_path)
    check(case, "ctu-13", tmp_path / "capture20110810.binetflow", tmp_path, {})


def test_ctu_background(tmp_path: Path) -> None:
    SAMPLES["ctu-13"](tmp_path)
    with pytest.raises(UnknownNameError, match="benign, drop"):
        load_dataset("ctu-13", data_dir=tmp_path, background="maybe")


def test_cic_kinds_of_files_are_not_mixed(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", cic_rows(), CIC_COLUMNS)
    write_csv(tmp_path / "b.csv", cic_rows(), ("Source IP", "Timestamp", *CIC_COLUMNS))
    with pytest.raises(DataFormatError, match=r"a\.csv: it has no Source IP"):
        load_dataset("cic-ids2017", data_dir=tmp_path)


GZ = [
    Case("not gzipped", content(b"0,tcp\n"), DataFormatError, "2 fields instead of 42", 1),
    Case("cut off", changed(lambda b: b[: len(b) // 2]), DataFormatError, "cannot be|fields"),
    Case("label without a dot", changed(lambda b: gzip.compress(
        gzip.decompress(b).replace(b"normal.", b"normal", 1))), LabelError, "no KDD Cup 1999 label",
        1, "label"),
    Case("noise", content(b"\x1f\x8b" + bytes(range(200))), DataFormatError, "cannot be unpacked"),
]  # fmt: skip


@pytest.mark.parametrize("case", GZ, ids=lambda case: case.name)
def test_kdd99(case: Case, tmp_path: Path) -> None:
    SAMPLES["kdd99"](tmp_path)
    check(case, "kdd99", tmp_path / "kddcup.data_10_percent.gz", tmp_path, {})


def frame() -> pd.DataFrame:
    table = pd.DataFrame(custom_rows())
    for name in ("bytes", "packets", "rate", "when", "is_attack"):
        table[name] = pd.to_numeric(table[name])
    return table


PARQUET: list[tuple[str, Edit, str]] = [
    ("truncated", changed(lambda b: b[: len(b) // 2]), "no Parquet file, or cut off"),
    ("no footer", changed(lambda b: b[:-8]), "no Parquet file"),
    ("empty", content(b""), "no Parquet file"),
    ("csv inside", content(b"a,b\n1,2\n"), "no Parquet file"),
    ("pages overwritten", changed(lambda b: b[:4] + b"\xff" * 900 + b[904:]), "damaged"),
]


@pytest.mark.parametrize(("name", "edit", "problem"), PARQUET, ids=[p[0] for p in PARQUET])
def test_parquet(name: str, edit: Edit, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "flows.parquet"
    frame().to_parquet(path)
    case = Case(name, edit, DataFormatError, problem)
    check(case, "custom", path, tmp_path, {"path": str(path), **CUSTOM_OPTIONS})


def load_frame(table: Any, **options: Any) -> Any:
    return load_dataset("custom", frame=table, **CUSTOM_OPTIONS | options)


def test_frames() -> None:
    good = frame()
    assert len(load_frame(good)) == len(good)
    mixed = good.assign(rate=[1, "x"] * (len(good) // 2))
    with pytest.raises(DataFormatError, match="column 'rate': the column mixes types"):
        load_frame(mixed)
    with pytest.raises(DataFormatError, match="list is no pandas DataFrame"):
        load_frame([1, 2])
    with pytest.raises(DataFormatError, match="the column name 7 is not text"):
        load_frame(good.rename(columns={"rate": 7}))
    with pytest.raises(DuplicateColumnError, match="'bytes'"):
        load_frame(good.rename(columns={"rate": "bytes"}))
    with pytest.raises(DataFormatError, match="column of times is no feature"):
        load_frame(good.assign(rate=pd.Timestamp("2020-01-01")))
    with pytest.raises(DataFormatError, match="no rows"):
        load_frame(good.iloc[:0])
    with pytest.raises(LabelError, match="row 4, column 'is_attack'"):
        load_frame(good.assign(is_attack=good["is_attack"].where(good.index != 3)))
    with pytest.raises(DataFormatError, match=r"row 3, column 'bytes': 1e\+300 exceeds"):
        load_frame(good.assign(bytes=np.where(good.index == 2, 1e300, good["bytes"])))
    with pytest.raises(ConfigError, match="either path=FILE or frame=DATAFRAME"):
        load_dataset("custom", label="x")


def test_identifier_as_a_feature() -> None:
    rows = 10_500
    table = pd.DataFrame({"id": [f"u{i}" for i in range(rows)], "y": [0, 1] * (rows // 2)})
    with pytest.raises(DataFormatError, match="column 'id': more than 10,000 different texts"):
        load_dataset("custom", frame=table, label="y")


def test_later_text_in_a_column_of_numbers(tmp_path: Path) -> None:
    rows = 1_200_000  # more than one block of 8 MB
    lines = [f"{i},{i % 2}" for i in range(rows)]
    lines[rows - 3] = "oops,1"
    path = tmp_path / "long.csv"
    path.write_text("x,y\n" + "\n".join(lines) + "\n")
    with pytest.raises(DataFormatError, match="'oops' is not a number") as caught:
        load_dataset("custom", path=path, label="y")
    assert (caught.value.row, caught.value.column) == (rows - 1, "x")


def test_one_class_only(tmp_path: Path) -> None:
    path = tmp_path / "calm.csv"
    path.write_text("x,y\n" + "".join(f"{i},0\n" for i in range(50)))
    options = {"path": path, "label": "y"}
    with pytest.raises(SplitError, match="0 threats and 50 benign"):
        prepare(EnvConfig(data=DataConfig(dataset="custom", dataset_options=options)))  # type: ignore[arg-type]
    assert not list((cache_dir() / "prepared").glob("*.tmp"))


def test_missing_path(tmp_path: Path) -> None:
    with pytest.raises(DataFileNotFoundError, match="check the option path="):
        load_dataset("custom", path=tmp_path / "none.csv", label="y")


@pytest.mark.parametrize("setting", ["path", "=1", "a=1"])
def test_malformed_options(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"dataset option|option of data set"):
        prepare(EnvConfig(data=DataConfig(dataset_options=("rows=2000", setting, "rows=1"))))
