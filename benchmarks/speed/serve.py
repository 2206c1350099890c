"""Events per second from a Zeek log to decisions, and the memory that a server takes.

    python -m benchmarks.speed.serve --out serve.json
    python -m benchmarks.speed.serve --teams response --response-events 1000000

Teams of the default size decide on a conn.log (TSV) of made-up flows: a replay team by
``marl-stl-decide`` and by ``marl-stl-serve``, and a response team with state, shield and monitors
by ``marl-stl-serve``. The policies are untrained, as speed does not depend on weights. A server
reads its log in a loop: memory is that of the process after a tenth, at the middle and at the end.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from marl_stl_agents.command_line import run_command
from marl_stl_agents.config import DecideConfig, ServeConfig
from marl_stl_agents.evaluation.new_traffic import decide, load_team
from marl_stl_agents.evaluation.new_traffic.kept import keep_reference
from marl_stl_agents.serving.server import Server

from benchmarks.common.measure import show, write_result
from benchmarks.speed.decide import untrained_run
from marl_stl_env.config import DataConfig, EnvConfig, StlConfig
from marl_stl_env.data.prepare import prepare

_TRAINING = 6000
_FIELDS = {
    "ts": "time", "uid": "string", "id.orig_h": "addr", "id.orig_p": "port", "id.resp_h": "addr",
    "id.resp_p": "port", "proto": "enum", "service": "string", "duration": "interval",
    "conn_state": "string", "orig_pkts": "count", "orig_ip_bytes": "count", "resp_pkts": "count",
    "resp_ip_bytes": "count",
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        teams: The teams.
        replay_events: Events of the replay team.
        response_events: Events of the response team.
        lines: Lines of the log, which are repeated: enough that no cache holds them all.
        reason_columns: Columns that the reasons of the response team's decisions name.
        threads: Threads of torch; one more reads ahead in marl-stl-decide.
        out: JSON file for the figures.
    """

    teams: Literal["both", "replay", "response"] = "both"
    replay_events: int = 1_000_000
    response_events: int = 30_000
    lines: int = 50_000
    reason_columns: int = 0
    threads: int = 1
    out: Path | None = None


def flows(rows: int, seed: int) -> pd.DataFrame:
    """Made-up connections with Zeek's fields."""
    rng = np.random.default_rng(seed)
    scans = rng.random(rows) < 0.1
    packets = np.where(scans, 1, rng.integers(1, 200, rows))
    back = np.where(scans, 0, rng.integers(0, 200, rows))
    return pd.DataFrame(
        {
            "ts": 1.7e9 + np.arange(rows) / 100,
            "uid": [f"C{number:017d}" for number in range(rows)],
            "id.orig_h": [f"10.0.{n >> 8}.{n & 255}" for n in rng.integers(0, 2000, rows)],
            "id.orig_p": rng.integers(1024, 65536, rows),
            "id.resp_h": [f"10.1.0.{number}" for number in rng.integers(0, 200, rows)],
            "id.resp_p": rng.choice([22, 53, 80, 443, 8080], rows),
            "proto": rng.choice(["tcp", "udp", "icmp"], rows),
            "service": rng.choice(["http", "dns", "ssl", "-"], rows),
            "duration": np.round(rng.exponential(3.0, rows), 6),
            "conn_state": np.where(scans, "S0", rng.choice(["SF", "RSTO"], rows)),
            "orig_pkts": packets,
            "orig_ip_bytes": packets * rng.integers(40, 1500, rows),
            "resp_pkts": back,
            "resp_ip_bytes": back * rng.integers(40, 1500, rows),
            "scans": scans,
        }
    )


def write_log(path: Path, lines: int) -> None:
    """A conn.log as Zeek writes it."""
    head = [
        "#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-",
        "#path\tconn", "\t".join(["#fields", *_FIELDS]), "\t".join(["#types", *_FIELDS.values()]),
    ]  # fmt: skip
    frame = flows(lines, seed=1)[list(_FIELDS)]
    with path.open("w") as log:
        log.write("\n".join(head) + "\n")
        frame.to_csv(log, sep="\t", header=False, index=False)


