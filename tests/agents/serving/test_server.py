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
from marl_stl_agents.serving.server import DECISIONS, LIST, STATE

from marl_stl_env.errors import (
    OutputError,
    ServingError,
)
from tests.agents.serving.conftest import Served, records, write


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


def test_stopping_from_another_thread(served: Served, tmp_path: Path) -> None:
    write(tmp_path, b"".join(served.lines[:10]))
    one = served.server(tmp_path)
    thread = threading.Thread(target=one.run)
    thread.start()
    one.stopping.set()
    thread.join(60)
    assert not thread.is_alive()
    one.close()
