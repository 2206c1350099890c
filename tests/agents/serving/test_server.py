"""A server decides as the team does on the whole file, whatever happens to it meanwhile."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from marl_stl_agents.serving import decision_log, server
from marl_stl_agents.serving.serve import _check_log, serve
from marl_stl_agents.serving.server import DECISIONS, LIST, STATE

from marl_stl_env.errors import (
    DataFileNotFoundError,
    MissingColumnError,
    OutputError,
    ServingError,
)
from tests.agents.serving.conftest import Served


def records(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


def write(folder: Path, content: bytes) -> Path:
    path = folder / "flows.csv"
    path.write_bytes(content)
    return path


def test_decisions_are_those_of_the_team(served: Served, uninterrupted: bytes) -> None:
    whole = served.team.stream(reason_columns=0).decide(served.frame)
    found = records(uninterrupted)
    assert [one["decision"] for one in found] == whole["decision"].tolist()
    assert [one["reason"] for one in found] == whole["reason"].tolist()
    assert [one["key"] for one in found] == served.frame["flow_id"].astype(str).tolist()
    assert [one["event"] for one in found] == list(range(len(found)))
    assert [one["entity"] for one in found] == served.frame["entity"].tolist()
    np.testing.assert_allclose([one["time"] for one in found], served.frame["time"], atol=1e-6)
    np.testing.assert_allclose(
        [one["threat_score"] for one in found], whole["threat_score"], atol=1e-6
    )
    votes = whole[[f"sensor_{i}" for i in range(4)]].to_numpy().tolist()
    assert [one["votes"] for one in found] == votes
    assert set(found[-1]["specifications"]) >= {"responsive", "posture", "alert budget"}


class Killed(BaseException):
    """The process ends here."""


def test_killed_at_every_write(
    served: Served, uninterrupted: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before, in the middle of, and after every write: none twice, none lost."""
    write(tmp_path, b"".join(served.lines[:60]))
    left = 0

    def dying(real: Callable[..., Any], half: bool = False) -> Callable[..., Any]:
        def call(*arguments: Any, **settings: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            if half and left == 1:
                left = 0
                real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                raise Killed
            return real(*arguments, **settings)

        return call

    monkeypatch.setattr("os.fsync", dying(os.fsync))
    monkeypatch.setattr("numpy.savez", dying(np.savez))
    monkeypatch.setattr(os, "replace", dying(os.replace))
    monkeypatch.setattr(
        server, "DecisionLog",
        lambda path, written: decision_log.DecisionLog(path, written, dying(os.write, half=True)),
    )  # fmt: skip
    expected = b"".join(uninterrupted.splitlines(keepends=True)[:59])
    kills = 0
    for survives in range(1, 60):
        left = survives % 12 + 2
        one = served.server(tmp_path, block_bytes=2048)
        try:
            one.run(until_end=True)
        except Killed:
            kills += 1
        one.close()
        if left > 0:
            break
    assert kills >= 10
    left = 10**9
    assert served.served(tmp_path) == expected


def test_a_log_that_grows_line_by_line(
    served: Served, uninterrupted: bytes, tmp_path: Path
) -> None:
    """Lines arrive in pieces, and another server takes over in between."""
    path = write(tmp_path, b"")
    content, cuts = b"".join(served.lines), [0, 30, 700, 701, 5000, 5003, 12000]
    for start, end in zip(cuts, [*cuts[1:], len(content)], strict=True):
        with path.open("ab") as log:
            log.write(content[start:end])
        one = served.server(tmp_path)
        while one.step():
            pass
        one.save()
        one.close()
    assert (tmp_path / "out" / DECISIONS).read_bytes() == uninterrupted


@pytest.mark.parametrize("restart", [False, True])
def test_rotated_by_renaming(
    served: Served, uninterrupted: bytes, tmp_path: Path, restart: bool
) -> None:
    """Three files, the second one renamed before it was looked at."""
    header, rows = served.lines[0], served.lines[1:]
    path = write(tmp_path, header + b"".join(rows[:50]))
    one = served.server(tmp_path)
    while one.step():
        pass
    if restart:
        one.save()
        one.close()
    with path.open("ab") as log:
        log.write(b"".join(rows[50:60]))
    path.rename(tmp_path / "flows.csv.2")
    write(tmp_path, header + b"".join(rows[60:90]))
    os.utime(path, ns=(later := (tmp_path / "flows.csv.2").stat().st_mtime_ns + 10**6, later))
    path.rename(tmp_path / "flows.csv.1")
    write(tmp_path, header + b"".join(rows[90:]))
    if restart:
        one = served.server(tmp_path)
    one.run(until_end=True)
    one.close()
    assert (tmp_path / "out" / DECISIONS).read_bytes() == uninterrupted
    assert one.status.counts["rotations"] == 2
    assert one.status.counts["input_losses"] == 0


@pytest.mark.parametrize("header", [True, False])
def test_copied_and_cut_to_nothing(
    served: Served, uninterrupted: bytes, tmp_path: Path, header: bool
) -> None:
    """What had not been read stands in the copy; the log may have grown beyond it again."""
    first, rows = served.lines[0], served.lines[1:]
    path = write(tmp_path, first + b"".join(rows[:20]))
    one = served.server(tmp_path)
    while one.step():
        pass
    whole = first + b"".join(rows[:40])
    (tmp_path / "flows.csv.1").write_bytes(whole)
    with path.open("r+b") as log:
        log.truncate()
        log.write((first if header else b"") + b"".join(rows[40:]))
    one.run(until_end=True)
    one.close()
    assert (tmp_path / "out" / DECISIONS).read_bytes() == uninterrupted
    assert one.status.counts["input_losses"] == 0


def test_a_lost_file_is_counted(served: Served, tmp_path: Path) -> None:
    path = write(tmp_path, b"".join(served.lines[:20]))
    one = served.server(tmp_path)
    one.run(until_end=True)
    path.unlink()
    write(tmp_path, b"".join([served.lines[0], *served.lines[100:110]]))
    one.close()
    again = served.server(tmp_path)
    again.run(until_end=True)
    again.close()
    assert again.status.counts["input_losses"] == 1
    assert again.status.counts["events"] == 19 + 10


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


def test_a_full_disk(
    served: Served, uninterrupted: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a line fits, then nothing; decisions wait until there is space."""
    write(tmp_path, b"".join(served.lines))
    calls = 0

    def full(handle: int, content: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls in (4, 5):
            assert one.status.problems or calls == 4
            os.write(handle, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(handle, content)

    monkeypatch.setattr(
        server, "DecisionLog", lambda path, written: decision_log.DecisionLog(path, written, full)
    )
    one = served.server(tmp_path)
    one.run(until_end=True)
    assert calls > 5
    assert not one.status.full
    one.close()
    assert (tmp_path / "out" / DECISIONS).read_bytes() == uninterrupted


def test_stopped_while_the_disk_is_full(
    served: Served, uninterrupted: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, b"".join(served.lines))

    def full(handle: int, content: bytes) -> int:
        one.stopping.set()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(
            server,
            "DecisionLog",
            lambda path, written: decision_log.DecisionLog(path, written, full),
        )
        one = served.server(tmp_path)
        with pytest.raises(OutputError, match="free some space"):
            one.run(until_end=True)
        one.close()
    assert served.served(tmp_path) == uninterrupted


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


def test_a_reader_that_lags(served: Served, tmp_path: Path) -> None:
    """The log itself is the queue: a block is in memory, the rest waits and is reported."""
    content = b"".join(served.lines)
    write(tmp_path, content)
    one = served.server(tmp_path, most_behind=10_000)
    one.step()
    assert 0 < len(content) - one.status.behind <= 8192
    assert one.status.problems == [f"{one.status.behind:,} bytes of the input wait"]
    one.run(until_end=True)
    one.close()
    assert one.status.problems == []


def test_verdicts_are_learned(served: Served, uninterrupted: bytes, tmp_path: Path) -> None:
    """An analyst's verdict on a granted alert changes what the sensors see of its entity."""
    plain = records(uninterrupted)
    alert = next(one for one in plain if one["alert"] == "granted")
    cut = alert["event"] + 2
    one = served.server(tmp_path, verdicts=tmp_path / "verdicts.ndjson")
    path = write(tmp_path, b"".join(served.lines[:cut]))
    while one.step():
        pass
    (tmp_path / "verdicts.ndjson").write_text(
        json.dumps({"key": alert["key"], "verdict": "threat"}) + "\n"
        '{"key": "nobody", "verdict": "benign"}\nno json\n{"key": "1"'
    )
    one.save()
    assert dict(one.status.verdicts) == {"learned": 1, "unknown": 1, "malformed": 1}
    one.close()
    with path.open("ab") as log:
        log.write(b"".join(served.lines[cut:]))
    again = served.server(tmp_path, verdicts=tmp_path / "verdicts.ndjson")
    again.run(until_end=True)
    again.close()
    told = records((tmp_path / "out" / DECISIONS).read_bytes())
    assert told[: cut - 1] == plain[: cut - 1]
    beside: list[str | None] = [None] * len(plain)
    beside[alert["event"]] = "threat"
    whole = served.team.stream(reason_columns=0).decide(served.frame, verdicts=beside)
    assert [one["decision"] for one in told] == whole["decision"].tolist()
    np.testing.assert_allclose(
        [one["threat_score"] for one in told], whole["threat_score"], atol=1e-6
    )
    assert [one["threat_score"] for one in told] != [one["threat_score"] for one in plain]


def test_the_list_of_contained_entities(served: Served, tmp_path: Path) -> None:
    write(tmp_path, b"".join(served.lines))
    decided = records(served.served(tmp_path, block_events=30))
    content = json.loads((tmp_path / "out" / LIST).read_text())
    assert content["events"] == len(decided)
    expected: dict[str, tuple[str, int]] = {}
    for one in decided:
        lasting = {"BLOCK": 30, "QUARANTINE": 6}.get(one["decision"])
        until = one["event"] + 1 + (lasting or 0)
        old = expected.get(one["entity"], ("", 0))[1]
        if lasting and not one["isolated"] and old <= until:
            expected[one["entity"]] = (one["decision"], until)
    expected = {entity: found for entity, found in expected.items() if found[1] > len(decided)}
    assert expected
    assert {
        entry["entity"]: (entry["action"], entry["until_event"]) for entry in content["entities"]
    } == expected


def test_what_does_not_belong_together(served: Served, tmp_path: Path) -> None:
    write(tmp_path, b"".join(served.lines))
    served.served(tmp_path)
    out = tmp_path / "out"
    with pytest.raises(ServingError, match=r"log or source \(key 'flow_id', not None\)"):
        served.server(tmp_path, key=None)
    kept = (out / DECISIONS).read_bytes()
    (out / DECISIONS).write_bytes(kept[:100])
    with pytest.raises(ServingError, match="it was changed"):
        served.server(tmp_path)
    (out / DECISIONS).write_bytes(kept)
    state = (out / STATE).read_bytes()
    (out / STATE).write_bytes(state[: len(state) // 2])
    with pytest.raises(ServingError, match="is no state of a server"):
        served.server(tmp_path)
    (out / STATE).unlink()
    with pytest.raises(ServingError, match="but there is no"):
        served.server(tmp_path)


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


def test_stopping_from_another_thread(served: Served, tmp_path: Path) -> None:
    write(tmp_path, b"".join(served.lines[:10]))
    one = served.server(tmp_path)
    thread = threading.Thread(target=one.run)
    thread.start()
    one.stopping.set()
    thread.join(60)
    assert not thread.is_alive()
    one.close()
