"""Tables as the field writes them: labels, missing values, types, separators, row numbers."""

from __future__ import annotations

import bz2
import datetime as dt
import decimal
import itertools
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from marl_stl_env.data import TrafficTable, load_dataset
from marl_stl_env.data.datasets.benign import spelled
from marl_stl_env.data.ingest.incoming import IncomingTraffic
from marl_stl_env.data.ingest.readers.decode import decoded
from marl_stl_env.data.preprocess import Preprocessor
from marl_stl_env.data.registry import file_format
from marl_stl_env.errors import (
    ConfigError,
    DataFileNotFoundError,
    DataFormatError,
    DuplicateColumnError,
    LabelError,
)
from tests.data.tables import of_text


def of_labels(labels: list[Any], **options: Any) -> TrafficTable:
    frame = pd.DataFrame({"x": np.arange(len(labels)) * 1.5, "y": labels})
    return load_dataset("custom", frame=frame, label="y", **options)


@pytest.mark.parametrize(
    ("labels", "threats"),
    [
        (["0", "0.0", "-0.0", "0e0", "1", "1.00"], [0, 0, 0, 0, 1, 1]),
        ([0.0, -0.0, 1.0], [0, 0, 1]),
        ([0, 1, 0], [0, 1, 0]),
        ([False, True], [0, 1]),
        (["normal.", " Normal ", "NORMAL", "neptune."], [0, 0, 0, 1]),
        (["benign", "normal", "DoS"], [0, 0, 1]),
    ],
)
def test_labels_are_compared_by_meaning(labels: list[Any], threats: list[int]) -> None:
    table = of_labels(labels)
    assert table.labels.tolist() == [bool(threat) for threat in threats]
    assert sum(table.benign.values()) == threats.count(0)


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (list(range(10)), "numbered classes"),
        ([0, 2], "numbered classes"),
        ([-1, 1], "do not occur"),
        (["0", "1", "DoS"], "mixed"),
        (["0", "1", "true"], "mixed"),
        (["benign", "clean", "DoS"], "clean may be as well"),
        (["normal", "BenignTraffic", "DoS"], "BenignTraffic may be as well"),
        (["benign", "not malicious", "DoS"], "not malicious may be as well"),
        (["legit", "DoS"], "do not occur"),
    ],
)
def test_unclear_labels_are_asked_about(labels: list[Any], problem: str) -> None:
    with pytest.raises(LabelError, match=rf"{problem}.*benign_values="):
        of_labels(labels)
    assert of_labels(labels, benign_values=[labels[0]]).labels.tolist() == [
        label != labels[0] for label in labels
    ]


def test_a_column_in_which_one_is_benign() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "is_benign": [0, 1, 1]})
    with pytest.raises(LabelError, match="suggests that 1 is benign"):
        load_dataset("custom", frame=frame, label="is_benign")
    table = load_dataset("custom", frame=frame, label="is_benign", benign_values=1)
    assert table.labels.tolist() == [True, False, False]
    assert table.label_notes()[0] == "benign labels: '1' (2 rows)"


@given(st.integers(-5, 5), st.sampled_from(["{}", "{}.0", "{}.00", " {} ", "{}e0", "{:+d}"]))
def test_numbers_have_one_spelling(value: int, form: str) -> None:
    assert spelled(form.format(value)) == str(value)


@pytest.mark.parametrize(
    "mark", ["-", "?", "n/a", "NaN", "<NA>", "", "(empty)", "\\N", "1.#QNAN", "none of it"]
)
def test_missing_values_in_every_role(tmp_path: Path, mark: str) -> None:
    rows = [
        ("1.5", "tcp", "h0", "scan", 1),
        (mark, mark, mark, mark, 0),
        ("2.5", "udp", "h1", "x", 1),
    ]
    rows += [(mark, "tcp", mark, "-", 0), ("3", "tcp", "h0", "benign", 0)]
    text = "x,proto,host,kind,y\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    options = {"entity": "host", "family": "kind", "missing": "none of it,nil"}
    table = of_text(tmp_path / "a.csv", text, **options)
    x = table.features[:, table.feature_names.index("x")]
    np.testing.assert_array_equal(x, np.array([1.5, np.nan, 2.5, np.nan, 3], np.float32))
    proto = table.features[:, table.feature_names.index("proto")].astype(int)
    assert [table.categories["proto"][code] for code in proto] == ["tcp", "", "udp", "tcp", "tcp"]
    assert table.entities is not None
    assert table.entities[0] == table.entities[4]
    assert len(set(table.entities.tolist())) == 4  # two hosts, and two events of nobody
    families = [table.family_names[code] for code in table.families]
    assert families == ["scan", "benign", "x", "benign", "benign"]
    with pytest.raises(LabelError, match="no family"):
        of_text(tmp_path / "b.csv", text.replace("scan", mark), **options)
    with pytest.raises(LabelError, match="no label"):
        of_text(tmp_path / "c.csv", text + f"1,tcp,h0,x,{mark}\n", **options)


