"""The log of a training: ``progress.csv`` and TensorBoard's events, every step in them once.

A training that resumes from a checkpoint repeats what an interrupted one did after it. So the log
is cut back to the checkpoint before it goes on.
"""

from __future__ import annotations

import csv
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from stable_baselines3.common.logger import (
    HumanOutputFormat,
    KVWriter,
    Logger,
    TensorBoardOutputFormat,
    filter_excluded_keys,
)

from marl_stl_agents.run_directory import EVENTS, PROGRESS
from marl_stl_env.errors import ConfigError, RunError
from marl_stl_env.files import atomic_path

#: The column with the agent-steps of a row.
STEPS = "time/total_timesteps"
#: The column with the seconds of the training, its interrupted parts together.
SECONDS = "time/time_elapsed"
#: Of a TensorBoard record: its length, the check sums of the length and of the content.
_LENGTH, _SUM = 8, 4
#: A logger by name, or a writer of one's own.
LoggerLike: TypeAlias = Literal["csv", "tensorboard", "stdout"] | KVWriter
#: The loggers of a run that names none.
LOGGERS: tuple[LoggerLike, ...] = ("csv", "tensorboard")
_NAMES = ("csv", "tensorboard", "stdout")


def check_loggers(loggers: Sequence[LoggerLike]) -> tuple[LoggerLike, ...]:
    """The loggers, if they are some.

    Raises:
        ConfigError: If one is neither a known name nor a ``KVWriter`` of SB3.
    """
    for one in loggers:
        if not isinstance(one, KVWriter) and one not in _NAMES:
            raise ConfigError(
                f"loggers has {one!r}; use {', '.join(map(repr, _NAMES))}, or an instance of "
                "SB3's KVWriter"
            )
    return tuple(loggers)


def open_log(run: Path, timesteps: int, loggers: Sequence[LoggerLike] = LOGGERS) -> Logger:
    """A logger that goes on after a checkpoint.

    Args:
        run: The run directory.
        timesteps: Agent-steps of the checkpoint; 0 begins a new log.
        loggers: What it writes to.

    Raises:
        RunError: If the log is damaged.
        OutputError: If it cannot be written.
    """
    for path in sorted(run.glob(EVENTS)):
        cut_events(path, timesteps)
    made: list[KVWriter] = []
    for one in loggers:
        if isinstance(one, KVWriter):
            made.append(one)
        elif one == "csv":
            made.append(ProgressWriter(run / PROGRESS, timesteps))
        elif one == "tensorboard":
            made.append(TensorBoardOutputFormat(str(run)))
        else:
            made.append(HumanOutputFormat(sys.stdout))
    return Logger(str(run), made)


class ProgressWriter(KVWriter):
    """Writes a row of numbers per step; the columns grow as there are more.

    Args:
        path: The CSV file; what it holds up to ``timesteps`` is kept.
        timesteps: Agent-steps.

    Raises:
        RunError: If the file is damaged.
    """

    def __init__(self, path: Path, timesteps: int) -> None:
        self._path = path
        self._names, rows = _read(path)
        kept = [row for row in rows if float(row[STEPS]) <= timesteps]
        self._seconds = float((kept[-1].get(SECONDS) if kept else None) or 0.0)
        self._begin(kept)

    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: dict[str, tuple[str, ...]],
        step: int = 0,
    ) -> None:
        """Add a row; SB3's interface."""
        logged = filter_excluded_keys(key_values, key_excluded, "csv")
        row: dict[str, Any] = {
            name: value for name, value in logged.items() if isinstance(value, np.ScalarType)
        }
        row[STEPS] = step
        if SECONDS in row:
            row[SECONDS] += self._seconds
        new = sorted(row.keys() - set(self._names))
        if new:
            self.close()
            _, rows = _read(self._path)
            self._names += new
            self._begin(rows)
        self._rows.writerow(row)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _begin(self, rows: list[dict[str, str]]) -> None:
        """Write the file anew, whole or not at all, and open it for more rows."""
        with (
            atomic_path(self._path) as draft,
            draft.open("w", encoding="utf-8", newline="") as file,
        ):
            if self._names:
                writer = csv.DictWriter(file, self._names, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
        self._file = self._path.open("a", encoding="utf-8")
        self._rows = csv.DictWriter(self._file, self._names, lineterminator="\n")


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and whole rows of a log; the last row of a killed process may be half."""
    if not path.exists():
        return [], []
    try:
        text = path.read_text(encoding="utf-8")
        lines = text[: text.rfind("\n") + 1].splitlines()
        reader = csv.DictReader(lines, strict=True)
        rows = [row for row in reader if None not in row and None not in row.values()]
        for row in rows:
            float(row[STEPS]), float(row.get(SECONDS) or 0.0)
        return list(reader.fieldnames or ()), rows
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise RunError(
            f"{path} is damaged ({error!r}); remove it to go on without its rows"
        ) from None


def cut_events(path: Path, timesteps: int) -> None:
    """Take what comes after a checkpoint out of a file of TensorBoard events.

    Args:
        path: The file; removed where nothing is left.
        timesteps: Agent-steps of the checkpoint.

    Raises:
        OutputError: If it cannot be written.
    """
    content = path.read_bytes()
    kept = [(step, record) for step, record in _records(content) if step <= timesteps]
    if not any(step > 0 for step, _ in kept):
        path.unlink()
    elif sum(len(record) for _, record in kept) < len(content):
        with atomic_path(path) as draft:
            draft.write_bytes(b"".join(record for _, record in kept))


def _records(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Step and bytes of every record, up to the first one that is not whole."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorboard.compat.proto.event_pb2 import Event

    start, head = 0, _LENGTH + _SUM
    while start + head <= len(content):
        (length,) = struct.unpack_from("<Q", content, start)
        end = start + head + length + _SUM
        if end > len(content):
            return
        try:
            step = Event.FromString(content[start + head : end - _SUM]).step
        except DecodeError:
            return
        yield int(step), content[start:end]
        start = end
