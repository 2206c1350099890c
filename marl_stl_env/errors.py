"""One exception class per cause, all under :class:`MarlStlError`.

A message says what was given, what is allowed and how to fix it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path


class MarlStlError(Exception):
    """Base of every error this project raises on purpose."""


class ConfigError(MarlStlError, ValueError):
    """A setting has the wrong type or lies outside its range."""


class UnknownNameError(ConfigError):
    """A name (data set, split, view, ...) is not one of the known ones."""

    def __init__(self, kind: str, given: object, known: Iterable[str], hint: str = "") -> None:
        self.given = given
        self.known = tuple(known)
        message = f"unknown {kind} {given!r}; known: {', '.join(self.known)}"
        super().__init__(f"{message}; {hint}" if hint else message)


class PluginError(MarlStlError, ValueError):
    """A user's own data set, rule, reward, fault or signal cannot be registered or used."""


class DeviceError(MarlStlError, RuntimeError):
    """The device asked for is not on this machine."""


class MissingLibraryError(MarlStlError, ImportError):
    """An optional library is not installed."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(
            f"{library} is not installed; install the optional part: "
            f"pip install 'marl-stl-env[{extra}]'"
        )


class ClusterError(MarlStlError, ConnectionError):
    """No cluster answers at the address given."""


_SPACE, _RIGHTS = "free some space, or ", "get the right to write there, or "
_IN_THE_WAY = "a file is in the way: move it, or "
_REMEDY: dict[int | None, str] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None), _SPACE),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _RIGHTS),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), _IN_THE_WAY),
}


class OutputError(MarlStlError, OSError):
    """A file cannot be written: the disk is full, or the place is not to be written to."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(
            f"{path} cannot be written: {error.strerror or error}; {_REMEDY.get(error.errno, '')}"
            "choose another place"
        )
        self.errno = error.errno


class LockedError(MarlStlError):
    """A folder is being written by another process.

    Args:
        folder: The folder.
        pid: The process, as text.
        host: Its machine.
    """

    def __init__(self, folder: Path, pid: str, host: str) -> None:
        self.folder, self.pid, self.host = folder, pid, host
        super().__init__(
            f"{folder} is being written by process {pid or 'unknown'} on {host or 'unknown'}; wait "
            "for it to end, or choose another folder"
        )


class DataError(MarlStlError):
    """Base of everything that is wrong with data."""


class DataFileNotFoundError(DataError, FileNotFoundError):
    """A data file is not where it was looked for."""


class DataFormatError(DataError, ValueError):
    """A data file is not what its format specifies.

    Args:
        file: The file at fault.
        problem: What is wrong and how to fix it.
        row: Line number in the file, counted from 1, where known.
        column: Name of the column, where known.
    """

    def __init__(
        self,
        file: Path | str,
        problem: str,
        *,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        self.file, self.row, self.column, self.problem = str(file), row, column, problem
        place = str(file)
        place += f", row {row}" if row is not None else ""
        place += f", column {column!r}" if column is not None else ""
        super().__init__(f"{place}: {problem}")


class MissingColumnError(DataFormatError):
    """A column that is needed is not in the data."""

    def __init__(self, file: Path | str, column: str, known: Iterable[str], hint: str) -> None:
        self.known = tuple(known)
        shown = ", ".join(self.known[:60]) + (", ..." if len(self.known) > 60 else "")
        super().__init__(file, f"there is no such column; it has {shown}. {hint}", column=column)


class DuplicateColumnError(DataFormatError):
    """Two columns of a file have the same name."""


class LabelError(DataFormatError):
    """A label is empty, unknown, not finite, or at odds with the attack family beside it."""


class MappingError(DataError, ValueError):
    """A mapping from the fields of a source to the columns of a run cannot be used."""


class DownloadError(DataError, OSError):
    """A data set cannot be fetched from its publisher."""


class ChecksumError(DownloadError):
    """A downloaded file is not the one that was published."""


class CacheError(DataError):
    """A file of the cache is damaged."""


class TableError(DataError, ValueError):
    """The arrays of a traffic table contradict each other."""


class SplitError(DataError, ValueError):
    """A table cannot be split as asked."""


class InvalidActionError(MarlStlError, ValueError):
    """An action has the wrong shape, type or value."""


class ResetNeededError(MarlStlError, RuntimeError):
    """The environment was stepped before its first reset or after its end."""


class StateError(MarlStlError, ValueError):
    """A saved engine state does not belong to this engine."""


class DivergedError(MarlStlError, FloatingPointError):
    """A training went astray: a loss is not a number any more."""


class NotFiniteError(DivergedError):
    """A NaN or inf turned up in a training.

    Args:
        place: Where it was seen first.
        remedy: What to do about it.
    """

    def __init__(self, place: str, remedy: str) -> None:
        self.place, self.remedy = place, remedy
        super().__init__(f"NaN or inf first in {place}; {remedy}")


class RunError(MarlStlError):
    """A run directory is missing, incomplete or damaged."""


class RunLockedError(RunError):
    """Another process trains in this run directory."""


class SubmissionError(MarlStlError, ValueError):
    """A result cannot stand on the leaderboard as it is."""


class ComparisonError(MarlStlError, ValueError):
    """Runs cannot be put side by side as asked."""


class ExportError(MarlStlError):
    """A policy cannot be written for other programs as asked."""


class DecidingError(MarlStlError, ValueError):
    """A trained team cannot decide on new traffic as asked."""


class ServingError(MarlStlError):
    """A server cannot go on in this folder, on this log or at this address."""


class FormulaError(MarlStlError, ValueError):
    """A temporal-logic formula is not well formed, or cannot be used as asked.

    Args:
        problem: What is wrong and how to fix it.
        text: The formula as it was written, where there is one.
        position: Index into ``text`` of the first character at fault, counted from 0.
    """

    def __init__(
        self, problem: str, *, text: str | None = None, position: int | None = None
    ) -> None:
        self.problem, self.text, self.position = problem, text, position
        if text is None or position is None:
            super().__init__(problem)
            return
        start = text.rfind("\n", 0, position) + 1
        line = text[start:].split("\n", 1)[0]
        caret = " " * (position - start) + "^"
        super().__init__(f"position {position}: {problem}\n  {line}\n  {caret}")


class SignalError(MarlStlError, ValueError):
    """The signals of a trace have the wrong shape or values."""


class CertificateError(MarlStlError, ValueError):
    """Episodes cannot be certified as given."""