KINDS: dict[str, tuple[Any, list[Any]]] = {
    "dictionary": (pa.array(["a", None, "b"]).dictionary_encode(), [b"a", None, b"b"]),
    "whole decimal": (pa.array([decimal.Decimal(7), None], pa.decimal128(38, 0)), [7, None]),
    "long decimal": (
        pa.array([decimal.Decimal(10**30 + 1), None], pa.decimal256(50, 0)),
        [b"1000000000000000000000000000001", None],
    ),
    "decimal": (pa.array([decimal.Decimal("1.25"), None]), [1.25, None]),
    "duration": (pa.array([dt.timedelta(milliseconds=2500), None]), [2.5, None]),
    "date": (pa.array([dt.date(1970, 1, 2)]), [dt.datetime(1970, 1, 2)]),
    "null": (pa.array([None, None]), [None, None]),
    "half": (pa.array([np.float16(1.5)]), [1.5]),
    "run ends": (
        pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a", "b"])),
        [b"a", b"a", b"b"],
    ),
    **{
        f"dictionary by {index}": (
            pa.array(["a", None, "b"]).dictionary_encode().cast(pa.dictionary(index, pa.string())),
            [b"a", None, b"b"],
        )
        for index in (pa.int8(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(), pa.int64())
    },
    **{
        str(kind): (pa.array(["ab", None]).cast(kind), [b"ab", None])
        for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.binary())
    },
    **{
        str(kind): (pa.array([b"ab", None], kind), [b"ab", None])
        for kind in (pa.large_binary(), pa.binary_view(), pa.binary(2))
    },
}


@pytest.mark.parametrize("name", KINDS)
def test_every_type_has_one_form(name: str) -> None:
    array, want = KINDS[name]
    assert decoded(array).to_pylist() == want


@pytest.mark.parametrize(
    "name", ["string_view", "large_binary", "dictionary by uint16", "large_string"]
)
def test_types_of_parquet_files(name: str, tmp_path: Path) -> None:
    kind = KINDS[name][0].type
    text = pa.array(["tcp", None, "udp", "tcp"])
    if name == "large_binary":
        text = pa.array([b"tcp", None, b"udp", b"tcp"])
    column = text.dictionary_encode().cast(kind) if name.startswith("dict") else text.cast(kind)
    table = pa.table({"proto": column, "x": [1.0, 2.0, 3.0, 5.0], "y": [0, 1, 0, 1]})
    parquet.write_table(table, tmp_path / "a.parquet")
    read = load_dataset("custom", path=tmp_path / "a.parquet", label="y")
    codes = read.features[:, read.feature_names.index("proto")].astype(int)
    assert [read.categories["proto"][code] for code in codes] == ["tcp", "", "udp", "tcp"]


def test_indices_and_row_numbers_are_left_out(tmp_path: Path) -> None:
    frame = pd.DataFrame({"bytes": [3.0, 9.0, 4.0, 7.0], "y": [0, 1, 0, 1]}, index=[7, 3, 1, 2])
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv")
    pd.read_csv(tmp_path / "a.csv").to_csv(tmp_path / "b.csv", index=False)
    frame.rename_axis("host").to_parquet(tmp_path / "c.parquet")
    frame.assign(id=[1, 2, 3, 4]).to_csv(tmp_path / "d.csv", index=False)
    for name, left in (
        ("a.parquet", "__index_level_0__"), ("a.csv", "Unnamed: 0"), ("b.csv", "Unnamed: 0"),
        ("c.parquet", "host"), ("d.csv", "id"),
    ):  # fmt: skip
        table = load_dataset("custom", path=tmp_path / name, label="y")
        assert table.feature_names == ("bytes",)
        assert table.notes == (f"left out {left}: it numbers the rows",)
    kept = load_dataset("custom", path=tmp_path / "c.parquet", label="y", entity="host")
    assert kept.entities is not None
    assert set(kept.entities.tolist()) == set(range(4))


