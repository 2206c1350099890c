"""The lines of every source as columns, whole or in pieces, and lines that are no records."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from marl_stl_env.data.ingest.sources.apply import Columns
from marl_stl_env.data.ingest.sources.catalogue import (
    FLOW,
    NFSTREAM,
    built_in,
    built_in_mapping,
    source_named,
)
from marl_stl_env.data.ingest.sources.fields import DelimitedLines
from marl_stl_env.data.ingest.sources.lines import LineReader, Parsed
from marl_stl_env.data.ingest.sources.mapping import same_names
from marl_stl_env.data.ingest.sources.source import Source
from marl_stl_env.errors import MappingError, StateError, UnknownNameError
from tests.data.sources import written
from tests.data.sources.written import FORMATS

NUMBERS = ("time", "src_port", "dst_port", "duration", "src_packets", "dst_packets", "src_bytes",
           "dst_bytes")  # fmt: skip
#: The three flows. Frames are 14 bytes longer than the IP packets in them.
WANTED: dict[str, list[Any]] = {
    "time": written.TIMES,
    "entity": ["10.0.0.1", "10.0.0.3", "10.0.0.1"],
    "proto": ["tcp", "udp", "tcp"],
    "service": ["http", "dns", None],
    "dst_port": [80.0, 53.0, 22.0],
    "duration": [1.5, 0.25, 0.0],
    "src_packets": [6.0, 1.0, 1.0],
    "dst_packets": [5.0, 1.0, 0.0],
    "src_bytes": [420.0, 68.0, 60.0],
    "dst_bytes": [1180.0, 108.0, 0.0],
}
FRAMES = {"src_bytes": [504.0, 82.0, 74.0], "dst_bytes": [1250.0, 122.0, 0.0]}


def reader(source: str, schema: str = FLOW) -> LineReader:
    mapping, kind = built_in_mapping(source, schema), source_named(source)
    return LineReader("x", kind, Columns(mapping, NUMBERS, kind.times, ["time"]))


def values(parsed: list[Parsed], column: str) -> list[Any]:
    found = [record[column] for one in parsed for record in one.records()]
    return [None if value in ("", "-") else value for value in found]


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_tells_of_the_same_flows(name: str) -> None:
    source, text, lacking = FORMATS[name]
    parsed = reader(source).parse(text.encode(), last=True)
    assert parsed.malformed == ()
    assert parsed.used == len(text.encode())
    given = built_in_mapping(source, FLOW).given(parsed.fields)
    assert set(WANTED) - set(given) == lacking
    wanted = WANTED | (FRAMES if source in ("suricata", "argus") else {})
    for column in set(WANTED) - lacking:
        expected = wanted[column]
        if column == "duration" and source == "zeek":
            expected = [1.5, 0.25, math.nan]  # Zeek has none for a single packet
        if name.startswith("nfdump-json") and column.startswith("dst_") and column != "dst_port":
            expected = [*expected[:2], math.nan]
        found = values([parsed], column)
        if column in NUMBERS:
            np.testing.assert_allclose(found, expected, atol=1e-6)
        else:
            assert found == expected, column


@pytest.mark.parametrize("name", FORMATS)
def test_bytes_may_come_in_pieces(name: str) -> None:
    """Pieces of any size, the reader replaced by its saved state: the same rows and offsets."""
    source, text, _ = FORMATS[name]
    content = text.encode()
    whole = reader(source).parse(content, last=True)
    for size in (41, 300):
        one, parts, rest = reader(source), list[Parsed](), b""
        for start in range(0, len(content), size):
            rest += content[start : start + size]
            parts.append(one.parse(rest))
            rest = rest[parts[-1].used :]
            state = json.loads(json.dumps(one.get_state()))
            one = reader(source)
            one.set_state(state)
        assert rest == b""
        assert one.offset == len(content)
        rows = [record for part in parts for record in part.records()]
        np.testing.assert_equal(rows, whole.records())
        offsets = np.concatenate([part.offsets for part in parts])
        np.testing.assert_array_equal(offsets, whole.offsets)
    for offset in whole.offsets.tolist():
        assert offset == 0 or content[offset - 1 : offset] == b"\n"


def test_a_line_without_an_end_counts_at_the_end() -> None:
    content = FORMATS["argus"][1].rstrip("\n").encode()
    one = reader("argus")
    first = one.parse(content)
    assert len(first.batch) == 2
    second = one.parse(content[first.used :], last=True)
    assert len(second.batch) == 1
    assert (one.offset, one.line) == (len(content), 4)


def test_malformed_lines_are_told_with_their_places() -> None:
    lines = written.zeek_text().splitlines(keepends=True)
    row = lines[7]
    bad = [
        row.replace("420", "four"),  # no number
        row.replace("1700000000.5", "-"),  # no time
        row.replace("http", "ht\x01tp"),  # no text
        "cut off\tin the middle\n",
        row.replace("420", "1e39"),  # too large
    ]
    content = "".join([*lines[:8], *bad, *lines[8:]]).encode()
    parsed = reader("zeek").parse(content, last=True)
    assert len(parsed.batch) == 3
    assert [one.line for one in parsed.malformed] == [9, 10, 11, 12, 13]
    found = [content[one.offset :].split(b"\n", 1)[0] + b"\n" for one in parsed.malformed]
    assert found == [line.encode() for line in bad]
    problems = [one.problem for one in parsed.malformed]
    assert problems[0] == "'src_bytes' cannot be read as a number or time"
    assert problems[1].startswith("'time' is missing")
    assert problems[2] == "'service' holds what is no text"
    assert problems[3] == "2 fields, not 17"
    assert parsed.batch.rows.tolist() == [8, 14, 15]
    one = reader("suricata")
    content = b"\n".join([b"not JSON", b'["a list"]', b"[]", b'{"event_type": "flow"'])
    parsed = one.parse(content, last=True)
    assert [one.line for one in parsed.malformed] == [1, 2, 4]
    assert all("no JSON object" in one.problem for one in parsed.malformed)
    assert reader("zeek").parse(b"1\t2\n").malformed[0].problem.startswith("there is no line")


def test_a_new_header_changes_the_columns() -> None:
    """As where a log was rotated and the files were joined."""
    names = [*written.ZEEK_FIELDS]
    other = "#fields\t" + "\t".join(reversed(names)) + "\n"
    row = "\t".join(str(value) for value in reversed(written.ZEEK_ROWS[0])) + "\n"
    content = (written.zeek_text() + other + row).encode()
    parsed = reader("zeek").parse(content, last=True)
    assert values([parsed], "time") == [*written.TIMES, written.TIMES[0]]
    assert values([parsed], "src_bytes") == [420.0, 68.0, 60.0, 420.0]
    twice = reader("nfdump").parse((written.nfdump_csv() * 2).encode(), last=True)
    assert len(twice.batch) == 6
    assert twice.malformed == ()


def test_labels_of_iot_23_are_read_apart() -> None:
    kind = source_named("zeek")
    mapping = same_names(["ts", "label", "detailed-label"])
    one = LineReader("x", kind, Columns(mapping, ["ts"], kind.times))
    for joined in (False, True):
        one.rewind()
        parsed = one.parse(written.zeek_text(labels=True, joined=joined).encode(), last=True)
        assert parsed.malformed == ()
        assert values([parsed], "label") == ["Benign", "Malicious", "Benign"]
        assert values([parsed], "detailed-label") == [None, "C&C", None]


def test_states_and_names_that_are_none() -> None:
    with pytest.raises(StateError, match="no state of a reader"):
        reader("zeek").set_state({"offset": 1})
    with pytest.raises(UnknownNameError, match="'bro'; known: zeek, suricata"):
        source_named("bro")
    with pytest.raises(MappingError, match="leads from suricata to the columns of nsl-kdd"):
        built_in_mapping("suricata", "nsl-kdd")
    assert {source for source, _ in built_in()} == {
        *(["zeek", "suricata", "nfdump", "argus"]),
        NFSTREAM,
    }
    for source, schema in built_in():
        assert built_in_mapping(source, schema).source == source


@pytest.mark.parametrize("end", ["\r\n\r\n", "\n\n", "\n#open\n"])
def test_plain_lines_are_read_as_others(end: str) -> None:
    """A block without headers, comments and odd line ends is not looked at line by line."""
    source, text, _ = FORMATS["zeek"]
    body = text.index("1700000000.5")
    rows = text[body : text.index("#close")]
    rows += rows.replace("tcp", "t\x01p") + "too\tfew\n"
    plain, other = reader(source), reader(source)
    found = []
    for one, part in ((plain, rows), (other, rows.rstrip().replace("\n", end) + "\n")):
        one.parse(text[:body].encode())
        found.append(one.parse(part.encode()))
    assert len(found[0].batch) == 4
    line = text[:body].count("\n") + 1
    np.testing.assert_array_equal(found[0].batch.rows, line + np.array([0, 1, 2, 4]))
    np.testing.assert_array_equal(found[1].batch.rows, line + 2 * np.array([0, 1, 2, 4]))
    for column in WANTED:
        assert values(found[:1], column) == pytest.approx(values(found[1:], column), nan_ok=True)
    assert [bad.problem for bad in found[0].malformed] == [b.problem for b in found[1].malformed]


@pytest.mark.parametrize("torn", [b"5\r,6", b"5,6\r7,8", b"5,6\r", b'"5,6', b'5,"6""', b'"5""",6'])
@pytest.mark.parametrize("after", [[b"3,4", b'"a",b'], []])
def test_a_torn_line_spoils_no_other(torn: bytes, after: list[bytes]) -> None:
    """A sensor's peer can write what stands in a field: its line must not hide the next one."""
    whole = torn in {b"5,6\r", b'"5""",6'}  # a line's end, and a quote of the value's own
    read = DelimitedLines(Source("log", "a log"), ("x", "y")).read(
        [b"1,2", torn, *after, b"7,8"], ("x", "y"), last=False
    )
    lines = [place for place in range(len(after) + 3) if place != 1 or whole]
    assert read.lines.tolist() == lines
    assert [place for place, _ in read.bad] == ([] if whole else [1])
    found = list(zip(*(read.columns[name].to_pylist() for name in ("x", "y")), strict=True))
    first = {b"5,6\r": (b"5", b"6")}.get(torn, (b'5"', b"6"))
    wanted = [(b"1", b"2"), *([first] if whole else []), (b"3", b"4"), (b"a", b"b"), (b"7", b"8")]
    assert found == [row for row in wanted if after or row[0] not in {b"3", b"a"}]
