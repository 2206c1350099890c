"""Mapping files: rules, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from marl_stl_env.data.ingest.sources.apply import Columns
from marl_stl_env.data.ingest.sources.mapping import mapping_of, read_mapping
from marl_stl_env.errors import MappingError


def made(rule: Any, fields: dict[str, list[str | None]], numeric: bool = True) -> Any:
    """A column, and what is wrong in it."""
    mapping = mapping_of({"columns": {"c": rule}})
    given = {
        name: pa.array([None if v is None else v.encode() for v in values], pa.binary())
        for name, values in fields.items()
    }
    rows = len(next(iter(fields.values())))
    columns, wrong = Columns(mapping, ["c"] if numeric else [], {"at": ()}).make(given, rows)
    return columns["c"].to_pylist(), wrong


def test_numbers() -> None:
    fields: dict[str, list[str | None]] = {"a": ["1", " 2.5 ", "-"], "b": ["10", None, "3"]}
    nan = np.nan
    for rule, wanted in (
        ("a", [1, 2.5, nan]),
        ({"field": "a", "scale": 0.001}, [0.001, 0.0025, nan]),
        ({"sum": {"b": 2, "a": -1}}, [19, nan, nan]),
        ({"constant": 7}, [7, 7, 7]),
        (["a", "b"], [1, 2.5, 3]),
        (["nowhere", "b"], [10, nan, 3]),
        ({"field": "a", "lookup": {"1": "100", "2.5": "-"}}, [100, nan, nan]),
        ({"field": "a", "lookup": {"1": "100"}, "otherwise": "0"}, [100, 0, nan]),
    ):
        found, wrong = made(rule, fields)
        np.testing.assert_allclose(found, wanted, err_msg=str(rule))
        assert wrong == [None] * 3
    times: dict[str, list[str | None]] = {"at": ["1970-01-02", "60", "1970-01-01T01:00+01:00"]}
    np.testing.assert_allclose(made("at", times)[0], [86400, 60, 0])
    assert made(["a", "b"], {"a": ["x", "1"], "b": ["2", "2"]})[1][0] is not None


def test_texts() -> None:
    fields: dict[str, list[str | None]] = {"p": ["6", "17", "x", None], "q": ["a", "b", "c", "d"]}
    lookup = {"6": "tcp", "17": "udp"}
    for rule, wanted in (
        ("p", [b"6", b"17", b"x", None]),
        ({"field": "p", "lookup": lookup}, [b"tcp", b"udp", b"x", None]),
        ({"field": "p", "lookup": lookup, "otherwise": "?"}, [b"tcp", b"udp", b"?", None]),
        ([{"field": "p", "lookup": lookup}, "q"], [b"tcp", b"udp", b"x", b"d"]),
        ({"constant": "eth0"}, [b"eth0"] * 4),
    ):
        assert made(rule, fields, numeric=False)[0] == wanted, rule


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([], "a mapping is"),
        ({"columns": {}}, '"columns" names'),
        ({"columns": {"a": "x"}, "sorce": "zeek"}, "a mapping is"),
        ({"columns": {"a": "x"}, "source": 5}, "name of a source"),
        ({"columns": {"a": 5}}, "'a': 5 is no rule; a rule is the name of a field"),
        ({"columns": {"a": []}}, "no rule"),
        ({"columns": {"a": {"field": "x", "scale": "1"}}}, "no rule"),
        ({"columns": {"a": {"field": "x", "lookup": {"1": 2}}}}, "no rule"),
        ({"columns": {"a": {"sum": {"x": True}}}}, "no rule"),
        ({"columns": {"a": {"sum": {}}}}, "no rule"),
        ({"columns": {"a": {"constant": None}}}, "no rule"),
    ],
)
def test_what_is_no_mapping(content: Any, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(MappingError, match=problem):
        read_mapping(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="cannot be read"):
        read_mapping(tmp_path / "none.json")
    (tmp_path / "m.json").write_text("{", encoding="utf-8")
    with pytest.raises(MappingError, match="no JSON"):
        read_mapping(tmp_path / "m.json")


def test_fields_and_columns() -> None:
    mapping = mapping_of({"columns": {"a": ["x", {"sum": {"y": 1, "z": 1}}], "b": {"constant": 1}}})
    assert mapping.fields == {"x", "y", "z"}
    assert mapping.given(["y"]) == ("b",)
    assert mapping.given(["y", "z"]) == ("a", "b")
    assert mapping.keeping(["uid", "a"]).given(["uid"]) == ("b", "uid")
    assert mapping.only(["a"]).given(["x"]) == ("a",)