def test_spaces_around_names_of_columns_are_no_part_of_them(tmp_path: Path) -> None:
    """One table has one set of names, whatever it is read from and however it is asked for."""
    frame = pd.DataFrame({" bytes ": [3.0, 9.0, 4.0, 7.0], "host ": list("abab"), " y": [0, 1] * 2})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    names: list[dict[str, Any]] = [
        {"label": "y", "entity": "host"},
        {"label": " y", "entity": "host ", "drop": ()},
    ]
    sources: list[dict[str, Any]] = [
        {"frame": frame},
        {"path": tmp_path / "a.csv"},
        {"path": tmp_path / "a.parquet"},
    ]
    for source, named in itertools.product(sources, names):
        table = load_dataset("custom", **source, **named)
        assert table.feature_names == ("bytes",)
        assert table.features.ravel().tolist() == [3.0, 9.0, 4.0, 7.0]
    views = {"flow": [" bytes "]}
    assert load_dataset("custom", frame=frame, label=" y", drop=["host "], views=views).views == {
        "flow": (0,)
    }
    with pytest.raises(DuplicateColumnError, match="rename one"):
        load_dataset("custom", frame=frame.assign(bytes=1.0), label="y")


def test_a_category_of_whole_numbers_has_one_name(tmp_path: Path) -> None:
    """pandas makes floats of a column of ports as soon as one of them is missing."""
    ports = pd.Series([80, 443, 80, 22, 443, 80])
    plain = pd.DataFrame({"port": ports, "x": np.arange(6) * 1.5, "y": [0, 1] * 3})
    gaps = plain.assign(port=ports.where(ports != 22))
    gaps.to_csv(tmp_path / "gaps.csv", index=False)
    assert "80.0" in (tmp_path / "gaps.csv").read_text()
    for source, last in (
        ({"frame": plain}, "22"),
        ({"frame": gaps}, ""),
        ({"path": tmp_path / "gaps.csv"}, ""),
    ):
        table = load_dataset("custom", **source, label="y", categorical="port")
        assert set(table.categories["port"]) == {"80", "443", last}
    versions = pd.DataFrame({"tls": ["1.2", "1.0", "1.20", "-3.00"] * 2, "y": [0, 1] * 4})
    table = load_dataset("custom", frame=versions, label="y", categorical="tls")
    assert table.categories["tls"] == ("1.2", "1", "1.20", "-3")


def test_features_that_identify_are_named() -> None:
    frame = pd.DataFrame({
        "src_ip": ["10.0.0.1", "10.0.0.2"] * 100,
        "stamp": ["2020-01-01 10:00"] * 200,
        "token": [f"t{i}" for i in range(200)],
        "bytes": np.arange(200) ** 2,
        "y": [0, 1] * 100,
    })  # fmt: skip
    identifiers, times = load_dataset("custom", frame=frame, label="y").notes
    assert "identifiers: src_ip, token (" in identifiers
    assert "times: stamp (" in times


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    text = "x,z,y\n1,4,0\n\n2,5,1\n,,\n\n3,6,0\n\n"
    with pytest.raises(LabelError, match="row 5, column 'y'"):
        of_text(tmp_path / "a.csv", text)
    table = of_text(tmp_path / "a.csv", text.replace(",,\n", ",7,0\n"))
    assert table.features[:, table.feature_names.index("z")].tolist() == [4, 5, 7, 6]
    assert len(of_text(tmp_path / "b.csv", "x,y\r\n1,0\r\n\r\n2,1\r\n")) == 2


def test_events_are_counted_as_pandas_counts_them(tmp_path: Path) -> None:
    train = of_text(tmp_path / "a.csv", "x,y\n" + "".join(f"{i * i},{i % 2}\n" for i in range(30)))
    new = tmp_path / "new.csv"
    new.write_text("x,other\n1,2\n\n,3\n5,6\n\n7,8\n")
    incoming = IncomingTraffic(
        new, "custom", file_format("custom", {"label": "y"}), Preprocessor.fit(train)
    )
    events = np.concatenate([chunk.events for chunk in incoming.chunks()])
    assert events.tolist() == list(range(len(pd.read_csv(new))))
    assert incoming.filled.absent == {"x": 1}


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (["1", "ok", "1"], "numbers and words are mixed"),
        (["attack", "ok", "ok"], "ok may be benign; the labels are attack, ok"),
        (["0", "2", "0"], "numbered classes"),
        (["normal", "clean", "dos"], "normal would be benign, but clean may be as well"),
        (["1", "1", "1"], None),
        (["dos", "Normal", "a new attack"], None),
    ],
)
def test_unclear_labels_of_new_traffic_are_refused(
    tmp_path: Path, labels: list[str], problem: str | None
) -> None:
    train = of_text(tmp_path / "a.csv", "x,y\n" + "".join(f"{i * i},{i % 2}\n" for i in range(30)))
    new = tmp_path / "new.csv"
    new.write_text("x,y\n" + "".join(f"{i},{name}\n" for i, name in enumerate(labels)))
    for named in ({}, {"benign_values": ["0", "ok", "normal", "clean"]}):
        options = {"label": "y"} | named
        incoming = IncomingTraffic(
            new, "custom", file_format("custom", options), Preprocessor.fit(train)
        )
        if problem is None or named:
            assert sum(len(chunk.events) for chunk in incoming.chunks()) == 3
            continue
        with pytest.raises(LabelError, match=problem) as caught:
            list(incoming.chunks())
        assert "Write them as in the training files, or leave the column out" in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "latin-1", "utf-8"])
