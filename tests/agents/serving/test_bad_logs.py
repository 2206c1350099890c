"""What a server does with lines, times and files that are not as they should be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from marl_stl_agents.serving import server
from marl_stl_agents.serving.serve import _check_log, serve
from marl_stl_agents.serving.server import DECISIONS, STATE

from marl_stl_env.errors import (
    DataFileNotFoundError,
    MissingColumnError,
    ServingError,
)
from tests.agents.serving.conftest import Served, records, write


def test_malformed_lines_are_skipped_with_their_place(
    served: Served, uninterrupted: bytes, tmp_path: Path
) -> None:
    lines = list(served.lines)
    number = list(served.frame).index("duration")
    fields = lines[5].split(b",")
    fields[number] = b"much"
    lines.insert(3, b"too,few\n")
    lines.insert(7, b",".join(fields))
    lines.insert(9, b"\x00\xff\xfe,\n")
    write(tmp_path, b"".join(lines))
    one = served.server(tmp_path)
    one.run(until_end=True)
    one.close()
    assert (tmp_path / "out" / DECISIONS).read_bytes() == uninterrupted
    assert one.status.counts["malformed_lines"] == 3
    assert [bad["line"] for bad in one.status.malformed] == [4, 8, 10]
    assert [bad["offset"] for bad in one.status.malformed] == [
        sum(map(len, lines[:n])) for n in (3, 7, 9)
    ]


def test_a_line_without_end_is_skipped(
    served: Served, uninterrupted: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marl_stl_agents.serving.events.LONGEST_LINE", 1 << 13)
    lines = list(served.lines)
    lines.insert(30, b"x" * 50_000 + b"\n")
    write(tmp_path, b"".join(lines))
    assert served.served(tmp_path) == uninterrupted


def test_a_log_without_times(served: Served, tmp_path: Path) -> None:
    served.frame[:40].drop(columns="time").to_csv(tmp_path / "flows.csv", index=False)
    told = [json.loads(line) for line in served.served(tmp_path).splitlines()]
    assert [one["event"] for one in told] == list(range(40))
    assert {one["time"] for one in told} == {None}
    assert [one["entity"] for one in told] == served.frame["entity"][:40].tolist()


def test_a_clock_that_goes_backwards(served: Served, tmp_path: Path) -> None:
    """Lines count in their order: the same decisions, whatever the clock says."""
    frame = served.frame.assign(time=served.frame["time"].to_numpy()[::-1])
    frame.to_csv(tmp_path / "flows.csv", index=False)
    one = served.server(tmp_path)
    one.run(until_end=True)
    one.close()
    found = records((tmp_path / "out" / DECISIONS).read_bytes())
    whole = served.team.stream(reason_columns=0).decide(served.frame)
    assert [record["decision"] for record in found] == whole["decision"].tolist()
    assert one.status.counts["clock_backwards"] == len(found) - 1


def test_malformed_lines_are_said_once_a_minute(served: Served, tmp_path: Path) -> None:
    """A log of the server names one of them, and how many others came."""
    said: list[str] = []
    path = write(tmp_path, b"".join(served.lines[:4]) + b"a,b\nc,d\n")
    settings = served.settings(tmp_path)
    (tmp_path / "out").mkdir()
    one = server.Server(served.team, settings, tmp_path / "out", said.append)
    one.step()
    at = sum(map(len, served.lines[:4]))
    width = served.lines[0].count(b",") + 1
    assert said == [
        f"malformed line 6 (byte {at + 4}), skipped: 2 fields, not {width}, and 1 more since the "
        "last notice"
    ]
    path.write_bytes(path.read_bytes() + b"e,f\n")
    one.step()
    assert len(said) == 1, "a minute has not passed"
    one.run(until_end=True)
    one.close()
    assert said[1:] == [f"malformed line 7 (byte {at + 8}), skipped: 2 fields, not {width}"]


def test_a_log_that_cannot_be_followed(served: Served, tmp_path: Path) -> None:
    (tmp_path / "flows.csv").mkdir()
    with pytest.raises(ServingError, match=r"flows.csv is no file that grows"):
        served.served(tmp_path)
    write(tmp_path / "flows.csv", b"".join(served.lines))
    log = tmp_path / "flows.csv" / "flows.csv"
    with pytest.raises(MissingColumnError, match=r"'uid': .* it has .*flow_id.* \(--key\)"):
        served.server(tmp_path, follow=log, key="uid").run(until_end=True)
    assert (tmp_path / "out" / STATE).exists()
    assert served.served(tmp_path, follow=log, key=" flow_id ")


def test_a_log_that_is_not_there(served: Served, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(DataFileNotFoundError, match=r"flows.csv is not a file.*--follow"):
        serve(served.settings(tmp_path), said.append)
    settings = served.settings(tmp_path, until_end=False)
    _check_log(settings, said.append)
    assert said[-1] == f"waiting for {settings.follow}, which does not exist yet"


def test_a_log_of_something_else_is_refused(served: Served, tmp_path: Path) -> None:
    path = write(tmp_path, b"a,b,c\n1,2,3\n")
    one = served.server(tmp_path)
    with pytest.raises(MissingColumnError, match="at most half may be"):
        one.run(until_end=True)
    one.close()
    names = served.lines[0].replace(b"entity", b"host")
    path.write_bytes(names + served.lines[1])
    one = served.server(tmp_path)
    with pytest.raises(MissingColumnError, match="names the host of each event"):
        one.run(until_end=True)
    one.close()
