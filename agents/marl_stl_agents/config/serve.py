"""The configuration of a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from marl_stl_agents.config.ppo import MAX_THREADS
from marl_stl_agents.config.train import Device
from marl_stl_env.config.shown import ShowsChanges
from marl_stl_env.errors import ConfigError
from marl_stl_env.validation import check_range, check_types


@dataclass(frozen=True, repr=False)
class ServeConfig(ShowsChanges):
    """A finished run behind a log that grows.

    Attributes:
        follow: The log: it is read from its beginning, as it grows and is rotated. CSV or JSON
            lines with the columns of the run's data set, or what ``source`` names.
        run: The run directory; None takes the newest under ``runs``.
        folder: Where decisions, the list of contained entities and the state are kept; None takes
            ``serving`` in the run directory.
        source: What writes the log: zeek, suricata, nfdump, argus; None takes that of the mapping,
            or a table with the run's own columns.
        mapping: File that says which fields of the log make which columns of the run.
        verdicts: NDJSON in which an analyst's verdicts are written: lines with ``key`` and
            ``verdict`` (threat or benign).
        key: Column of the log that names an event, such as ``uid``; None takes its number.
        block_events: Events that a block stays in the list of contained entities.
        reason_columns: Columns that the reason of a decision names at most; 0 names none, which
            is faster.
        snapshot_seconds: Seconds between snapshots, at least. Verdicts are learned as often.
        poll_seconds: Seconds between looks at a log that does not grow.
        block_bytes: Bytes of the log that are decided on at a time.
        most_behind: Bytes of the log that may wait before the health page says so.
        host: Address of the pages; anything but loopback shows them to the network.
        port: Port of the pages (``/health``, ``/metrics``); 0 takes a free one, None shows none.
        until_end: Stop once all lines have been decided on.
        device: Where torch computes; "auto" takes CUDA where it is there.
        threads: Threads of torch.
        plugins: Modules of your own to import beside those of the run, or in place of one of the
            same name that has moved or changed. Their code is run.
    """

    follow: Path
    run: tyro.conf.Positional[Path | None] = None
    folder: Path | None = None
    source: str | None = None
    mapping: Path | None = None
    verdicts: Path | None = None
    key: str | None = None
    block_events: int = 100
    reason_columns: int = 3
    snapshot_seconds: float = 1.0
    poll_seconds: float = 0.2
    block_bytes: int = 1 << 20
    most_behind: int = 1 << 30
    host: str = "127.0.0.1"
    port: int | None = 9470
    until_end: bool = False
    device: Device = "auto"
    threads: int = 1
    plugins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_types(self)
        check_range("threads", self.threads, 1, MAX_THREADS)
        check_range("reason_columns", self.reason_columns, 0, 1000)
        check_range("block_events", self.block_events, 1, 10**9)
        check_range("block_bytes", self.block_bytes, 1 << 10, 1 << 24)
        check_range("most_behind", self.most_behind, 0, 1 << 60)
        check_range("snapshot_seconds", self.snapshot_seconds, 0.0, 3600.0)
        check_range("poll_seconds", self.poll_seconds, 0.001, 60.0)
        if self.port is not None:
            check_range("port", self.port, 0, 65535)
        if self.verdicts is not None and self.verdicts == self.follow:
            raise ConfigError("the verdicts cannot be in the log itself; give another file")