@pytest.mark.parametrize(
    ("sep", "given"), [(";", ";"), ("\t", "tab"), ("\t", "\\t"), ("|", "pipe")]
)
def test_separators_and_encodings(tmp_path: Path, encoding: str, sep: str, given: str) -> None:
    text = "größe,x,y\nä,1,0\n\nö,2,1\n".replace(",", sep)
    options = {"sep": given, "encoding": encoding}
    table = of_text(tmp_path / "a.csv", text.encode(encoding), **options)
    assert table.categories["größe"] == ("ä", "ö")
    assert table.labels.tolist() == [False, True]


def test_what_to_give_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match="sep=semicolon"):
        of_text(tmp_path / "a.csv", "x;y\n1;0\n2;1\n")
    with pytest.raises(DataFormatError, match="encoding=utf-16"):
        of_text(tmp_path / "a.csv", "x,y\n1,0\n2,1\n".encode("utf-16"))
    for order in ("utf-16-le", "utf-16-be"):
        with pytest.raises(DataFormatError, match=f"encoding={order}"):
            of_text(tmp_path / "a.csv", "x,y\n1,0\n2,1\n".encode(order))
    for packed in (bz2.compress, lzma.compress):
        with pytest.raises(DataFormatError, match="archive; unpack it first"):
            of_text(tmp_path / "a.csv", packed(b"x,y\n1,0\n2,1\n"))
    with pytest.raises(DataFormatError, match="a capture of packets; make flows of it"):
        of_text(tmp_path / "a.csv", b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00" + bytes(16))
    with pytest.raises(DataFormatError, match="encoding="):
        of_text(tmp_path / "a.csv", "x,p,y\n1,ä,0\n2,b,1\n".encode("cp1252"))
    with pytest.raises(DataFormatError, match="give another encoding="):
        of_text(tmp_path / "a.csv", "x,p,y\n1,ä,0\n2,b,1\n".encode("cp1252"), encoding="utf-8")
    with pytest.raises(ConfigError, match="encoding='klingon'"):
        of_text(tmp_path / "a.csv", "x,y\n1,0\n2,1\n", encoding="klingon")
    with pytest.raises(ConfigError, match="sep='ab'"):
        of_text(tmp_path / "a.csv", "x,y\n1,0\n2,1\n", sep="ab")
    with pytest.raises(DataFileNotFoundError, match=r"none.txt is not a file.*moved.*--data-dir"):
        load_dataset("nsl-kdd", path=tmp_path / "none.txt")


@pytest.mark.parametrize("options", [{"rows": 1e5}, {"rows": "nan"}, {"seed": 1.5}, {"rows": True}])
def test_options_of_synthetic(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="no whole number"):
        load_dataset("synthetic", **options)


@pytest.mark.parametrize(
    "options",
    [{"views": 5}, {"views": {"v": 5}}, {"drop": 5}, {"drop": None}, {"sep": 5}, {"label": ["y"]}],
)
def test_options_of_another_type_are_named(tmp_path: Path, options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ConfigError, match=f"option {name}=.* has the wrong type"):
        of_text(tmp_path / "a.csv", "x,y\n1,0\n2,1\n", **options)


def test_the_separator_that_occurs_most_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match="sep=tab"):
        of_text(tmp_path / "a.csv", "x; all\tz\ty\n1\t2\t0\n")
    with pytest.raises(DataFormatError, match="sep=comma"):
        of_text(tmp_path / "b.csv", "x,y\n1,0\n", sep=";")