def made_run(folder: Path, env: EnvConfig) -> Path:
    """A run with an untrained policy, on the columns that flow records of all sensors share."""
    columns = {
        "ts": "time", "id.orig_h": "entity", "id.resp_p": "dst_port", "orig_pkts": "src_packets",
        "orig_ip_bytes": "src_bytes", "resp_pkts": "dst_packets", "resp_ip_bytes": "dst_bytes",
        "scans": "label",
    }  # fmt: skip
    frame = flows(_TRAINING, seed=0).rename(columns=columns)
    kept = [*columns.values(), "proto", "service", "duration"]
    path = folder.parent / f"{folder.name}.parquet"
    frame[kept].to_parquet(path)
    options: Any = {"path": str(path), "label": "label", "entity": "entity", "time": "time"}
    env = replace(env, data=DataConfig(dataset="custom", dataset_options=options))
    prepared = prepare(env)
    run = untrained_run(folder, env, prepared)
    keep_reference(run, prepared, "cpu")
    return run


def resident() -> float:
    """MB of memory that this process takes now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


@dataclass
class Clock:
    """Seconds of the wall and of the processor."""

    wall: float = 0.0
    busy: float = 0.0


@contextmanager
def timed() -> Iterator[Clock]:
    """Measure a block."""
    clock, wall, busy = Clock(), time.perf_counter(), time.process_time()
    yield clock
    clock.wall, clock.busy = time.perf_counter() - wall, time.process_time() - busy


def decided(run: Path, log: Path, events: int, settings: Settings) -> list[Any]:
    """The replay team on a file of so many lines."""
    many = log.parent / "many.log"
    head, rows = _parts(log)
    with many.open("wb") as out:
        out.write(head)
        for start in range(0, events, len(rows)):
            out.write(b"".join(rows[: events - start]))
    asked = DecideConfig(
        many, run, log.parent / "decided.parquet", source="zeek", reason_columns=0, device="cpu",
        threads=settings.threads,
    )  # fmt: skip
    with timed() as clock:
        decide(asked)
    many.unlink()
    return ["replay", "decide", events, clock, [resident()] * 3]


def _parts(log: Path) -> tuple[bytes, list[bytes]]:
    lines = log.read_bytes().splitlines(keepends=True)
    head = sum(line.startswith(b"#") for line in lines)
    return b"".join(lines[:head]), lines[head:]


def served(name: str, run: Path, log: Path, events: int, settings: Settings) -> list[Any]:
    """A team behind a log that grows by copies of itself."""
    followed = log.parent / f"{name}.log"
    head, rows = _parts(log)
    followed.write_bytes(head)
    asked = ServeConfig(
        followed, run, log.parent / f"{name}-out", source="zeek", key="uid", port=None,
        reason_columns=settings.reason_columns, device="cpu", threads=settings.threads,
    )  # fmt: skip
    folder = log.parent / f"{name}-out"
    folder.mkdir()
    server = Server(load_team(run, device="cpu", threads=settings.threads), asked, folder)
    memory, marks = list[float](), [events // 10, events // 2, events]
    with timed() as clock:
        done = 0
        while done < events:
            more = min(len(rows), events - done)
            with followed.open("ab") as out:
                out.write(b"".join(rows[:more]))
            while server.step():
                while marks and server.status.counts["events"] >= marks[0]:
                    memory.append(resident())
                    marks.pop(0)
            done += more
        server.save()
    server.close()
    return [name, "serve", events, clock, memory]


def main(settings: Settings) -> None:
    """Measure, print and write."""
    watched = StlConfig(monitor=True, observe=True, shield=True)
    teams: dict[str, tuple[EnvConfig, int]] = {
        "replay": (EnvConfig(stl=StlConfig(monitor=False)), settings.replay_events),
        "response": (EnvConfig(dynamics="response", stl=watched), settings.response_events),
    }
    measured = list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_log(folder / "conn.log", settings.lines)
        for team, (env, events) in teams.items():
            if settings.teams not in ("both", team):
                continue
            run = made_run(folder / f"run-{team}", env)
            ways: list[Callable[[], list[Any]]] = [
                lambda: decided(run, folder / "conn.log", events, settings),  # noqa: B023
                lambda: served(team, run, folder / "conn.log", events, settings),  # noqa: B023
            ]
            for way in ways if team == "replay" else ways[1:]:
                measured.append(_figures(way()))
    columns = list(measured[0])
    show("from a Zeek log to decisions", columns, [list(one.values()) for one in measured])
    write_result(settings.out, {"threads": settings.threads, "figures": measured})


def _figures(found: list[Any]) -> dict[str, Any]:
    team, command, events, clock, memory = found
    return {
        "team": team,
        "command": command,
        "events": events,
        "events/s": events / clock.wall,
        "CPU us/event": 1e6 * clock.busy / events,
        "MB after a tenth": memory[0],
        "MB at the middle": memory[1],
        "MB at the end": memory[-1],
    }


if __name__ == "__main__":
    sys.exit(run_command(Settings, main, __doc__))
